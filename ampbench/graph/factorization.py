r"""Factorizations of graphical models, and their inverses, which start from the evidence.

Given observed variables O, inference runs along

.. math:: q(X_L \mid X_O) = \prod_i q(x_i \mid \tilde{\mathrm{pa}}(x_i)),

where :math:`\tilde{\mathrm{pa}}(x_i)` is the part of the Markov blanket that d-separates :math:`x_i` from everything
sampled before it. Two facts make local adversaries sufficient, and both are tested on random graphs:

* the inverse is an *I-map*: each independence that it asserts holds in the model, so that matching every local tuple
  :math:`\{x_i\} \cup \tilde{\mathrm{pa}}(x_i)` recovers the exact posterior;
* it is *minimal*: no edge can be removed without asserting a false independence.

**Elimination.** A latent is *barren* if no descendant of it is observed. Barren latents are sampled last, from the
model's own conditionals. All other variables are ancestors of the evidence, so that d-separation is separation in the
moral graph. The latents are eliminated from the moral graph one at a time, the last sampled first; evidence is never
eliminated. With :math:`S_v` the remaining neighbours of v when it is eliminated (its *separator*), :math:`c` a child of
v in the elimination tree if v is the first of :math:`S_c` to be eliminated, and :math:`O_v` the evidence adjacent to v,

.. math:: \tilde{\mathrm{pa}}(v) = S_v \cup E_v, \qquad E_v = O_v \cup \bigcup_{c} E_c.

By the path lemma of Rose, Tarjan and Lueker, :math:`S_v` and :math:`E_v` are the variables that a path through latents
eliminated before v connects with v. This is the Markov boundary of v, which is unique; no further pruning is needed.

**Order.** A latent with the fewest remaining neighbours is eliminated next. Ties are resolved in favour of latents that
no evidence reaches yet, then of the latest in topological order: roots are sampled first. A chain that ends in its
observation is so sampled from there to the root; in trees and plates a context has the parents, and no siblings.

The time is :math:`O(n + m + \sum_v |S_v|^2)`, up to logarithms. Contexts may have :math:`O(n^2)` entries in all; they
are computed when they are read.

References:
    Stuhlmüller, Taylor, Goodman 2013, *Learning stochastic inverses*.
    Webb et al. 2018, *Faithful inversion of generative models for effective amortized inference* (NaMI).
    Rose, Tarjan, Lueker 1976, *Algorithmic aspects of vertex elimination on graphs*, doi:10.1137/0205021.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from heapq import heapify, heappop, heappush
from itertools import combinations
from typing import overload

import networkx as nx

from ampbench.errors import GraphError


@dataclass(frozen=True)
class Factor:
    """A conditional of a factorization: ``variable`` given ``context``.

    Attributes:
        variable: the variable.
        context: the variables that it is given, of an inverse factor as a :class:`Context`.
        barren: whether no descendant of the variable is observed, so that the factor is the model's own conditional.
    """

    variable: str
    context: Sequence[str] = ()
    barren: bool = False

    @property
    def scope(self) -> frozenset[str]:
        """The variables of the local tuple {x_i} ∪ context."""
        return frozenset((self.variable, *self.context))

    def __str__(self) -> str:
        return f"({self.variable} | {', '.join(self.context)})" if self.context else f"({self.variable})"


class Context(Sequence[str]):
    """The context of an inverse factor: its evidence by name, then latents in sampling order.

    It equals the tuple of its names. The names are computed when they are read; the length is known.

    Attributes:
        separator: S, the latents of the context, in sampling order.
        own: the observed variables adjacent to the variable, by name.
        messages: the contexts of the children in the elimination tree, whose evidence belongs to this context too.
    """

    def __init__(
        self, separator: tuple[str, ...], own: tuple[str, ...], messages: tuple[Context, ...], size: int
    ) -> None:
        self.separator = separator
        self.own = own
        self.messages = messages
        self._size = size

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The names of all variables."""
        evidence, waiting = set[str](), [self]
        while waiting:
            context = waiting.pop()
            evidence.update(context.own)
            waiting.extend(context.messages)
        return (*sorted(evidence), *self.separator)

    def __len__(self) -> int:
        return self._size

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[str, ...]: ...
    def __getitem__(self, index: int | slice) -> str | tuple[str, ...]:
        return self.names[index]

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, tuple | Context):
            return self is other or (len(self) == len(other) and self.names == tuple(other))
        return NotImplemented

    def __hash__(self) -> int:
        return hash(self.names)

    def __repr__(self) -> str:
        return repr(self.names)

    def __deepcopy__(self, memo: object) -> Context:
        """Return the context itself: it is immutable, and contexts of a long chain are nested as deep as the chain."""
        return self

    def __reduce__(self) -> tuple[type[Context], tuple[object, ...]]:
        evidence = self.names[: len(self) - len(self.separator)]
        return Context, (self.separator, evidence, (), len(self))  # without nesting, which pickle could not follow


def structure(parents: Mapping[str, Iterable[str]]) -> nx.DiGraph:
    """Return the directed graph with an edge from each parent to its child."""
    dag = nx.DiGraph()
    dag.add_nodes_from(parents)
    dag.add_edges_from((parent, child) for child, above in parents.items() for parent in above)
    return dag


