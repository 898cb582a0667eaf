r"""Learn the conditionals of a model from data, together with its inverse: eq. 6 of Karaletsos 2016.

The graph has learned conditionals with parameters θ; the data are rows of some of its variables. Each step draws new
top-down samples of the model and a minibatch of rows, infers the missing variables of the rows, and both θ and φ
descend

.. math:: \mathrm{Div}_{loc}(\theta, \phi) = \sum_k \mathrm{Div}\big(q_\phi(T_k) \,\|\, p_\theta(T_k)\big),

where the bottom-up chain starts from the data: θ moves the model's tuples towards those of the data with inferred
latents, φ moves the latter towards the former. Besides the inverse factors, each learned conditional has its tuple,
:math:`\{x_i\} \cup \mathrm{pa}(x_i)`, if no other tuple contains it.

**Missing variables.** Rows are grouped by the variables that they have. Each group has its own inverse, over these
variables and their ancestors, and its own adversaries; groups with equal factors share the conditional. So an
incomplete row trains only the adversaries whose tuples it has (section 3.1). All groups have equal weights, whatever
their numbers of rows; this is right if the pattern of missing variables does not depend on their values.

References:
    Karaletsos 2016, *Adversarial message passing for graphical models*, arXiv:1612.05048, section 3.
    Rubin 1976, *Inference and missing data*, doi:10.1093/biomet/63.3.581.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from ampbench.amp.chains import BottomUp, TopDown, with_conditionals
from ampbench.amp.comparisons import FlatViews, LocalComparison
from ampbench.amp.diagnostics import ROWS, ChainPair, diagnose, warn_if_told_apart
from ampbench.amp.engine import Trained, train
from ampbench.amp.method import AMP
from ampbench.amp.sources import Source, held_out_score, minibatch, split
from ampbench.errors import UsageError
from ampbench.graph import Graph, join
from ampbench.graph.coordinates import Coordinates
from ampbench.graph.precision import stored
from ampbench.graph.rows import Rows, groups
from ampbench.interfaces import CanDiagnose, HasHistory, Progress
from ampbench.interfaces.history import history_frame
from ampbench.interfaces.rich import facts
from ampbench.seeding import derive, seeded
from ampbench.statistics.scoring_rules import two_sample_score

if TYPE_CHECKING:
    from pandas import DataFrame

PILOT_SAMPLES = 2000
"""Samples of the untrained model that determine the coordinates of variables without data."""
SCORE_SAMPLES = 500
"""Samples of the model, and rows of each group, that the held-out score compares."""
REMEDY = "raise steps, or take a richer family or conditional; diagnose() of the learned model says more"
"""Advice for models that an adversary still distinguishes from the data."""


class Data(Source):
    """New top-down samples of the model, and rows of data as evidence.

    Arguments:
        model: the top-down chain.
        rows: rows in network coordinates, by the set of their variables.
        held_out: fraction of each group that is held out for the score.

    Attributes:
        held_out: the held-out rows, by the set of their variables.
    """

    def __init__(self, model: TopDown, rows: Mapping[frozenset[str], Rows], held_out: float) -> None:
        self.model: TopDown = model
        halves = {held: split(each, held_out) for held, each in rows.items()}
        self.held_out = {held: first for held, (first, _) in halves.items()}
        self._kept = [rest for _, rest in halves.values()]

    def top_down(self, size: int) -> dict[str, Tensor]:
        """Draw from the model."""
        drawn: dict[str, Tensor] = self.model(size)
        return drawn

    def evidence(self, drawn: Rows, size: int) -> Sequence[Rows]:
        """Return rows of every group, chosen at random."""
        return [minibatch(rows, size) for rows in self._kept]

    @torch.no_grad()
    def score(self, bottom_up: BottomUp, model: nn.Module) -> float:
        """Return the score of the model on held-out rows, plus that of the families on samples of the model."""
        total = 0.0
        for evidence, rows in self.held_out.items():
            drawn = model(SCORE_SAMPLES)
            names = sorted(evidence)
            total += float(two_sample_score(join(drawn, names), join(rows, names)[:SCORE_SAMPLES]))
            if bottom_up.chains[evidence]:
                total += held_out_score(bottom_up, drawn, names)
        return total / len(self.held_out)


class LearnedModel(HasHistory, CanDiagnose):
    """A trained model with its inverse.

    Attributes:
        graph: the model, with trained conditionals.
        trained: parameters, adversaries and the training history.
        held_out: for each group, held-out rows, at most :data:`ampbench.amp.diagnostics.ROWS`, in network
            coordinates.
    """

    def __init__(
        self, trained: Trained[BottomUp], comparisons: Sequence[LocalComparison], held_out: Sequence[Rows]
    ) -> None:
        self.trained = trained
        self.held_out = tuple(held_out)
        self._comparisons = tuple(comparisons)
        assert isinstance(trained.learned.model, TopDown)
        self._model = trained.learned.model
        self.graph = self._model.graph

    @property
    def history(self) -> DataFrame:
        """Losses, gradient norms, learning rates and held-out scores: one row per check."""
        return history_frame(self.trained.history)

    @property
    def chain_pair(self) -> ChainPair:
        """The two chains, and the adversaries that compare them."""
        return ChainPair(self.trained.learned.bottom_up, self._comparisons, self.trained.adversaries)

    def diagnose(self, data: Rows | None = None, folds: int = 2, level: float = 0.01, seed: int = 0) -> DataFrame:
        """Test at every tuple whether samples of the model differ from rows of data with inferred latents.

        Arguments:
            data: new rows, one tensor (n, D_i) per variable, where a row of NaN is missing; by default the held-out
                rows. Tuples of sets of variables that no row has are left out.
            folds, level: see :func:`ampbench.amp.diagnostics.diagnose`, also for the columns returned.
            seed: seed of the samples of both chains and of the classifiers.

        Raises:
            UsageError: the rows do not fit the graph, have a set of variables that the training data did not have, or
                are too few for a set.
        """
        rows = self.held_out if data is None else [self._encoded(each) for each in groups(self.graph, data).values()]
        with seeded(derive(seed, "diagnose")):
            return diagnose(self.chain_pair, *self.chain_pair.on_data(self._model, rows), folds, level)

    @torch.no_grad()
    def sample(self, n: int) -> dict[str, Tensor]:
        """Draw from the model: one tensor (n, D_i) per variable, on the CPU."""
        return self._decoded(self._model(n))

    @torch.no_grad()
    def infer(self, evidence: Rows, n: int) -> dict[str, Tensor]:
        """Draw the missing variables given the evidence.

        Arguments:
            evidence: one tensor (B, D_i) per variable; some rows of the training data must have had just these
                variables.
            n: number of draws for each row.

        Returns:
            One tensor (n, B, D_i) per variable of the model, on the CPU: the evidence, its inferred ancestors, and all
            other variables drawn from the model given these.

        Raises:
            UsageError: no rows of the training data had just these variables.
        """
        drawn = self.trained.learned.bottom_up(self._encoded(evidence), n)
        values = self._model.below({name: value.flatten(0, 1) for name, value in drawn.items()})
        return {name: value.unflatten(0, (n, -1)) for name, value in self._decoded(values).items()}

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {'; '.join(f'{name} {value}' for name, value in self._facts().items())}>"

    def _repr_html_(self) -> str:
        """Return what notebooks show: the factors, those that were learned, and which evidence can be inferred from."""
        return facts(type(self).__name__, self._facts() | {"diagnosis": "diagnose()"})

    def _facts(self) -> dict[str, str]:
        evidence = [", ".join(sorted(each)) for each in self.trained.learned.bottom_up.chains]
        return {
            "model": " ".join(map(str, self.graph.factors())),
            "learned": " ".join(map(str, self.graph.learned())),
            "evidence": " or ".join(sorted(evidence)),
        }

    def _encoded(self, evidence: Rows) -> Rows:
        known = self.trained.learned.bottom_up.chains
        if frozenset(evidence) not in known:
            sets = "; ".join(", ".join(sorted(each)) for each in known)
            raise UsageError(f"nothing was learned about evidence on {', '.join(sorted(evidence))}; known: {sets}")
        return encode(self._model.coordinates, evidence, self._model.device)

    def _decoded(self, values: Rows) -> dict[str, Tensor]:
        return {name: self._model.coordinates[name].decode(value).cpu() for name, value in values.items()}


def learn(method: AMP, graph: Graph, data: Rows, device: torch.device, progress: Progress) -> LearnedModel:
    """Train a model's learned conditionals and its inverse on data; the caller has seeded all generators.

    Arguments:
        method: divergences, families, scope and settings.
        graph: the model; copies of its conditionals are trained.
        data: one tensor (n, D_i) per variable with data; a row of NaN is missing.
        device: any torch device.
        progress: called with (steps done, steps in all).

    Raises:
        UsageError: the data do not fit the graph, a node has gaps, or the divergence has no gradient for its learned
            conditionals.
        TrainingError: a loss, a gradient or the score became NaN or infinite.

    Warns:
        FitWarning: an adversary still distinguishes the model from the data.
    """
    if gaps := [node.name for node in graph.nodes if node.gaps]:
        raise UsageError(f"variable {gaps[0]!r} has gaps, but a row of NaN is a missing value here; drop gaps")
    rows = groups(graph, data)
    method.check_named(sorted({*graph.names} - frozenset.intersection(*rows)))
    _check_method(method)
    theta = nn.ModuleDict(
        {node.name: copy.deepcopy(node.conditional) for node in graph.nodes if isinstance(node.conditional, nn.Module)}
    ).to(device)
    theta.requires_grad_()  # those of a learned model are frozen
    graph = with_conditionals(graph, theta)
    coordinates = _coordinates(graph, data, device)
    model = TopDown(graph, coordinates, theta, device)
    chains = {held: graph.ancestral(held).inverse(held) for held in rows}
    bottom_up, comparisons = method.assemble(graph, coordinates, chains, device)
    encoded = {held: encode(coordinates, each, device) for held, each in rows.items()}
    settings = method.settings.on(len(next(iter(data.values()))))
    source = Data(model, encoded, settings.held_out)

    def watched(done: int, total: int) -> None:
        if done == 1:
            _check_taught(theta)
        progress(done, total)

    trained = train(FlatViews(bottom_up, comparisons), source, settings, watched)
    held_out = [{name: value[:ROWS].clone() for name, value in each.items()} for each in source.held_out.values()]
    found = LearnedModel(trained, comparisons, held_out)
    warn_if_told_apart(found.chain_pair, *found.chain_pair.on_data(trained.learned.model, held_out), REMEDY)
    return found


def encode(coordinates: Mapping[str, Coordinates], rows: Rows, device: torch.device) -> dict[str, Tensor]:
    """Return rows in network coordinates, on a device."""
    return {name: coordinates[name].encode(rows[name]).to(device) for name in rows}


@torch.no_grad()
def _coordinates(graph: Graph, data: Rows, device: torch.device) -> dict[str, Coordinates]:
    """Return coordinates from the data; for variables without data, from samples of the untrained model."""
    values = {name: stored(rows[~rows.isnan().any(1)]) for name, rows in data.items()}
    drawn = graph.complete(PILOT_SAMPLES, {}, device)
    return {node.name: Coordinates(values.get(node.name, drawn[node.name].cpu()), node.support) for node in graph.nodes}


def _check_method(method: AMP) -> None:
    """Raise :class:`UsageError` for settings that need the true latents of every row, which data do not have."""
    if method.settings.teacher_forcing:
        raise UsageError("teacher forcing needs simulations of all variables, not data; drop teacher_forcing")
    if paired := [each for each in (method.divergence, *method.divergences.values()) if each.paired]:
        raise UsageError(
            f"divergence {type(paired[0]).__name__} compares inferred variables with the ones that made the evidence, "
            "which data do not have; take jsd, kl-likelihood or another that compares distributions"
        )


def _check_taught(theta: nn.ModuleDict) -> None:
    """Raise :class:`UsageError` if no loss depends on some learned conditional; called after the first step."""
    for name, module in theta.items():
        parameters = list(module.parameters())
        if parameters and all(parameter.grad is None for parameter in parameters):
            raise UsageError(
                f"no loss depends on the learned conditional of {name!r}: its samples carry no gradient, or the "
                "divergence has none for the model; take jsd with a reparametrised conditional, or kl-likelihood"
            )
