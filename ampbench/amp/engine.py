r"""Adversarial message passing: Algorithm 1 of Karaletsos 2016, arXiv:1612.05048.

Two chains meet at every local tuple T_k: the top-down chain p samples the model, the bottom-up chain q starts from
evidence and passes through the inverse factors. One adversary per tuple learns to tell them apart (eq. 7); the families
descend the sum of the local divergences that the adversaries estimate (eq. 5 and 6).

Legend, with the paper's symbols::

    X_t   X             top-down samples of all x_i: simulations drawn once under the budget, or fresh ones
    φ     bottom_up     one conditional sampler q(x_i | pã(x_i)) per inverse factor; it draws the noise ε itself
    θ     source.model  learned conditionals p(x_i | pa(x_i)), if there are any
    ξ     adversaries   one per tuple T_k
    K     batch_size    top-down samples per step
    L     particles     bottom-up samples per item of evidence
    p, q                what the two chains show at T_k

What the paper leaves open is taken from the literature: gradient penalties on both chains
(:func:`ampbench.networks.gradient_penalty`), the optimiser and the moving average of φ
(:mod:`ampbench.amp.optimisation`), the checkpoint with the best held-out score
(:mod:`ampbench.statistics.scoring_rules`), and what the adversary does with it in the end
(:mod:`ampbench.amp.refinement`).
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from torch import nn

from ampbench.amp.chains import BottomUp
from ampbench.amp.comparisons import LocalComparison, bottom_up_view, by_likelihood, forced_view, top_down_view
from ampbench.amp.optimisation import Checkpoint, Descent, move_average
from ampbench.amp.sources import Source
from ampbench.errors import TrainingError
from ampbench.interfaces import Progress
from ampbench.networks import gradient_penalty
from ampbench.options import at_least, between, half_open

MANY = 10**9
"""More steps or rows than any training has: a slip of the pen."""

STEPS = 6000
"""Usual length of a training on :data:`FEW` rows, or on fewer."""
FEW = 10_000
"""Simulations, or rows of data, up to which a setting is what its option says."""


@dataclass(frozen=True)
class Settings:
    """How to train.

    Raises:
        UsageError: a number is out of its range.

    Attributes:
        steps: number of updates of both players; 0: :func:`usual_steps`, see :meth:`on`.
        batch_size: K, top-down samples per step.
        particles: L, bottom-up samples per item of evidence.
        learning_rate: of the families, at its peak.
        adversary_learning_rate: of the adversaries, at its peak.
        weight_decay: of the families, for few rows; see :meth:`on` and :class:`ampbench.amp.optimisation.Descent`.
        penalty: γ, weight of the gradient penalties.
        ema: decay of the moving average of φ.
        teacher_forcing: whether contexts come from the top-down chain rather than through q.
        held_out: fraction of the simulations kept for choosing the checkpoint.
        checks: how often in all the held-out score is taken.
        patience: stop after so many checks without a better score.
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

    def __post_init__(self) -> None:
        half_open(self, steps=(self.steps, 0, MANY), batch_size=(self.batch_size, 2, MANY))
        half_open(self, particles=(self.particles, 1, MANY), ema=(self.ema, 0, 1))
        at_least(self, penalty=(self.penalty, 0), weight_decay=(self.weight_decay, 0))
        at_least(self, checks=(self.checks, 1), patience=(self.patience, 1))
        between(self, learning_rate=(self.learning_rate, 0, math.inf), held_out=(self.held_out, 0, 1))
        between(self, adversary_learning_rate=(self.adversary_learning_rate, 0, math.inf))

    def on(self, rows: int) -> Settings:
        """Return the settings for a training on so many simulations, or rows of data.

        Steps that were left open become :func:`usual_steps`. Weight decay stands for a prior of the weights, which
        n rows outweigh n-fold: beyond :data:`FEW` rows it falls as 1/n.
        """
        steps, decay = self.steps or usual_steps(rows), self.weight_decay * min(1.0, FEW / rows)
        return replace(self, steps=steps, weight_decay=decay)


