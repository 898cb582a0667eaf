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

from torch import Tensor, nn

from ampbench.amp.chains import BottomUp
from ampbench.amp.comparisons import FlatViews, LocalComparison
from ampbench.amp.densities import FamilyDensity
from ampbench.amp.engine import Settings, train
from ampbench.amp.likelihood import MaximumLikelihood
from ampbench.amp.sites import Site
from ampbench.amp.sources import Simulations
from ampbench.graph import Factor, Graph
from ampbench.interfaces import Family, Progress


@dataclass(frozen=True)
class LearnedFactor:
    """A density of a variable given its parents, in network coordinates.

    Attributes:
        factor: the variable, and its parents.
        label: which of the candidate families was chosen.
        density: the chain that consists of this factor.
        scores: by candidate, the mean of −log p̂ over held-out simulations, in network coordinates.
    """

    factor: Factor
    label: str
    density: BottomUp
    scores: Mapping[str, float]

    @property
    def conditional(self) -> nn.Module:
        """The conditional of the variable."""
        return self.density.conditional(self.factor)


def black_boxes(graph: Graph) -> tuple[Factor, ...]:
    """Return the factors of a graph that can be sampled, and have no known density."""
    return tuple(Factor(node.name, node.parents) for node in graph.nodes if node.kind == "simulator")


def learn_factor(
    factor: Factor,
    simulations: Mapping[str, Tensor],
    candidates: Mapping[str, Family],
    settings: Settings,
    progress: Progress,
) -> LearnedFactor:
    """Fit every candidate to one factor, and keep the one with the best held-out density.

    Arguments:
        factor: the variable, and its parents.
        simulations: in network coordinates, one tensor (n, D_i) per variable.
        candidates: families with a density, by label.
        settings: of each training.
        progress: called after every step.

    Raises:
        UsageError: a family has no density.
        TrainingError: a loss or a gradient became NaN or infinite.
    """
    total = settings.steps * len(candidates)
    fitted: dict[str, tuple[float, BottomUp]] = {}
    for place, (label, family) in enumerate(candidates.items()):
        start = place * settings.steps
        fitted[label] = _fit(factor, simulations, family, settings, lambda done, _, s=start: progress(s + done, total))
    best = min(fitted, key=lambda label: fitted[label][0])
    return LearnedFactor(factor, best, fitted[best][1], {label: score for label, (score, _) in fitted.items()})


def _fit(
    factor: Factor, simulations: Mapping[str, Tensor], family: Family, settings: Settings, progress: Progress
) -> tuple[float, BottomUp]:
    """Fit one family to a factor; return its held-out score, and the chain that consists of it."""
    rows = {name: simulations[name] for name in (factor.variable, *factor.context)}
    sizes = {name: value.shape[1] for name, value in rows.items()}
    evidence = frozenset(factor.context)
    with rows[factor.variable].device:
        density = BottomUp({evidence: (factor,)}, sizes, {factor.variable: family})
    site = Site((factor.variable,), factor.context)
    comparison = LocalComparison(
        f"{factor}", site, evidence, (factor,), MaximumLikelihood(), FamilyDensity(density, (factor,), site)
    )
    source = Simulations(rows, factor.context, settings.held_out, likelihood=True)
    trained = train(FlatViews(density, [comparison]), source, settings, progress)
    fitted = trained.learned.bottom_up.requires_grad_(False).eval()
    return source.score(fitted, trained.learned.model), fitted
