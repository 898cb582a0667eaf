"""The exact posterior as a method: the best that any can score, and a test of the metrics.

Its samples are independent of those that a task compares with, so that C2ST must come out as 0.5 up to noise.
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
    """The task's exact posterior, drawn anew; it spends no simulation, whatever the budget."""

    def with_task(self, task: Task) -> Method:
        """Return the method that knows the task; raises :class:`UsageError` if that has no sampler."""
        if not isinstance(task, HasReference):
            raise UsageError(
                f"method 'reference' needs a task whose exact posterior can be sampled, but {type(task).__name__} "
                "has none"
            )
        return _Told(task)

    def fit(self, simulator: Simulator, device: torch.device, progress: Progress) -> Posterior:
        """Refuse: a simulator alone does not tell its posterior."""
        raise UsageError(
            "method 'reference' must be told the task, as 'ampbench run' does: Reference().with_task(task)"
        )


@final
class _Told(Method):
    """The exact posterior of one task."""

    def __init__(self, task: HasReference) -> None:
        self._task = task

    def fit(self, simulator: Simulator, device: torch.device, progress: Progress) -> Posterior:
        """Return the exact posterior."""
        return _ExactPosterior(self._task)


@final
class _ExactPosterior(Posterior):
    """Samples of the task's reference, with seeds from torch's generator."""

    def __init__(self, task: HasReference) -> None:
        self._task = task

    def sample(self, observation: Tensor, n: int) -> Tensor:
        """Draw (n, D) exact posterior samples."""
        return self._task.reference(observation, n, int(torch.randint(2**62, ())))
