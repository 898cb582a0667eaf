"""Posteriors of adversarial message passing with learned factors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, final

from torch import Tensor

from ampbench.amp.diagnostics import diagnose
from ampbench.amp.factors.fitting import LearnedFactor
from ampbench.amp.factors.reweighting import Reweighting, effective_share
from ampbench.amp.posterior import AMPDensity, AMPPosterior
from ampbench.amp.stored_coordinates import parts_of
from ampbench.interfaces import CanDiagnose, HasDensity, HasHistory, HasState, Posterior
from ampbench.interfaces import state as states
from ampbench.seeding import derive, seeded

if TYPE_CHECKING:
    from pandas import DataFrame

SHARE_DRAWS = 2000
"""Draws by which the effective share is estimated."""


@dataclass(frozen=True)
class Choice:
    """Which of the posteriors that were tried is used.

    Attributes:
        on_draws: whether the inverse was trained on draws of the surrogate, rather than on simulations.
        resampled: whether its draws are resampled by the density of the surrogate.
        scores: the mean log-distance score of held-out simulations of each posterior that was tried; lower is better.
        draws: number of draws of the surrogate, which are no simulations.
    """

    on_draws: bool
    resampled: bool
    scores: Mapping[str, float]
    draws: int


class FactorPosterior(Posterior, HasHistory, HasState, CanDiagnose):
    """The chosen inverse, and the learned factors.

    Attributes:
        inverse: the trained inverse.
        factors: the learned factors.
        choice: the posteriors that were tried, and which of them is used.
        weights: by which draws of the inverse are resampled; None if they are not.
    """

    def __init__(
        self, inverse: AMPPosterior, factors: Sequence[LearnedFactor], choice: Choice, weights: Reweighting | None
    ) -> None:
        self.inverse = inverse
        self.factors = tuple(factors)
        self.choice = choice
        self.weights = weights if choice.resampled else None

    def sample(self, observation: Tensor, n: int) -> Tensor:
        """Draw from the posterior: (L,) -> (n, D)."""
        return (self.weights or self.inverse).sample(observation, n)

    def effective_share(self, observation: Tensor, seed: int = 0) -> float:
        """Return the effective share of the draws at an observation (L,), between 0 and 1; 1 if none is resampled."""
        if self.weights is None:
            return 1.0
        with seeded(derive(seed, "share")):
            return effective_share(self.weights.log_weights(self.inverse.sample(observation, SHARE_DRAWS), observation))

    @property
    def history(self) -> DataFrame:
        """Losses, gradient norms, learning rates and held-out scores of the inverse: one row per check."""
        return self.inverse.history

    def diagnose(
        self,
        simulations: Mapping[str, Tensor] | None = None,
        teacher_forcing: bool = False,
        folds: int = 2,
        level: float = 0.01,
        seed: int = 0,
    ) -> DataFrame:
        """Test the inverse at every tuple, and every learned factor, by two-sample tests.

        Arguments:
            simulations, teacher_forcing, folds, level, seed: see :meth:`ampbench.amp.posterior.AMPPosterior.diagnose`.

        Returns:
            One row per tuple, then one per learned factor, named (x | pa(x)).

        Raises:
            UsageError: too few simulations.
        """
        import pandas as pd

        found = [self.inverse.diagnose(simulations, teacher_forcing, folds, level, seed)]
        for each in self.factors:
            rows = each.held_out if simulations is None else _encoded(each, simulations)
            with seeded(derive(seed, "diagnose", each.factor.variable)):
                found.append(diagnose(each.chain_pair, *each.chain_pair.on_simulations(rows, True), folds, level))
        return pd.concat(found, ignore_index=True)

    def state(self) -> dict[str, Tensor]:
        """Return the states of the inverse and of the factors, and the choice."""
        choice = self.choice
        chosen = {"on_draws": choice.on_draws, "resampled": choice.resampled, "draws": choice.draws}
        parts = {"inverse": self.inverse.state(), "choice": {"notes": states.text({**chosen, "scores": choice.scores})}}
        return states.joined(parts | {f"factor{i}": _state(each) for i, each in enumerate(self.factors)})


@final
class FactorDensity(FactorPosterior, HasDensity):
    """A posterior with a density: the inverse has one, and its draws are not resampled."""

    def log_prob(self, value: Tensor, context: Tensor) -> Tensor:
        """Return log q(theta | x), shape ``(*,)``, for theta ``(*, D)`` and x ``(*, L)``."""
        assert isinstance(self.inverse, AMPDensity)
        return self.inverse.log_prob(value, context)


def posterior_of(
    inverse: AMPPosterior, factors: Sequence[LearnedFactor], choice: Choice, weights: Reweighting | None
) -> FactorPosterior:
    """Return the posterior: with a density if its draws have one."""
    known = isinstance(inverse, AMPDensity) and not choice.resampled
    return (FactorDensity if known else FactorPosterior)(inverse, factors, choice, weights)


def _encoded(factor: LearnedFactor, simulations: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: each.encode(simulations[name]).to(factor.density.device) for name, each in factor.coordinates.items()}


def _state(factor: LearnedFactor) -> dict[str, Tensor]:
    notes = states.text({"label": factor.label, "scores": factor.scores})
    parts = {"density": factor.density.state_dict(), **parts_of(factor.coordinates), "held_out": factor.held_out}
    return states.joined(parts | {"choice": {"notes": notes}})
