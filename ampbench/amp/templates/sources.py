"""Simulations of repeated variables with sizes that vary, drawn before the training."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from ampbench.amp.sources import SCORE_PARTICLES, Source
from ampbench.amp.templates.batches import Batch, choose
from ampbench.amp.templates.chain import TemplateBottomUp
from ampbench.amp.templates.views import TemplateViews, factor_of
from ampbench.errors import UsageError
from ampbench.graph import Graph
from ampbench.graph.axes import draw_sizes
from ampbench.graph.template import TemplateFactor
from ampbench.seeding import derive, seeded
from ampbench.statistics.scoring_rules import log_score

BLOCKS = 64
"""Number of blocks of simulations, each with sizes of its own; fewer where sizes are fixed."""
SCORED_REPEATS = 256
"""Repeats of each factor and held-out block for the held-out score."""


class Block:
    """Simulations with the same sizes.

    Attributes:
        sizes: the size of every axis.
        values: by variable, (n, R_1, …, D), NaN where a repeat has no value.
    """

    def __init__(self, sizes: Mapping[str, int], values: Mapping[str, Tensor]) -> None:
        self.sizes = sizes
        self.values = values


def draws(graph: Graph, sizes: Mapping[str, int]) -> int:
    """Return the number of draws of one simulation: the largest number of repeats of a variable."""
    along = [[axis.repeats(sizes[axis.name]) for axis in node.along] for node in graph.nodes]
    return max(math.prod(counts) for counts in along)


def simulate(graph: Graph, budget: int, seed: int) -> list[Block]:
    """Draw simulations in blocks; the sizes of the blocks are spread over the ranges of the axes.

    Arguments:
        graph: a graph with axes.
        budget: number of draws in all, where a simulation counts as many as :func:`draws` says. All blocks have about
            the same number of draws.
        seed: of the simulations.

    Raises:
        UsageError: the budget is too small for two simulations of a block.
    """
    fixed = all(axis.bounds[0] == axis.bounds[1] for axis in graph.axes)
    blocks = 1 if fixed else BLOCKS
    made = []
    for number in range(blocks):
        sizes = draw_sizes(graph.axes, (number + 0.5) / blocks)
        for axis in graph.axes:  # one axis after another in the same share would tie their sizes
            sizes |= draw_sizes([axis], _share(number, blocks, axis.name, seed))
        n = budget // blocks // draws(graph, sizes)
        if n < 2:
            raise UsageError(
                f"a budget of {budget} draws gives {n} simulations of the sizes {sizes} in each of {blocks} blocks; "
                "raise the budget, or narrow the ranges of the axes"
            )
        with seeded(derive(seed, "simulations", number)):
            values = {name: value.detach() for name, value in graph.sample(n, sizes=sizes).items()}
        made.append(Block(sizes, values))
    return made


def _share(number: int, blocks: int, axis: str, seed: int) -> float:
    """Return the place of a block's size in the range of an axis: every axis has a permutation of its own."""
    generator = torch.Generator().manual_seed(derive(seed, "sizes", axis))
    return (float(torch.randperm(blocks, generator=generator)[number]) + 0.5) / blocks


class TemplateSimulations(Source):
    """Simulations of repeated variables; their observed variables are the evidence.

    Arguments:
        blocks: simulations in network coordinates.
        factors: the inverse factors.
        held_out: fraction of every block that is held out for the score.
        repeats: number of repeats of every factor that a step of the training takes.

    Attributes:
        held_out: for every block, held-out simulations with chosen repeats.
    """

    def __init__(
        self, blocks: Sequence[Batch], factors: Sequence[TemplateFactor], held_out: float, repeats: int
    ) -> None:
        self.model = nn.Module()
        self.factors = factors
        self.repeats = repeats
        self.held_out = []
        self._kept = []
        for block in blocks:
            kept = min(max(1, round(held_out * len(block))), len(block) - 1)
            places = torch.arange(len(block))
            self.held_out.append(self._chosen(block.take(places[:kept]), SCORED_REPEATS))
            self._kept.append(block.take(places[kept:]))
        self.views: TemplateViews | None = None

    def top_down(self, size: int) -> Batch:
        """Return simulations of one block, chosen at random with replacement, and chosen repeats."""
        block = self._kept[int(torch.randint(len(self._kept), ()))]
        return self._chosen(block.take(torch.randint(len(block), (size,))), self.repeats)

    def evidence(self, drawn: Batch, size: int) -> Batch:
        """Return the simulations, whose observed variables are the evidence."""
        return drawn

    @torch.no_grad()
    def score(self, bottom_up: TemplateBottomUp, model: nn.Module) -> float:
        """Return the mean score of all factors over held-out simulations, with simulated separators."""
        assert self.views is not None
        views = TemplateViews.of(bottom_up, self.views.divergences, self.views.width)
        scores = []
        for batch in self.held_out:
            likelihood = all(at.divergence.likelihood for at in views.comparisons)
            p = views.top_down(batch)
            q = p if likelihood else views.forced(batch, SCORE_PARTICLES)
            for at in views.comparisons:
                each = -p[at].densities.family(p[at]) if likelihood else log_score(q[at].variable, p[at].variable)
                weight = 1.0 / (1.0 + 9.0 * factor_of(at).first)  # a first repeat is one of many
                scores.append(weight * each.mean())
        return float(torch.stack(scores).mean())

    def _chosen(self, batch: Batch, most: int) -> Batch:
        rows = {factor: choose(factor, len(batch), batch.sizes, most) for factor in self.factors}
        return Batch(batch.sizes, batch.values, batch.present, rows)
