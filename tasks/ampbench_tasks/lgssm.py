r"""Linear-Gaussian state space: a noisily observed Ornstein-Uhlenbeck process, rotating in planes.

.. math::
    \mathrm d z = (-\kappa I + \omega J) z \, \mathrm d s + \sqrt{2 \kappa}\, \mathrm d W, \qquad
    z_1 \sim \mathcal N(0, I), \qquad x_t \sim \mathcal N(H z_t, 0.5^2 I)

with :math:`\kappa = 0.1`, :math:`\omega = 0.5`. J rotates the components (1, 2), (3, 4), … by 90 degrees; a last
component without partner is not rotated. H reads the first component of each plane, so that the second one is observed
only through the rotation. Over a gap :math:`\Delta` between two times the transition is exactly

.. math:: z_{t+1} \sim \mathcal N\bigl(e^{-\kappa \Delta} R(\omega \Delta) z_t,\; (1 - e^{-2 \kappa \Delta}) I\bigr)

with the rotation R, and the process is stationary. Gaps are 1, or irregular: exponential with mean 1 from a fixed
seed. A missing time has a state but no observation.

The posterior, a Gaussian, is drawn by conditioning the joint Gaussian (:mod:`ampbench_tasks.linear_gaussian`) if the
states have at most 500 components, and by filtering and backward sampling (:mod:`ampbench_tasks.gaussian_chain`), whose
time is linear in T, if they have more. Both draw from one distribution, but map a seed to different draws.

References:
    Kalman 1960, *A new approach to linear filtering and prediction problems*, doi:10.1115/1.3662552.
    Särkkä 2013, *Bayesian Filtering and Smoothing*, doi:10.1017/CBO9781139344203.
    Uhlenbeck, Ornstein 1930, *On the theory of the Brownian motion*, doi:10.1103/PhysRev.36.823.
"""

from __future__ import annotations

import math
from functools import cached_property
from typing import final

import numpy as np
import torch
from torch import Tensor
from torch.distributions import Normal

from ampbench.graph import Chain, Graph, density, previous, simulator
from ampbench.options import at_least, half_open
from ampbench_tasks.gaussian_chain import GaussianChain
from ampbench_tasks.linear_gaussian import Linear, LinearGaussian, LinearGaussianTask
from ampbench_tasks.structured import PATTERN_SEED, kept

KAPPA = 0.1
OMEGA = 0.5
NOISE = 0.5
MAX_DENSE = 500
"""Largest number of components of all states whose joint Gaussian is conditioned as a whole."""


@final
class LGSSM(LinearGaussianTask):
    """Linear-Gaussian state space, exact: latents z_1 … z_length, observed x_t.

    Arguments:
        length: number of times T.
        dim: number of components of a state; an observation has half as many components, rounded up.
        missing: share of times without an observation; at least one is observed.
        irregular: whether the gaps between times are unequal.

    Raises:
        UsageError: length or dim below 1, missing outside [0, 1).
    """

    folder = "lgssm"
    version = "1"
    source = "Kalman 1960; Särkkä 2013, chapter 8"

    def __init__(self, length: int = 10, dim: int = 1, missing: float = 0.0, irregular: bool = False) -> None:
        at_least(self, length=(length, 1), dim=(dim, 1))
        half_open(self, missing=(missing, 0, 1))
        times = [t + 1 for t in kept(length, missing)]
        self.gaps = gaps(length, irregular)
        states = [_first(dim)] + [_state(t + 2, dim, gap) for t, gap in enumerate(self.gaps)]
        model = LinearGaussian([*states, *(_reading(t, dim) for t in times)], [f"x_{t}" for t in times])
        super().__init__(model, length=length, dim=dim, missing=missing, irregular=irregular)
        self._graph = model.graph
        if not irregular:
            self._graph = model.graph.repeating(template(length, dim, (missing, missing)), {"time": length})
        self._dim, self._times, self._dense = dim, times, length * dim <= MAX_DENSE
        if not self._dense:
            self.algorithm = "forward filtering, backward sampling"

    @property
    def graph(self) -> Graph:
        """The graph of the model, whose variables are repeats of a template if gaps are equal."""
        return self._graph

    @cached_property
    def chain(self) -> GaussianChain:
        """The states and observations as a chain."""
        steps = [transition(self._dim, gap) for gap in self.gaps]
        identity, read = torch.eye(self._dim, dtype=torch.float64), reading(self._dim)
        return GaussianChain(
            first=identity,
            transitions=torch.stack([matrix for matrix, _ in steps])
            if steps
            else identity.new_empty(0, *identity.shape),
            steps=torch.tensor([variance for _, variance in steps], dtype=torch.float64)[:, None, None] * identity,
            reading=read,
            noise=NOISE**2 * torch.eye(len(read), dtype=torch.float64),
            times=tuple(t - 1 for t in self._times),
        )

    def reference(self, observation: Tensor, n: int, seed: int) -> Tensor:
        """Draw exactly from the posterior, a Gaussian, shape (n, length × dim)."""
        if self._dense:
            return super().reference(observation, n, seed)
        return self.chain.sample(self.check_observation(observation), n, seed)

    def log_likelihood(self, theta: Tensor, x: Tensor) -> Tensor:
        """Return log p(x | theta), shape (*,), float64."""
        if self._dense:
            return super().log_likelihood(theta, x)
        states = theta.double().unflatten(-1, (-1, self._dim))
        seen = states[..., [t - 1 for t in self._times], ::2]
        return Normal(seen.flatten(-2), NOISE).log_prob(x.double()).sum(-1)


