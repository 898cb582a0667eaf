"""Local comparisons: at which site, between which chains, by which divergence."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from torch import Tensor

from ampbench.amp.chains import Chain
from ampbench.amp.sites import Site
from ampbench.graph import Factor, join
from ampbench.interfaces import Divergence, Tuples
from ampbench.interfaces.tuples import UNKNOWN, Densities


@dataclass(frozen=True, eq=False)
class LocalComparison:
    """Where the two chains meet: a site, the bottom-up chain that passes it, and what judges it there.

    Attributes:
        name: for people.
        site: the tuple.
        evidence: what the bottom-up chain starts from.
        factors: the inverse factors whose variables are judged here.
        divergence: the local divergence.
        densities: the densities that are known here.
    """

    name: str
    site: Site
    evidence: frozenset[str]
    factors: tuple[Factor, ...]
    divergence: Divergence
    densities: Densities

    def __str__(self) -> str:
        return self.name


def by_likelihood(comparisons: Iterable[LocalComparison]) -> bool:
    """Whether all families are fitted by their density alone, so that nothing need be drawn from them."""
    return all(comparison.divergence.likelihood for comparison in comparisons)


TuplesBySite = Mapping[LocalComparison, Tuples]
"""What a chain shows where it meets the other one."""


def top_down_view(values: Mapping[str, Tensor], comparisons: Iterable[LocalComparison]) -> TuplesBySite:
    """What top-down samples (B, D_i) show at every comparison."""
    return {comparison: view(values, comparison.site, comparison.densities) for comparison in comparisons}


def bottom_up_view(
    bottom_up: Chain, evidence: Iterable[Mapping[str, Tensor]], comparisons: Iterable[LocalComparison], particles: int
) -> TuplesBySite:
    """What the bottom-up chains show: each comparison sees contexts that were themselves inferred from the evidence."""
    drawn = {frozenset(given): bottom_up(given, particles) for given in evidence}
    return {
        comparison: view(drawn[comparison.evidence], comparison.site, comparison.densities)
        for comparison in comparisons
    }


def forced_view(
    bottom_up: Chain, values: Mapping[str, Tensor], comparisons: Iterable[LocalComparison], particles: int
) -> TuplesBySite:
    """What the families show with teacher forcing: each comparison's context is the top-down chain's own, (B, D_i).

    References:
        Williams & Zipser 1989, *A learning algorithm for continually running fully recurrent neural networks*.
    """
    shown = {}
    for comparison in comparisons:
        given = {name: values[name] for name in comparison.site.context}
        drawn = bottom_up.through(comparison.factors, given, particles)
        shown[comparison] = view(drawn, comparison.site, comparison.densities)
    return shown


def view(values: Mapping[str, Tensor], site: Site, densities: Densities = UNKNOWN) -> Tuples:
    """Return what a chain with these values shows at a site."""
    return Tuples(join(values, site.variables), join(values, site.context), densities)
