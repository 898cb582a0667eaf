r"""Adversarial message passing: Algorithm 1 of Karaletsos 2016, arXiv:1612.05048.

Two chains meet at every local tuple T_k: the top-down chain p samples the model, the bottom-up chain q starts from
evidence and passes through the inverse factors. One adversary per tuple learns to tell them apart (eq. 7); the families
descend the sum of the local divergences that the adversaries estimate (eq. 5 and 6).

Legend, with the paper's symbols::

    X_t   X             simulations of all x_i, drawn once under the budget; the observed ones are the evidence
    φ     bottom_up     one conditional sampler q(x_i | pã(x_i)) per inverse factor; it draws the noise ε itself
    ξ     adversaries   one per tuple T_k
    K     batch_size    top-down samples per step
    L     particles     bottom-up samples per item of evidence
    p, q                what the two chains show at T_k

Learned conditionals (θ, line 12) are sampled by :class:`~ampbench.graph.Graph`, but not trained here yet.

What the paper leaves open is taken from the literature: gradient penalties on both chains
(:func:`ampbench.adversary.gradient_penalty`), the optimiser and the moving average of φ (:mod:`ampbench.optimisation`),
and the checkpoint with the best held-out score (:mod:`ampbench.scores`).
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ampbench.adversary import gradient_penalty
from ampbench.chains import BottomUp, view
from ampbench.errors import TrainingError, UsageError
from ampbench.interfaces import Divergence, Progress
from ampbench.optimisation import Checkpoint, Descent, move_average
from ampbench.scores import held_out_score
from ampbench.tuples import Laws, Site


@dataclass(frozen=True)
class Settings:
    """How to train.

    Raises:
        UsageError: a number is out of its range.

    Attributes:
        steps: number of updates of both players.
        batch_size: K, top-down samples per step.
        particles: L, bottom-up samples per item of evidence.
        learning_rate: of the families, at its peak.
        adversary_learning_rate: of the adversaries, at its peak.
        penalty: γ, weight of the gradient penalties.
        ema: decay of the moving average of φ.
        held_out: fraction of the simulations kept for choosing the checkpoint.
        checks: how often in all the held-out score is taken.
        patience: stop after so many checks without a better score.
    """

    steps: int
    batch_size: int
    particles: int
    learning_rate: float
    adversary_learning_rate: float
    penalty: float
    ema: float
    held_out: float
    checks: int
    patience: int

    def __post_init__(self) -> None:
        least = {"steps": 1, "batch_size": 2, "particles": 1, "penalty": 0, "ema": 0, "checks": 1, "patience": 1}
        for name, value in least.items():
            if getattr(self, name) < value:
                raise UsageError(f"{name} must be at least {value}, got {getattr(self, name)}")
        for name in ("learning_rate", "adversary_learning_rate", "held_out"):
            if getattr(self, name) <= 0:
                raise UsageError(f"{name} must be positive, got {getattr(self, name)}")
        for name in ("ema", "held_out"):
            if getattr(self, name) >= 1:
                raise UsageError(f"{name} must be below 1, got {getattr(self, name)}")


@dataclass(frozen=True)
class Trained:
    """The outcome: φ at the best checkpoint, ξ at the end, and one row per check of what was seen on the way."""

    bottom_up: BottomUp
    adversaries: Sequence[nn.Module]
    history: Sequence[Mapping[str, float]]


def train(
    bottom_up: BottomUp,
    sites: Sequence[Site],
    divergences: Sequence[Divergence],
    laws: Sequence[Laws],
    simulations: Mapping[str, Tensor],
    observed: Sequence[str],
    settings: Settings,
    progress: Progress,
) -> Trained:
    """Run Algorithm 1.

    Arguments:
        bottom_up: the families, on the device of the simulations.
        sites: the local tuples.
        divergences: one per site.
        laws: the densities that are known, one per site.
        simulations: top-down samples in network coordinates, one tensor (n, D_i) per variable.
        observed: names of the evidence.
        settings: see :class:`Settings`.
        progress: called after every step.

    Raises:
        TrainingError: a loss, a gradient or the held-out score became NaN or infinite; names tuple or player, and step.
    """
    held_out, simulations = split(simulations, settings.held_out)
    sizes = [view(simulations, site).joint.shape[-1] for site in sites]
    with bottom_up.device:
        adversaries = [divergence.adversary(size) for divergence, size in zip(divergences, sizes, strict=True)]
    factors = list(zip(sites, divergences, adversaries, laws, strict=True))
    weights = [weight for adversary in adversaries for weight in adversary.parameters()]
    xi = Descent("adversary", weights, settings.adversary_learning_rate, settings.steps)
    phi = Descent("family", bottom_up.parameters(), settings.learning_rate, settings.steps)
    averaged = copy.deepcopy(bottom_up).requires_grad_(False)
    checkpoint = Checkpoint(averaged, settings.patience)

    try:
        for step in range(1, settings.steps + 1):
            X = minibatch(simulations, settings.batch_size)  # lines 6 and 8: X_t, top-down samples of every x_i
            Q = bottom_up({name: X[name] for name in observed}, settings.particles)  # lines 7 and 9: infer, fresh ε

            adversary_losses = {}
            for site, divergence, adversary, law in factors:  # line 10
                p, q = view(X, site, law), view(Q, site, law).detach()
                loss = divergence.adversary_loss(adversary, p, q)  # eq. 7
                adversary_losses[site] = loss + settings.penalty * gradient_penalty(adversary, p, q)
            xi.descend(adversary_losses, step)  # line 11

            family_losses = {}
            for site, divergence, adversary, law in factors:
                p, q = view(X, site, law), view(Q, site, law)
                family_losses[site] = divergence.family_loss(adversary, p, q)  # eq. 5 and 6
            phi.descend(family_losses, step)  # line 13

            move_average(averaged, bottom_up, settings.ema, step)
            progress(step, settings.steps)
            if step % max(1, settings.steps // settings.checks) == 0 or step == settings.steps:
                score = held_out_score(averaged, held_out, observed)
                checkpoint.offer(averaged, score, step, xi.row() | phi.row())
                if checkpoint.stale:
                    break
    except TrainingError as error:  # what was good so far is not lost
        if checkpoint.history:
            error.trained = Trained(checkpoint.best, adversaries, checkpoint.history)
        raise

    return Trained(checkpoint.best, adversaries, checkpoint.history)


def split(simulations: Mapping[str, Tensor], fraction: float) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Return the first ``fraction`` of the rows, at least one, and the rest; rows are independent draws."""
    n = len(next(iter(simulations.values())))
    kept = min(max(1, round(fraction * n)), n - 1)
    return {k: v[:kept] for k, v in simulations.items()}, {k: v[kept:] for k, v in simulations.items()}


def minibatch(simulations: Mapping[str, Tensor], size: int) -> dict[str, Tensor]:
    """Return ``size`` rows chosen at random with replacement, the same for every variable."""
    first = next(iter(simulations.values()))
    rows = torch.randint(len(first), (size,), device=first.device)
    return {name: value[rows] for name, value in simulations.items()}