def inverse(dag: nx.DiGraph, observed: Iterable[str], order: Sequence[str] | None = None) -> tuple[Factor, ...]:
    """Return the factors q(x_i | pã(x_i)) of the latents, in sampling order.

    Arguments:
        dag: the model's structure.
        observed: names of the variables whose values are the evidence.
        order: all latents, in the order in which they are to be sampled; barren ones come last all the same. By
            default roots come first; see the module's documentation.

    Returns:
        One factor per latent variable. A context holds only observed and earlier-sampled variables: the observed ones
        first, by name, then the others in sampling order.

    Raises:
        GraphError: the order does not name every latent once.
    """
    evidence = frozenset(observed)
    topological = list(nx.topological_sort(dag))
    if order is not None and sorted(order) != sorted(set(topological) - evidence):
        raise GraphError(f"the order {', '.join(order)} does not name every latent variable once")
    alive = _alive(dag, topological, evidence)
    moral = _MoralGraph(dag, [name for name in topological if name in alive], evidence)
    factors = list(reversed(moral.eliminate(order)))
    barren = [name for name in topological if name not in alive]
    return (*factors, *(Factor(name, tuple(dag.predecessors(name)), barren=True) for name in barren))


def _alive(dag: nx.DiGraph, topological: Sequence[str], evidence: frozenset[str]) -> set[str]:
    """Return the evidence and its ancestors."""
    alive = set(evidence)
    for name in reversed(topological):
        if name in alive:
            alive.update(dag.predecessors(name))
    return alive


class _MoralGraph:
    """The moral graph over latents, from which they are eliminated; evidence is kept as labels of its neighbours.

    Arguments:
        dag: the model's structure.
        names: evidence and its ancestors, in topological order.
        evidence: the observed variables.
    """

    def __init__(self, dag: nx.DiGraph, names: Sequence[str], evidence: frozenset[str]) -> None:
        self.place = {name: i for i, name in enumerate(names)}
        self.latents = [name for name in names if name not in evidence]
        self.neighbours: dict[str, set[str]] = {name: set() for name in self.latents}
        self.own: dict[str, set[str]] = {name: set() for name in self.latents}
        for child in names:
            for a, b in combinations((child, *dag.predecessors(child)), 2):
                self._connect(a, b)

    def _connect(self, a: str, b: str) -> None:
        for one, other in ((a, b), (b, a)):
            if one in self.own:
                (self.neighbours if other in self.own else self.own)[one].add(other)

    def eliminate(self, order: Sequence[str] | None) -> list[Factor]:
        """Eliminate all latents; return their factors, the last sampled first."""
        eliminated: dict[str, int] = {}
        separators: dict[str, set[str]] = {}
        for name in self._removed(order):
            eliminated[name] = len(eliminated)
            separators[name] = self.neighbours[name]
        below: dict[str, list[str]] = {name: [] for name in eliminated}
        reached: dict[str, set[str]] = {}
        contexts: dict[str, Context] = {}
        for name, separator in separators.items():
            own = tuple(sorted(self.own[name]))
            evidence = _union([self.own[name], *(reached.pop(child) for child in below[name])])
            messages = tuple(contexts[child] for child in below[name])
            earlier = tuple(sorted(separator, key=eliminated.__getitem__, reverse=True))  # in sampling order
            size = len(evidence) + len(earlier)
            contexts[name] = Context(earlier, own, messages, size)
            reached[name] = evidence
            if earlier:
                below[earlier[-1]].append(name)
        return [Factor(name, contexts[name]) for name in eliminated]

    def _removed(self, order: Sequence[str] | None) -> Iterator[str]:
        """Yield the latents in the order of their elimination; the neighbours of a yielded one do not change."""
        if order is not None:
            for name in reversed(order):
                if name in self.neighbours:
                    yield self._remove(name)
            return
        reached = {name for name in self.latents if self.own[name]}
        waiting = [(self._key(name, reached), name) for name in self.latents]
        heapify(waiting)
        removed = set[str]()
        while waiting:
            key, name = heappop(waiting)
            if name in removed or key != self._key(name, reached):
                continue  # an entry that is out of date; a newer one exists
            yield self._remove(name)
            removed.add(name)
            if name in reached and (separator := self.neighbours[name]):
                reached |= separator
            for other in self.neighbours[name]:
                heappush(waiting, (self._key(other, reached), other))

    def _key(self, name: str, reached: set[str]) -> tuple[int, bool, int]:
        return len(self.neighbours[name]), name in reached, -self.place[name]

    def _remove(self, name: str) -> str:
        """Remove a latent from the sets of its neighbours, and connect these with one another."""
        separator = self.neighbours[name]
        for other in separator:
            self.neighbours[other].discard(name)
        for a, b in combinations(separator, 2):
            self.neighbours[a].add(b)
            self.neighbours[b].add(a)
        return name


def _union(parts: Sequence[set[str]]) -> set[str]:
    """Return the union; the largest part becomes the result, so that a sequence of unions takes n log n steps."""
    largest = max(parts, key=len)
    for part in parts:
        if part is not largest:
            largest |= part
    return largest
