r"""Templates: the inverse of a graph with repeated variables, derived once for all sizes.

The variables along the same axes form a *cell*. Latents are sampled cell by cell, the outer cells first; within a cell
repeat by repeat, and within a repeat in topological order. With :math:`r` a repeat and :math:`r^-` the one that it
follows, every latent v has one inverse factor for all its repeats,

.. math:: q(v_r \mid S_{v,r}, E_{v,r}),

and a second one for repeats that follow none, if its innermost axis is a chain or a tree. The separator S holds latents
of the same repeat, of its outer repeats, and of :math:`r^-`. The evidence E lies in the same repeat, in those inside it
and in those that follow it; it reaches v as a message, which is computed from the inside outwards, along a chain from
its end to its start, and over a tree from its leaves to its root. Observed variables of outer cells adjacent to v
are part of its context too.

The factors are read off the flat inverse (:mod:`ampbench.graph.factorization`) of a graph with a few repeats along
each axis. All repeats must agree, and messages must carry all evidence of their contexts: otherwise the graph is
refused, and the error names the variable.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from ampbench.errors import GraphError
from ampbench.graph import repeats
from ampbench.graph.axes import Axis, Previous, Tree, previous
from ampbench.graph.factorization import Context, Factor, inverse, structure
from ampbench.graph.model import Graph
from ampbench.graph.repeats import Repeat

Cell = tuple[Axis, ...]
"""The axes of the variables in a cell, the outer ones first."""

SMALL_PLATE, SMALL_CHAIN, SMALL_TREE = 3, 5, 3
"""Sizes of the graph from which the factors are read."""


@dataclass(frozen=True)
class TemplateFactor:
    """The inverse factor of all repeats of a latent.

    Attributes:
        variable: the latent.
        cell: its axes.
        separator: S, names of latents; :class:`ampbench.graph.axes.Previous` ones are those of the repeat before.
        outer: observed variables of outer cells in the context.
        first: whether the factor is that of repeats that follow none.
        barren: whether no descendant is observed, so that the factor is the model's own conditional.
    """

    variable: str
    cell: Cell
    separator: tuple[str, ...]
    outer: tuple[str, ...] = ()
    first: bool = False
    barren: bool = False

    @property
    def follows(self) -> bool:
        """Whether the factor is that of repeats that follow others."""
        return bool(self.cell) and self.cell[-1].linked and not self.first

    def __str__(self) -> str:
        names = [f"{name} before" if isinstance(name, Previous) else name for name in (*self.separator, *self.outer)]
        where = " first" if self.first else ""
        return f"({self.variable}{where} | {', '.join([*names, 'evidence'])})"


def template_inverse(graph: Graph, observed: Iterable[str]) -> tuple[TemplateFactor, ...]:
    """Return the factors of all latents, in sampling order; of two of one latent, that of the first repeats first.

    Arguments:
        graph: a graph with axes.
        observed: names of the observed variables; all their repeats are evidence.

    Raises:
        GraphError: contexts differ between repeats, or hold evidence that no message carries.
    """
    given = set(graph.check(observed))
    sizes = {axis.name: _small(axis) for axis in graph.axes}
    flat = _Unrolled(graph, given, sizes)
    found: dict[tuple[str, bool], TemplateFactor] = {}
    for factor in inverse(structure(flat.parents), flat.observed, flat.order):
        name, repeat = flat.where[factor.variable]
        made = flat.factor(name, repeat, factor)
        found[name, made.first] = _merged(found.get((name, made.first), made), made)
    needed = {name for (name, _), factor in found.items() if not factor.barren}
    found = {key: factor for key, factor in found.items() if not (factor.barren and key[0] in needed)}
    latents = sorted((graph[name] for name in graph.latents(given)), key=lambda node: len(node.along))
    return tuple(found[node.name, first] for node in latents for first in (True, False) if (node.name, first) in found)


def _merged(one: TemplateFactor, other: TemplateFactor) -> TemplateFactor:
    """Return the factor with the larger context: the last repeats of a chain may need less than the others.

    Raises:
        GraphError: neither context contains the other.
    """
    if one.barren or other.barren:
        return other if one.barren else one
    larger, smaller = (one, other) if _context(one) >= _context(other) else (other, one)
    if not _context(larger) >= _context(smaller):
        raise GraphError(
            f"the contexts of the repeats of {one.variable!r} differ: {one} and {other}; such a structure is not "
            "supported, infer the flat graph of graph.ground(…)"
        )
    return larger


def _context(factor: TemplateFactor) -> set[tuple[bool, str]]:
    """Return the context of a factor without its evidence."""
    return {(isinstance(name, Previous), str(name)) for name in (*factor.separator, *factor.outer)}


def _small(axis: Axis) -> int:
    if isinstance(axis, Tree):
        return SMALL_TREE
    return SMALL_CHAIN if axis.linked else SMALL_PLATE


class _Unrolled:
    """The structure of a small flat graph, with covariates as variables.

    Attributes:
        where: by flat name, the variable and its repeat.
        parents: by flat name, the flat names of the parents.
        observed: flat names of the evidence.
        order: flat names of the latents, in sampling order.
    """

    def __init__(self, graph: Graph, given: set[str], sizes: Mapping[str, int]) -> None:
        self.graph = graph
        self.given = given
        self.sizes = sizes
        self.where: dict[str, tuple[str, Repeat]] = {}
        for node in graph.nodes:
            there = repeats.exists(node, sizes).flatten().tolist()
            for repeat, exists in zip(repeats.each_repeat(node, sizes, graph.by_name), there, strict=True):
                if exists:
                    self.where[repeats.flat_name(node.name, repeat.index)] = node.name, repeat
        self.parents = {
            flat: [repeats.flat_name(*parent) for parent in repeat.parents] for flat, (_, repeat) in self.where.items()
        }
        self.observed = [flat for flat, (name, _) in self.where.items() if name in given]
        place = {name: i for i, name in enumerate(graph.names)}
        latents = [flat for flat, (name, _) in self.where.items() if name not in given]

        def turn(flat: str) -> tuple[int, tuple[int, ...], int]:
            name, repeat = self.where[flat]
            return len(repeat.index), repeat.index, place[name]

        self.order = sorted(latents, key=turn)

    def factor(self, name: str, repeat: Repeat, factor: Factor) -> TemplateFactor:
        """Return the template of one flat factor."""
        cell = self.graph[name].along
        before = self._before(cell, repeat.index)
        first = bool(cell) and cell[-1].linked and before is None
        if factor.barren:
            return TemplateFactor(name, cell, (), first=False, barren=True)
        context = factor.context
        assert isinstance(context, Context)
        links = [self._link(name, repeat.index, before, latent) for latent in context.separator]
        evidence = context.names[: len(context) - len(context.separator)]
        outer = {inside for flat in evidence if (inside := self._outer(name, repeat.index, before, flat))}
        order = [*self.graph.names, *map(previous, self.graph.names)]
        return TemplateFactor(
            name,
            cell,
            tuple(sorted(links, key=lambda link: order.index(link) + len(order) * isinstance(link, Previous))),
            tuple(each for each in self.graph.names if each in outer),
            first,
        )

    def _before(self, cell: Cell, index: tuple[int, ...]) -> tuple[int, ...] | None:
        """Return the repeat that another one follows, if it does."""
        if not cell:
            return None
        above = int(cell[-1].before(self.sizes[cell[-1].name])[index[-1]])
        return (*index[:-1], above) if above >= 0 else None

    def _link(self, name: str, index: tuple[int, ...], before: tuple[int, ...] | None, flat: str) -> str:
        """Return the link to a latent in the context of a repeat."""
        latent, repeat = self.where[flat]
        if repeat.index == index[: len(repeat.index)]:
            return latent
        if repeat.index == before:
            return previous(latent)
        raise GraphError(
            f"the context of {name!r} holds {latent!r} of another repeat, {flat}; such a structure is not supported, "
            "infer the flat graph of graph.ground(…)"
        )

    def _outer(self, name: str, index: tuple[int, ...], before: tuple[int, ...] | None, flat: str) -> str:
        """Return the name of an observed variable of an outer cell; "" for one that messages carry."""
        observed, repeat = self.where[flat]
        if len(repeat.index) < len(index) and repeat.index == index[: len(repeat.index)]:
            return observed
        if self._inside(repeat.index[: len(index)], index, self.graph[name].along) or repeat.index == before:
            return ""
        raise GraphError(
            f"the context of {name!r} holds the evidence {flat} of another repeat, which no message carries; such a "
            "structure is not supported, infer the flat graph of graph.ground(…)"
        )

    def _inside(self, index: Sequence[int] | None, target: tuple[int, ...], cell: Cell) -> bool:
        """Return whether a repeat is the target, or follows it directly or indirectly."""
        here = tuple(index) if index is not None else None
        while here is not None and here != target:
            here = self._before(cell, here) if len(here) == len(target) else None
        return here == target
