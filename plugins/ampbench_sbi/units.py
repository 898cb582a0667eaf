r"""Units in which sbi sees variables that single precision would spoil.

sbi standardises in single precision, in which x = 1.2·10⁹ + 0.1 θ is constant. Variables that stay in double precision
(:mod:`ampbench.graph.precision`) are therefore given to sbi as

.. math:: v' = (v - \mu) / \sigma, \qquad \log q(v) = \log q(v') - \sum_d \log \sigma_d

with μ, σ the mean and standard deviation of the simulations. All other variables are given to sbi as they are, except
observations with gaps, or for an embedding network: they are given in network coordinates, with the mask of the gaps
(:class:`ampbench.graph.coded.CodedEvidence`), and sbi standardises nothing further.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, final

import torch
from torch import Tensor
from torch.distributions import Distribution, constraints

from ampbench.amp.stored_coordinates import from_parts, parts_of
from ampbench.errors import UsageError
from ampbench.graph import Graph
from ampbench.graph.coded import CodedEvidence
from ampbench.graph.coordinates import elementwise
from ampbench.graph.precision import warn_if_rounded
from ampbench.graph.prior import LatentPrior
from ampbench.interfaces import check_observation
from ampbench.interfaces import state as states
from ampbench.seeding import seeded

PROBES = 100
"""Draws of the prior from which its units are found; they cost no simulations."""


class Encoding(Protocol):
    """How sbi sees observations: :class:`Units`, or :class:`Coded`."""

    def encode(self, values: Tensor) -> Tensor:
        """Return observations (*, L) as sbi sees them, (*, L′)."""

    def checked(self, observation: Tensor, features: int) -> Tensor:
        """Return an observation of shape (features,); raises :class:`UsageError` if it cannot be read."""

    def state(self) -> dict[str, Tensor]:
        """Return what defines the encoding, by name."""


@dataclass(frozen=True, eq=False)
class Units:
    """Location and scale of values, (D,) each, in double precision; None for values that stay as they are."""

    location: Tensor | None = None
    scale: Tensor | None = None

    @classmethod
    def of(cls, values: Tensor) -> Units:
        """Return the units of values (n, D): their own if they are in double precision."""
        if values.dtype != torch.float64 or torch.get_default_dtype() == torch.float64:
            return cls()
        size = values.abs().amax(0)
        size = torch.where(size > 0, size, torch.ones_like(size))
        mean, spread = (values / size).mean(0), (values / size).std(0)
        return cls(mean * size, torch.where(spread > 0, spread, torch.ones_like(spread)) * size)

    def encode(self, values: Tensor) -> Tensor:
        """Return values (*, D) in these units, in default precision."""
        if self.location is None or self.scale is None:
            return values.to(torch.get_default_dtype())
        return ((values.double() - self.location.to(values.device)) / self.scale.to(values.device)).to(
            torch.get_default_dtype()
        )

    def decode(self, values: Tensor) -> Tensor:
        """Undo :meth:`encode`, in double precision unless values stay as they are."""
        if self.location is None or self.scale is None:
            return values
        return values.double() * self.scale.to(values.device) + self.location.to(values.device)

    def checked(self, observation: Tensor, features: int) -> Tensor:
        """Return an observation of shape (features,).

        Raises:
            UsageError: the observation has another shape, NaN or infinite values.
        """
        observation = check_observation(observation, features)
        warn_if_rounded("the observation", observation, self.differ)
        return observation

    @property
    def differ(self) -> bool:
        """Whether values do not stay as they are."""
        return self.location is not None

    @property
    def log_scale(self) -> float:
        """The sum of the logarithms of the scales: log p(v′) − log p(v)."""
        return 0.0 if self.scale is None else float(self.scale.log().sum())

    def state(self) -> dict[str, Tensor]:
        """Return location and scale by name; nothing for values that stay as they are."""
        if self.location is None or self.scale is None:
            return {}
        return {"location": self.location, "scale": self.scale}

    @classmethod
    def from_state(cls, state: Mapping[str, Tensor]) -> Units:
        """Undo :meth:`state`."""
        return cls(state.get("location"), state.get("scale"))


@dataclass(frozen=True, eq=False)
class Coded:
    """Observations in network coordinates, with the masks of those that have gaps."""

    evidence: CodedEvidence

    def encode(self, values: Tensor) -> Tensor:
        """Return observations (*, L) in network coordinates, (*, L′)."""
        return self.evidence.encode(values)

    def checked(self, observation: Tensor, features: int) -> Tensor:
        """Return an observation of shape (features,), NaN at gaps.

        Raises:
            UsageError: another shape, infinite values, NaN in a variable without gaps, or a variable without a value.
        """
        observation = check_observation(observation, features, gaps=True)
        self.evidence.check(observation)
        return observation

    def state(self) -> dict[str, Tensor]:
        """Return the coordinates by name."""
        return states.joined(parts_of(self.evidence.coordinates))

    @classmethod
    def from_state(cls, state: Mapping[str, Tensor], graph: Graph, observed: tuple[str, ...]) -> Coded:
        """Undo :meth:`state`; raises :class:`UsageError` for the state of another model."""
        found = from_parts(states.parts(state), graph, observed)
        return cls(CodedEvidence({name: found[name] for name in observed}))


@final
class PriorInUnits(Distribution):
    """A prior of theta in its units, as sbi sees it."""

    arg_constraints: dict[str, constraints.Constraint] = {}  # noqa: RUF012 — torch's convention
    has_rsample = False

    def __init__(self, prior: LatentPrior, units: Units) -> None:
        self.prior = prior
        self.units = units
        self.fault = prior.fault
        super().__init__(event_shape=prior.event_shape, validate_args=False)

    @property
    def support(self) -> constraints.Constraint:
        """The support of theta in its units."""
        parts = [elementwise(self.prior.graph[name].support) for name in self.prior.latents]
        found, start = [], 0
        for part, size in zip(parts, self.prior.sizes.values(), strict=True):
            found.append(_moved(part, self.units, slice(start, start + size)))
            start += size
        if all(part is constraints.real for part in found):
            return constraints.real_vector
        whole = found[0] if len(found) == 1 else constraints.cat(found, -1, list(self.prior.sizes.values()))
        return constraints.independent(whole, 1)

    def sample(self, sample_shape: torch.Size | list[int] | tuple[int, ...] = ()) -> Tensor:
        """Draw theta in its units, shape (*sample_shape, D)."""
        return self.units.encode(self.prior.sample(sample_shape))

    def log_prob(self, value: Tensor) -> Tensor:
        """Return the log density, shape (*,), at theta (*, D) in its units."""
        found = self.prior.log_prob(self.units.decode(value)) + self.units.log_scale
        return found.to(torch.get_default_dtype())

    def split(self, theta: Tensor) -> dict[str, Tensor]:
        """Cut theta (*, D), in its units, into the latents in their own ones."""
        return self.prior.split(self.units.decode(theta))

    def __deepcopy__(self, memo: object) -> PriorInUnits:
        """Return the prior itself: it is immutable, and sbi copies it for every minibatch."""
        return self


def in_units(prior: LatentPrior, theta: Tensor) -> LatentPrior | PriorInUnits:
    """Return the prior in the units of draws (n, D) of it; the prior itself if they stay as they are."""
    units = Units.of(theta)
    return PriorInUnits(prior, units) if units.differ else prior


def probed(prior: LatentPrior) -> LatentPrior | PriorInUnits:
    """Return the prior in its units, found by draws that leave all streams of random numbers alone."""
    conditionals = [prior.graph[name].conditional for name in prior.latents]
    with seeded(0):
        if all(isinstance(each, Distribution) and each.sample().dtype == torch.float32 for each in conditionals):
            return prior
        return in_units(prior, prior.sample((PROBES,)))


def units_of(prior: LatentPrior | PriorInUnits) -> Units:
    """Return the units in which a prior draws."""
    return prior.units if isinstance(prior, PriorInUnits) else Units()


def _moved(support: constraints.Constraint, units: Units, part: slice) -> constraints.Constraint:
    """Return the support of single components in units."""
    assert units.location is not None
    assert units.scale is not None
    location, scale = units.location[part], units.scale[part]

    def moved(bound: Tensor | float) -> Tensor:
        return ((torch.as_tensor(bound).double() - location) / scale).to(torch.get_default_dtype())

    if support is constraints.real:
        return support
    if isinstance(support, constraints.interval | constraints.half_open_interval):
        return constraints.interval(moved(support.lower_bound), moved(support.upper_bound))
    if isinstance(support, constraints.greater_than | constraints.greater_than_eq):
        return constraints.greater_than(moved(support.lower_bound))
    if isinstance(support, constraints.less_than):
        return constraints.less_than(moved(support.upper_bound))
    raise UsageError(
        f"the methods of sbi compute in single precision, which loses the parameters of support {support} to rounding; "
        "subtract the location from the parameters, or take 'amp'"
    )
