r"""Adversarial message passing for repeated variables: one family and one adversary for all repeats of a latent.

The inverse of the template is derived once (:mod:`ampbench.graph.template`). In every step of Algorithm 1 (Karaletsos
2016) the adversary of a latent sees a random part of its repeats, in simulations whose sizes vary, so that the trained
networks infer the latents of evidence of any size.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Annotated, Literal, final

import torch
from torch import Tensor, nn

from ampbench.amp.engine import PENALTY_EVERY, TRAINING, Learned, Settings, Trained, UnfinishedTrainingError, train
from ampbench.amp.method import check_discrete
from ampbench.amp.stored_coordinates import from_parts
from ampbench.amp.templates.batches import Batch
from ampbench.amp.templates.chain import TemplateBottomUp
from ampbench.amp.templates.global_views import GlobalViews
from ampbench.amp.templates.posterior import Model, TemplatePosterior
from ampbench.amp.templates.ratio_training import resampling_steps, train_ratios
from ampbench.amp.templates.resampling import Resampling, resampling_from
from ampbench.amp.templates.sources import Prepared, TemplateSimulations, simulate
from ampbench.amp.templates.views import TemplateViews
from ampbench.errors import TrainingError, unknown
from ampbench.graph import Graph, Simulator
from ampbench.graph.coordinates import Coordinates
from ampbench.interfaces import (
    CanRestore,
    Default,
    Divergence,
    Family,
    HasRevision,
    Method,
    Progress,
    UnfinishedFitError,
)
from ampbench.interfaces import state as states
from ampbench.options import at_least
from ampbench.seeding import seeded

RESAMPLING = "amp-templates-resampling==1"
"""Part of the keys of runs with resampling, which a divergence could ask for without effect before."""

REMEDY = "raise steps or the budget, or take a richer family; posterior.diagnose() says more"
"""Advice for fits whose adversaries still distinguish the chains."""


@final
class TemplateAMP(Method, CanRestore, HasRevision):
    """Adversarial message passing with shared factors and messages.

    Arguments:
        divergence, family, divergences, families: as for ``amp``; names are those of repeated variables.
        scope: ``local``: one adversary per factor; ``global``: a single one on all variables, for comparison.
        steps: updates of both players.
        batch_size: simulations per step, at most; fewer of large sizes.
        repeats: repeats of every factor that a step takes, out of those of all simulations.
        particles, teacher_forcing, learning_rate, adversary_learning_rate, penalty, ema, held_out, checks: as for
            ``amp``.
        penalty_every: k, the gradient penalties are added in every k-th step, with k times the weight.
        messages: number of features of a message.
    """

    def __init__(
        self,
        divergence: Annotated[Divergence, Default("jsd(refine=0)")],
        family: Annotated[Family, Default("implicit")],
        divergences: Mapping[str, Divergence] = MappingProxyType({}),
        families: Mapping[str, Family] = MappingProxyType({}),
        scope: Literal["local", "global"] = "local",
        steps: int = 4000,
        batch_size: int = 256,
        repeats: int = 1024,
        particles: int = 1,
        teacher_forcing: bool = True,
        learning_rate: float = 5e-4,
        adversary_learning_rate: float = 5e-3,
        penalty: float = 1.25e-3,
        penalty_every: int = PENALTY_EVERY,
        ema: float = 0.995,
        held_out: float = 0.05,
        checks: int = 20,
        messages: int = 64,
    ) -> None:
        at_least(self, repeats=(repeats, 1), messages=(messages, 1))
        self.divergence = divergence
        self.family = family
        self.divergences = divergences
        self.drop_bias = next((each.drop_bias for each in (divergence, *divergences.values()) if each.drop_bias), "")
        self.families = families
        self.scope = scope
        self.repeats = repeats
        self.messages = messages
        self.settings = Settings(
            steps=steps,
            batch_size=batch_size,
            particles=particles,
            teacher_forcing=teacher_forcing,
            learning_rate=learning_rate,
            adversary_learning_rate=adversary_learning_rate,
            weight_decay=0.0,
            penalty=penalty,
            ema=ema,
            held_out=held_out,
            checks=checks,
            patience=checks,
            penalty_every=penalty_every,
        )

    def fit(self, simulator: Simulator, device: torch.device, progress: Progress) -> TemplatePosterior:
        """Spend the whole budget, and train on all sizes of the axes.

        Arguments:
            simulator: of a graph with axes, or of the flat graph of one, such as that of :meth:`Graph.ground`.
            device: any torch device.
            progress: called with (steps done, steps in all).

        Raises:
            UsageError: the graph has no repeated variables, an option names no inferred variable, or the budget is too
                small, or no family draws the values of a discrete latent.
            GraphError: the structure is not supported; see :func:`ampbench.graph.template.template_inverse`.

        Warns:
            FitWarning: an adversary still distinguishes the chains.
        """
        prepared = self.prepare(simulator, device)
        return self.train_on(prepared, prepared.kept, device, progress)

    def revision(self, graph: Graph, observed: Sequence[str]) -> str:
        """Return the revisions of the training, and of resampling if a divergence asks for it."""
        asked = any(each.refine for each in (self.divergence, *self.divergences.values()))
        return f"{TRAINING} {RESAMPLING}" if asked and self.scope == "local" else TRAINING

    def prepare(self, simulator: Simulator, device: torch.device) -> Prepared:
        """Spend the whole budget; arguments and errors as for :meth:`fit`."""
        model = Model.of(simulator)
        for name in sorted({*self.divergences, *self.families} - set(model.inferred)):
            raise unknown("inferred variable", name, model.inferred)
        return Prepared.of(model, simulate(simulator), self.settings.held_out, device)

    def train_on(
        self, prepared: Prepared, kept: Sequence[Batch], device: torch.device, progress: Progress
    ) -> TemplatePosterior:
        """Train on some simulations in network coordinates; those that are held out choose the checkpoint.

        Warns:
            FitWarning: an adversary still distinguishes the chains.
        """
        model, coordinates = prepared.model, prepared.coordinates
        views = self._views(model, coordinates, device)
        source = TemplateSimulations(prepared.held_out, kept, views, self.repeats)
        try:
            trained, resampling = _trained(views, source, self.settings, progress)
        except UnfinishedTrainingError as error:
            found = TemplatePosterior(model, error.trained, views, coordinates, source.held_out)
            raise UnfinishedFitError(str(error), found) from error
        found = TemplatePosterior(model, trained, views, coordinates, source.held_out, resampling)
        found.warn(REMEDY)
        return found

    def restore(self, simulator: Simulator, state: Mapping[str, Tensor], device: torch.device) -> TemplatePosterior:
        """Build the networks of a state, and load their parameters; see :class:`ampbench.interfaces.CanRestore`."""
        model, parts = Model.of(simulator), states.parts(state)
        coordinates = from_parts(parts, model.graph)
        views = self._views(model, coordinates, device)
        states.load(views.bottom_up, parts["families"], "these families")
        adversaries, reader = views.build_adversaries()
        states.load(nn.ModuleList(adversaries), parts["adversaries"], "these adversaries")
        states.load(reader, parts["reader"], "these adversaries")
        learned = Learned(views.bottom_up, nn.Module()).requires_grad_(False).eval()
        trained = Trained(learned, adversaries, states.rows(parts["history"]), reader)
        return TemplatePosterior(model, trained, views, coordinates, [], resampling_from(views, parts))

    def _views(self, model: Model, coordinates: Mapping[str, Coordinates], device: torch.device) -> TemplateViews:
        """Return the families, and the tuples of both chains."""
        sizes = {name: each.size for name, each in coordinates.items()}
        families = {name: self.families.get(name, self.family) for name in model.inferred}
        divergences = {name: self.divergences.get(name, self.divergence) for name in model.inferred}
        with device:
            bottom_up = TemplateBottomUp(model.graph, model.observed, model.factors, sizes, families, self.messages)
        contexts = ((each, bottom_up.context_size(each)) for each in bottom_up.factors)
        with seeded(0):  # the training has its own stream
            check_discrete(model.graph, ((f.variable, bottom_up.conditional(f), size) for f, size in contexts))
        kind = GlobalViews if self.scope == "global" else TemplateViews
        return kind.of(bottom_up, divergences)


def _trained(
    views: TemplateViews, source: TemplateSimulations, settings: Settings, progress: Progress
) -> tuple[Trained[TemplateBottomUp], Resampling | None]:
    """Train both players; then train log-ratios against the fixed families, if draws are to be resampled."""
    steps, extra = settings.steps, resampling_steps(views, settings.steps)
    trained = train(views, source, settings, lambda done, _: progress(done, steps + extra))
    if not extra:
        return trained, None
    fixed = TemplateViews.of(trained.learned.bottom_up, views.divergences)
    try:
        return trained, train_ratios(
            fixed, trained, source, settings.batch_size, extra, lambda done, _: progress(steps + done, steps + extra)
        )
    except TrainingError as error:
        raise UnfinishedTrainingError(str(error), trained) from error
