r"""Nonlinear state space: the growth model, a standard benchmark of particle filters.

.. math::
    z_1 &\sim \mathcal N(0, 5), \qquad x_t \sim \mathcal N(z_t^2 / 20, 1) \\
    z_t &\sim \mathcal N\Bigl(\frac{z_{t-1}}{2} + \frac{25 z_{t-1}}{1 + z_{t-1}^2} + 8 \cos(1.2 t),\; 10\Bigr)

The numbers are variances. The observations do not depend on the sign of a state, so that posteriors are multimodal. A
missing time has a state but no observation. The posterior is drawn by :mod:`ampbench_tasks.grid_smoother`.

References:
    Gordon, Salmond, Smith 1993, *Novel approach to nonlinear/non-Gaussian Bayesian state estimation*,
    doi:10.1049/ip-f-2.1993.0015.
    Andrieu, Doucet, Holenstein 2010, *Particle Markov chain Monte Carlo methods*,
    doi:10.1111/j.1467-9868.2009.00736.x, section 3.1 (the first state and the phase of the cosine).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import final

import torch
from torch import Tensor
from torch.distributions import Distribution, Independent, Normal

from ampbench.graph import Graph, Node, density, simulator
from ampbench.options import at_least, half_open
from ampbench_tasks import grid_smoother
from ampbench_tasks.structured import Structured, kept

FIRST_DEVIATION = math.sqrt(5.0)
STEP_DEVIATION = math.sqrt(10.0)
NOISE_DEVIATION = 1.0


@final
class NonlinearSSM(Structured):
    """Nonlinear state space, exact up to a grid: latents z_1 … z_length, observed x_t.

    Arguments:
        length: number of times T.
        missing: share of times without an observation; at least one is observed.

    Raises:
        UsageError: length below 1, missing outside [0, 1).
    """

    folder = "nonlinear_ssm"
    version = "1"
    source = "Gordon et al. 1993; Andrieu et al. 2010"
    algorithm = "forward filtering, backward sampling on a fine grid"

    def __init__(self, length: int = 10, missing: float = 0.0) -> None:
        at_least(self, length=(length, 1))
        half_open(self, missing=(missing, 0, 1))
        super().__init__(length=length, missing=missing)
        self._length = length
        self._times = [t + 1 for t in kept(length, missing)]
        states = [_state(t) for t in range(1, length + 1)]
        readings = [simulator(f"x_{t}", measure, [f"z_{t}"], size=1) for t in self._times]
        self._graph = Graph(*states, *readings)
        self.observed = tuple(f"x_{t}" for t in self._times)

    @property
    def graph(self) -> Graph:
        """The graph z_1 → … → z_length, z_t → x_t."""
        return self._graph

    def reference(self, observation: Tensor, n: int, seed: int) -> Tensor:
        """Draw from the posterior of all states, shape (n, length)."""
        return self.smoother(observation).sample(n, seed).float()

    def smoother(self, observation: Tensor, refine: int = 1) -> grid_smoother.Smoother:
        """Return the smoother from which :meth:`reference` draws, on a grid that is ``refine`` times finer."""
        x = dict(zip(self._times, self.check_observation(observation).double().tolist(), strict=True))

        def log_reading(t: int, z: Tensor) -> Tensor:
            return -((x[t] - z**2 / 20) ** 2) / (2 * NOISE_DEVIATION**2) if t in x else torch.zeros_like(z)

        return grid_smoother.Smoother(drift, log_reading, FIRST_DEVIATION, STEP_DEVIATION, self._length, refine)

    def log_likelihood(self, theta: Tensor, x: Tensor) -> Tensor:
        """Return log p(x | theta), shape (*,), float64."""
        seen = theta.double()[..., [t - 1 for t in self._times]]
        return Normal(seen**2 / 20, NOISE_DEVIATION).log_prob(x.double()).sum(-1)


def drift(t: int, z: Tensor) -> Tensor:
    """Return the mean of z_t given z_{t−1} = z."""
    return z / 2 + 25 * z / (1 + z**2) + 8 * math.cos(1.2 * t)


def measure(z: Tensor) -> Tensor:
    """Draw x_t given z_t (n, 1), shape (n, 1)."""
    return z**2 / 20 + NOISE_DEVIATION * torch.randn_like(z)


def _state(t: int) -> Node:
    if t == 1:
        return density("z_1", Independent(Normal(torch.zeros(1), FIRST_DEVIATION * torch.ones(1)), 1))
    return density(f"z_{t}", _step(t), [f"z_{t - 1}"], size=1)


def _step(t: int) -> Callable[[Tensor], Distribution]:
    return lambda z: Independent(Normal(drift(t, z), STEP_DEVIATION * torch.ones_like(z)), 1)
