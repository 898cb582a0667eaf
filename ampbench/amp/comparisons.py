"""Local comparisons of the two chains, and the samples that the chains have at the sites of the comparisons."""

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
    """A comparison of the top-down chain with a bottom-up chain at one site, by one divergence.

    Attributes:
        name: name for messages and tables.
        site: the tuple of variables.
        evidence: names of the variables from which the bottom-up chain starts.
        factors: the inverse factors of the site's variables.
        divergence: the local divergence.
        densities: the densities that are known at the site.
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
    """Return whether all families are fitted by their density alone, so that training needs no samples of them."""
    return all(comparison.divergence.likelihood for comparison in comparisons)


TuplesBySite = Mapping[LocalComparison, Tuples]
"""Samples of one chain at the sites of the comparisons."""


def top_down_view(values: Mapping[str, Tensor], comparisons: Iterable[LocalComparison]) -> TuplesBySite:
    """Return the tuples of top-down samples, (B, D_i) per variable, at every site."""
    return {comparison: view(values, comparison.site, comparison.densities) for comparison in comparisons}


def bottom_up_view(
    bottom_up: Chain, evidence: Iterable[Mapping[str, Tensor]], comparisons: Iterable[LocalComparison], particles: int
) -> TuplesBySite:
    """Sample the bottom-up chains, and return their tuples at every site; contexts are inferred from the evidence too.

    Arguments:
        bottom_up: the families.
        evidence: for each bottom-up chain the variables that it starts from, (B, D_i) each.
        comparisons: the sites.
        particles: L, samples per item of evidence.
    """
    drawn = {frozenset(given): bottom_up(given, particles) for given in evidence}
    return {
        comparison: view(drawn[comparison.evidence], comparison.site, comparison.densities)
        for comparison in comparisons
    }


def forced_view(
    bottom_up: Chain, values: Mapping[str, Tensor], comparisons: Iterable[LocalComparison], particles: int
) -> TuplesBySite:
    """Sample the families with teacher forcing, and return their tuples: every context is a top-down sample.

    Arguments:
        bottom_up: the families.
        values: top-down samples, (B, D_i) per variable.
        comparisons: the sites.
        particles: L, samples per top-down sample.

    References:
        Williams & Zipser 1989, *A learning algorithm for continually running fully recurrent neural networks*.
    """
    tuples = {}
    for comparison in comparisons:
        given = {name: values[name] for name in comparison.site.context}
        drawn = bottom_up.through(comparison.factors, given, particles)
        tuples[comparison] = view(drawn, comparison.site, comparison.densities)
    return tuples


def view(values: Mapping[str, Tensor], site: Site, densities: Densities = UNKNOWN) -> Tuples:
    """Return the tuples at a site, given samples of all variables."""
    return Tuples(join(values, site.variables), join(values, site.context), densities)
