"""The prior as a method: the score of a method that learns nothing from the observation."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor

from ampbench.graph import Simulator
from ampbench.graph.prior import LatentPrior
from ampbench.interfaces import HasDensity, Method, Posterior, Progress, check_observation
from ampbench.interfaces.method import ReadsGaps


@final
class Prior(Method, ReadsGaps):
    """The prior in place of the posterior; it spends no simulations."""

    drop_bias = ""

    def fit(self, simulator: Simulator, device: torch.device, progress: Progress) -> Posterior:
        """Return the prior."""
        prior = LatentPrior(simulator.graph, simulator.latents)
        posterior = _PriorPosterior if prior.fault else _PriorDensity
        return posterior(prior, simulator.graph.size(simulator.observed), bool(simulator.gaps))


class _PriorPosterior(Posterior):
    """The prior; it validates the observation, but does not depend on it."""

    def __init__(self, prior: LatentPrior, features: int | None, gaps: bool) -> None:
        self._prior = prior
        self._features = features
        self._gaps = gaps

    def sample(self, observation: Tensor, n: int) -> Tensor:
        """Draw (n, D) from the prior."""
        check_observation(observation, self._features, self._gaps)
        return self._prior.sample((n,))


@final
class _PriorDensity(_PriorPosterior, HasDensity):
    """A prior with a known density."""

    def log_prob(self, value: Tensor, context: Tensor) -> Tensor:
        """Return log p(theta), shape (*,), for theta (*, D)."""
        return self._prior.log_prob(value)
