r"""Importance resampling: posterior draws are chosen among draws of posteriors by the density of the surrogate.

With the surrogate :math:`\hat p`, the posterior that it implies is known up to a constant. Draws of the mixture q of
trained posteriors in equal parts have the weights

.. math:: w(\theta) = \frac{\hat p(\theta, x)}{q(\theta \mid x)},

and are selected as in :mod:`ampbench.amp.refinement`, with the weight in the place of the adversary's ratio. The
density of the selected draws is :math:`\hat p(\theta, x) / \mathbb E_q\, w`. The effective share of N draws is
:math:`1 / (N \sum_i \tilde w_i^2)` with normalised weights.

References:
    Rubin 1988, *Using the SIR algorithm to simulate posterior distributions*, Bayesian Statistics 3.
    Dax et al. 2023, *Neural importance sampling for rapid and reliable gravitational-wave inference*, arXiv:2210.05686.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ampbench.amp.posterior import AMPDensity
from ampbench.amp.refinement import CANDIDATES_PER_DRAW, MIN_CANDIDATES, inclusion, systematic
from ampbench.graph import Graph, split

DRAWS_AT_ONCE = 10_000
"""Draws that are selected at a time; they have :data:`CANDIDATES_PER_DRAW` times as many candidates."""
EVIDENCE_DRAWS = 256
"""Draws of q by which the evidence E w of an observation is estimated."""


@dataclass(frozen=True)
class Reweighting:
    """The selection among draws of posteriors.

    Attributes:
        proposals: the posteriors whose mixture in equal parts is q.
        model: the surrogate.
        latents, observed: names of the inferred and of the observed variables, with their numbers of components.
    """

    proposals: Sequence[AMPDensity]
    model: Graph
    latents: Mapping[str, int]
    observed: Mapping[str, int]

    @torch.no_grad()
    def sample(self, observation: Tensor, n: int) -> Tensor:
        """Draw from the posterior: (L,) -> (n, D)."""
        sizes = [min(DRAWS_AT_ONCE, n - start) for start in range(0, n, DRAWS_AT_ONCE)]
        return torch.cat([self._select(observation, size) for size in sizes])

    def propose(self, observation: Tensor, n: int) -> Tensor:
        """Draw from q: (L,) -> (n, D); every proposal has n draws divided by their number, rounded up at the first."""
        shares = [(n + i) // len(self.proposals) for i in reversed(range(len(self.proposals)))]
        return torch.cat([each.sample(observation, k) for each, k in zip(self.proposals, shares, strict=True)])

    @torch.no_grad()
    def log_weights(self, theta: Tensor, x: Tensor) -> Tensor:
        """Return log w up to a constant, shape (N,), for theta (N, D) and observations (N, L)."""
        each = torch.stack([proposal.log_prob(theta, x) for proposal in self.proposals])
        return self._log_joint(theta, x) - each.logsumexp(0) + math.log(len(self.proposals))

    def log_prob(self, theta: Tensor, x: Tensor) -> Tensor:
        """Estimate the log-density of the selected draws, shape (N,), at theta (N, D), each given its own x (N, L)."""
        drawn = torch.stack([self.propose(observation, EVIDENCE_DRAWS) for observation in x])
        repeated = x[:, None].expand(-1, EVIDENCE_DRAWS, -1)
        log_w = self.log_weights(drawn.flatten(0, 1), repeated.flatten(0, 1)).unflatten(0, drawn.shape[:2])
        return self._log_joint(theta, x) - (log_w.logsumexp(1) - math.log(EVIDENCE_DRAWS))

    @torch.no_grad()
    def _log_joint(self, theta: Tensor, x: Tensor) -> Tensor:
        values = {**split(theta, self.latents), **split(x, self.observed)}
        return self.model.log_prob(values, list(values))

    def _select(self, observation: Tensor, n: int) -> Tensor:
        drawn = self.propose(observation, max(MIN_CANDIDATES, CANDIDATES_PER_DRAW * n))
        log_w = self.log_weights(drawn, observation.expand(len(drawn), -1))
        return drawn[systematic(inclusion(log_w[:, None], n))[:, 0]]


def effective_share(log_weights: Tensor) -> float:
    """Return the effective share of draws with these log-weights, shape (N,).

    Example:
        >>> effective_share(torch.tensor([0.0, 0.0, -100.0, -100.0]))
        0.5
    """
    weights = torch.softmax(log_weights.double(), 0)
    return float(1 / weights.square().sum() / len(weights))
