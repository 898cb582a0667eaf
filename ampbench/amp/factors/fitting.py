r"""Fit conditional densities to the black-box factors of a model: Algorithm 1, line 8, "or specified model".

For a node that is a simulator, a density of the variable given its parents is fitted by maximum likelihood to the
simulations of the budget,

.. math:: \hat p(x \mid \mathrm{pa}) = \arg\max_{q} \sum_n \log q(x_n \mid \mathrm{pa}_n),

which is the forward Kullback-Leibler divergence at the tuple {x} ∪ pa(x), so that the loop of the engine trains it. A
factor sees its own parents only, whatever the size of the graph. Whole numbers are dequantised
(:mod:`ampbench.amp.factors.dequantisation`). Several families are tried; the density of held-out
simulations, a proper score, chooses the family and its checkpoint.

References:
    Papamakarios, Sterratt, Murray 2019, *Sequential neural likelihood*, arXiv:1805.07226.
    Gneiting & Raftery 2007, *Strictly proper scoring rules, prediction, and estimation*.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ampbench.amp.chains import BottomUp
from ampbench.amp.comparisons import FlatViews, LocalComparison
from ampbench.amp.diagnostics import ROWS, ChainPair, diagnose
from ampbench.amp.engine import Settings, train
from ampbench.amp.factors.dequantisation import continuous, dequantised, is_whole
from ampbench.amp.method import AMP
from ampbench.amp.sources import Simulations
from ampbench.amp.stored_coordinates import from_parts, parts_of
from ampbench.amp.without_adversary import MaximumLikelihood
from ampbench.errors import UsageError
from ampbench.graph import Factor, Graph
from ampbench.graph.coordinates import Coordinates
from ampbench.interfaces import Family, Progress
from ampbench.interfaces import state as states
from ampbench.interfaces.state import State
from ampbench.seeding import derive, seeded

if TYPE_CHECKING:
    from pandas import DataFrame


@dataclass(frozen=True)
class LearnedFactor:
    """A density of a variable given its parents.

    Attributes:
        factor: the variable, and its parents.
        label: which of the candidate families was chosen.
        density: the chain that consists of this factor, in network coordinates.
        comparisons: its only comparison.
        whole: whether x is dequantised.
        limits: the smallest and the largest value of each component of x in the simulations, shape (D,) each.
        coordinates: of the variable, or of its dequantised values, and of its parents.
        scores: by candidate, the mean of −log p̂(x | pa) over held-out simulations, in network coordinates.
        held_out: held-out simulations, at most :data:`ampbench.amp.diagnostics.ROWS`, in network coordinates.
    """

    factor: Factor
    label: str
    density: BottomUp
    comparisons: Sequence[LocalComparison]
    whole: bool
    limits: tuple[Tensor, Tensor]
    coordinates: Mapping[str, Coordinates]
    scores: Mapping[str, float]
    held_out: Mapping[str, Tensor]

    @property
    def chain_pair(self) -> ChainPair:
        """The chains of the simulator and of the density, without trained adversaries."""
        return ChainPair(self.density, self.comparisons, [torch.nn.Identity()])

    def diagnose(self, simulations: Mapping[str, Tensor] | None, folds: int, level: float, seed: int) -> DataFrame:
        """Test the density against simulations, by default the held-out ones; see :func:`diagnose`."""
        rows = self.held_out if simulations is None else self.encode(simulations)
        with seeded(derive(seed, "diagnose", self.factor.variable)):
            return diagnose(self.chain_pair, *self.chain_pair.on_simulations(rows, True), folds, level)

    def state(self) -> dict[str, Tensor]:
        """Return the parameters of the density, and what :func:`restore` needs besides."""
        notes = states.text({"label": self.label, "scores": self.scores})
        parts = {"density": self.density.state_dict(), **parts_of(self.coordinates), "held_out": self.held_out}
        limits = dict(zip(("low", "high"), self.limits, strict=True))
        return states.joined(parts | {"limits": limits, "choice": {"notes": notes}})

    def encode(self, simulations: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return simulations in network coordinates, on the device of the density."""
        values = _continuous_values(self.factor, simulations) if self.whole else simulations
        return {name: each.encode(values[name]).to(self.density.device) for name, each in self.coordinates.items()}


