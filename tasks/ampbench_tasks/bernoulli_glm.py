r"""Bernoulli GLM: a spiking neuron with an unknown offset and filter, observed through sufficient statistics.

.. math::
    \theta \sim \mathcal N(0, P^{-1}), \qquad
    y_t \sim \mathrm{Bernoulli}(\sigma((X \theta)_t)), \; t = 1, \dots, 100, \qquad x = X^\top y

The design :math:`X` holds a column of ones and the white-noise stimulus shifted down by 0, …, 8 steps. The precision
of the prior, :math:`P`, is block-diagonal: ½ for the offset, and :math:`F^\top F` for the filter with
:math:`F = D D + \mathrm{diag}(\sqrt{i / 9})`, :math:`i = 0, \dots, 8`, where :math:`D` is the identity minus ones on
the first subdiagonal: neighbouring weights are alike. Published code computes :math:`X^\top y` as a convolution.

The likelihood is log-concave and a function of the sufficient statistics,
:math:`x^\top \theta - \sum_t \log(1 + e^{(X \theta)_t})`.

References:
    Gonçalves et al. 2020, *Training deep neural density estimators to identify mechanistic models of neural
    dynamics*, doi:10.7554/eLife.56261.
    Lueckmann et al. 2021, *Benchmarking simulation-based inference*, arXiv:2101.04653, T.5.
"""

from __future__ import annotations

from functools import cache, cached_property
from typing import final

import numpy as np
import torch
from torch import Tensor
from torch.distributions import MultivariateNormal
from torch.nn.functional import softplus

from ampbench.graph import Graph, density, simulator
from ampbench_tasks.classic import Classic
from ampbench_tasks.importance import posterior_draws

BINS = 100
FILTER_LENGTH = 9


@final
class BernoulliGLM(Classic):
    """Bernoulli GLM with sufficient statistics: theta of size 10, x of size 10."""

    folder = samples_folder = "bernoulli_glm"
    version = "1"
    source = "Gonçalves et al. 2020; Lueckmann et al. 2021, T.5"
    algorithm = "adaptive importance sampling with weighted acceptance"

    @cached_property
    def graph(self) -> Graph:
        """The graph theta → x."""
        return Graph(density("theta", prior()), simulator("x", simulate, ["theta"], size=1 + FILTER_LENGTH))

    def log_likelihood(self, theta: Tensor, x: Tensor) -> Tensor:
        """Return the log-likelihood of the sufficient statistics, without the number of spike trains that give them."""
        return log_likelihood(theta, x)

    def reference(self, observation: Tensor, n: int, seed: int) -> Tensor:
        """Draw exactly from the posterior by importance sampling, shape (n, 10)."""
        return posterior(self.check_observation(observation), n, seed)


def prior(dtype: torch.dtype = torch.float32) -> MultivariateNormal:
    """Return the Gaussian prior, which favours smooth filters."""
    lagged = torch.eye(FILTER_LENGTH, dtype=torch.float64) - torch.diag(
        torch.ones(FILTER_LENGTH - 1, dtype=torch.float64), -1
    )
    smooth = lagged @ lagged + torch.diag((torch.arange(FILTER_LENGTH, dtype=torch.float64) / FILTER_LENGTH).sqrt())
    precision = torch.block_diag(torch.tensor([[0.5]], dtype=torch.float64), smooth.T @ smooth)
    return MultivariateNormal(torch.zeros(1 + FILTER_LENGTH, dtype=dtype), torch.linalg.inv(precision).to(dtype))


@cache
def design() -> Tensor:
    """Return the design X, shape (100, 10): ones, and the stimulus shifted down by 0 to 8."""
    stimulus = torch.from_numpy(np.random.RandomState(42).randn(BINS).astype(np.float32))
    shifted = [torch.cat([torch.zeros(lag), stimulus[: BINS - lag]]) for lag in range(FILTER_LENGTH)]
    return torch.stack([torch.ones(BINS), *shifted], dim=1)


def spikes(theta: Tensor) -> Tensor:
    """Draw y given theta (n, 10), shape (n, 100)."""
    rate = torch.sigmoid(theta @ design().to(theta).T)
    return torch.bernoulli(rate)


def simulate(theta: Tensor) -> Tensor:
    """Draw x given theta (n, 10), shape (n, 10)."""
    return spikes(theta) @ design().to(theta)


def log_likelihood(theta: Tensor, x: Tensor) -> Tensor:
    """Return log p(x | theta) up to a function of x, shape (*,), for theta (*, 10) and x (*, 10), broadcast."""
    return (theta * x).sum(-1) - softplus(theta @ design().to(theta).T).sum(-1)


def posterior(x: Tensor, n: int, seed: int) -> Tensor:
    """Draw exactly from p(theta | x), shape (n, 10), for x of shape (10,)."""
    data = x.double()
    return posterior_draws(prior(torch.float64), lambda theta: log_likelihood(theta, data), n, seed)
