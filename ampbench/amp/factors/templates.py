r"""Learned factors of repeated variables: one density for all repeats of a black box.

For a simulator that is repeated, the repeats r of all simulations n are the data,

.. math:: \hat p(x \mid \mathrm{pa}) = \arg\max_q \sum_{n, r} \log q(x_{nr} \mid \mathrm{pa}_{nr}),

so that a black box in J groups or at T times is learned from J or T times as many rows as there are simulations. The
surrogate is a graph with axes, of which simulations of any size are drawn. The inverse is trained on them, and held-out
simulations of the true model decide whether it, or the one that is trained on simulations, is used.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ampbench.amp.factors.fitting import LearnedFactor
from ampbench.amp.templates.batches import Batch, encode
from ampbench.amp.templates.posterior import TemplatePosterior
from ampbench.amp.templates.sources import Prepared
from ampbench.errors import UsageError
from ampbench.graph import Factor, Graph, Node, simulator
from ampbench.graph.axes import Previous
from ampbench.interfaces import CanDiagnose, HasHistory, HasState, Posterior
from ampbench.interfaces import state as states

if TYPE_CHECKING:
    from pandas import DataFrame

MAX_ROWS = 200_000
"""Rows of a factor, chosen at random among more."""


@dataclass(frozen=True)
class TemplateChoice:
    """Which inverse is used.

    Attributes:
        on_draws: whether it was trained on draws of the surrogate, rather than on simulations.
        scores: the held-out score of both; lower is better.
        draws: number of draws of the surrogate, which are no simulations; each repeat counts.
    """

    on_draws: bool
    scores: Mapping[str, float]
    draws: int


class TemplateFactorPosterior(Posterior, HasHistory, HasState, CanDiagnose):
    """The chosen inverse of a template, and the learned factors.

    Attributes:
        inverse: the trained inverse.
        factors: the learned factors.
        choice: whether the inverse was trained on draws.
    """

    def __init__(self, inverse: TemplatePosterior, factors: Sequence[LearnedFactor], choice: TemplateChoice) -> None:
        self.inverse = inverse
        self.model = inverse.model
        self.factors = tuple(factors)
        self.choice = choice

    def sample(self, observation: Tensor, n: int) -> Tensor:
        """Draw from the posterior of a flat graph: (L,) -> (n, D); see :meth:`TemplatePosterior.sample`."""
        return self.inverse.sample(observation, n)

    def sample_variables(self, evidence: Mapping[str, Tensor], n: int) -> dict[str, Tensor]:
        """Draw all latents from the posterior; see :meth:`TemplatePosterior.sample_variables`."""
        return self.inverse.sample_variables(evidence, n)

    @property
    def history(self) -> DataFrame:
        """Losses, gradient norms, learning rates and held-out scores of the inverse: one row per check."""
        return self.inverse.history

    def diagnose(self, folds: int = 2, level: float = 0.01, seed: int = 0) -> DataFrame:
        """Test the inverse, see :meth:`TemplatePosterior.diagnose`, and every learned factor on held-out rows.

        Returns:
            One row per tuple, then one per learned factor, named (x | pa(x)).
        """
        import pandas as pd

        tested = (each.diagnose(None, folds, level, seed) for each in self.factors)
        return pd.concat([self.inverse.diagnose(folds, level, seed), *tested], ignore_index=True)

    def state(self) -> dict[str, Tensor]:
        """Return the states of the inverse and of the factors, and the choice."""
        notes = {"on_draws": self.choice.on_draws, "scores": self.choice.scores, "draws": self.choice.draws}
        parts: dict[str, Mapping[str, Tensor]] = {"choice": {"notes": states.text(notes)}}
        parts |= {"inverse": self.inverse.state()}
        return states.joined(parts | {f"factor{i}": each.state() for i, each in enumerate(self.factors)})


def single(graph: Graph, factor: Factor) -> Graph:
    """Return the graph of a factor at one repeat: its parents, which are never drawn, and its variable.

    Raises:
        UsageError: a parent is that of the repeat before.
    """
    if any(isinstance(name, Previous) for name in factor.context):
        raise UsageError(
            f"the black-box factor {factor} depends on the repeat before, and no density is learned for such factors; "
            "take method 'amp-templates'"
        )
    return Graph(
        *(_alone(graph[name], ()) for name in factor.context), _alone(graph[factor.variable], tuple(factor.context))
    )


def _alone(node: Node, parents: tuple[str, ...]) -> Node:
    return simulator(node.name, node.conditional, parents, node.support, node.size)  # type: ignore[arg-type]


def repeats(prepared: Prepared, factor: Factor) -> dict[str, Tensor]:
    """Return the values of a factor at all repeats that have one, at most :data:`MAX_ROWS`, (N, D_i) per variable.

    Held-out simulations are left out.
    """
    graph = prepared.model.graph
    axes = graph[factor.variable].along
    found: dict[str, list[Tensor]] = {name: [] for name in (factor.variable, *factor.context)}
    for block, held_out in zip(prepared.blocks, prepared.held_out, strict=True):
        values = {name: block.values[name][len(held_out) :] for name in found}
        lead = values[factor.variable].shape[:-1]
        rows = {}
        for name, value in values.items():
            for place, axis in enumerate(axes):
                value = value if axis in graph[name].along else value.unsqueeze(1 + place)
            rows[name] = value.expand(*lead, value.shape[-1]).flatten(0, -2)
        there = ~torch.stack([value.isnan().any(1) for value in rows.values()]).any(0)
        for name, value in rows.items():
            found[name].append(value[there])
    joined = {name: torch.cat(values) for name, values in found.items()}
    chosen = torch.randperm(len(joined[factor.variable]))[:MAX_ROWS]
    return {name: value[chosen] for name, value in joined.items()}


@torch.no_grad()
def draw_blocks(surrogate: Graph, prepared: Prepared, draws: int, device: torch.device) -> tuple[list[Batch], int]:
    """Return draws of a surrogate of the sizes of the simulations, in their coordinates, and the number of draws.

    Arguments:
        surrogate: the graph with learned factors.
        prepared: the simulations.
        draws: draws in all, where each repeat counts.
        device: of the networks.
    """
    each = max(2, draws // sum(surrogate.draws(block.sizes) for block in prepared.blocks))
    batches, total = [], 0
    for block in prepared.blocks:
        values = surrogate.sample(each, sizes=block.sizes)
        batches.append(encode(surrogate, prepared.coordinates, values, block.sizes, device))
        total += each * surrogate.draws(block.sizes)
    return batches, total
