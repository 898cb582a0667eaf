r"""Importance resampling: posterior draws are chosen among draws of a posterior by the density of the surrogate.

With the surrogate :math:`\hat p`, the posterior that it implies is known up to a constant. Draws of q have the weights

.. math:: w(\theta) = \frac{\hat p(\theta, x)}{q(\theta \mid x)},

and are selected as in :mod:`ampbench.amp.refinement`, with the weight in the place of the adversary's ratio. The
effective share of the draws is :math:`1 / (N \sum_i \tilde w_i^2)` with normalised weights.

References:
    Rubin 1988, *Using the SIR algorithm to simulate posterior distributions*, Bayesian Statistics 3.
    Dax et al. 2023, *Neural importance sampling for rapid and reliable gravitational-wave inference*, arXiv:2210.05686.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ampbench.amp.posterior import AMPDensity
from ampbench.amp.refinement import CANDIDATES_PER_DRAW, MIN_CANDIDATES, inclusion, systematic
from ampbench.graph import Graph, split
from ampbench.interfaces import Posterior


class Reweighted(Posterior):
    """Draws of a posterior, resampled by the density of a surrogate.

    Arguments:
        proposal: the posterior q.
        model: the surrogate.
        latents, observed: names of the inferred and of the observed variables, with their numbers of components.
    """

    def __init__(self, proposal: AMPDensity, model: Graph, latents: dict[str, int], observed: dict[str, int]) -> None:
        self.proposal = proposal
        self._model = model
        self._latents, self._observed = latents, observed

    @torch.no_grad()
    def sample(self, observation: Tensor, n: int) -> Tensor:
        """Draw from the posterior: (L,) -> (n, D)."""
        drawn = self.proposal.sample(observation, max(MIN_CANDIDATES, CANDIDATES_PER_DRAW * n))
        return drawn[systematic(inclusion(self.log_weights(drawn, observation)[:, None], n))[:, 0]]

    @torch.no_grad()
    def log_weights(self, theta: Tensor, observation: Tensor) -> Tensor:
        """Return log w up to a constant, shape (N,), for theta (N, D) and an observation (L,)."""
        given = split(observation.expand(len(theta), -1), self._observed)
        values = {**split(theta, self._latents), **given}
        return self._model.log_prob(values, list(values)) - self.proposal.log_prob(theta, observation)


def effective_share(log_weights: Tensor) -> float:
    """Return the effective share of draws with these log-weights, shape (N,).

    Example:
        >>> effective_share(torch.tensor([0.0, 0.0, -100.0, -100.0]))
        0.5
    """
    weights = torch.softmax(log_weights.double(), 0)
    return float(1 / weights.square().sum() / len(weights))


def names_and_sizes(names: Sequence[str], values: dict[str, Tensor]) -> dict[str, int]:
    """Return the numbers of components of variables, by name, given values (n, D_i)."""
    return {name: values[name].shape[1] for name in names}
