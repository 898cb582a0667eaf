r"""Posteriors of adversarial message passing with learned factors: a mixture of the posteriors that were trained.

.. math:: q(\theta \mid x) = w_1\, q_1(\theta \mid x) + w_2\, q_2(\theta \mid x) + w_3\, r(\theta \mid x)

with the inverse :math:`q_1` that is trained on simulations, :math:`q_2` trained on draws of the surrogate, and r, the
resampled draws of both (:mod:`ampbench.amp.factors.reweighting`). The weights are those of
:mod:`ampbench.statistics.stacking`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, final

import torch
from torch import Tensor

from ampbench.amp.factors.fitting import LearnedFactor
from ampbench.amp.factors.reweighting import Reweighting, effective_share
from ampbench.amp.posterior import AMPDensity, AMPPosterior
from ampbench.interfaces import CanDiagnose, HasDensity, HasEffectiveShare, HasHistory, HasState, Posterior
from ampbench.interfaces import state as states
from ampbench.seeding import derive, seeded

if TYPE_CHECKING:
    from pandas import DataFrame

SIMULATIONS, DRAWS, RESAMPLED = "simulations", "draws", "resampled"
"""Names of the parts of the mixture."""
SHARE_DRAWS = 2000
"""Draws by which the effective share is estimated."""


@dataclass(frozen=True)
class Stacking:
    """The weights of the mixture, and how they were found.

    Attributes:
        weights: by part; a part without weight is not in the mixture, and they sum to 1.
        scores: the mean score of held-out simulations of each part that was tried, and of the mixture, ``stacked``;
            lower is better. It is −log q(θ | x) if all densities are known, else the log-distance score.
        draws: number of draws of the surrogate, which are no simulations.
    """

    weights: Mapping[str, float]
    scores: Mapping[str, float]
    draws: int


class FactorPosterior(Posterior, HasEffectiveShare, HasHistory, HasState, CanDiagnose):
    """The mixture, and the learned factors.

    Attributes:
        inverses: by part, the trained inverses that the mixture needs.
        factors: the learned factors.
        stacking: the weights of the mixture.
        reweighting: the part ``resampled``; None if it has no weight.
    """

    def __init__(
        self,
        inverses: Mapping[str, AMPPosterior],
        factors: Sequence[LearnedFactor],
        stacking: Stacking,
        reweighting: Reweighting | None,
    ) -> None:
        self.inverses = dict(inverses)
        self.factors = tuple(factors)
        self.stacking = stacking
        self.reweighting = reweighting

    def sample(self, observation: Tensor, n: int) -> Tensor:
        """Draw from the posterior: (L,) -> (n, D)."""
        weights = torch.tensor(list(self.stacking.weights.values()), dtype=torch.float64)
        counts = torch.multinomial(weights, n, replacement=True).bincount(minlength=len(weights)).tolist()
        parts = zip(self.stacking.weights, counts, strict=True)
        drawn = torch.cat([self._part(name).sample(observation, count) for name, count in parts if count])
        return drawn[torch.randperm(n)] if len(weights) > 1 else drawn

    def effective_share(self, observation: Tensor, seed: int = 0) -> float:
        """Return the effective share of the resampled draws at an observation (L,); 1 if none is resampled."""
        if self.reweighting is None:
            return 1.0
        with seeded(derive(seed, "share")):
            drawn = self.reweighting.propose(observation, SHARE_DRAWS)
            return effective_share(self.reweighting.log_weights(drawn, observation.expand(len(drawn), -1)))

    @property
    def main(self) -> AMPPosterior:
        """The inverse with the larger weight."""
        return self.inverses[max(self.inverses, key=lambda name: self.stacking.weights.get(name, 0.0))]

    @property
    def history(self) -> DataFrame:
        """Losses, gradient norms, learning rates and held-out scores of the main inverse: one row per check."""
        return self.main.history

    def diagnose(
        self,
        simulations: Mapping[str, Tensor] | None = None,
        teacher_forcing: bool = False,
        folds: int = 2,
        level: float = 0.01,
        seed: int = 0,
    ) -> DataFrame:
        """Test the main inverse at every tuple, and every learned factor, by two-sample tests.

        Arguments:
            simulations, teacher_forcing, folds, level, seed: see :meth:`ampbench.amp.posterior.AMPPosterior.diagnose`.

        Returns:
            One row per tuple, then one per learned factor, named (x | pa(x)).

        Raises:
            UsageError: too few simulations.
        """
        import pandas as pd

        tested = [each.diagnose(simulations, folds, level, seed) for each in self.factors]
        main = self.main.diagnose(simulations, teacher_forcing, folds, level, seed)
        return pd.concat([main, *tested], ignore_index=True)

    def state(self) -> dict[str, Tensor]:
        """Return the states of the inverses and of the factors, and the weights."""
        notes = {"weights": self.stacking.weights, "scores": self.stacking.scores, "draws": self.stacking.draws}
        parts: dict[str, Mapping[str, Tensor]] = {"stacking": {"notes": states.text(notes)}}
        parts |= {name: each.state() for name, each in self.inverses.items()}
        return states.joined(parts | {f"factor{i}": each.state() for i, each in enumerate(self.factors)})

    def _part(self, name: str) -> Posterior | Reweighting:
        if name != RESAMPLED:
            return self.inverses[name]
        assert self.reweighting is not None
        return self.reweighting


@final
class FactorDensity(FactorPosterior, HasDensity):
    """A posterior with a density: the inverses have one, and no draw is resampled."""

    def log_prob(self, value: Tensor, context: Tensor) -> Tensor:
        """Return log q(theta | x), shape ``(*,)``, for theta ``(*, D)`` and x ``(*, L)``."""
        parts = []
        for name, weight in self.stacking.weights.items():
            inverse = self.inverses[name]
            assert isinstance(inverse, AMPDensity)
            parts.append(inverse.log_prob(value, context) + torch.tensor(weight).log())
        return torch.stack(parts).logsumexp(0)


def posterior_of(
    inverses: Mapping[str, AMPPosterior],
    factors: Sequence[LearnedFactor],
    stacking: Stacking,
    reweighting: Reweighting | None,
) -> FactorPosterior:
    """Return the posterior of the parts that have weight: with a density if its draws have one."""
    resampled = RESAMPLED in stacking.weights
    kept = {name: each for name, each in inverses.items() if resampled or name in stacking.weights}
    known = not resampled and all(isinstance(each, AMPDensity) for each in kept.values())
    made = FactorDensity if known else FactorPosterior
    return made(kept, factors, stacking, reweighting if resampled else None)
