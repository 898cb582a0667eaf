r"""Optimisation: Adam with warm-up and decay, the moving average of φ, and the checkpoint with the best score.

The learning rate at step t of T is the product of its peak, of the warm-up :math:`\min(1, (t + 1) / 200)` and of a
decay, which is 1 in the first half of the training and :math:`0.01 + 0.495\,(1 + \cos \pi(2t/T - 1))` in the second.
The moving average is

.. math:: \bar\phi \leftarrow \delta_t \bar\phi + (1 - \delta_t)\, \phi, \qquad
          \delta_t = \min\left(\delta, \frac{t}{t + 10}\right)

References:
    Loshchilov & Hutter 2019, *Decoupled weight decay regularization*, arXiv:1711.05101.
    Gulrajani et al. 2017, *Improved training of Wasserstein GANs*, arXiv:1704.00028 (Adam without momentum).
    Yazıcı et al. 2019, *The unusual effectiveness of averaging in GAN training*, arXiv:1806.04498.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable, Mapping
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor, nn

from ampbench.errors import TrainingError

Module = TypeVar("Module", bound=nn.Module)

WARM_UP_STEPS = 200
"""Steps over which the learning rate rises to its peak."""

REMEDY = "try a smaller learning rate, a larger penalty, or look for extreme values among the simulations"


class Descent:
    """Adam on the parameters of one player; the parameters of the other player do not change.

    The learning rate rises linearly for :data:`WARM_UP_STEPS` steps, stays until half of the training, and falls to a
    hundredth along a cosine. A player without parameters (the adversary of a divergence that trains none)
    is skipped.

    Arguments:
        player: ``adversary`` or ``family``, for the history and for errors.
        parameters: the parameters of the player.
        learning_rate: the peak learning rate.
        steps: number of steps of the training.
        weight_decay: decoupled weight decay per step, for a learning rate of 1.
    """

    def __init__(
        self,
        player: str,
        parameters: Iterable[nn.Parameter],
        learning_rate: float,
        steps: int,
        weight_decay: float = 0.0,
    ) -> None:
        self.player = player
        self.parameters = list(parameters)
        self._seen: Mapping[str, Tensor | float] = {}
        if self.parameters:
            self._adam = torch.optim.AdamW(
                self.parameters, learning_rate, betas=(0.0, 0.99), weight_decay=weight_decay, fused=True
            )
            self._schedule = torch.optim.lr_scheduler.LambdaLR(self._adam, lambda step: _rate(step, steps))

    def descend(self, losses: Mapping[Any, Tensor], step: int) -> None:
        """Take one step down the sum of the local losses.

        Raises:
            TrainingError: a loss or the norm of the gradient is NaN or infinite; the parameters are unchanged.
        """
        self._seen = {f"{self.player} loss {comparison}": loss.detach() for comparison, loss in losses.items()}
        if not self.parameters:
            return
        total = torch.stack(list(losses.values())).sum()
        gradients = torch.autograd.grad(total, self.parameters, allow_unused=True)
        norm = torch.nn.utils.get_total_norm([gradient for gradient in gradients if gradient is not None])
        if not torch.isfinite(total.detach() + norm):  # one synchronisation with the device for both
            raise self._broken(losses, norm, step)
        rate = self._schedule.get_last_lr()[0]
        self._seen |= {f"{self.player} gradient norm": norm, f"{self.player} learning rate": rate}
        self._move(gradients)

    def _move(self, gradients: Iterable[Tensor | None]) -> None:
        """Take a step of Adam, in one pass that reads parameter and gradient side by side, whatever their strides."""
        for parameter, gradient in zip(self.parameters, gradients, strict=True):
            parameter.grad = None if gradient is None else gradient.contiguous()
        self._adam.step()
        self._schedule.step()

    def row(self) -> dict[str, float]:
        """Return the loss of every tuple, the norm of the gradient and the learning rate of the last step."""
        return {name: float(value) for name, value in self._seen.items()}

    def _broken(self, losses: Mapping[Any, Tensor], norm: Tensor, step: int) -> TrainingError:
        what, value = f"norm of the {self.player} gradient", norm
        for comparison, loss in losses.items():
            if not torch.isfinite(loss):
                what, value = f"{self.player} loss at tuple {comparison}", loss
                break
        return TrainingError(f"the {what} became {value.item()} in step {step}; {REMEDY}")


def _rate(step: int, steps: int) -> float:
    done = step / steps
    decay = 1.0 if done < 0.5 else 0.01 + 0.495 * (1 + math.cos(math.pi * (2 * done - 1)))
    return min(1.0, (step + 1) / WARM_UP_STEPS) * decay


@torch.no_grad()
def move_average(average: nn.Module, current: nn.Module, decay: float, step: int) -> None:
    """Update the moving average, φ̄ ← δ φ̄ + (1 − δ) φ; δ rises to ``decay``, so that the start loses its weight."""
    now = min(decay, step / (step + 10))
    for kept, new in zip(average.parameters(), current.parameters(), strict=True):
        kept.lerp_(new, 1 - now)


class Checkpoint(Generic[Module]):
    """The parameters φ and θ with the lowest score so far, and the training history.

    Arguments:
        learned: the networks at the start of the training.
        patience: number of offers without a lower score after which :attr:`stale` is true.

    Attributes:
        best: a copy of the networks with the lowest score.
        history: one row per offer; :func:`ampbench.interfaces.history.history_frame` makes a table of them.
    """

    def __init__(self, learned: Module, patience: int) -> None:
        self.best = copy.deepcopy(learned)
        self.history: tuple[Mapping[str, float], ...] = ()
        self._score = math.inf
        self._since = 0
        self._patience = patience

    def offer(self, learned: Module, score: float, step: int, seen: Mapping[str, float]) -> None:
        """Add a row to the history, and copy the parameters if their score is the lowest.

        Arguments:
            learned: the networks after this step.
            score: their held-out score; lower is better.
            step: number of the step.
            seen: further columns of the row, such as losses and learning rates.

        Raises:
            TrainingError: the score is NaN or infinite.
        """
        if not math.isfinite(score):
            raise TrainingError(f"the held-out score became {score} in step {step}; {REMEDY}")
        self.history += ({"step": step, "held_out_score": score, **seen},)
        self._since += 1
        if score < self._score:
            self.best.load_state_dict(learned.state_dict())
            self._score, self._since = score, 0

    @property
    def stale(self) -> bool:
        """Whether the last ``patience`` offers have brought no lower score."""
        return self._since >= self._patience
