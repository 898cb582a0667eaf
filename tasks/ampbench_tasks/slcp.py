r"""SLCP: a simple likelihood and a complex posterior with four modes.

.. math::
    \theta &\sim \mathcal U(-3, 3)^5, \qquad x = (x_1, \dots, x_4), \quad x_j \sim \mathcal N_2(m, S) \\
    m &= (\theta_1, \theta_2), \qquad
    S = \begin{pmatrix} s_1^2 & \rho s_1 s_2 \\ \rho s_1 s_2 & s_2^2 \end{pmatrix} + 10^{-6} I

with standard deviations :math:`s_1 = \theta_3^2`, :math:`s_2 = \theta_4^2` and :math:`\rho = \tanh \theta_5`.

The posterior is sampled in three exact steps. With a flat prior on the whole plane for :math:`m`,

.. math::
    p(S \mid x) &\propto p(\theta_3, \theta_4, \theta_5)\, |S|^{-3/2} \exp\Bigl(-\tfrac12 \sum_j
    (x_j - \bar x)^\top S^{-1} (x_j - \bar x)\Bigr) \\
    m \mid S, x &\sim \mathcal N(\bar x, S / 4)

First, S is drawn by importance sampling in three dimensions, with positive :math:`\theta_3, \theta_4`; second, the mean
is drawn given S, and both are rejected if the mean is outside the box; third, the signs of :math:`\theta_3` and
:math:`\theta_4`, which do not enter the likelihood, are drawn with equal probabilities.

References:
    Papamakarios, Sterratt, Murray 2019, *Sequential neural likelihood*, arXiv:1805.07226.
    Lueckmann et al. 2021, *Benchmarking simulation-based inference*, arXiv:2101.04653, T.3.
"""

from __future__ import annotations

import math
from functools import cached_property
from typing import final

import torch
from torch import Tensor
from torch.distributions import Distribution, Independent, Uniform

from ampbench.graph import Graph, density, simulator
from ampbench.seeding import seeded
from ampbench_tasks.classic import Classic
from ampbench_tasks.importance import Target, accept, adapt
from ampbench_tasks.rejection import truncated

BOUND = 3.0
DRAWS = 4
JITTER = 1e-6


@final
class SLCP(Classic):
    """SLCP: theta of size 5, x of size 8."""

    folder = samples_folder = "slcp"
    version = "1"
    source = "Papamakarios et al. 2019; Lueckmann et al. 2021, T.3"
    algorithm = "importance sampling of S with the mean integrated out, then mean and signs"

    @cached_property
    def graph(self) -> Graph:
        """The graph theta → x."""
        return Graph(density("theta", prior()), simulator("x", simulate, ["theta"], size=2 * DRAWS))

    def log_likelihood(self, theta: Tensor, x: Tensor) -> Tensor:
        """Return the Gaussian log-density of the four draws."""
        return log_likelihood(theta, x)

    def reference(self, observation: Tensor, n: int, seed: int) -> Tensor:
        """Draw exactly from the posterior by importance sampling, shape (n, 5)."""
        return posterior(self.check_observation(observation), n, seed)


def prior() -> Distribution:
    """Return the uniform distribution on the box."""
    return Independent(Uniform(-BOUND * torch.ones(5), BOUND * torch.ones(5)), 1)


def simulate(theta: Tensor) -> Tensor:
    """Draw x given theta (n, 5), shape (n, 8)."""
    first, below, second = _cholesky(theta)
    noise = torch.randn(len(theta), DRAWS, 2, dtype=theta.dtype, device=theta.device)
    draws = torch.stack(
        [
            theta[:, 0, None] + first[:, None] * noise[..., 0],
            theta[:, 1, None] + below[:, None] * noise[..., 0] + second[:, None] * noise[..., 1],
        ],
        dim=2,
    )
    return draws.flatten(1)


def log_likelihood(theta: Tensor, x: Tensor) -> Tensor:
    """Return log p(x | theta), shape (*,), for theta (*, 5) and x (*, 8), broadcast."""
    first, below, second = (part[..., None] for part in _cholesky(theta))
    z1 = (x[..., 0::2] - theta[..., 0, None]) / first
    z2 = (x[..., 1::2] - theta[..., 1, None] - below * z1) / second
    log_densities = -(z1.square() + z2.square()) / 2 - first.log() - second.log() - math.log(2 * math.pi)
    return log_densities.sum(-1)


def posterior(x: Tensor, n: int, seed: int) -> Tensor:
    """Draw exactly from p(theta | x), shape (n, 5), for x of shape (8,)."""
    draws = x.double().reshape(DRAWS, 2)
    mean = draws.mean(0)
    scatter = (draws - mean).flatten()
    low = torch.tensor([0.0, 0.0, -BOUND])
    target = Target(
        Independent(Uniform(low, torch.full((3,), BOUND)), 1), lambda shape: _log_marginal(_around_zero(shape), scatter)
    )
    with seeded(seed):
        proposal = adapt(target)
        return truncated(
            lambda m: _with_mean(accept(target, proposal, m).samples, mean),
            lambda theta: (theta.abs() <= BOUND).all(1),
            n,
        ).float()


def _log_marginal(theta: Tensor, scatter: Tensor) -> Tensor:
    """Return log p(x | S) with the mean integrated out: that of four draws around zero, without one determinant."""
    first, _, second = _cholesky(theta)
    return log_likelihood(theta, scatter) + first.log() + second.log()


def _with_mean(shape: Tensor, mean: Tensor) -> Tensor:
    """Draw the mean given S, and the signs: (n, 3) to (n, 5)."""
    first, below, second = _cholesky(_around_zero(shape))
    noise = torch.randn(len(shape), 2, dtype=shape.dtype) / DRAWS**0.5
    location = mean + torch.stack([first * noise[:, 0], below * noise[:, 0] + second * noise[:, 1]], dim=1)
    signs = torch.randint(0, 2, (len(shape), 2)) * 2 - 1
    return torch.cat([location, signs * shape[:, :2], shape[:, 2:]], dim=1)


def _around_zero(shape: Tensor) -> Tensor:
    """Return theta with a mean of zero for (θ₃, θ₄, θ₅): (n, 3) to (n, 5)."""
    return torch.cat([torch.zeros_like(shape[:, :2]), shape], dim=1)


def _cholesky(theta: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the entries (1, 1), (2, 1), (2, 2) of the lower Cholesky factor of S, shape (*,) each."""
    s1, s2, rho = theta[..., 2].square(), theta[..., 3].square(), theta[..., 4].tanh()
    first = (s1.square() + JITTER).sqrt()
    below = rho * s1 * s2 / first
    # the Schur complement s2² + ε − below², written without cancellation
    second = (s2.square() * (1 - rho.square() * s1.square() / first.square()) + JITTER).sqrt()
    return first, below, second
