r"""Simulations of repeated variables, and flat graphs with one variable for every repeat.

With :math:`r` a repeat along the axes of variable i, and :math:`r^-` the repeat that it follows,

.. math:: p(X) = \prod_i \prod_r p\bigl(x_{i,r} \mid \mathrm{pa}(x_i)_r, \mathrm{pa}^-(x_i)_{r^-}\bigr).

All repeats of a variable are drawn by one call of its conditional, with (n · R, D) values, unless they follow one
another; then there is one call for each repeat of a chain, and for each level of a tree.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import networkx as nx
import numpy as np
import torch
from torch import Tensor
from torch.distributions import Distribution

from ampbench.errors import GraphError
from ampbench.graph.axes import Axis, Previous, shape
from ampbench.graph.copies import copied
from ampbench.graph.node import Design, Node
from ampbench.graph.ragged import covered

Sizes = Mapping[str, int]
"""The size of every axis, by its name."""


def exists(node: Node, sizes: Sizes) -> Tensor:
    """Return which repeats have the variable, as booleans of shape (R_1, …): all, or the leaves of a tree."""
    there = torch.ones(shape(node.along, sizes), dtype=torch.bool)
    if node.leaves:
        axis = node.along[-1]
        there[..., : axis.levels(sizes[axis.name])[-1].start] = False
    return there


def check_axes(nodes: Sequence[Node], by_name: Mapping[str, Node]) -> None:
    """Raise :class:`GraphError` unless the axes of every parent are the outer axes of its children."""
    axes: dict[str, Axis] = {}
    for node in nodes:
        for axis in node.along:
            if axes.setdefault(axis.name, axis) != axis:
                raise GraphError(f"two axes are named {axis.name!r}: {axes[axis.name]} and {axis}")
        for name in node.parents:
            outer = by_name[name].along
            if isinstance(name, Previous) and outer != node.along:
                raise GraphError(f"node {node.name!r} has the previous {name!r} as a parent, which has other axes")
            if outer != node.along[: len(outer)]:
                raise GraphError(
                    f"node {node.name!r}, along {_names(node)}, has the parent {name!r}, along "
                    f"{_names(by_name[name])}: the axes of a parent must be the outer axes of its children. Crossed "
                    "plates are not supported: keep one of them, and write one node for every repeat of the other"
                )


def _names(node: Node) -> str:
    return f"({', '.join(axis.name for axis in node.along)})"


def steps(nodes: Sequence[Node]) -> list[list[Node]]:
    """Return groups of nodes in an order in which they can be drawn; nodes that follow each other form one group."""
    order = {node.name: i for i, node in enumerate(nodes)}
    graph = nx.DiGraph()
    graph.add_nodes_from(order)
    graph.add_edges_from((str(parent), node.name) for node in nodes for parent in node.parents)
    joined = nx.condensation(graph)
    members = {i: sorted(joined.nodes[i]["members"], key=order.__getitem__) for i in joined}
    sequence = nx.lexicographical_topological_sort(joined, key=lambda i: order[members[i][0]])
    return [[nodes[order[name]] for name in members[i]] for i in sequence]


def sample(
    nodes: Sequence[Node], n: int, sizes: Sizes, given: Mapping[str, Tensor], device: torch.device | None = None
) -> dict[str, Tensor]:
    """Draw the variables that are not given: one tensor (n, R_1, …, D) for each; NaN where a repeat has no value.

    Raises:
        SimulationError: a conditional returned NaN, a wrong shape, or values outside its support.
    """
    values, gaps = dict(given), dict[str, Tensor]()
    for group in steps(nodes):
        drawn = [node for node in group if node.name not in given]
        names = {node.name for node in drawn}
        if any(isinstance(parent, Previous) and parent in names for node in drawn for parent in node.parents):
            values |= _draw_in_turn(drawn, n, sizes, values, device)
        else:
            values |= {node.name: _draw_at_once(node, n, sizes, values).to(device) for node in drawn}
        for node in group:
            if node.ragged and isinstance(node.conditional, Design):  # conditionals of its children get some known row
                gaps[node.name] = values[node.name].isnan().any(-1, keepdim=True)
                values[node.name] = torch.where(gaps[node.name], node.conditional.filler.to(device), values[node.name])
    for node in nodes:
        if node.name in gaps or (node.name not in given and node.incomplete):
            gone = _gone(node, n, sizes, gaps).to(device)
            values[node.name] = values[node.name].masked_fill(gone, torch.nan)
    return {node.name: values[node.name] for node in nodes}


def _gone(node: Node, n: int, sizes: Sizes, gaps: Mapping[str, Tensor]) -> Tensor:
    """Return which repeats have no value, shape (n, R_1, …, 1): they do not exist, or are missing."""
    repeats = shape(node.along, sizes)
    gone = torch.zeros(n, *repeats, 1, dtype=torch.bool)
    for each in node.ragged:
        gone = gone | _expanded(gaps[each.name].cpu(), n, repeats)
    if not (node.leaves or node.missing[1]):
        return gone
    low, high = node.missing
    share = low + (high - low) * torch.rand(n, *repeats[:-1], 1)
    return gone | ~(exists(node, sizes) & (torch.rand(n, *repeats) >= share))[..., None]


def _draw_at_once(node: Node, n: int, sizes: Sizes, values: Mapping[str, Tensor]) -> Tensor:
    """Draw all repeats, which depend on none of the same variable."""
    repeats = shape(node.along, sizes)
    if isinstance(node.conditional, Design):
        return node.conditional(n, repeats)
    if node.first is None:
        return _draw(node, n, repeats, [_expanded(values[name], n, repeats) for name in node.parents])
    axis, outer = node.along[-1], repeats[:-1]
    before = axis.before(sizes[axis.name])
    parts = []
    for each, rows in ((node.start, before < 0), (node, before >= 0)):
        here = rows.nonzero()[:, 0]
        if len(here):
            parents = [_parent(name, here, before, values, n, outer) for name in each.parents]
            parts.append(_draw(each, n, (*outer, len(here)), parents))
    return torch.cat(parts, dim=-2)


def _draw_in_turn(
    group: Sequence[Node], n: int, sizes: Sizes, values: Mapping[str, Tensor], device: torch.device | None
) -> dict[str, Tensor]:
    """Draw nodes whose repeats follow one another: repeat by repeat along a chain, level by level over a tree."""
    axis, outer = group[0].along[-1], shape(group[0].along, sizes)[:-1]
    if any(node.along != group[0].along for node in group):
        raise GraphError(f"{', '.join(node.name for node in group)} follow one another, but along different axes")
    before = axis.before(sizes[axis.name])
    parts: dict[str, list[Tensor]] = {node.name: [] for node in group}
    for level in axis.levels(sizes[axis.name]):
        rows, above = torch.arange(level.start, level.stop), {name: part[-1] for name, part in parts.items() if part}
        first = int(before[level.start]) if level.start else 0
        for node in group:
            each = node if level.start else node.start
            parents = [
                above[name].index_select(-2, before[rows] - first)
                if isinstance(name, Previous) and name in above
                else parts[name][-1]
                if name in parts
                else _parent(name, rows, before, values, n, outer)
                for name in each.parents
            ]
            parts[node.name].append(_draw(each, n, (*outer, len(rows)), parents).to(device))
    return {name: torch.cat(part, dim=-2) for name, part in parts.items()}


def _parent(
    name: str, rows: Tensor, before: Tensor, values: Mapping[str, Tensor], n: int, outer: tuple[int, ...]
) -> Tensor:
    """Return the values of a parent of some repeats along the innermost axis, (n, R_1, …, rows, D_j)."""
    value, chosen = values[name], before[rows] if isinstance(name, Previous) else rows
    if value.ndim == len(outer) + 3:
        value = value.index_select(-2, chosen.to(value.device))
    return _expanded(value, n, (*outer, len(rows)))


def _expanded(value: Tensor, n: int, repeats: Sequence[int]) -> Tensor:
    """Repeat a value (n, R_1, …, D) of outer axes along the inner ones: (n, R_1, …, R_k, D)."""
    inner = len(repeats) - (value.ndim - 2)
    return value.reshape(*value.shape[:-1], *(1,) * inner, value.shape[-1]).expand(n, *repeats, value.shape[-1])


def _draw(node: Node, n: int, repeats: Sequence[int], parents: Sequence[Tensor]) -> Tensor:
    """Draw with parents (n, R_1, …, D_j); returns (n, R_1, …, D)."""
    drawn = node.sample(n * prod(repeats), tuple(parent.flatten(0, -2) for parent in parents))
    return drawn.reshape(n, *repeats, -1)


def flat_name(name: str, index: Sequence[int]) -> str:
    """Return the name of a repeat in a flat graph, such as ``y_1_2``: repeats are counted from 1."""
    return "_".join((name, *(str(i + 1) for i in index)))


def flat_names(node: Node, sizes: Sizes) -> list[str]:
    """Return the names of a node's repeats in a flat graph, the last axis running fastest.

    Example:
        >>> from ampbench.graph import Plate, simulator
        >>> flat_names(simulator("y", abs, along=[Plate("school", 2)]), {"school": 2})
        ['y_1', 'y_2']
    """
    return [flat_name(node.name, index) for index in np.ndindex(shape(node.along, sizes))]


@dataclass(frozen=True)
class Repeat:
    """One repeat of a variable.

    Attributes:
        index: its number along every axis, from 0.
        node: the node, or that of repeats that follow none.
        parents: by the names of the parents, the repeat of each.
    """

    index: tuple[int, ...]
    node: Node
    parents: tuple[tuple[str, tuple[int, ...]], ...]


def each_repeat(node: Node, sizes: Sizes, by_name: Mapping[str, Node]) -> Iterator[Repeat]:
    """Return the repeats of a node, in the order of :func:`flat_names`."""
    linked = bool(node.along) and node.along[-1].linked
    before = node.along[-1].before(sizes[node.along[-1].name]).tolist() if linked else []
    for index in np.ndindex(shape(node.along, sizes)):
        above = before[index[-1]] if linked else -1
        each = node if above >= 0 else node.start
        yield Repeat(
            index,
            each,
            tuple(
                (str(name), (*index[:-1], above) if isinstance(name, Previous) else index[: len(by_name[name].along)])
                for name in each.parents
            ),
        )


def ground(nodes: Sequence[Node], sizes: Sizes, present: Mapping[str, Tensor]) -> list[Node]:
    """Return nodes without axes, one for each repeat; covariates become constants of the conditionals.

    Arguments:
        nodes: of a graph with axes.
        sizes: of all axes.
        present: by the name of a variable, which repeats have it, booleans (R_1, …); all that exist by default.

    Raises:
        GraphError: a covariate has another number of rows than there are repeats.
    """
    by_name = {node.name: node for node in nodes}
    fixed = {node.name: _fixed(node, sizes) for node in nodes if isinstance(node.conditional, Design)}
    made = []
    for node in (node for group in steps(nodes) for node in group if node.name not in fixed):
        present_here = present.get(node.name, torch.tensor(True))
        there = (exists(node, sizes) & covered(node, sizes) & present_here).flatten().tolist()
        for repeat, exists_here in zip(each_repeat(node, sizes, by_name), there, strict=True):
            if exists_here:
                made.append(_ground_one(node, repeat, fixed))
    return made


def _ground_one(node: Node, repeat: Repeat, fixed: Mapping[str, Tensor]) -> Node:
    parents = tuple(flat_name(name, index) for name, index in repeat.parents if name not in fixed)
    constants = {i: fixed[name][index] for i, (name, index) in enumerate(repeat.parents) if name in fixed}
    conditional = repeat.node.conditional
    if constants and not isinstance(conditional, Distribution):
        conditional = WithConstants(conditional, constants)
    return Node(flat_name(node.name, repeat.index), node.kind, conditional, parents, node.support, node.size)


def _fixed(node: Node, sizes: Sizes) -> Tensor:
    """Return the rows of a covariate; raises :class:`GraphError` if their number is not that of the repeats."""
    assert isinstance(node.conditional, Design)
    rows, repeats = node.conditional.rows, shape(node.along, sizes)
    if rows.shape[:-1] != repeats:
        there, wanted = (" × ".join(map(str, counts)) for counts in (rows.shape[:-1], repeats))
        raise GraphError(f"covariate {node.name!r} has {there} rows, but there are {wanted} repeats")
    return rows


@dataclass(frozen=True, eq=False)
class WithConstants:
    """A conditional of the remaining parents, or of n; constants (D,) are arguments at their positions."""

    conditional: Callable[..., Any]
    constants: Mapping[int, Tensor]

    def __call__(self, *parents: Any) -> Any:
        """Call the conditional."""
        given = [parent for parent in parents if isinstance(parent, Tensor)]  # without any, the argument is n
        n, remaining = len(given[0]) if given else parents[0], iter(given)
        positions = range(len(self.constants) + len(given))
        return self.conditional(
            *(copied(self.constants[i].expand(n, -1)) if i in self.constants else next(remaining) for i in positions)
        )


def stack(values: Mapping[str, Tensor], nodes: Iterable[Node], sizes: Sizes) -> dict[str, Tensor]:
    """Return flat values (n, D_i) as tensors (n, R_1, …, D), with NaN for repeats without a value, and covariates."""
    n = len(next(iter(values.values())))
    stacked = {}
    for node in nodes:
        if isinstance(node.conditional, Design):
            stacked[node.name] = _fixed(node, sizes).expand(n, *_fixed(node, sizes).shape)
            continue
        parts = [values.get(name) for name in flat_names(node, sizes)]
        size = next(part.shape[1] for part in parts if part is not None)
        filled = [torch.full((n, size), torch.nan) if part is None else part for part in parts]
        stacked[node.name] = torch.stack(filled, dim=1).reshape(n, *shape(node.along, sizes), size)
    return stacked


def unstack(values: Mapping[str, Tensor], nodes: Iterable[Node], sizes: Sizes) -> dict[str, Tensor]:
    """Undo :func:`stack` for the given nodes: one tensor (n, D) for each existing repeat."""
    flat: dict[str, Tensor] = {}
    for node in nodes:
        there = (exists(node, sizes) & covered(node, sizes)).flatten().tolist()
        rows = values[node.name].flatten(1, -2).unbind(1) if node.along else [values[node.name]]
        named = zip(flat_names(node, sizes), rows, there, strict=True)
        flat |= {name: row for name, row, exists_here in named if exists_here}
    return flat
