"""The prior as if it were the posterior: what a method that learns nothing scores."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor

from ampbench.graph import Simulator
from ampbench.graph.prior import LatentPrior
from ampbench.interfaces import HasDensity, Method, Posterior, Progress, check_observation


@final
class Prior(Method):
    """The prior; it spends no simulation, whatever the budget."""

    def fit(self, simulator: Simulator, device: torch.device, progress: Progress) -> Posterior:
        """Return the prior."""
        prior = LatentPrior(simulator.graph, simulator.latents)
        made = _PriorPosterior if prior.fault else _PriorDensity
        return made(prior, simulator.graph.size(simulator.observed))


class _PriorPosterior(Posterior):
    """The prior, which checks the observation and ignores it."""

    def __init__(self, prior: LatentPrior, features: int | None) -> None:
        self._prior = prior
        self._features = features

    def sample(self, observation: Tensor, n: int) -> Tensor:
        """Draw (n, D) from the prior."""
        check_observation(observation, self._features)
        return self._prior.sample((n,))


@final
class _PriorDensity(_PriorPosterior, HasDensity):
    """A prior whose density is known."""

    def log_prob(self, value: Tensor, context: Tensor) -> Tensor:
        """Return log p(theta), shape (*,), for theta (*, D)."""
        return self._prior.log_prob(value)
