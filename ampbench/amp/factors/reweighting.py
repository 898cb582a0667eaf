r"""Importance resampling: posterior draws are chosen among draws of a posterior by the density of the surrogate.

With the surrogate :math:`\hat p`, the posterior that it implies is known up to a constant. Draws of q have the weights

.. math:: w(\theta) = \frac{\hat p(\theta, x)}{q(\theta \mid x)},

and are selected as in :mod:`ampbench.amp.refinement`, with the weight in the place of the adversary's ratio. The
effective share of N draws is :math:`1 / (N \sum_i \tilde w_i^2)` with normalised weights.

References:
    Rubin 1988, *Using the SIR algorithm to simulate posterior distributions*, Bayesian Statistics 3.
    Dax et al. 2023, *Neural importance sampling for rapid and reliable gravitational-wave inference*, arXiv:2210.05686.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from ampbench.amp.posterior import AMPDensity
from ampbench.amp.refinement import CANDIDATES_PER_DRAW, MIN_CANDIDATES, inclusion, systematic
from ampbench.graph import Graph, split

DRAWS_AT_ONCE = 10_000
"""Draws that are selected at a time; they have :data:`CANDIDATES_PER_DRAW` times as many candidates."""


@dataclass(frozen=True)
class Reweighting:
    """The selection among draws of a posterior.

    Attributes:
        proposal: the posterior q.
        model: the surrogate.
        latents, observed: names of the inferred and of the observed variables, with their numbers of components.
    """

    proposal: AMPDensity
    model: Graph
    latents: Mapping[str, int]
    observed: Mapping[str, int]

    @torch.no_grad()
    def sample(self, observation: Tensor, n: int) -> Tensor:
        """Draw from the posterior: (L,) -> (n, D)."""
        sizes = [min(DRAWS_AT_ONCE, n - start) for start in range(0, n, DRAWS_AT_ONCE)]
        return torch.cat([self._draw(observation, size) for size in sizes])

    @torch.no_grad()
    def log_weights(self, theta: Tensor, observation: Tensor) -> Tensor:
        """Return log w up to a constant, shape (N,), for theta (N, D) and an observation (L,)."""
        given = split(observation.expand(len(theta), -1), self.observed)
        values = {**split(theta, self.latents), **given}
        return self.model.log_prob(values, list(values)) - self.proposal.log_prob(theta, observation)

    @torch.no_grad()
    def gain(self, theta: Tensor, observation: Tensor, n: int) -> float:
        r"""Estimate by how much resampling raises the log-density at theta, shape (D,), given an observation (L,).

        It is :math:`\log w(\theta) - \log \mathbb E_q\, w`, with the mean of n draws.
        """
        drawn = torch.cat([theta[None], self.proposal.sample(observation, n)])
        log_w = self.log_weights(drawn, observation).double()
        return float(log_w[0] - log_w[1:].logsumexp(0)) + math.log(n)

    def _draw(self, observation: Tensor, n: int) -> Tensor:
        drawn = self.proposal.sample(observation, max(MIN_CANDIDATES, CANDIDATES_PER_DRAW * n))
        return drawn[systematic(inclusion(self.log_weights(drawn, observation)[:, None], n))[:, 0]]


def effective_share(log_weights: Tensor) -> float:
    """Return the effective share of draws with these log-weights, shape (N,).

    Example:
        >>> effective_share(torch.tensor([0.0, 0.0, -100.0, -100.0]))
        0.5
    """
    weights = torch.softmax(log_weights.double(), 0)
    return float(1 / weights.square().sum() / len(weights))
