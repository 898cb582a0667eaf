r"""Rejection ABC: accept the parameters with the simulations nearest to the observation, and smooth them.

The distance is Euclidean, with each component divided by its standard deviation over the prior simulations. The
accepted parameters u_1 … u_m, in unconstrained coordinates standardised by their own mean and standard deviation, are
smoothed by Gaussian kernels with the width h that maximises the leave-one-out likelihood:

.. math:: \max_h\; \sum_i \log \frac1{m-1} \sum_{j \ne i} \mathcal N(u_i;\, u_j,\, h^2 I)

Discrete variables are not smoothed, nor are those with a support that no bijection describes. If a variable has gaps,
the distance is that of the network coordinates of the observed variables (:class:`ampbench.graph.coded.CodedEvidence`):
a gap in one of two data counts as the difference of the value to its mean, and of the masks, so that the nearest
simulations have values and gaps where the observation has.

References:
    Tavaré, Balding, Griffiths, Donnelly 1997, *Inferring coalescence times from DNA sequence data*, Genetics 145.
    Duin 1976, *On the choice of smoothing parameters for Parzen estimators*, IEEE Transactions on Computers 25.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import final

import torch
from torch import Tensor
from torch.distributions import Normal, constraints

from ampbench.errors import UsageError
from ampbench.graph import Simulator, join, split
from ampbench.graph.coded import CodedEvidence
from ampbench.graph.coordinates import Coordinates
from ampbench.graph.supports import reaches_outside
from ampbench.interfaces import (
    CanRestore,
    HasDensity,
    HasState,
    Method,
    Posterior,
    Progress,
    by_observation,
    check_observation,
)
from ampbench.interfaces import state as states
from ampbench.interfaces.method import ReadsGaps
from ampbench.options import at_least

KERNEL_WIDTHS = torch.logspace(-2.5, 0.5, 61)
"""Candidates for the kernel width, in standard deviations of the accepted parameters."""


@final
class RejectionABC(Method, CanRestore, ReadsGaps):
    """Rejection ABC.

    Arguments:
        accept: number of simulations that are accepted for an observation.
        smooth: whether to smooth the accepted parameters; otherwise samples are drawn from them with replacement.
    """

    drop_bias = ""  # a failed simulation is never accepted

    def __init__(self, accept: int = 100, smooth: bool = True) -> None:
        at_least(self, accept=(accept, 3 if smooth else 1))
        self.accept = accept
        self.smooth = smooth

    def fit(self, simulator: Simulator, device: torch.device, progress: Progress) -> Posterior:
        """Spend the whole budget on prior simulations, which are used for every observation."""
        if self.accept > simulator.remaining:
            raise UsageError(
                f"method 'rejection-abc' cannot accept {self.accept} of {simulator.remaining} simulations; "
                "lower 'accept', or raise the budget"
            )
        values = simulator.require(simulator.sample(simulator.remaining), self.accept)
        latents = {name: values[name] for name in simulator.latents}
        sizes = {name: values[name].shape[1] for name in simulator.observed} if simulator.gaps else {}
        return self._posterior(simulator, latents, join(values, simulator.observed), sizes)

    def restore(self, simulator: Simulator, state: Mapping[str, Tensor], device: torch.device) -> Posterior:
        """Return the posterior from stored simulations."""
        stored = states.parts(state)
        states.check_names("latent ", stored["latents"], simulator.latents)
        for name in simulator.latents:
            states.check_size(name, stored["latents"][name].shape[1], simulator.graph[name].size)
        x = stored["observed"]["joined"]
        states.check_size(", ".join(simulator.observed), x.shape[1], simulator.graph.size(simulator.observed))
        sizes = {name: int(stored["sizes"][name]) for name in simulator.observed if name in stored["sizes"]}
        if bool(sizes) != bool(simulator.gaps):
            raise UsageError(
                f"the state was made {'with' if sizes else 'without'} gaps; give the model that it was made with: gaps="
                f"{bool(sizes)}"
            )
        return self._posterior(simulator, {name: stored["latents"][name] for name in simulator.latents}, x, sizes)

    def _posterior(
        self, simulator: Simulator, latents: Mapping[str, Tensor], x: Tensor, sizes: Mapping[str, int]
    ) -> Posterior:
        supports = {name: simulator.graph[name].support for name in simulator.latents}
        evidence = CodedEvidence.of(simulator.graph, split(x, sizes)) if sizes else None
        smooth = self.smooth and all(map(_is_smooth, supports.values()))
        return (_Smooth if smooth else _Nearest)(latents, x, supports, self.accept, self.smooth, evidence)


class _Nearest(Posterior, HasState):
    """A posterior from the prior simulations nearest to the observation."""

    def __init__(
        self,
        latents: Mapping[str, Tensor],
        x: Tensor,
        supports: Mapping[str, constraints.Constraint],
        accept: int,
        smooth: bool,
        evidence: CodedEvidence | None,
    ) -> None:
        self._latents, self._x, self._supports = latents, x, supports
        self._accept, self._smooth = accept, smooth
        self._evidence = evidence
        spread = x.std(0) if len(x) > 1 else torch.ones_like(x[0])
        self._scale = torch.where(spread > 0, spread, torch.ones_like(spread))

    def state(self) -> dict[str, Tensor]:
        """Return the prior simulations."""
        sizes = self._evidence.sizes if self._evidence else {}
        return states.joined(
            {
                "latents": self._latents,
                "observed": {"joined": self._x},
                "sizes": {name: torch.tensor(size) for name, size in sizes.items()},
            }
        )

    def sample(self, observation: Tensor, n: int) -> Tensor:
        """Draw from the posterior: (L,) -> (n, D)."""
        accepted = self._accepted(observation)
        chosen = torch.randint(self._accept, (n,))
        if self._smooth:
            return join(_smoothed(accepted, self._supports, chosen), accepted)
        return join({name: value[chosen] for name, value in accepted.items()}, accepted)

    def _accepted(self, observation: Tensor) -> dict[str, Tensor]:
        """Return the parameters (m, D_i) of the accepted simulations."""
        nearest = self._distances(observation).topk(self._accept, largest=False).indices
        return {name: value[nearest] for name, value in self._latents.items()}

    def _distances(self, observation: Tensor) -> Tensor:
        """Return the distances of all simulations to an observation, shape (N,)."""
        observation = check_observation(observation, self._x.shape[1], self._evidence is not None)
        if self._evidence is None:
            return ((self._x - observation.to(self._x)) / self._scale).norm(dim=1)
        self._evidence.check(observation)
        return (self._evidence.encode(self._x) - self._evidence.encode(observation)).norm(dim=1)


@final
class _Smooth(_Nearest, HasDensity):
    """A kernel density estimate of the accepted parameters; all latent variables are continuous."""

    def log_prob(self, value: Tensor, context: Tensor) -> Tensor:
        """Return the log-density, shape (n,), of theta (n, D) given x (n, L); minus infinity outside the support."""
        theta = join(self._latents, self._latents)
        return by_observation(self._log_prob, value.to(theta), context.to(self._x))

    def _log_prob(self, theta: Tensor, x: Tensor) -> Tensor:
        accepted = self._accepted(x)
        parts = split(theta, {name: each.shape[1] for name, each in accepted.items()})
        coordinates = {name: Coordinates(accepted[name], self._supports[name]) for name in accepted}
        slope = torch.stack([coordinates[name].log_slope(part) for name, part in parts.items()]).sum(0)
        inside = slope > -torch.inf
        centres = join({name: coordinates[name].encode(value) for name, value in accepted.items()}, accepted)
        u = join({name: coordinates[name].encode(part[inside]) for name, part in parts.items()}, parts)
        kernels = Normal(centres, leave_one_out_width(centres)).log_prob(u[:, None]).sum(2)
        slope[inside] += kernels.logsumexp(1) - math.log(len(centres))
        return slope


def _is_smooth(support: constraints.Constraint) -> bool:
    return not support.is_discrete and not reaches_outside(support)


def _smoothed(
    accepted: Mapping[str, Tensor], supports: Mapping[str, constraints.Constraint], chosen: Tensor
) -> dict[str, Tensor]:
    """Draw from the kernel density estimate: one point from the kernel around each chosen row, by variable."""
    drawn = {name: value[chosen] for name, value in accepted.items()}
    continuous = [name for name in accepted if _is_smooth(supports[name])]
    if not continuous:
        return drawn
    coordinates = {name: Coordinates(accepted[name], supports[name]) for name in continuous}
    encoded = {name: coordinates[name].encode(accepted[name]) for name in continuous}
    width = leave_one_out_width(join(encoded, continuous))
    for name in continuous:
        centre = encoded[name][chosen]
        drawn[name] = coordinates[name].decode(centre + width * torch.randn_like(centre))
    return drawn


def leave_one_out_width(u: Tensor) -> Tensor:
    """Return the kernel width that maximises the leave-one-out likelihood of points (m, D), m at least 2."""
    squared = torch.cdist(u, u).square().fill_diagonal_(torch.inf)
    scores = torch.stack(
        [
            torch.logsumexp(-squared / (2 * width**2), 1).sum() - len(u) * u.shape[1] * torch.log(width)
            for width in KERNEL_WIDTHS
        ]
    )
    return KERNEL_WIDTHS[scores.argmax()]
