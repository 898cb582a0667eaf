"""Local comparisons: at which site, between which chains, by which divergence."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from torch import Tensor

from ampbench.amp.chains import Chain
from ampbench.amp.sites import Site
from ampbench.graph import Factor, join
from ampbench.interfaces import Divergence, Tuples
from ampbench.interfaces.tuples import UNKNOWN, Laws


@dataclass(frozen=True, eq=False)
class Meeting:
    """Where the two chains meet: a site, the bottom-up chain that passes it, and what judges it there.

    Attributes:
        name: for people.
        site: the tuple.
        evidence: what the bottom-up chain starts from.
        factors: the inverse factors whose variables are judged here.
        divergence: the local divergence.
        laws: the densities that are known here.
    """

    name: str
    site: Site
    evidence: frozenset[str]
    factors: tuple[Factor, ...]
    divergence: Divergence
    laws: Laws

    def __str__(self) -> str:
        return self.name


def by_likelihood(meetings: Iterable[Meeting]) -> bool:
    """Whether all families are fitted by their density alone, so that nothing need be drawn from them."""
    return all(meeting.divergence.likelihood for meeting in meetings)


Shown = Mapping[Meeting, Tuples]
"""What a chain shows where it meets the other one."""


def top_down_view(values: Mapping[str, Tensor], meetings: Iterable[Meeting]) -> Shown:
    """What top-down samples (B, D_i) show at every meeting."""
    return {meeting: view(values, meeting.site, meeting.laws) for meeting in meetings}


def bottom_up_view(
    bottom_up: Chain, evidence: Iterable[Mapping[str, Tensor]], meetings: Iterable[Meeting], particles: int
) -> Shown:
    """What the bottom-up chains show: each meeting sees contexts that were themselves inferred from the evidence."""
    drawn = {frozenset(given): bottom_up(given, particles) for given in evidence}
    return {meeting: view(drawn[meeting.evidence], meeting.site, meeting.laws) for meeting in meetings}


def forced_view(bottom_up: Chain, values: Mapping[str, Tensor], meetings: Iterable[Meeting], particles: int) -> Shown:
    """What the families show with teacher forcing: each meeting's context is the top-down chain's own, (B, D_i).

    References:
        Williams & Zipser 1989, *A learning algorithm for continually running fully recurrent neural networks*.
    """
    shown = {}
    for meeting in meetings:
        given = {name: values[name] for name in meeting.site.context}
        drawn = bottom_up.through(meeting.factors, given, particles)
        shown[meeting] = view(drawn, meeting.site, meeting.laws)
    return shown


def view(values: Mapping[str, Tensor], site: Site, laws: Laws = UNKNOWN) -> Tuples:
    """Return what a chain with these values shows at a site."""
    return Tuples(join(values, site.variables), join(values, site.context), laws)
