"""Local comparisons of the two chains, and the samples that the chains have at the sites of the comparisons."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from torch import Tensor, nn

from ampbench.amp.chains import BottomUp, Chain
from ampbench.amp.sites import Site
from ampbench.graph import join
from ampbench.interfaces import Divergence, Tuples
from ampbench.interfaces.tuples import UNKNOWN, Densities

Families = TypeVar("Families", bound=nn.Module, covariant=True)
"""The families of a chain."""


class Reading(nn.Module):
    """A network through which adversaries read the context of a site, such as a set of trials.

    Attributes:
        features: the number of its outputs.
    """

    def __init__(self, network: nn.Module, features: int) -> None:
        super().__init__()
        self.network = network
        self.features = features

    def forward(self, context: Tensor) -> Tensor:
        """Map (*, C) to (*, features)."""
        return self.network(context)


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
        reading: the network through which the adversary reads the context; None: it reads it as it is.
        refiner_reading: the network through which a refiner reads the context, if the divergence trains no adversary.
    """

    name: str
    site: Site
    evidence: frozenset[str]
    factors: tuple[Any, ...]
    divergence: Divergence
    densities: Densities = UNKNOWN
    reading: Reading | None = None
    refiner_reading: Reading | None = None

    def __str__(self) -> str:
        return self.name


def by_likelihood(comparisons: Iterable[LocalComparison]) -> bool:
    """Return whether all families are fitted by their density alone, so that training needs no samples of them."""
    return all(comparison.divergence.likelihood for comparison in comparisons)


TuplesBySite = Mapping[LocalComparison, Tuples]
"""Samples of one chain at the sites of the comparisons."""


def detached(tuples: TuplesBySite) -> TuplesBySite:
    """Return tuples without gradients."""
    return {comparison: each.detach() for comparison, each in tuples.items()}


class Views(Protocol[Families]):
    """The tuples of both chains at all sites, as the training takes them.

    Attributes:
        bottom_up: the families.
        comparisons: the local comparisons, one per site.
    """

    @property
    def bottom_up(self) -> Families:
        """The families, φ."""

    @property
    def comparisons(self) -> Sequence[LocalComparison]:
        """One local comparison of the chains per site."""

    def build_adversaries(self) -> tuple[list[nn.Module], nn.Module]:
        """Build ξ, on the device of the families: one adversary per site, and their reader.

        The reader is the adversaries' network for evidence that does not fit into tuples. It maps the tuples of p and
        q, (TuplesBySite, TuplesBySite), to tuples whose contexts have its features too.
        """

    def top_down(self, drawn: Any) -> TuplesBySite:
        """Return the tuples of top-down samples."""

    def forced(self, drawn: Any, particles: int) -> TuplesBySite:
        """Sample the families with teacher forcing: every context is a top-down sample."""

    def inferred(self, evidence: Any, particles: int) -> TuplesBySite:
        """Sample the bottom-up chains; contexts are inferred from the evidence too."""


class AsTheyAre(nn.Module):
    """The reader of flat graphs: tuples have all their evidence.

    Arguments:
        readings: the networks that tuples have themselves; they are trained with the adversaries.
    """

    def __init__(self, readings: Iterable[nn.Module] = ()) -> None:
        super().__init__()
        self.readings = nn.ModuleList(readings)

    def forward(self, p: TuplesBySite, q: TuplesBySite) -> tuple[TuplesBySite, TuplesBySite]:
        """Return the tuples."""
        return p, q


@dataclass(frozen=True, eq=False)
class FlatViews:
    """The tuples of both chains on a graph without repeated variables; see :class:`Views`.

    Attributes:
        bottom_up: the families.
        comparisons: the local comparisons.
    """

    bottom_up: BottomUp
    comparisons: Sequence[LocalComparison]

    def build_adversaries(self) -> tuple[list[nn.Module], nn.Module]:
        """Build ξ: one adversary per site, on the device of the families; tuples have all their evidence."""
        with self.bottom_up.device:
            adversaries = [at.divergence.adversary(features(self.bottom_up, at)) for at in self.comparisons]
        return adversaries, AsTheyAre(at.reading for at in self.comparisons if at.reading)

    def top_down(self, drawn: Mapping[str, Tensor]) -> TuplesBySite:
        """Return the tuples of top-down samples, (B, D_i) per variable."""
        return top_down_view(drawn, self.comparisons)

    def forced(self, drawn: Mapping[str, Tensor], particles: int) -> TuplesBySite:
        """Sample the families with teacher forcing; see :func:`forced_view`."""
        return forced_view(self.bottom_up, drawn, self.comparisons, particles)

    def inferred(self, evidence: Sequence[Mapping[str, Tensor]], particles: int) -> TuplesBySite:
        """Sample the bottom-up chains; see :func:`bottom_up_view`."""
        return bottom_up_view(self.bottom_up, evidence, self.comparisons, particles)


def features(bottom_up: BottomUp, comparison: LocalComparison) -> int:
    """Return the number of components of the tuples of a comparison, as its adversary reads them."""
    if comparison.reading is None:
        return bottom_up.features(comparison.site)
    return sum(bottom_up.sizes[name] for name in comparison.site.variables) + comparison.reading.features


def top_down_view(values: Mapping[str, Tensor], comparisons: Iterable[LocalComparison]) -> TuplesBySite:
    """Return the tuples of top-down samples, (B, D_i) per variable, at every site."""
    return {comparison: view(values, comparison) for comparison in comparisons}


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
    return {comparison: view(drawn[comparison.evidence], comparison) for comparison in comparisons}


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
        tuples[comparison] = view(drawn, comparison)
    return tuples


def view(values: Mapping[str, Tensor], comparison: LocalComparison) -> Tuples:
    """Return the tuples of a comparison, given samples of all variables."""
    variable, context = (join(values, names) for names in (comparison.site.variables, comparison.site.context))
    return Tuples(variable, context, comparison.densities, reading=comparison.reading)
