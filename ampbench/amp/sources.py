"""Sources of training data: top-down samples of the model, evidence for the bottom-up chain, and held-out scores."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ampbench.amp.chains import BottomUp
from ampbench.graph import join
from ampbench.statistics.scoring_rules import log_score

SCORE_PARTICLES = 32
"""Draws per held-out simulation for the held-out score."""


class Source(ABC):
    """Minibatches for both chains, in network coordinates, and a held-out score of the networks.

    Attributes:
        model: the learned conditionals, with parameters θ; a module without parameters if there are none.
    """

    model: nn.Module

    @abstractmethod
    def top_down(self, size: int) -> Any:
        """Return top-down samples of every variable, (size, D_i) each, differentiable in θ."""

    @abstractmethod
    def evidence(self, drawn: Any, size: int) -> Any:
        """Return evidence for every bottom-up chain, (size, D_i) per variable, given the top-down samples."""

    @abstractmethod
    def score(self, bottom_up: Any, model: nn.Module) -> float:
        """Return the score of families φ and model θ on held-out data; lower is better."""


class Simulations(Source):
    """Simulations that were drawn before the training. Their observed variables are the evidence.

    Arguments:
        simulations: in network coordinates, one tensor (n, D_i) per variable.
        observed: names of the observed variables.
        held_out: fraction of the simulations that is held out for the score.
        likelihood: whether the score is the density of the families, instead of a score of their samples.

    Attributes:
        held_out: the held-out simulations.
    """

    def __init__(
        self, simulations: Mapping[str, Tensor], observed: Sequence[str], held_out: float, likelihood: bool
    ) -> None:
        self.model = nn.Module()
        self.held_out, self._kept = split(simulations, held_out)
        self._observed = observed
        self._likelihood = likelihood

    def top_down(self, size: int) -> dict[str, Tensor]:
        """Return simulations chosen at random, with replacement."""
        return minibatch(self._kept, size)

    def evidence(self, drawn: Mapping[str, Tensor], size: int) -> Sequence[Mapping[str, Tensor]]:
        """Return the observed variables of the top-down samples."""
        return ({name: drawn[name] for name in self._observed},)

    def score(self, bottom_up: BottomUp, model: nn.Module) -> float:
        """Score the families on the held-out simulations."""
        if self._likelihood:
            return likelihood_score(bottom_up, self.held_out)
        return held_out_score(bottom_up, self.held_out, self._observed)


def split(rows: Mapping[str, Tensor], fraction: float) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Return the first ``fraction`` of the rows, at least one, and the rest; rows are independent draws."""
    n = len(next(iter(rows.values())))
    kept = min(max(1, round(fraction * n)), n - 1)
    return {k: v[:kept] for k, v in rows.items()}, {k: v[kept:] for k, v in rows.items()}


def minibatch(rows: Mapping[str, Tensor], size: int) -> dict[str, Tensor]:
    """Return ``size`` rows chosen at random with replacement, the same for every variable."""
    first = next(iter(rows.values()))
    chosen = torch.randint(len(first), (size,), device=first.device)
    return {name: value[chosen] for name, value in rows.items()}


@torch.no_grad()
def held_out_score(bottom_up: BottomUp, simulations: Mapping[str, Tensor], observed: Sequence[str]) -> float:
    """Return the mean log-distance score of the bottom-up chain over held-out simulations; lower is better."""
    latents = [factor.variable for factor in bottom_up.chains[frozenset(observed)]]
    drawn = join(bottom_up({name: simulations[name] for name in observed}, SCORE_PARTICLES), latents)
    return float(log_score(drawn, join(simulations, latents)).mean())


@torch.no_grad()
def likelihood_score(bottom_up: BottomUp, simulations: Mapping[str, Tensor]) -> float:
    """Return the mean of −log q over held-out simulations; lower is better."""
    return -float(bottom_up.log_prob(simulations, bottom_up.factors).mean())
