r"""Units in which sbi sees variables that single precision would spoil.

sbi standardises in single precision, in which x = 1.2·10⁹ + 0.1 θ is constant. Variables that stay in double precision
(:mod:`ampbench.graph.precision`) are therefore given to sbi as

.. math:: v' = (v - \mu) / \sigma, \qquad \log q(v) = \log q(v') - \sum_d \log \sigma_d

with μ, σ the mean and standard deviation of the simulations. All other variables are given to sbi as they are, except
observations with gaps, or for an embedding network: they are given in network coordinates, with the mask of the gaps
(:class:`ampbench.graph.coded.CodedEvidence`), and sbi standardises nothing further.

Of a point of a simplex sbi sees all components but the last, which is one minus their sum: a density of all components,
which sum to one, does not exist, and draws of a network never do. torch's densities on the simplex are those of all
components but the last.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Protocol, final

import torch
from torch import Tensor
from torch.distributions import Distribution, biject_to, constraints
from torch.distributions.transforms import StickBreakingTransform, Transform

from ampbench.amp.stored_coordinates import from_parts, parts_of
from ampbench.errors import UsageError
from ampbench.graph import Graph
from ampbench.graph.coded import CodedEvidence
from ampbench.graph.precision import warn_if_rounded
from ampbench.graph.prior import LatentPrior
from ampbench.graph.supports import Blocks, HasLogProb, Restricted, elementwise, joined
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
    """Units of values.

    Attributes:
        location, scale: (D,) each, in double precision; None for values that stay as they are.
        simplexes: first and last component of every simplex; sbi does not see the last one.
    """

    location: Tensor | None = None
    scale: Tensor | None = None
    simplexes: tuple[tuple[int, int], ...] = ()

    @classmethod
    def of(cls, values: Tensor, simplexes: tuple[tuple[int, int], ...] = ()) -> Units:
        """Return the units of values (n, D): their own if they are in double precision."""
        if values.dtype != torch.float64 or torch.get_default_dtype() == torch.float64:
            return cls(simplexes=simplexes)
        size = values.abs().amax(0)
        size = torch.where(size > 0, size, torch.ones_like(size))
        mean, spread = (values / size).mean(0), (values / size).std(0)
        location, scale = mean * size, torch.where(spread > 0, spread, torch.ones_like(spread)) * size
        for first, last in simplexes:
            location[first : last + 1], scale[first : last + 1] = 0.0, 1.0
        return cls(location, scale, simplexes)

    def encode(self, values: Tensor) -> Tensor:
        """Return values (*, D) in these units, in default precision."""
        if self.location is not None and self.scale is not None:
            values = (values.double() - self.location.to(values.device)) / self.scale.to(values.device)
        lasts = {last for _, last in self.simplexes}
        if lasts:
            values = values[..., [i for i in range(values.shape[-1]) if i not in lasts]]
        return values.to(torch.get_default_dtype())

    def decode(self, values: Tensor) -> Tensor:
        """Undo :meth:`encode`, in double precision unless values stay as they are."""
        for first, last in self.simplexes:  # in order, so that the indices are those of theta
            values = torch.cat([values[..., :first], _whole(values[..., first:last]), values[..., last:]], -1)
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
        return self.location is not None or bool(self.simplexes)

    def part(self, start: int, stop: int) -> Units:
        """Return the units of the components from start to stop."""
        inside = tuple((first - start, last - start) for first, last in self.simplexes if start <= first < stop)
        if self.location is None or self.scale is None:
            return Units(simplexes=inside)
        return Units(self.location[start:stop], self.scale[start:stop], inside)

    def seen(self, size: int) -> int:
        """Return how many of D components sbi sees."""
        return size - len(self.simplexes)

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
    def from_state(cls, state: Mapping[str, Tensor], simplexes: tuple[tuple[int, int], ...] = ()) -> Units:
        """Undo :meth:`state`."""
        return cls(state.get("location"), state.get("scale"), simplexes)


class Corner(constraints.Constraint):
    """The corner of a cube, x ≥ 0 and Σ x ≤ 1: points of a simplex without their last component."""

    event_dim = 1

    def __repr__(self) -> str:
        return "Corner()"

    def check(self, value: Tensor) -> Tensor:
        """Return which values (*, D) are inside, shape (*,)."""
        inside: Tensor = (value >= 0).all(-1) & (value.sum(-1) <= 1)
        return inside


class CornerTransform(Transform):
    """The bijection from the real vectors onto the corner of a cube: stick-breaking without the last component."""

    domain = constraints.real_vector
    codomain = Corner()
    bijective = True

    def _call(self, x: Tensor) -> Tensor:
        whole: Tensor = StickBreakingTransform()(x)
        return whole[..., :-1]

    def _inverse(self, y: Tensor) -> Tensor:
        free: Tensor = StickBreakingTransform().inv(_whole(y))
        return free

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        """Return log |det dy/dx|, shape (*,), at x and y, (*, D) each."""
        slope: Tensor = StickBreakingTransform().log_abs_det_jacobian(x, _whole(y))
        return slope


biject_to.register(Corner, lambda _: CornerTransform())


def _whole(corner: Tensor) -> Tensor:
    """Return the points (*, D + 1) of a simplex with these components but the last, (*, D)."""
    return torch.cat([corner, (1 - corner.sum(-1, keepdim=True)).clamp(min=0.0)], -1)


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
        super().__init__(event_shape=torch.Size([units.seen(prior.event_shape[0])]), validate_args=False)

    @property
    def support(self) -> constraints.Constraint:
        """The support of theta in its units."""
        found, sizes, start = [], [], 0
        for name, size in self.prior.sizes.items():
            part = self.units.part(start, start + size)
            found.append(_moved(elementwise(self.prior.graph[name].support), part, size))
            sizes.append(part.seen(size))
            start += size
        if all(isinstance(part, type(constraints.real)) for part in found):
            return constraints.real_vector
        return joined(found, sizes)

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
    units = Units.of(theta, simplexes_of(prior))
    return PriorInUnits(prior, units) if units.differ else prior


def probed(prior: LatentPrior) -> LatentPrior | PriorInUnits:
    """Return the prior in its units, found by draws that leave all streams of random numbers alone."""
    conditionals = [prior.graph[name].conditional for name in prior.latents]
    with seeded(0):
        single = all(isinstance(each, Distribution) and each.sample().dtype == torch.float32 for each in conditionals)
        if single and not simplexes_of(prior):
            return prior
        return in_units(prior, prior.sample((PROBES,)))


def units_of(prior: LatentPrior | PriorInUnits) -> Units:
    """Return the units in which a prior draws."""
    return prior.units if isinstance(prior, PriorInUnits) else Units()


def simplexes_of(prior: LatentPrior) -> tuple[tuple[int, int], ...]:
    """Return the first and the last component of every simplex of theta."""
    found, start = [], 0
    for name, size in prior.sizes.items():
        found += _simplexes(prior.graph[name].support, start, size)
        start += size
    return tuple(found)


def _simplexes(support: constraints.Constraint, start: int, size: int) -> list[tuple[int, int]]:
    support = elementwise(support)
    if isinstance(support, type(constraints.simplex)):
        return [(start, start + size - 1)]
    if isinstance(support, Restricted):
        return _simplexes(support.whole, start, size)
    if not isinstance(support, Blocks):
        return []
    starts = accumulate(support.sizes, initial=start)
    blocks = zip(support.cseq, starts, support.sizes, strict=False)  # the last start is the end
    return [each for block in blocks for each in _simplexes(*block)]


@dataclass(frozen=True)
class _InUnits:
    """The density of a block, up to a constant, for values in units."""

    law: HasLogProb
    units: Units

    def log_prob(self, value: Tensor) -> Tensor:
        found: Tensor = self.law.log_prob(self.units.decode(value))
        return found


def _moved(support: constraints.Constraint, units: Units, size: int) -> constraints.Constraint:
    """Return the support of a block of D components in units, which are those of the block."""
    support = elementwise(support)
    if isinstance(support, type(constraints.simplex)):
        return Corner()
    if isinstance(support, Restricted):
        whole = joined([_moved(support.whole, units, size)], [units.seen(size)])
        return Restricted(whole, _InUnits(support.law, units))
    if isinstance(support, Blocks | constraints.cat):
        sizes = support.sizes if isinstance(support, Blocks) else support.lengths
        cuts = [units.part(*ends) for ends in pairwise(accumulate(sizes, initial=0))]
        parts = [_moved(*each) for each in zip(support.cseq, cuts, sizes, strict=True)]
        seen = [cut.seen(length) for cut, length in zip(cuts, sizes, strict=True)]
        return elementwise(joined(parts, seen))
    if units.location is None:
        return support
    assert units.scale is not None
    location, scale = units.location, units.scale

    def moved(bound: Tensor | float) -> Tensor:
        return ((torch.as_tensor(bound).double() - location) / scale).to(torch.get_default_dtype())

    if isinstance(support, type(constraints.real)):
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