def template(length: int | tuple[int, int], dim: int = 1, missing: tuple[float, float] = (0.0, 0.0)) -> Graph:
    """Return the graph with the axis ``time`` in place of single times: latent z, observed x.

    Arguments:
        length: the number of times, or the smallest and the largest one.
        dim: number of components of a state.
        missing: smallest and largest share of times without an observation.
    """
    time = [Chain("time", length)]
    first, step, seen = _first(dim), _state(2, dim, 1.0), _reading(1, dim)
    return Graph(
        density("z", step.conditional, [previous("z")], size=dim, along=time, first=first.conditional()),
        simulator("x", seen.simulate, ["z"], size=len(seen.offset), along=time, missing=missing),
    )


def gaps(length: int, irregular: bool) -> tuple[float, ...]:
    """Return the length − 1 gaps between times."""
    if not irregular:
        return (1.0,) * (length - 1)
    return tuple(np.random.RandomState(PATTERN_SEED).exponential(size=length - 1).tolist())


def transition(dim: int, gap: float) -> tuple[Tensor, float]:
    """Return the matrix exp(−κΔ) R(ωΔ), shape (dim, dim), and the variance of the noise."""
    cosine, sine = math.cos(OMEGA * gap), math.sin(OMEGA * gap)
    plane = torch.tensor([[cosine, -sine], [sine, cosine]], dtype=torch.float64)
    blocks = [plane] * (dim // 2) + [torch.ones(1, 1, dtype=torch.float64)] * (dim % 2)
    return math.exp(-KAPPA * gap) * torch.block_diag(*blocks), -math.expm1(-2 * KAPPA * gap)


def reading(dim: int) -> Tensor:
    """Return H, which reads the first component of each plane, shape (ceil(dim / 2), dim)."""
    return torch.eye(dim, dtype=torch.float64)[::2]


def _first(dim: int) -> Linear:
    return Linear("z_1", torch.zeros(dim, dtype=torch.float64), torch.ones(dim, dtype=torch.float64))


def _state(t: int, dim: int, gap: float) -> Linear:
    matrix, variance = transition(dim, gap)
    noise = torch.full((dim,), variance, dtype=torch.float64)
    return Linear(f"z_{t}", torch.zeros(dim, dtype=torch.float64), noise, {f"z_{t - 1}": matrix})


def _reading(t: int, dim: int) -> Linear:
    read = reading(dim)
    noise = torch.full((len(read),), NOISE**2, dtype=torch.float64)
    return Linear(f"x_{t}", torch.zeros(len(read), dtype=torch.float64), noise, {f"z_{t}": read})
