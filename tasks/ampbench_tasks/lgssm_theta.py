r"""State space with unknown parameters: a noisily observed autoregression of unknown persistence and noise.

.. math::
    a &\sim \mathcal U(0, 1), \qquad r \sim \mathrm{LogNormal}(-1, 0.5^2), \qquad z_1 \sim \mathcal N(0, 1) \\
    z_t &\sim \mathcal N(a z_{t-1},\; 1 - a^2), \qquad x_t \sim \mathcal N(z_t, r^2)

The states are stationary with variance 1 for every a. Given (a, r) everything is Gaussian: the Kalman filter gives the
likelihood :math:`p(x \mid a, r)`, so that the posterior density of :math:`(\Phi^{-1}(a), \log r)`, whose prior is
Gaussian, is known up to a constant. It is drawn on a grid that adapts to it (:mod:`ampbench_tasks.grid`), and the
states are then drawn exactly given (a, r) (:mod:`ampbench_tasks.kalman`).

References:
    Carter, Kohn 1994, *On Gibbs sampling for state space models*, doi:10.1093/biomet/81.3.541.
    Andrieu, Doucet, Holenstein 2010, *Particle Markov chain Monte Carlo methods*,
    doi:10.1111/j.1467-9868.2009.00736.x (parameters and states together).
"""

from __future__ import annotations

from typing import final

import torch
from torch import Generator, Tensor
from torch.distributions import Distribution, Independent, LogNormal, Normal, Uniform
from torch.special import ndtr

from ampbench.graph import Graph, Node, axes, density, previous, simulator
from ampbench.options import at_least
from ampbench_tasks import grid
from ampbench_tasks.kalman import Chain
from ampbench_tasks.structured import Structured

LOG_R_MEAN = -1.0
LOG_R_DEVIATION = 0.5
BOUNDS = ((-12.0, 12.0), (-50.0, 90.0))
"""Bounds of Φ⁻¹(a) and of log r; the prior mass beyond them is below exp(−72)."""
BELOW_ONE = 1 - 2**-24
"""The largest number below 1 in float32."""


@final
class LGSSMTheta(Structured):
    """State space with unknown parameters, exact up to a grid: latents a, r, z_1 … z_length, observed x_1 … x_length.

    Arguments:
        length: number of times T.

    Raises:
        UsageError: length below 1.
    """

    folder = "lgssm_theta"
    version = "1"
    source = "Carter & Kohn 1994"
    algorithm = "inverse distribution function of (a, log r) on a grid, then backward sampling"

    def __init__(self, length: int = 50) -> None:
        at_least(self, length=(length, 1))
        super().__init__(length=length)
        first = density("z_1", Independent(Normal(torch.zeros(1), torch.ones(1)), 1))
        states = [density(f"z_{t}", step, [f"z_{t - 1}", "a"], size=1) for t in range(2, length + 1)]
        self.observed = tuple(f"x_{t}" for t in range(1, length + 1))
        readings = [simulator(f"x_{t}", measure, [f"z_{t}", "r"], size=1) for t in range(1, length + 1)]
        flat = Graph(*_parameters(), *(first, *states, *readings))
        self._graph = flat.repeating(template(length), {"time": length})

    @property
    def graph(self) -> Graph:
        """The graph z_1 → … → z_length, z_t → x_t, with a → z_t and r → x_t."""
        return self._graph

    def reference(self, observation: Tensor, n: int, seed: int, refine: int = 1) -> Tensor:
        """Draw from the posterior of (a, r, z), shape (n, 2 + length), on a grid that is ``refine`` times finer."""
        x = self.check_observation(observation).double()
        generator = Generator().manual_seed(seed)

        def log_density(u: Tensor, log_r: Tensor) -> Tensor:
            log_prior = -(u**2 + ((log_r - LOG_R_MEAN) / LOG_R_DEVIATION) ** 2) / 2
            return log_prior + chain(u, log_r).log_likelihood(x)

        u, log_r = grid.draw(log_density, BOUNDS, n, generator, refine).T
        z = chain(u, log_r).sample(x, generator)
        a, r = ndtr(u).clamp(max=BELOW_ONE), log_r.exp()
        return torch.cat([a[:, None], r[:, None], z], dim=1).float()

    def log_likelihood(self, theta: Tensor, x: Tensor) -> Tensor:
        """Return log p(x | theta), shape (*,), float64."""
        theta = theta.double()
        return Normal(theta[..., 2:], theta[..., 1:2]).log_prob(x.double()).sum(-1)


def template(length: int | tuple[int, int]) -> Graph:
    """Return the graph with the axis ``time`` in place of single times: latents a, r and z, observed x.

    Arguments:
        length: the number of times, or the smallest and the largest one.
    """
    time = [axes.Chain("time", length)]

    def first(a: Tensor) -> Distribution:
        return Independent(Normal(torch.zeros_like(a), torch.ones_like(a)), 1)

    return Graph(
        *_parameters(),
        density("z", step, [previous("z"), "a"], size=1, along=time, first=first),
        simulator("x", measure, ["z", "r"], size=1, along=time),
    )


def _parameters() -> list[Node]:
    return [
        density("a", Independent(Uniform(torch.zeros(1), torch.ones(1)), 1)),
        density("r", Independent(LogNormal(torch.full((1,), LOG_R_MEAN), torch.full((1,), LOG_R_DEVIATION)), 1)),
    ]


def chain(u: Tensor, log_r: Tensor) -> Chain:
    """Return the states and their observations given Φ⁻¹(a) (m,) and log r (m,)."""
    a = ndtr(u)
    return Chain(mean=0.0, variance=1.0, factor=a, step=(1 + a) * ndtr(-u), noise=(2 * log_r).exp())


def step(z: Tensor, a: Tensor) -> Distribution:
    """Return p(z_t | z_{t−1}, a) for z and a of shape (n, 1)."""
    return Independent(Normal(a * z, ((1 - a) * (1 + a)).sqrt()), 1)


def measure(z: Tensor, r: Tensor) -> Tensor:
    """Draw x_t given z_t and r, (n, 1) each, shape (n, 1)."""
    return z + r * torch.randn_like(z)