def usual_steps(rows: int) -> int:
    """Return a number of steps for a training on so many simulations, or rows of data.

    6,000, and beyond 10,000 rows more, as the square root of their number: the more there are, the finer what can be
    learned of them, and the less is learned by heart.
    """
    return round(STEPS * max(1.0, rows / FEW) ** 0.5)


class Learned(nn.Module):
    """What descends the local divergences: the families φ, and the learned conditionals θ of the model."""

    def __init__(self, bottom_up: BottomUp, model: nn.Module) -> None:
        super().__init__()
        self.bottom_up = bottom_up
        self.model = model


@dataclass(frozen=True)
class Trained:
    """The outcome: φ and θ at the best checkpoint, ξ at the end, and one row per check of what was seen on the way."""

    learned: Learned
    adversaries: Sequence[nn.Module]
    history: Sequence[Mapping[str, float]]


class UnfinishedTrainingError(TrainingError):
    """Training broke down after its first checkpoint.

    Attributes:
        trained: the outcome at the best checkpoint.
    """

    def __init__(self, message: str, trained: Trained) -> None:
        super().__init__(message)
        self.trained = trained


def train(
    bottom_up: BottomUp, comparisons: Sequence[LocalComparison], source: Source, settings: Settings, progress: Progress
) -> Trained:
    """Run Algorithm 1.

    Arguments:
        bottom_up: the families.
        comparisons: the tuples at which the chains are compared.
        source: top-down samples and evidence, on the device of the families.
        settings: see :class:`Settings`; at least one step.
        progress: called after every step.

    Raises:
        TrainingError: a loss, a gradient or the score became NaN or infinite; names tuple or player, and step. It is an
            :class:`UnfinishedTrainingError` if there was a checkpoint before.
    """
    adversaries = build_adversaries(bottom_up, comparisons)
    pairs = list(zip(comparisons, adversaries, strict=True))
    weights = [weight for adversary in adversaries for weight in adversary.parameters()]
    learned = Learned(bottom_up, source.model)
    xi = Descent("adversary", weights, settings.adversary_learning_rate, settings.steps)
    phi = Descent("family", learned.parameters(), settings.learning_rate, settings.steps, settings.weight_decay)
    averaged = copy.deepcopy(learned).requires_grad_(False).eval()
    likelihood = by_likelihood(comparisons)
    checkpoint = Checkpoint(averaged, settings.patience)

    try:
        for step in range(1, settings.steps + 1):
            X = source.top_down(settings.batch_size)  # lines 6 and 8: X_t, top-down samples of every x_i
            p = top_down_view(X, comparisons)
            if likelihood:
                q = p  # nobody looks at q
            elif settings.teacher_forcing:
                q = forced_view(bottom_up, X, comparisons, settings.particles)
            else:  # lines 7 and 9: infer, with fresh ε
                evidence = source.evidence(X, settings.batch_size)
                q = bottom_up_view(bottom_up, evidence, comparisons, settings.particles)

            adversary_losses = {}
            for at, adversary in pairs:  # line 10
                p_k, q_k = p[at].detach(), q[at].detach()
                loss = at.divergence.adversary_loss(adversary, p_k, q_k)  # eq. 7
                if settings.penalty:
                    loss = loss + settings.penalty * gradient_penalty(adversary, p_k, q_k)
                adversary_losses[at] = loss
            xi.descend(adversary_losses, step)  # line 11

            family_losses = {}
            for at, adversary in pairs:
                family_losses[at] = at.divergence.family_loss(adversary, p[at], q[at])  # eq. 5 and 6
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
        best = Trained(checkpoint.best, adversaries, checkpoint.history)
        raise UnfinishedTrainingError(str(error), best) from error

    return Trained(checkpoint.best, adversaries, checkpoint.history)


def build_adversaries(bottom_up: BottomUp, comparisons: Sequence[LocalComparison]) -> list[nn.Module]:
    """Return ξ at the start: one adversary per tuple, on the device of the families."""
    with bottom_up.device:
        return [at.divergence.adversary(bottom_up.features(at.site)) for at in comparisons]
