r"""Adversarial message passing: Algorithm 1 of Karaletsos 2016, arXiv:1612.05048.

The top-down chain p samples the model; the bottom-up chain q starts from evidence and samples the inverse factors in
turn. At every local tuple T_k an adversary is trained to distinguish samples of p from samples of q (eq. 7). The
families descend the sum of the local divergences that the adversaries estimate (eq. 5 and 6).

Legend, with the paper's symbols::

    X_t   X             top-down samples of all x_i: simulations drawn once under the budget, or new ones
    φ     bottom_up     one conditional sampler q(x_i | pã(x_i)) per inverse factor, which draws its noise ε
    θ     source.model  learned conditionals p(x_i | pa(x_i)), if there are any
    ξ     adversaries   one per tuple T_k; of repeated variables also a reader, their network for the evidence
    K     batch_size    top-down samples per step
    L     particles     bottom-up samples per item of evidence
    p, q                samples of both chains at every T_k; p_ξ, q_ξ: with the reader's features of the evidence

The paper leaves open the stabilisation of the adversaries, the optimiser and the choice of a checkpoint. Here these are
gradient penalties on both chains (:func:`ampbench.networks.loss_and_penalty`), Adam with a moving average of φ
(:mod:`ampbench.amp.optimisation`), and the best held-out score (:mod:`ampbench.statistics.scoring_rules`). After the
training, the adversary can resample the draws of the families (:mod:`ampbench.amp.refinement`).
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Generic

from torch import nn

from ampbench.amp.comparisons import AsTheyAre, Families, Views, by_likelihood, detached
from ampbench.amp.optimisation import Checkpoint, Descent, move_average
from ampbench.amp.sources import Source
from ampbench.errors import TrainingError
from ampbench.interfaces import Progress
from ampbench.networks import loss_and_penalty
from ampbench.options import at_least, between, half_open

MAX_COUNT = 10**9
"""Upper bound of steps, batch size and particles; larger numbers are refused as mistakes."""

DEFAULT_STEPS = 6000
"""Steps of a training on at most :data:`REFERENCE_ROWS` rows."""
REFERENCE_ROWS = 10_000
"""Number of simulations, or rows of data, beyond which steps and weight decay depend on the number of rows."""

PENALTY_EVERY = 8
"""Number of steps from one gradient penalty to the next."""

TRAINING = "amp-training==2"
"""Part of the keys of runs: not every step has gradient penalties any more, and Adam and splines round differently."""


@dataclass(frozen=True)
class Settings:
    """Settings of the training.

    Raises:
        UsageError: a value is out of its range; the message names the setting.

    Attributes:
        steps: number of updates of both players; 0 means :func:`default_steps`.
        batch_size: K, top-down samples per step.
        particles: L, bottom-up samples per item of evidence.
        learning_rate: peak learning rate of the families.
        adversary_learning_rate: peak learning rate of the adversaries.
        weight_decay: weight decay of the families; see :meth:`on` and :class:`ampbench.amp.optimisation.Descent`.
        penalty: γ, weight of the gradient penalties, on average over steps.
        ema: decay of the moving average of φ.
        teacher_forcing: whether contexts come from the top-down chain instead of the bottom-up chain.
        held_out: fraction of the simulations that is held out to choose the checkpoint.
        checks: number of times that the held-out score is computed.
        patience: the training stops after this number of checks without a better score.
        penalty_every: k, the gradient penalties are added in every k-th step, with k times the weight.
    """

    steps: int
    batch_size: int
    particles: int
    teacher_forcing: bool
    learning_rate: float
    adversary_learning_rate: float
    weight_decay: float
    penalty: float
    ema: float
    held_out: float
    checks: int
    patience: int
    penalty_every: int = PENALTY_EVERY

    def __post_init__(self) -> None:
        half_open(self, steps=(self.steps, 0, MAX_COUNT), batch_size=(self.batch_size, 2, MAX_COUNT))
        half_open(self, particles=(self.particles, 1, MAX_COUNT), ema=(self.ema, 0, 1))
        at_least(self, penalty=(self.penalty, 0), weight_decay=(self.weight_decay, 0))
        at_least(self, checks=(self.checks, 1), patience=(self.patience, 1))
        at_least(self, penalty_every=(self.penalty_every, 1))
        between(self, learning_rate=(self.learning_rate, 0, math.inf), held_out=(self.held_out, 0, 1))
        between(self, adversary_learning_rate=(self.adversary_learning_rate, 0, math.inf))

    def on(self, rows: int) -> Settings:
        """Return the settings for a training on a number of simulations, or rows of data.

        Zero steps become :func:`default_steps`. Weight decay corresponds to a prior of the weights, whose influence
        falls with the number of data: beyond :data:`REFERENCE_ROWS` rows n it is proportional to 1/n.
        """
        steps, decay = self.steps or default_steps(rows), self.weight_decay * min(1.0, REFERENCE_ROWS / rows)
        return replace(self, steps=steps, weight_decay=decay)

    def penalised(self, step: int) -> bool:
        """Return whether a step has gradient penalties."""
        return self.penalty > 0 and step % self.penalty_every == 0


def default_steps(rows: int) -> int:
    """Return the number of steps for a training on a number of simulations, or rows of data.

    It is 6,000 up to 10,000 rows, and beyond proportional to the square root of the number of rows: more rows resolve
    finer structure, and delay overfitting.
    """
    return round(DEFAULT_STEPS * max(1.0, rows / REFERENCE_ROWS) ** 0.5)


class Learned(nn.Module, Generic[Families]):
    """The networks that descend the local divergences: families φ, and learned conditionals θ of the model."""

    bottom_up: Families

    def __init__(self, bottom_up: Families, model: nn.Module) -> None:
        super().__init__()
        self.bottom_up = bottom_up
        self.model = model


@dataclass(frozen=True)
class Trained(Generic[Families]):
    """The result of a training.

    Attributes:
        learned: φ and θ at the best checkpoint.
        adversaries: ξ at the end of the training, one per tuple.
        history: one row per check: losses, gradient norms, learning rates, held-out score.
        reader: the adversaries' network for evidence; see :class:`ampbench.amp.comparisons.Views`.
    """

    learned: Learned[Families]
    adversaries: Sequence[nn.Module]
    history: Sequence[Mapping[str, float]]
    reader: nn.Module = field(default_factory=AsTheyAre)


class UnfinishedTrainingError(TrainingError):
    """Training broke down after its first checkpoint.

    Attributes:
        trained: the result at the best checkpoint.
    """

    def __init__(self, message: str, trained: Trained[Any]) -> None:
        super().__init__(message)
        self.trained = trained


def train(
    views: Views[Families],
    source: Source,
    settings: Settings,
    progress: Progress,
    descent: Callable[..., Descent] = Descent,
    checkpoints: Callable[..., Checkpoint[Learned[Families]]] = Checkpoint,
) -> Trained[Families]:
    """Run Algorithm 1.

    Arguments:
        views: the families, and the tuples of both chains.
        source: top-down samples and evidence, on the device of the families.
        settings: see :class:`Settings`; at least one step.
        progress: called after every step.
        descent: optimises a player; another one for members of an ensemble (:mod:`ampbench.amp.ensembles.training`).
        checkpoints: keeps the best checkpoint; likewise.

    Raises:
        TrainingError: a loss, a gradient or the score became NaN or infinite; the message names tuple or player, and
            step. After the first checkpoint it is an :class:`UnfinishedTrainingError`.
    """
    adversaries, reader = views.build_adversaries()
    pairs = list(zip(views.comparisons, adversaries, strict=True))
    weights = [weight for network in (*adversaries, reader) for weight in network.parameters() if weight.requires_grad]
    learned = Learned(views.bottom_up, source.model)
    xi = descent("adversary", weights, settings.adversary_learning_rate, settings.steps)
    phi = descent("family", learned.parameters(), settings.learning_rate, settings.steps, settings.weight_decay)
    averaged = copy.deepcopy(learned).requires_grad_(False).eval()
    likelihood = by_likelihood(views.comparisons)
    checkpoint = checkpoints(averaged, settings.patience)

    try:
        for step in range(1, settings.steps + 1):
            X = source.top_down(settings.batch_size)  # lines 6 and 8: X_t, top-down samples of every x_i
            p = views.top_down(X)
            if likelihood:
                q = p  # the losses do not use q
            elif settings.teacher_forcing:
                q = views.forced(X, settings.particles)
            else:  # lines 7 and 9: infer, with new noise ε
                q = views.inferred(source.evidence(X, settings.batch_size), settings.particles)

            adversary_losses = {}
            p_ξ, q_ξ = reader(detached(p), detached(q))
            for at, adversary in pairs:  # line 10
                loss = at.divergence.adversary_loss  # eq. 7
                if settings.penalised(step):
                    value, penalty = loss_and_penalty(loss, adversary, p_ξ[at], q_ξ[at])
                    adversary_losses[at] = value + settings.penalty * settings.penalty_every * penalty
                else:
                    adversary_losses[at] = loss(adversary, p_ξ[at], q_ξ[at])
            xi.descend(adversary_losses, step)  # line 11

            family_losses = {}
            p_ξ, q_ξ = reader(p, q)
            for at, adversary in pairs:
                family_losses[at] = at.divergence.family_loss(adversary, p_ξ[at], q_ξ[at])  # eq. 5 and 6
            phi.descend(family_losses, step)  # lines 12 and 13: θ through p, and φ through q

            move_average(averaged, learned, settings.ema, step)
            progress(step, settings.steps)
            if step % max(1, settings.steps // settings.checks) == 0 or step == settings.steps:
                score = source.score(averaged.bottom_up, averaged.model)
                checkpoint.offer(averaged, score, step, xi.row() | phi.row())
                if checkpoint.stale:
                    break
    except TrainingError as error:
        if not checkpoint.history:
            raise
        best = Trained(checkpoint.best, adversaries, checkpoint.history, reader)
        raise UnfinishedTrainingError(str(error), best) from error

    return Trained(checkpoint.best, adversaries, checkpoint.history, reader)
