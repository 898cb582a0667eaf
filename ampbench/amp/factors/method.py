r"""Adversarial message passing with learned factors: what a black-box simulator does not say, the engine learns.

1. The inverse is trained on the simulations of the budget; not if a divergence needs the likelihood of a black box.
2. A conditional density is learned for every black-box factor (:mod:`ampbench.amp.factors.fitting`). The inverse is
   trained again, on draws of this surrogate, which cost no simulation; simulations choose its checkpoint. A divergence
   that needs an unknown likelihood takes that of the surrogate.
3. Draws of both inverses are resampled by the density of the surrogate, if all densities are known
   (:mod:`ampbench.amp.factors.reweighting`).

The posterior is the mixture of these with the best score of held-out simulations (:mod:`ampbench.amp.factors.stack`).
So a factor that its families cannot describe is left aside. Of repeated variables
(:mod:`ampbench.amp.factors.templates`), one inverse of the two is chosen.

References:
    Karaletsos 2016, *Adversarial message passing for graphical models*, arXiv:1612.05048, Algorithm 1, section 5.4.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Annotated, Any, final

import torch
from torch import Tensor

from ampbench.amp.engine import Settings
from ampbench.amp.factors.dequantisation import is_whole
from ampbench.amp.factors.fitting import LearnedFactor, black_boxes, learn_factor, restore
from ampbench.amp.factors.posterior import DRAWS, RESAMPLED, SIMULATIONS, FactorPosterior, Stacking, posterior_of
from ampbench.amp.factors.stack import reweighting_of, stack
from ampbench.amp.factors.surrogate import surrogate, with_densities
from ampbench.amp.factors.templates import TemplateChoice, TemplateFactorPosterior, draw_blocks, repeats, single
from ampbench.amp.method import AMP
from ampbench.amp.posterior import AMPPosterior
from ampbench.amp.sources import split
from ampbench.amp.templates.method import TemplateAMP
from ampbench.amp.templates.posterior import Model
from ampbench.amp.templates.sources import score
from ampbench.errors import FitWarning, UsageError, unknown
from ampbench.graph import Factor, Graph, Simulator
from ampbench.graph.coordinates import is_partly_discrete
from ampbench.interfaces import CanRestore, Default, Family, HasRevision, Method, Progress
from ampbench.interfaces import state as states
from ampbench.interfaces.state import State
from ampbench.options import half_open

LEARNING_RATE = 5e-4
"""Peak learning rate of the learned factors."""
MAX_DRAWS = 10**7
"""Upper bound of draws; larger numbers are refused as mistakes."""
REVISION = "amp-learned==2"
"""Part of the keys of runs: the posterior is a mixture, where it was one of its parts."""


@final
class LearnedFactors(Method, CanRestore, HasRevision):
    """Adversarial message passing that learns the black-box factors of the model.

    Arguments:
        amp: trains the inverse.
        factors: the family of all learned factors; it needs a density.
        alternatives: by any label, further families that are tried for these factors.
        factor: by the name of a variable, the only family that is tried for its learned factor.
        draws: number of draws of the surrogate on which the inverse is trained; of repeated variables, each repeat
            counts.
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
        if not isinstance(amp, AMP | TemplateAMP):
            raise UsageError(
                f"method 'amp-learned' needs the method 'amp' or 'amp-templates' inside, got {type(amp).__name__}"
            )
        half_open(self, draws=(draws, 100, MAX_DRAWS))
        self.amp = amp
        self.candidates = {"factors": factors, **alternatives}
        self.factor = factor
        self.draws = draws

    def fit(
        self, simulator: Simulator, device: torch.device, progress: Progress
    ) -> FactorPosterior | TemplateFactorPosterior:
        """Spend the whole budget, train, learn, train again, and mix; of repeated variables, choose."""
        if isinstance(self.amp, TemplateAMP):
            return self._fit_template(self.amp, simulator, device, progress)
        learned = self._black_boxes(simulator.graph)
        values = simulator.sample(simulator.remaining)
        settings = self.amp.settings.on(len(next(iter(values.values()))))
        steps = self._steps(learned, settings, progress)

        inverses, first = {}, steps.next(1)
        unlearnable = self._some_unlearnable(learned, simulator.graph)
        if unlearnable or not self.amp.lacks_likelihood(simulator):
            inverses[SIMULATIONS] = self.amp.fit(Served(simulator, values), device, first)
        if unlearnable:
            return posterior_of(inverses, (), Stacking({SIMULATIONS: 1.0}, {}, 0), None)
        factors = [self._learn(each, simulator.graph, values, settings, device, steps) for each in learned]
        held_out, _ = split(values, settings.held_out)
        model = surrogate(simulator.graph, factors)
        drawn = {name: value for name, value in model.sample(self.draws).items() if name in values}
        graph = simulator.graph if inverses else with_densities(model)
        inverses[DRAWS] = _again(self.amp, settings, held_out, drawn, simulator, graph, device, steps.next(1))
        return stack(inverses, factors, model, simulator, held_out, self.draws)

    def _fit_template(
        self, amp: TemplateAMP, simulator: Simulator, device: torch.device, progress: Progress
    ) -> TemplateFactorPosterior:
        graph = Model.of(simulator).graph
        learned = self._black_boxes(graph)
        singles = [single(graph, each) for each in learned]
        prepared = amp.prepare(simulator, device)
        settings = replace(amp.settings, particles=1)
        steps = self._steps(learned, settings, progress)

        first = amp.train_on(prepared, prepared.kept, device, steps.next(1))
        if self._some_unlearnable(learned, graph):
            return TemplateFactorPosterior(first, (), TemplateChoice(False, {}, 0))
        factors = [
            self._learn(each, alone, repeats(prepared, each), settings, device, steps)
            for each, alone in zip(learned, singles, strict=True)
        ]
        drawn, total = draw_blocks(surrogate(graph, factors), prepared, self.draws, device)
        second = amp.train_on(prepared, drawn, device, steps.next(1))
        scores = {name: score(first.held_out, q.views) for name, q in ((SIMULATIONS, first), (DRAWS, second))}
        on_draws = scores[DRAWS] < scores[SIMULATIONS]
        return TemplateFactorPosterior(second if on_draws else first, factors, TemplateChoice(on_draws, scores, total))

    def revision(self, graph: Graph, observed: Sequence[str]) -> str:
        """Return the revisions of the mixture and of the inverse."""
        return f"{REVISION} {self.amp.revision(graph, observed)}" if isinstance(self.amp, HasRevision) else REVISION

    def restore(
        self, simulator: Simulator, state: Mapping[str, Tensor], device: torch.device
    ) -> FactorPosterior | TemplateFactorPosterior:
        """Build the networks of a state, and load their parameters; see :class:`ampbench.interfaces.CanRestore`."""
        parts = states.parts(state)
        if isinstance(self.amp, TemplateAMP):
            inverse = self.amp.restore(simulator, parts["inverse"], device)
            graph = inverse.model.graph
            factors = self._restored(graph, {each: single(graph, each) for each in black_boxes(graph)}, parts, device)
            return TemplateFactorPosterior(inverse, factors, TemplateChoice(**_notes(parts, "choice")))
        trained = {name: parts[name] for name in (SIMULATIONS, DRAWS) if name in parts}
        inverses = {name: self.amp.restore(simulator, each, device) for name, each in trained.items()}
        graph = simulator.graph
        factors = self._restored(graph, dict.fromkeys(self._black_boxes(graph), graph), parts, device)
        stacking = Stacking(**_notes(parts, "stacking"))
        resampled = RESAMPLED in stacking.weights
        reweighting = reweighting_of(inverses, surrogate(graph, factors), simulator) if resampled else None
        return posterior_of(inverses, factors, stacking, reweighting)

    def _restored(
        self, graph: Graph, alone: Mapping[Factor, Graph], parts: Mapping[str, State], device: torch.device
    ) -> list[LearnedFactor]:
        """Return the learned factors of a state, given the graphs in which they were learned."""
        kept = [(each, parts[f"factor{i}"]) for i, each in enumerate(alone) if f"factor{i}" in parts]
        return [restore(each, alone[each], state, self._families(each), device) for each, state in kept]

    def _steps(self, learned: Sequence[Factor], settings: Settings, progress: Progress) -> _Steps:
        return _Steps(progress, settings.steps, 2 + sum(len(self._families(each)) for each in learned))

    def _learn(
        self,
        factor: Factor,
        graph: Graph,
        values: Mapping[str, Tensor],
        settings: Settings,
        device: torch.device,
        steps: _Steps,
    ) -> LearnedFactor:
        families = self._families(factor)
        settings = replace(settings, learning_rate=LEARNING_RATE, weight_decay=0.0)
        return learn_factor(factor, graph, values, families, settings, device, steps.next(len(families)))

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

    def _some_unlearnable(self, learned: Sequence[Factor], graph: Graph) -> bool:
        """Return whether a variable has discrete components, not whole numbers, and no option names a family for it.

        Warns:
            FitWarning: one has.
        """
        for each in learned:
            support = graph[each.variable].support
            discrete = support.is_discrete or is_partly_discrete(support)
            if discrete and each.variable not in self.factor and not is_whole(support):
                warnings.warn(_left_aside(each, graph), FitWarning, stacklevel=3)
                return True
        return False

    def _families(self, factor: Factor) -> Mapping[str, Family]:
        only = self.factor.get(factor.variable)
        return self.candidates if only is None else {"factor": only}


def _notes(parts: Mapping[str, State], name: str) -> dict[str, Any]:
    return states.read_text(parts[name]["notes"])


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
        graph: the model; by default that of the source.
    """

    def __init__(self, source: Simulator, values: Mapping[str, Tensor], graph: Graph | None = None) -> None:
        budget = len(next(iter(values.values())))
        super().__init__(graph or source.graph, source.observed, budget, source.seed, source.failed, source.codes)
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
    graph: Graph,
    device: torch.device,
    progress: Progress,
) -> AMPPosterior:
    """Train a new inverse on draws of the surrogate; the held-out simulations choose its checkpoint."""
    values = {name: torch.cat([held_out[name], drawn[name]]) for name in drawn}
    held, total = (len(next(iter(each.values()))) for each in (held_out, values))
    made = copy.copy(amp)
    made.settings = replace(settings, held_out=held / total, weight_decay=0.0)
    return made.fit(Served(simulator, values, graph), device, progress)
