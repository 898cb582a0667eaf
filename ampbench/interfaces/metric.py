"""Metrics: distances between posterior samples and reference samples, or scores of samples in their setting."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import final

from torch import Tensor

from ampbench.errors import MetricError
from ampbench.interfaces.method import Posterior
from ampbench.interfaces.task import Observation, Task


@dataclass(frozen=True)
class Measurement:
    """A metric's value and how it came about: classifier, folds, n, seed, standard error, … (numbers and strings)."""

    value: float
    provenance: Mapping[str, str | int | float] = field(default_factory=dict)


class Metric(ABC):
    """A distance between posterior samples and reference samples."""

    @abstractmethod
    def measure(self, samples: Tensor, reference: Tensor) -> Measurement:
        """Compare samples (n, D) with reference samples (m, D); deterministic.

        Raises:
            MetricError: NaN, too few samples or mismatched dimensions, by name.
        """


@dataclass(frozen=True)
class Setting:
    """Where posterior samples come from.

    Attributes:
        task: the task.
        observation: with its theta, if that is known.
        posterior: None if the samples were stored earlier, and no fit is kept.
    """

    task: Task
    observation: Observation
    posterior: Posterior | None


class NeedsSetting(Metric):
    """A metric that looks at posterior samples in their setting, and at no reference: forward-only tasks have it too.

    Its :meth:`measure` refuses; whoever measures asks for this type first.
    """

    @abstractmethod
    def measure_in(self, setting: Setting, samples: Tensor) -> Measurement:
        """Judge samples (n, D) of ``setting.posterior`` given ``setting.observation``; deterministic.

        Raises:
            MetricError: bad samples, or a setting without what the metric needs (a density, a gradient, theta).
        """

    @final
    def measure(self, samples: Tensor, reference: Tensor) -> Measurement:
        """Raise :class:`MetricError`."""
        raise MetricError(
            f"{type(self).__name__} needs a task, not reference samples; call measure_in(setting, samples)"
        )