def black_boxes(graph: Graph) -> tuple[Factor, ...]:
    """Return the factors of a graph that can be sampled, and have no known density."""
    known = set(graph.covariates)
    return tuple(
        Factor(node.name, node.parents) for node in graph.nodes if node.kind == "simulator" and node.name not in known
    )


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
        UsageError: a family has no density, or draws other values than those of a discrete variable.
        TrainingError: a loss or a gradient became NaN or infinite.
    """
    names = (factor.variable, *factor.context)
    values = simulations[factor.variable]
    whole, limits = is_whole(graph[factor.variable].support), (values.amin(0), values.amax(0))
    if whole:
        graph, simulations = continuous(graph, factor.variable), _continuous_values(factor, simulations)
    coordinates = {name: Coordinates(simulations[name], graph[name].support) for name in names}
    rows = {name: coordinates[name].encode(simulations[name]).to(device) for name in names}
    source = Simulations(rows, factor.context, settings.held_out, likelihood=True)
    held_out = {name: value[:ROWS].clone() for name, value in source.held_out.items()}
    fitted: dict[str, LearnedFactor] = {}
    scores: dict[str, float] = {}
    for place, (label, family) in enumerate(families.items()):

        def step(done: int, total: int, before: int = place * settings.steps) -> None:
            progress(before + done, len(families) * total)

        density, comparisons = assemble(factor, graph, coordinates, family, device)
        trained = train(FlatViews(density, comparisons), source, settings, step)
        density = trained.learned.bottom_up
        scores[label] = source.score(density, trained.learned.model)
        fitted[label] = LearnedFactor(factor, label, density, comparisons, whole, limits, coordinates, scores, held_out)
    return fitted[min(scores, key=lambda label: scores[label])]


def _continuous_values(factor: Factor, simulations: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {**simulations, factor.variable: dequantised(simulations[factor.variable])}


def restore(
    factor: Factor, graph: Graph, state: State, families: Mapping[str, Family], device: torch.device
) -> LearnedFactor:
    """Build a learned factor from its state.

    Raises:
        UsageError: the state is that of another model, or of a family that is not among the candidates.
    """
    parts = states.parts(state)
    whole = is_whole(graph[factor.variable].support)
    graph = continuous(graph, factor.variable) if whole else graph
    coordinates = from_parts(parts, graph, (factor.variable, *factor.context))
    notes = states.read_text(parts["choice"]["notes"])
    if notes["label"] not in families:
        raise UsageError(
            f"the state has a factor of {factor.variable!r} whose family is the option {notes['label']!r}, but the "
            f"options name {', '.join(families)}; give the options that it was made with"
        )
    density, comparisons = assemble(factor, graph, coordinates, families[notes["label"]], device)
    states.load(density, parts["density"], "this family")
    density.requires_grad_(False).eval()
    held_out = {name: value.to(device) for name, value in parts["held_out"].items()}
    limits = (parts["limits"]["low"], parts["limits"]["high"])
    return LearnedFactor(
        factor, notes["label"], density, comparisons, whole, limits, coordinates, notes["scores"], held_out
    )


def assemble(
    factor: Factor, graph: Graph, coordinates: Mapping[str, Coordinates], family: Family, device: torch.device
) -> tuple[BottomUp, list[LocalComparison]]:
    """Return the untrained chain that consists of one factor, and its only comparison.

    Raises:
        UsageError: the variable is discrete, and the family draws other values.
    """
    chains = {frozenset(factor.context): (factor,)}
    above = graph.ancestral([factor.variable])
    try:
        return AMP(MaximumLikelihood(), family).assemble(above, coordinates, chains, device)
    except UsageError as error:
        raise UsageError(
            f"no density can be learned for the black-box factor {factor}: {error} (for a learned factor the option is "
            f"factor.{factor.variable}); or take 'amp', which learns no factor"
        ) from error
