r"""How parameters move: Adam with warm-up and decay, a moving average, and the checkpoint with the best score.

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

WARM_UP = 200
"""Steps over which the learning rate rises to its peak."""

ADVICE = "try a smaller learning rate, a larger penalty, or look for extreme values among the simulations"


class Descent:
    """Adam on one player's parameters, with the other player's left alone.

    The learning rate rises linearly for :data:`WARM_UP` steps, stays until half of the training, and falls to a
    hundredth along a cosine. Without parameters (a divergence without an adversary) a descent does nothing.

    Arguments:
        player: who descends, for the history and for errors.
        parameters: what moves.
        learning_rate: at its peak.
        steps: length of the training.
        weight_decay: share of every parameter that is taken from it at each step, for a learning rate of 1.
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
            self._adam = torch.optim.AdamW(self.parameters, learning_rate, betas=(0.0, 0.99), weight_decay=weight_decay)
            self._schedule = torch.optim.lr_scheduler.LambdaLR(self._adam, lambda step: _rate(step, steps))

    def descend(self, losses: Mapping[Any, Tensor], step: int) -> None:
        """Take one step down the sum of the local losses.

        Raises:
            TrainingError: a loss or the norm of the gradient is NaN or infinite; nothing has moved then.
        """
        self._seen = {f"{self.player} loss {comparison}": loss.detach() for comparison, loss in losses.items()}
        if not self.parameters:
            return
        total = torch.stack(list(losses.values())).sum()
        gradients = torch.autograd.grad(total, self.parameters, allow_unused=True)
        norm = torch.nn.utils.get_total_norm([gradient for gradient in gradients if gradient is not None])
        if not torch.isfinite(total.detach() + norm):  # one look at the device for both
            raise self._broken(losses, norm, step)
        rate = self._schedule.get_last_lr()[0]
        self._seen |= {f"{self.player} gradient norm": norm, f"{self.player} learning rate": rate}
        for parameter, gradient in zip(self.parameters, gradients, strict=True):
            parameter.grad = gradient
        self._adam.step()
        self._schedule.step()

    def row(self) -> dict[str, float]:
        """What the last step saw before it moved: the loss of every tuple, the norm of the gradient, the rate."""
        return {name: float(value) for name, value in self._seen.items()}

    def _broken(self, losses: Mapping[Any, Tensor], norm: Tensor, step: int) -> TrainingError:
        what, value = f"norm of the {self.player} gradient", norm
        for comparison, loss in losses.items():
            if not torch.isfinite(loss):
                what, value = f"{self.player} loss at tuple {comparison}", loss
                break
        return TrainingError(f"the {what} became {value.item()} in step {step}; {ADVICE}")


def _rate(step: int, steps: int) -> float:
    done = step / steps
    decay = 1.0 if done < 0.5 else 0.01 + 0.495 * (1 + math.cos(math.pi * (2 * done - 1)))
    return min(1.0, (step + 1) / WARM_UP) * decay


@torch.no_grad()
def move_average(average: nn.Module, current: nn.Module, decay: float, step: int) -> None:
    """Move φ̄ ← δ φ̄ + (1 − δ) φ, where δ rises to ``decay`` so that the start is soon forgotten."""
    now = min(decay, step / (step + 10))
    for kept, new in zip(average.parameters(), current.parameters(), strict=True):
        kept.lerp_(new, 1 - now)


class Checkpoint(Generic[Module]):
    """The best φ and θ seen so far, by a score that is better when lower, and what was seen on the way.

    Arguments:
        learned: holds the parameters to start from.
        patience: :attr:`stale` becomes true after so many offers without a better score.

    Attributes:
        best: a copy with the parameters of the best score.
        history: one row per offer; :func:`ampbench.interfaces.history.history_frame` makes a table of them.
    """

    def __init__(self, learned: Module, patience: int) -> None:
        self.best = copy.deepcopy(learned)
        self.history: tuple[Mapping[str, float], ...] = ()
        self._score = math.inf
        self._since = 0
        self._patience = patience

    def offer(self, learned: Module, score: float, step: int, seen: Mapping[str, float]) -> None:
        """Note a row of the history, and keep a copy of the parameters if their score is the best.

        Arguments:
            learned: holds them, after this step.
            score: theirs; better when lower.
            step: how many were taken.
            seen: what else to note, such as the players' rows.

        Raises:
            TrainingError: the score is NaN or infinite.
        """
        if not math.isfinite(score):
            raise TrainingError(f"the held-out score became {score} in step {step}; {ADVICE}")
        self.history += ({"step": step, "held_out_score": score, **seen},)
        self._since += 1
        if score < self._score:
            self.best.load_state_dict(learned.state_dict())
            self._score, self._since = score, 0

    @property
    def stale(self) -> bool:
        """Whether patience has run out."""
        return self._since >= self._patience
