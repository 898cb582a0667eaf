r"""Adversarial message passing for repeated variables: one family and one adversary for all repeats of a latent.

The inverse of the template is derived once (:mod:`ampbench.graph.template`). In every step of Algorithm 1 (Karaletsos
2016) the adversary of a latent sees a random part of its repeats, in simulations whose sizes vary, so that the trained
networks infer the latents of evidence of any size.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, final

import torch

from ampbench.amp.engine import Settings, train
from ampbench.amp.templates.batches import encode, learn_coordinates
from ampbench.amp.templates.chain import TemplateBottomUp
from ampbench.amp.templates.posterior import TemplatePosterior
from ampbench.amp.templates.sources import TemplateSimulations, simulate
from ampbench.amp.templates.views import TemplateViews
from ampbench.errors import unknown
from ampbench.graph import Graph
from ampbench.graph.template import template_inverse
from ampbench.interfaces import Default, Divergence, Family, Progress, silent
from ampbench.seeding import derive, seeded


@final
class TemplateAMP:
    """Adversarial message passing with shared factors and messages.

    Arguments:
        divergence, family, divergences, families: as for ``amp``; names are those of repeated variables.
        steps: updates of both players.
        batch_size: simulations per step.
        repeats: repeats of every factor that a step takes, out of those of all simulations.
        particles, teacher_forcing, learning_rate, adversary_learning_rate, penalty, ema, held_out, checks: as for
            ``amp``.
        penalty_every: the gradient penalties are added in every so many steps.
        messages: number of features of a message.
    """

    def __init__(
        self,
        divergence: Annotated[Divergence, Default("jsd(refine=0)")],
        family: Annotated[Family, Default("implicit")],
        divergences: Mapping[str, Divergence] = MappingProxyType({}),
        families: Mapping[str, Family] = MappingProxyType({}),
        steps: int = 4000,
        batch_size: int = 32,
        repeats: int = 1024,
        particles: int = 1,
        teacher_forcing: bool = True,
        learning_rate: float = 1e-3,
        adversary_learning_rate: float = 2e-3,
        penalty: float = 1e-2,
        penalty_every: int = 8,
        ema: float = 0.995,
        held_out: float = 0.05,
        checks: int = 20,
        messages: int = 64,
    ) -> None:
        self.divergence = divergence
        self.family = family
        self.divergences = divergences
        self.families = families
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

    def fit_template(
        self,
        graph: Graph,
        observed: tuple[str, ...],
        budget: int,
        seed: int = 0,
        device: str = "cpu",
        progress: Progress = silent,
    ) -> TemplatePosterior:
        """Simulate, and train on all sizes of the axes.

        Arguments:
            graph: a graph with axes.
            observed: names of the observed variables.
            budget: number of draws; see :func:`ampbench.amp.templates.sources.draws`.
            seed: of all random numbers.
            device: any torch device.
            progress: called with (steps done, steps in all).
        """
        observed = graph.check(observed)
        factors = [factor for factor in template_inverse(graph, observed) if not factor.barren]
        latents = dict.fromkeys(factor.variable for factor in factors)
        for name in sorted({*self.divergences, *self.families} - set(latents)):
            raise unknown("inferred variable", name, latents)
        place = torch.device(device)
        blocks = simulate(graph, budget, seed)
        with seeded(derive(seed, "fit")):
            coordinates = learn_coordinates(graph, [block.values for block in blocks])
            encoded = [encode(graph, coordinates, block.values, block.sizes, place) for block in blocks]
            sizes = {name: each.size for name, each in coordinates.items()}
            families = {name: self.families.get(name, self.family) for name in latents}
            divergences = {name: self.divergences.get(name, self.divergence) for name in latents}
            with place:
                bottom_up = TemplateBottomUp(graph, observed, factors, sizes, families, self.messages)
            source = TemplateSimulations(encoded, bottom_up.factors, self.settings.held_out, self.repeats)
            source.views = views = TemplateViews.of(bottom_up, divergences, self.messages)
            trained = train(views, source, self.settings, progress)
        return TemplatePosterior(graph, observed, trained, coordinates)
