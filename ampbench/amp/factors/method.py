r"""Adversarial message passing with learned factors: what a black-box simulator does not say, the engine learns.

1. The inverse is trained on the simulations of the budget.
2. A conditional density is learned for every black-box factor (:mod:`ampbench.amp.factors.fitting`). The inverse is
   trained again on draws of this surrogate, which cost no simulation; simulations choose its checkpoint.
3. If all families have a density, the draws of both are resampled by the density of the surrogate
   (:mod:`ampbench.amp.factors.reweighting`).

Of the four posteriors, the one with the best score of held-out simulations of the true model is used, the log-distance
score of :mod:`ampbench.statistics.scoring_rules`, which is proper. So a factor that its families cannot describe is left
aside.

References:
    Karaletsos 2016, *Adversarial message passing for graphical models*, arXiv:1612.05048, Algorithm 1, section 5.4.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Annotated, final

import torch
from torch import Tensor

from ampbench.amp.factors.fitting import LearnedFactor, black_boxes, candidates, learn_factor
from ampbench.amp.factors.reweighting import Reweighted, names_and_sizes
from ampbench.amp.factors.surrogate import draw_within, surrogate
from ampbench.amp.method import AMP
from ampbench.amp.posterior import AMPDensity
from ampbench.amp.sources import split as split_rows
from ampbench.errors import UsageError
from ampbench.graph import Graph, Simulator, join
from ampbench.interfaces import Default, Family, Method, Posterior, Progress
from ampbench.statistics.scoring_rules import log_score

SCORED = 300
"""Held-out simulations, at most, by which posteriors are compared."""
SCORE_DRAWS = 32
"""Draws for each of them."""


@final
class LearnedFactors(Method):
    """Adversarial message passing that learns the black-box factors of the model.

    Arguments:
        amp: trains the inverse.
        factors: the family of all learned factors, or ``several``.
        factor: by the name of a variable, the family of its learned factor.
        draws: number of draws of the surrogate on which the inverse is trained.
        steps: steps of this training, and of that of each factor; 0: as many as those of ``amp``.
    """

    drop_bias = "draws of the learned factors have no failed simulations, but the prior weighs them"

    def __init__(
        self,
        amp: Annotated[Method, Default("amp(divergence=forward-kl,family=flow)")],
        factors: Annotated[Family, Default("several")],
        factor: Mapping[str, Family] = MappingProxyType({}),
        draws: int = 100_000,
        steps: int = 0,
    ) -> None:
        if not isinstance(amp, AMP):
            raise UsageError(f"learned factors need the method 'amp' inside, not {type(amp).__name__}")
        self.amp = amp
        self.factors = factors
        self.factor = factor
        self.draws = draws
        self.steps = steps

    def fit(self, simulator: Simulator, device: torch.device, progress: Progress) -> Posterior:
        """Spend the whole budget, train, learn, train again, and choose."""
        values = simulator.sample(simulator.remaining)
        settings = self.amp.settings.on(len(next(iter(values.values()))))
        held_out, kept = split_rows(values, settings.held_out)
        first = self.amp.fit(Served(simulator, simulator.graph, values), device, progress)
        factors = [
            learn_factor(
                each, simulator.graph, values, candidates(self.factor.get(each.variable, self.factors)),
                replace(settings, steps=self.steps or settings.steps, learning_rate=5e-4, weight_decay=0.0), device, progress,
            )
            for each in black_boxes(simulator.graph)
        ]
        model = surrogate(simulator.graph, factors)
        drawn = draw_within(model, values, self.draws)
        joined = {name: torch.cat([held_out[name], drawn[name]]) for name in values}
        share = len(next(iter(held_out.values()))) / len(next(iter(joined.values())))
        second = self._again(share, settings.steps).fit(Served(simulator, model, joined), device, progress)
        latents, observed = (names_and_sizes(names, values) for names in (simulator.latents, simulator.observed))
        tried: dict[str, Posterior] = {"simulations": first, "draws": second}
        for label, each in list(tried.items()):
            if isinstance(each, AMPDensity):
                tried[f"{label}, resampled"] = Reweighted(each, model, latents, observed)
        scores = {label: score(each, held_out, list(latents), list(observed)) for label, each in tried.items()}
        self.report = {"factors": factors, "scores": scores, "tried": tried}
        return tried[min(scores, key=lambda label: scores[label])]

    def _again(self, held_out: float, steps: int) -> AMP:
        made = copy.copy(self.amp)
        made.settings = replace(self.amp.settings, held_out=held_out, steps=self.steps or steps, weight_decay=0.0)
        return made


class Served(Simulator):
    """A simulator that returns values that are there already, in the place of draws."""

    def __init__(self, source: Simulator, graph: Graph, values: Mapping[str, Tensor]) -> None:
        super().__init__(source.graph, source.observed, len(next(iter(values.values()))), source.seed)
        self._values = values

    def sample(
        self, n: int, given: Mapping[str, Tensor] | None = None, sizes: Mapping[str, int] = MappingProxyType({})
    ) -> dict[str, Tensor]:
        """Return the values."""
        return dict(self._values)


@torch.no_grad()
def score(posterior: Posterior, held_out: Mapping[str, Tensor], latents: list[str], observed: list[str]) -> float:
    """Return the mean log-distance score over held-out simulations; lower is better."""
    theta, x = join(held_out, latents)[:SCORED], join(held_out, observed)[:SCORED]
    scale = theta.std(0).clamp_min(torch.finfo(theta.dtype).tiny)
    drawn = torch.stack([posterior.sample(each, SCORE_DRAWS) for each in x], dim=1)
    return float(log_score(drawn / scale, theta / scale).mean())
