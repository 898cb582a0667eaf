r"""Adversarial message passing with learned factors: what a black-box simulator does not say, the engine learns.

1. The inverse is trained on the simulations of the budget.
2. A conditional density is learned for every black-box factor (:mod:`ampbench.amp.factors.fitting`). The inverse is
   trained again, on draws of this surrogate, which cost no simulation; simulations choose its checkpoint.
3. The draws of both inverses are resampled by the density of the surrogate, if all densities are known
   (:mod:`ampbench.amp.factors.reweighting`).

Of these posteriors, the one with the best score of held-out simulations is used, the log-distance score of
:mod:`ampbench.statistics.scoring_rules`, which is proper. So a factor that its families cannot describe is left aside.

References:
    Karaletsos 2016, *Adversarial message passing for graphical models*, arXiv:1612.05048, Algorithm 1, section 5.4.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Annotated, final

import torch
from torch import Tensor

from ampbench.amp.engine import Settings
from ampbench.amp.factors.fitting import LearnedFactor, assemble, black_boxes, learn_factor
from ampbench.amp.factors.posterior import Choice, FactorPosterior, posterior_of
from ampbench.amp.factors.reweighting import Reweighting
from ampbench.amp.factors.surrogate import draw_within, surrogate
from ampbench.amp.method import AMP
from ampbench.amp.posterior import AMPDensity, AMPPosterior
from ampbench.amp.sources import split
from ampbench.amp.stored_coordinates import from_parts
from ampbench.errors import FitWarning, UsageError, unknown
from ampbench.graph import Factor, Graph, Simulator, join
from ampbench.graph.coordinates import is_partly_discrete
from ampbench.interfaces import CanRestore, Default, Family, HasRevision, Method, Posterior, Progress
from ampbench.interfaces import state as states
from ampbench.interfaces.state import State
from ampbench.options import half_open
from ampbench.statistics.scoring_rules import log_score

LEARNING_RATE = 5e-4
"""Peak learning rate of the learned factors."""
MAX_DRAWS = 10**7
"""Upper bound of draws; larger numbers are refused as mistakes."""
SCORED = 300
"""Held-out simulations, at most, by which posteriors are compared."""
SCORE_DRAWS = 32
"""Draws for each of them."""


@final
class LearnedFactors(Method, CanRestore, HasRevision):
    """Adversarial message passing that learns the black-box factors of the model.

    Arguments:
        amp: trains the inverse.
        factors: the family of all learned factors; it needs a density.
        alternatives: by any label, further families that are tried for these factors.
        factor: by the name of a variable, the only family that is tried for its learned factor.
        draws: number of draws of the surrogate on which the inverse is trained.
    """

    drop_bias = "the surrogate draws parameters whose simulations would have failed"

    def __init__(
        self,
        amp: Annotated[Method, Default("amp(divergence=forward-kl,family=flow)")],
        factors: Annotated[Family, Default("maf")],
        alternatives: Mapping[str, Family] = MappingProxyType({}),
        factor: Mapping[str, Family] = MappingProxyType({}),
        draws: int = 100_000,
    ) -> None:
        if not isinstance(amp, AMP):
            raise UsageError(f"method 'amp-learned' needs the method 'amp' inside, got {type(amp).__name__}")
        half_open(self, draws=(draws, 100, MAX_DRAWS))
        self.amp = amp
        self.candidates = {"factors": factors, **alternatives}
        self.factor = factor
        self.draws = draws

    def fit(self, simulator: Simulator, device: torch.device, progress: Progress) -> FactorPosterior:
        """Spend the whole budget, train, learn, train again, and choose."""
        learned = self._black_boxes(simulator.graph)
        values = simulator.sample(simulator.remaining)
        settings = self.amp.settings.on(len(next(iter(values.values()))))
        steps = _Steps(progress, settings.steps, 2 + sum(len(self._families(each)) for each in learned))

        first = self.amp.fit(Served(simulator, values), device, steps.next(1))
        for each in learned:
            if self._is_unlearnable(each, simulator.graph):
                warnings.warn(_left_aside(each, simulator.graph), FitWarning, stacklevel=2)
                return posterior_of(first, (), Choice(False, False, {}, 0), None)
        factors = [
            learn_factor(
                each,
                simulator.graph,
                values,
                self._families(each),
                replace(settings, learning_rate=LEARNING_RATE, weight_decay=0.0),
                device,
                steps.next(len(self._families(each))),
            )
            for each in learned
        ]
        held_out, _ = split(values, settings.held_out)
        model, names = surrogate(simulator.graph, factors), [each.variable for each in learned]
        drawn = draw_within(model, values, names, self.draws)
        second = _again(self.amp, settings, held_out, drawn, simulator, device, steps.next(1))
        return _best({False: first, True: second}, factors, model, simulator, held_out, self.draws)

    def revision(self, graph: Graph, observed: Sequence[str]) -> str:
        """Return the revision of the inverse."""
        return self.amp.revision(graph, observed)

    def restore(self, simulator: Simulator, state: Mapping[str, Tensor], device: torch.device) -> FactorPosterior:
        """Build the networks of a state, and load their parameters; see :class:`ampbench.interfaces.CanRestore`."""
        parts = states.parts(state)
        inverse = self.amp.restore(simulator, parts["inverse"], device)
        learned = self._black_boxes(simulator.graph)
        kept = [(each, parts[f"factor{i}"]) for i, each in enumerate(learned) if f"factor{i}" in parts]
        factors = [self._restored(each, simulator.graph, state, device) for each, state in kept]
        choice = Choice(**states.read_text(parts["choice"]["notes"]))
        weights = _weights(inverse, surrogate(simulator.graph, factors), simulator)
        return posterior_of(inverse, factors, choice, weights)

    def _black_boxes(self, graph: Graph) -> tuple[Factor, ...]:
        """Return the factors to learn.

        Raises:
            UsageError: there is none, or an option names another variable.
        """
        found = black_boxes(graph)
        if not found:
            raise UsageError(
                f"the model has no black-box factor: {', '.join(graph.names)} have densities; take 'amp', with "
                "kl-likelihood if the likelihood is to be used"
            )
        for name in sorted(self.factor.keys() - {each.variable for each in found}):
            raise unknown("black-box factor", name, [each.variable for each in found])
        return found

    def _is_unlearnable(self, factor: Factor, graph: Graph) -> bool:
        """Return whether a variable has discrete components, and no option names a family for it."""
        support = graph[factor.variable].support
        return factor.variable not in self.factor and (support.is_discrete or is_partly_discrete(support))

    def _families(self, factor: Factor) -> Mapping[str, Family]:
        only = self.factor.get(factor.variable)
        return self.candidates if only is None else {"factor": only}

    def _restored(self, factor: Factor, graph: Graph, state: State, device: torch.device) -> LearnedFactor:
        """Build a learned factor from its state."""
        parts = states.parts(state)
        coordinates = from_parts(parts, graph, (factor.variable, *factor.context))
        notes = states.read_text(parts["choice"]["notes"])
        families = self._families(factor)
        if notes["label"] not in families:
            raise UsageError(
                f"the state has a factor of {factor.variable!r} whose family is the option {notes['label']!r}, but the "
                f"options name {', '.join(families)}; give the options that it was made with"
            )
        density, comparisons = assemble(factor, graph, coordinates, families[notes["label"]], device)
        states.load(density, parts["density"], "this family")
        density.requires_grad_(False).eval()
        held_out = {name: value.to(device) for name, value in parts["held_out"].items()}
        return LearnedFactor(factor, notes["label"], density, comparisons, coordinates, notes["scores"], held_out)


def _left_aside(factor: Factor, graph: Graph) -> str:
    return (
        f"no density is learned for the black-box factor {factor}, whose variable is discrete "
        f"({graph[factor.variable].support}); the inverse trained on simulations is used. The option "
        f"factor.{factor.variable}=… names a family of such values"
    )


class Served(Simulator):
    """A simulator that returns values that are there already, in the place of draws.

    Arguments:
        source: the simulator whose model, seed and treatment of failures it has.
        values: one tensor (n, D_i) per variable.
    """

    def __init__(self, source: Simulator, values: Mapping[str, Tensor]) -> None:
        budget = len(next(iter(values.values())))
        super().__init__(source.graph, source.observed, budget, source.seed, source.failed, source.codes)
        self._values = values

    def sample(
        self, n: int, given: Mapping[str, Tensor] | None = None, sizes: Mapping[str, int] = MappingProxyType({})
    ) -> dict[str, Tensor]:
        """Return the values."""
        return dict(self._values)


class _Steps:
    """Progress of several trainings after one another."""

    def __init__(self, progress: Progress, steps: int, trainings: int) -> None:
        self._progress, self._steps, self._total, self._before = progress, steps, steps * trainings, 0

    def next(self, trainings: int) -> Progress:
        """Return the progress of the next part, of so many trainings."""
        start = self._before
        self._before += trainings * self._steps
        return lambda done, total: self._progress(start + round(trainings * self._steps * done / total), self._total)


def _again(
    amp: AMP,
    settings: Settings,
    held_out: Mapping[str, Tensor],
    drawn: Mapping[str, Tensor],
    simulator: Simulator,
    device: torch.device,
    progress: Progress,
) -> AMPPosterior:
    """Train a new inverse on draws of the surrogate; the held-out simulations choose its checkpoint."""
    values = {name: torch.cat([held_out[name], drawn[name]]) for name in drawn}
    held, total = (len(next(iter(each.values()))) for each in (held_out, values))
    made = copy.copy(amp)
    made.settings = replace(settings, held_out=held / total, weight_decay=0.0)
    return made.fit(Served(simulator, values), device, progress)


def _weights(inverse: AMPPosterior, model: Graph, simulator: Simulator) -> Reweighting | None:
    """Return the weights of the draws of an inverse by the density of the surrogate; None if the inverse has none."""
    if not isinstance(inverse, AMPDensity):
        return None
    latents, observed = (
        {name: inverse.sizes[name] for name in names} for names in (simulator.latents, simulator.observed)
    )
    return Reweighting(inverse, model, latents, observed)


def _best(
    inverses: Mapping[bool, AMPPosterior],
    factors: Sequence[LearnedFactor],
    model: Graph,
    simulator: Simulator,
    held_out: Mapping[str, Tensor],
    draws: int,
) -> FactorPosterior:
    """Return the posterior with the best score of held-out simulations."""
    tried: dict[str, FactorPosterior] = {}
    for on_draws, inverse in inverses.items():
        weights = _weights(inverse, model, simulator)
        for resampled in (False, True) if weights else (False,):
            label = f"{'draws' if on_draws else 'simulations'}{', resampled' if resampled else ''}"
            tried[label] = posterior_of(inverse, factors, Choice(on_draws, resampled, {}, draws), weights)
    scores = {label: score(posterior, held_out, simulator) for label, posterior in tried.items()}
    best = tried[min(scores, key=lambda label: scores[label])]
    return posterior_of(best.inverse, factors, replace(best.choice, scores=scores), best.weights)


@torch.no_grad()
def score(posterior: Posterior, held_out: Mapping[str, Tensor], simulator: Simulator) -> float:
    """Return the mean log-distance score of held-out simulations, in standard deviations of theta; lower is better."""
    theta, x = (join(held_out, names)[:SCORED] for names in (simulator.latents, simulator.observed))
    scale = theta.std(0).clamp_min(torch.finfo(theta.dtype).tiny)
    drawn = torch.stack([posterior.sample(each, SCORE_DRAWS) for each in x], dim=1)
    return float(log_score(drawn / scale, theta / scale).mean())
