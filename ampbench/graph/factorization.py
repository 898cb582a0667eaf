r"""Factorizations of graphical models, and their inverses, which start from the evidence.

Given observed variables O, inference runs along

.. math:: q(X_L \mid X_O) = \prod_i q(x_i \mid \tilde{\mathrm{pa}}(x_i)),

where :math:`\tilde{\mathrm{pa}}(x_i)` is the part of the Markov blanket that d-separates :math:`x_i` from everything
sampled before it. Two facts make local adversaries sufficient, and both are tested on random graphs:

* the inverse is an *I-map*: each independence that it asserts holds in the model, so that matching every local tuple
  :math:`\{x_i\} \cup \tilde{\mathrm{pa}}(x_i)` recovers the exact posterior;
* it is *minimal*: no edge can be removed without asserting a false independence.

Latents are eliminated from the moral graph in topological order, least fill-in first. Elimination alone gives an
I-map, but now and then a needless edge (0→6, 1→4, 1→6, 2→4 with 2 observed: 6 does not need 2), so every context is
pruned by d-separation afterwards.

References:
    Stuhlmüller, Taylor, Goodman 2013, *Learning stochastic inverses*.
    Webb et al. 2018, *Faithful inversion of generative models for effective amortized inference* (NaMI).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import combinations

import networkx as nx


@dataclass(frozen=True)
class Factor:
    """A conditional of a factorization: ``variable`` given ``context``."""

    variable: str
    context: tuple[str, ...] = ()

    @property
    def scope(self) -> frozenset[str]:
        """The variables of the local tuple {x_i} ∪ context."""
        return frozenset((self.variable, *self.context))

    def __str__(self) -> str:
        return f"({self.variable} | {', '.join(self.context)})" if self.context else f"({self.variable})"


def structure(parents: Mapping[str, Iterable[str]]) -> nx.DiGraph:
    """Return the directed graph with an edge from each parent to its child."""
    dag = nx.DiGraph()
    dag.add_nodes_from(parents)
    dag.add_edges_from((parent, child) for child, above in parents.items() for parent in above)
    return dag


def inverse(dag: nx.DiGraph, observed: Iterable[str]) -> tuple[Factor, ...]:
    """Return the factors q(x_i | pã(x_i)) of the latents, evidence first and prior last.

    Arguments:
        dag: the model's structure.
        observed: names of the variables whose values are the evidence.

    Returns:
        One factor per latent variable, in sampling order. A context holds only observed and earlier-sampled
        variables: the observed ones first, by name, then the others in sampling order.
    """
    evidence = frozenset(observed)
    known = sorted(evidence)
    factors = []
    for variable, blanket in reversed(_eliminate(dag, evidence)):
        context = _prune(dag, variable, [name for name in known if name in blanket])
        factors.append(Factor(variable, tuple(context)))
        known.append(variable)
    return tuple(factors)


def _eliminate(dag: nx.DiGraph, evidence: frozenset[str]) -> list[tuple[str, frozenset[str]]]:
    """Eliminate all latents in turn; return each with its neighbours when it is eliminated."""
    moral = nx.moral_graph(dag)
    waiting = set(dag) - evidence
    order = []
    while waiting:
        eligible = [name for name in waiting if waiting.isdisjoint(dag.predecessors(name))]
        chosen = min(eligible, key=lambda name: (_fill_in(moral, name), name))
        neighbours = frozenset(moral[chosen])
        moral.add_edges_from(combinations(sorted(neighbours), 2))
        moral.remove_node(chosen)
        waiting.remove(chosen)
        order.append((chosen, neighbours))
    return order


def _fill_in(moral: nx.Graph, name: str) -> int:
    """Return the number of edges that eliminating ``name`` would add."""
    return sum(not moral.has_edge(a, b) for a, b in combinations(moral[name], 2))


def _prune(dag: nx.DiGraph, variable: str, context: list[str]) -> list[str]:
    """Drop context variables, one at a time, that are d-separated from the variable given the other ones."""
    kept = list(context)
    for name in context:
        rest = set(kept) - {name}
        if nx.is_d_separator(dag, {variable}, {name}, rest):
            kept.remove(name)
    return kept
