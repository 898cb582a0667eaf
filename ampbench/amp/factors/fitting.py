r"""Fit conditional densities to the black-box factors of a model: Algorithm 1, line 8, "or specified model".

For every node that is a simulator, a density of the variable given its parents is fitted by maximum likelihood to the
simulations of the budget,

.. math:: \hat p(x \mid \mathrm{pa}) = \arg\max_{q} \sum_n \log q(x_n \mid \mathrm{pa}_n),

which is the forward Kullback-Leibler divergence at the tuple {x} ∪ pa(x), so that the loop of the engine trains it. A
factor sees its own parents only, whatever the size of the graph. Several families are tried; the density of held-out
simulations, a proper score, chooses the family and its checkpoint.

References:
    Papamakarios, Sterratt, Murray 2019, *Sequential neural likelihood*, arXiv:1805.07226.
    Gneiting & Raftery 2007, *Strictly proper scoring rules, prediction, and estimation*.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from ampbench.amp.chains import BottomUp
from ampbench.amp.comparisons import FlatViews
from ampbench.amp.engine import Settings, train
from ampbench.amp.factors.likelihood import MaximumLikelihood
from ampbench.amp.method import AMP
from ampbench.amp.sources import Simulations
from ampbench.graph import Factor, Graph
from ampbench.graph.coordinates import Coordinates
from ampbench.interfaces import Family, Progress
from ampbench.interfaces.family import HasCandidates


@dataclass(frozen=True)
class LearnedFactor:
    """A density of a variable given its parents.

    Attributes:
        factor: the variable, and its parents.
        label: which of the candidate families was chosen.
        density: the chain that consists of this factor, in network coordinates.
        coordinates: of the variable and its parents.
        scores: by candidate, the mean of −log p̂(x | pa) over held-out simulations.
    """

    factor: Factor
    label: str
    density: BottomUp
    coordinates: Mapping[str, Coordinates]
    scores: Mapping[str, float]


def black_boxes(graph: Graph) -> tuple[Factor, ...]:
    """Return the factors of a graph that can be sampled, and have no known density."""
    return tuple(Factor(node.name, node.parents) for node in graph.nodes if node.kind == "simulator")


def candidates(family: Family) -> Mapping[str, Family]:
    """Return the families that a family stands for, by label."""
    return family.candidates() if isinstance(family, HasCandidates) else {"family": family}


def learn_factor(
    factor: Factor,
    graph: Graph,
    simulations: Mapping[str, Tensor],
    families: Mapping[str, Family],
    settings: Settings,
    device: torch.device,
    progress: Progress,
) -> LearnedFactor:
    """Fit every family to one factor, and keep the one with the best held-out density.

    Arguments:
        factor: the variable, and its parents.
        graph: the model.
        simulations: one tensor (n, D_i) per variable; the first of them are held out.
        families: candidates with a density, by label.
        settings: of each training.
        device: of the networks.
        progress: called after every step.

    Raises:
        UsageError: a family has no density.
        TrainingError: a loss or a gradient became NaN or infinite.
    """
    names = (factor.variable, *factor.context)
    coordinates = {name: Coordinates(simulations[name], graph[name].support) for name in names}
    rows = {name: coordinates[name].encode(simulations[name]).to(device) for name in names}
    total, best, scores = settings.steps * len(families), "", dict[str, float]()
    for place, (label, family) in enumerate(families.items()):
        start = place * settings.steps
        density, comparisons = _assemble(factor, graph, coordinates, family, device)
        source = Simulations(rows, factor.context, settings.held_out, likelihood=True)
        trained = train(FlatViews(density, comparisons), source, settings, lambda done, _, s=start: progress(s + done, total))
        fitted = trained.learned.bottom_up
        scores[label] = source.score(fitted, trained.learned.model)
        if not best or scores[label] < scores[best]:
            best, kept = label, fitted
    return LearnedFactor(factor, best, kept.requires_grad_(False).eval(), coordinates, scores)


def build_density(
    factor: Factor, graph: Graph, coordinates: Mapping[str, Coordinates], family: Family, device: torch.device
) -> BottomUp:
    """Return the untrained chain that consists of one factor."""
    return _assemble(factor, graph, coordinates, family, device)[0]


def _assemble(factor, graph, coordinates, family, device):  # type: ignore[no-untyped-def]
    chains = {frozenset(factor.context): (factor,)}
    return AMP(MaximumLikelihood(), family).assemble(graph.ancestral([factor.variable]), coordinates, chains, device)
