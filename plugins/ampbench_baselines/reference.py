"""The exact posterior as a method: the best attainable score, and a test of the metrics.

Its samples are independent of the task's reference samples, so that the expected C2ST is 0.5.
"""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor

from ampbench.errors import UsageError
from ampbench.graph import Simulator
from ampbench.interfaces import HasReference, Method, Oracle, Posterior, Progress, Task


@final
class Reference(Method, Oracle):
    """Fresh samples of the task's exact posterior; it spends no simulations."""

    drop_bias = ""

    def with_task(self, task: Task) -> Method:
        """Return the method for one task; raises :class:`UsageError` if the task has no sampler of its posterior."""
        if not isinstance(task, HasReference):
            raise UsageError(
                f"method 'reference' needs a task whose exact posterior can be sampled, but {type(task).__name__} "
                "has none"
            )
        return _TaskReference(task)

    def fit(self, simulator: Simulator, device: torch.device, progress: Progress) -> Posterior:
        """Raise :class:`UsageError`: the exact posterior needs the task, not only its simulator."""
        raise UsageError("method 'reference' needs the task, not only its simulator: call Reference().with_task(task)")


@final
class _TaskReference(Method):
    """The exact posterior of one task."""

    drop_bias = ""

    def __init__(self, task: HasReference) -> None:
        self._task = task

    def fit(self, simulator: Simulator, device: torch.device, progress: Progress) -> Posterior:
        """Return the exact posterior."""
        return _ExactPosterior(self._task)


@final
class _ExactPosterior(Posterior):
    """The exact posterior of one task; seeds of its samples are drawn from torch's generator."""

    def __init__(self, task: HasReference) -> None:
        self._task = task

    def sample(self, observation: Tensor, n: int) -> Tensor:
        """Draw (n, D) exact posterior samples."""
        return self._task.reference(observation, n, int(torch.randint(2**62, ())))
