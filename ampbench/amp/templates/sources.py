"""Simulations of repeated variables with sizes that vary, drawn before the training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ampbench.amp.sources import SCORE_PARTICLES, Source, split
from ampbench.amp.templates.batches import Batch, choose, encode, learn_coordinates
from ampbench.amp.templates.chain import TemplateBottomUp
from ampbench.amp.templates.posterior import Model
from ampbench.amp.templates.views import TemplateViews, factor_of
from ampbench.errors import UsageError
from ampbench.graph import Simulator
from ampbench.graph.axes import size_at
from ampbench.graph.coordinates import Coordinates
from ampbench.statistics.scoring_rules import log_score

BLOCKS = 64
"""Number of blocks of simulations, each with sizes of its own; fewer where sizes are fixed."""
SPARE = 4
"""Repeats of a step's simulations, as a multiple of the repeats that the step takes."""
MIN_SIMULATIONS = 32
"""Smallest number of simulations of a step, each with many repeats of all latents."""
MIN_ROOTS = 128
"""Smallest number of simulations of a step, if a latent has one value in each of them."""
SCORED_REPEATS = 256
"""Repeats of each factor and held-out block for the held-out score."""


@dataclass(frozen=True)
class Block:
    """Simulations with the same sizes.

    Attributes:
        sizes: the size of every axis.
        values: by variable, (n, R_1, …, D), NaN where a repeat has no value.
    """

    sizes: Mapping[str, int]
    values: Mapping[str, Tensor]


def simulate(simulator: Simulator) -> list[Block]:
    """Spend the budget of a simulator whose graph has axes, or is the flat graph of one.

    The sizes of the blocks are spread over the ranges of the axes; all blocks have the same number of simulations.

    Raises:
        UsageError: the graph has no repeated variables, or the budget is too small for two simulations in a block.
    """
    graph, repetition = simulator.graph, simulator.graph.repetition
    if repetition is not None:
        return [Block(repetition.sizes, repetition.stack(simulator.require(simulator.sample(simulator.remaining), 2)))]
    fixed = all(axis.bounds[0] == axis.bounds[1] for axis in graph.axes)
    blocks = 1 if fixed else BLOCKS
    orders = {axis.name: torch.randperm(blocks).tolist() for axis in graph.axes}  # the sizes of axes are independent
    sizes = [
        {axis.name: size_at(axis, (orders[axis.name][number] + 0.5) / blocks) for axis in graph.axes}
        for number in range(blocks)
    ]
    n = simulator.remaining // sum(graph.draws(each) for each in sizes)
    if n < 2:
        raise UsageError(
            f"a budget of {simulator.budget} gives {n} simulations of each of {blocks} sizes, such as {sizes[0]}; "
            "raise the budget, or narrow the ranges of the axes"
        )
    return [Block(each, simulator.sample(n, sizes=each)) for each in sizes]


@dataclass(frozen=True)
class Prepared:
    """Simulations, drawn under the budget, for a training.

    Attributes:
        model: the graph and its inverse.
        coordinates: of every variable.
        blocks: the simulations.
        held_out, kept: their parts in network coordinates, by block.
    """

    model: Model
    coordinates: Mapping[str, Coordinates]
    blocks: Sequence[Block]
    held_out: Sequence[Batch]
    kept: Sequence[Batch]

    @classmethod
    def of(cls, model: Model, blocks: Sequence[Block], held_out: float, device: torch.device) -> Prepared:
        """Return simulations of which a fraction of every block is held out."""
        coordinates = learn_coordinates(model.graph, [block.values for block in blocks])
        encoded = [encode(model.graph, coordinates, block.values, block.sizes, device) for block in blocks]
        parts = [split({"place": torch.arange(len(each))}, held_out) for each in encoded]
        held, kept = (
            [batch.take(each[i]["place"]) for batch, each in zip(encoded, parts, strict=True)] for i in (0, 1)
        )
        return cls(model, coordinates, blocks, held, kept)


class TemplateSimulations(Source):
    """Simulations of repeated variables; their observed variables are the evidence.

    Arguments:
        held_out: simulations for the score, by block, in network coordinates.
        kept: those of the training.
        views: the families and the divergences.
        repeats: number of repeats of every factor that a step of the training takes.

    Attributes:
        held_out: for every block, held-out simulations with chosen repeats.
    """

    def __init__(self, held_out: Sequence[Batch], kept: Sequence[Batch], views: TemplateViews, repeats: int) -> None:
        self.model = nn.Module()
        self.views = views
        self.repeats = repeats
        roots = any(not factor.cell for factor in views.bottom_up.factors)
        self._least = MIN_ROOTS if roots else MIN_SIMULATIONS
        self.held_out = [self._chosen(each, SCORED_REPEATS) for each in held_out]
        self._kept = kept

    def top_down(self, size: int) -> Batch:
        """Return simulations of one block, chosen at random with replacement, and chosen repeats.

        There are at most ``size`` simulations, and fewer of large sizes: as many as have :data:`SPARE` times the chosen
        number of repeats, but at least :data:`MIN_SIMULATIONS` or :data:`MIN_ROOTS`.
        """
        block = self._kept[int(torch.randint(len(self._kept), ()))]
        enough = max(self._least, SPARE * self.repeats // block.draws)
        return self._chosen(block.take(torch.randint(len(block), (min(size, enough),))), self.repeats)

    def evidence(self, drawn: Batch, size: int) -> Batch:
        """Return the simulations, whose observed variables are the evidence."""
        return drawn

    def score(self, bottom_up: TemplateBottomUp, model: nn.Module) -> float:
        """Return the held-out score, see :func:`score`."""
        return score(self.held_out, TemplateViews.of(bottom_up, self.views.divergences))  # also of a global adversary

    def _chosen(self, batch: Batch, most: int) -> Batch:
        rows = {factor: choose(factor, len(batch), batch.sizes, most) for factor in self.views.bottom_up.factors}
        return Batch(batch.sizes, batch.values, batch.present, rows)


@torch.no_grad()
def score(held_out: Sequence[Batch], views: TemplateViews) -> float:
    """Return the mean score of all factors over simulations, with simulated separators, at chosen repeats."""
    scores = []
    for batch in held_out:
        likelihood = all(at.divergence.likelihood for at in views.comparisons)
        p = views.top_down(batch)
        q = p if likelihood else views.forced(batch, SCORE_PARTICLES)
        for at in views.comparisons:
            each = -p[at].densities.family(p[at]) if likelihood else log_score(q[at].variable, p[at].variable)
            weight = 1.0 / (1.0 + 9.0 * factor_of(at).first)  # a first repeat is one of many
            scores.append(weight * each.mean())
    return float(torch.stack(scores).mean())
