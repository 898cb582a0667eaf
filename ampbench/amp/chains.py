r"""The bottom-up chain: from evidence through the inverse factors to the latents.

.. math:: q(X_L \mid X_O) = \prod_i q(x_i \mid \tilde{\mathrm{pa}}(x_i))
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from ampbench.errors import UsageError
from ampbench.graph import Factor, join
from ampbench.interfaces import Divergence, Family, HasDensity, Tuples
from ampbench.interfaces.tuples import UNKNOWN, Laws, Site


class Chain(Protocol):
    """What infers latents: :class:`BottomUp`, or a part of its draws."""

    def __call__(self, evidence: Mapping[str, Tensor], particles: int) -> dict[str, Tensor]:
        """Infer all latents from evidence, (B, D_i) per variable: (particles, B, D_i) per variable."""

    def through(self, factors: Iterable[Factor], given: Mapping[str, Tensor], particles: int) -> dict[str, Tensor]:
        """Draw the variables of some factors in turn, from given values."""


class BottomUp(nn.Module):
    """One family per inverse factor, sampled in order; equal factors of several chains are one conditional.

    Arguments:
        chains: by the evidence that they start from, inverse factorizations in sampling order.
        sizes: number of coordinates of each variable.
        families: by variable, what builds the conditionals of its factors.
    """

    def __init__(
        self,
        chains: Mapping[frozenset[str], Sequence[Factor]],
        sizes: Mapping[str, int],
        families: Mapping[str, Family],
    ) -> None:
        super().__init__()
        self.sizes = dict(sizes)
        self.chains = {evidence: tuple(factors) for evidence, factors in chains.items()}
        self.factors = tuple(dict.fromkeys(factor for factors in self.chains.values() for factor in factors))
        self.contexts = {factor: sum(sizes[name] for name in factor.context) for factor in self.factors}
        self.conditionals = nn.ModuleList(
            families[factor.variable](sizes[factor.variable], self.contexts[factor]) for factor in self.factors
        )
        self.register_buffer("_anchor", torch.empty(0), persistent=False)

    @property
    def device(self) -> torch.device:
        """Where the parameters are."""
        anchor: Tensor = self._anchor  # type: ignore[assignment]
        return anchor.device

    def forward(self, evidence: Mapping[str, Tensor], particles: int) -> dict[str, Tensor]:
        """Infer all latents from evidence.

        Arguments:
            evidence: one tensor (B, D_i) per variable that a chain starts from.
            particles: L, how many samples to draw for each item of evidence.

        Returns:
            The evidence and the inferred latents, each of shape (L, B, D_i).
        """
        return self.through(self.chains[frozenset(evidence)], evidence, particles)

    def through(self, factors: Iterable[Factor], given: Mapping[str, Tensor], particles: int) -> dict[str, Tensor]:
        """Draw the variables of some factors in turn, from given values (B, D_i); see :meth:`forward`."""
        values = {name: value.expand(particles, *value.shape) for name, value in given.items()}
        for factor in factors:
            if given.keys() >= set(factor.context):  # not copied for each particle, which a family may make use of
                context = join(given, factor.context)
                context = context.expand(particles, *context.shape)
            else:
                context = join(values, factor.context)
            values[factor.variable] = self.conditional(factor)(context)
        return values

    def features(self, site: Site) -> int:
        """Number of coordinates of the tuples at a site."""
        return sum(self.sizes[name] for name in (*site.variables, *site.context))

    def conditional(self, factor: Factor) -> nn.Module:
        """The family of a factor."""
        return self.conditionals[self.factors.index(factor)]

    def log_prob(self, values: Mapping[str, Tensor], factors: Iterable[Factor]) -> Tensor:
        """Return the sum of log q(x_i | pã(x_i)) over some factors, shape (*,), for values (*, D_i).

        Raises:
            UsageError: the family of one of them has no density.
        """
        total = torch.zeros((), device=self.device)
        for factor in factors:
            conditional = self.conditional(factor)
            if not isinstance(conditional, HasDensity):
                raise UsageError(
                    f"the family of {factor} has no density, but its divergence needs one; "
                    "take a family with a density, such as gaussian, mixture or flow"
                )
            total = total + conditional.log_prob(values[factor.variable], join(values, factor.context))
        return total


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


class SiteLaws(Laws):
    """The densities of a site: of its families, and of the model where it has one.

    Arguments:
        bottom_up: the families.
        factors: those that are judged at the site.
        site: whose tuples are looked at.
        log_likelihood: from values of the site's variables to log p(context | variables), or to the error that says why
            there is none.
        log_prior: from the same values to the log-density of the learned ones among the variables.
    """

    def __init__(
        self,
        bottom_up: BottomUp,
        factors: Sequence[Factor],
        site: Site,
        log_likelihood: Callable[[Mapping[str, Tensor]], Tensor],
        log_prior: Callable[[Mapping[str, Tensor]], Tensor],
    ) -> None:
        self.bottom_up = bottom_up
        self.factors = factors
        self.site = site
        self.log_likelihood = log_likelihood
        self.log_prior = log_prior

    def family(self, tuples: Tuples) -> Tensor:
        """Return log q(variable | context), shape (*,)."""
        return self.bottom_up.log_prob(self._values(tuples), self.factors)

    def likelihood(self, tuples: Tuples) -> Tensor:
        """Return log p(context | variable), shape (*,)."""
        return self.log_likelihood(self._values(tuples))

    def prior(self, tuples: Tuples) -> Tensor:
        """Return the log-density of the learned variables, shape (*,)."""
        return self.log_prior(self._values(tuples))

    def _values(self, tuples: Tuples) -> dict[str, Tensor]:
        names = (*self.site.variables, *self.site.context)
        return dict(zip(names, tuples.joint.split([self.bottom_up.sizes[name] for name in names], dim=-1), strict=True))


def view(values: Mapping[str, Tensor], site: Site, laws: Laws = UNKNOWN) -> Tuples:
    """Return what a chain with these values shows at a site."""
    return Tuples(join(values, site.variables), join(values, site.context), laws)
