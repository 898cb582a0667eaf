r"""Inference with learned factors: what is learned is used where held-out simulations say that it helps.

1. The inverse is trained on the simulations of the budget, as without learned factors.
2. The black-box factors are learned (:mod:`ampbench.amp.factors.fitting`), and the inverse is trained again, on draws of
   the surrogate, which cost no simulation. Held-out simulations choose its checkpoint.
3. If all families have a density, draws may be resampled by the density of the surrogate
   (:mod:`ampbench.amp.factors.importance`).

Each step is kept only if a proper score of held-out simulations of the true model falls. So a factor that its families
cannot describe is left aside.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch

from ampbench.amp.chains import BottomUp
from ampbench.amp.comparisons import LocalComparison, by_likelihood
from ampbench.amp.engine import Trained
from ampbench.amp.factors.importance import ImportanceRatio, improvement
from ampbench.amp.refinement import AdversaryRatio, Refinement, Resampled
from ampbench.amp.sources import Draws, Simulations, held_out_score
from ampbench.graph import Graph
from ampbench.graph.coordinates import Coordinates
from ampbench.interfaces import HasDensity

DRAWS = 100_000
"""Draws of the surrogate on which the inverse is trained."""


@dataclass(frozen=True)
class Attempt:
    """A trained inverse.

    Attributes:
        comparisons: its local comparisons.
        trained: families and adversaries.
        refinement: the adversary by which draws are resampled.
    """

    comparisons: Sequence[LocalComparison]
    trained: Trained[BottomUp]
    refinement: Refinement | None

    @property
    def chain(self) -> BottomUp | Resampled:
        """The chain that draws from the posterior."""
        families = self.trained.learned.bottom_up
        if self.refinement is None or self.refinement.adversary is None:
            return families
        return Resampled(families, AdversaryRatio(self.comparisons[0], self.refinement.adversary))


@dataclass(frozen=True)
class Choice:
    """What was tried, and what is used.

    Attributes:
        used: the inverse that is used.
        on_draws: whether it was trained on draws of the surrogate.
        scores: held-out scores of the inverse trained on simulations, and of the one trained on draws.
        ratio: the weights by which its draws are resampled; None if they are not.
        gain: by how much resampling lowers the logarithmic score, in nats; NaN if a density is missing.
        effective: effective share of the draws when resampled; NaN if a density is missing.
    """

    used: Attempt
    on_draws: bool
    scores: tuple[float, float]
    ratio: ImportanceRatio | None = None
    gain: float = math.nan
    effective: float = math.nan


def infer(
    first: Attempt,
    again: Callable[[Simulations], Attempt],
    source: Simulations,
    model: Graph,
    coordinates: Mapping[str, Coordinates],
    observed: Sequence[str],
) -> Choice:
    """Train the inverse on draws of the surrogate, compare it with the one trained on simulations, and weigh draws.

    Arguments:
        first: the inverse trained on simulations.
        again: trains a new inverse.
        source: the simulations, of which those held out are the measure.
        model: the surrogate.
        coordinates: of all variables.
        observed: names of the evidence.
    """
    device = first.trained.learned.bottom_up.device
    with torch.no_grad():
        drawn = {name: coordinates[name].encode(value).to(device) for name, value in model.sample(DRAWS).items()}
    second = again(Draws(drawn, source))
    global LAST; LAST=second
    scores = (_score(first, source, observed), _score(second, source, observed))
    used = second if scores[1] < scores[0] else first
    ratio = importance(used, model, coordinates, observed)
    if ratio is None:
        return Choice(used, used is second, scores)
    gain, effective = improvement(ratio, source.held_out)
    return Choice(used, used is second, scores, ratio if gain > 0 else None, gain, effective)


def importance(
    attempt: Attempt, model: Graph, coordinates: Mapping[str, Coordinates], observed: Sequence[str]
) -> ImportanceRatio | None:
    """Return the weights of the draws of an inverse; None if a density is missing or an adversary resamples draws."""
    bottom_up = attempt.trained.learned.bottom_up
    if attempt.refinement is not None or not all(isinstance(each, HasDensity) for each in bottom_up.conditionals):
        return None
    return ImportanceRatio(model, coordinates, bottom_up, bottom_up.chains[frozenset(observed)], observed)


def _score(attempt: Attempt, source: Simulations, observed: Sequence[str]) -> float:
    if by_likelihood(attempt.comparisons):
        return source.score(attempt.trained.learned.bottom_up, attempt.trained.learned.model)
    return held_out_score(attempt.chain, source.held_out, observed)
