"""Metrics: distances between posterior samples and reference samples, or scores of samples in their setting."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import final

from torch import Tensor

from ampbench.errors import MetricError
from ampbench.interfaces.posterior import Posterior
from ampbench.interfaces.task import Observation, Task


@dataclass(frozen=True)
class Measurement:
    """The value of a metric, with its provenance: numbers and strings such as classifier, folds, n, seed, error."""

    value: float
    provenance: Mapping[str, str | int | float] = field(default_factory=dict)


class Metric(ABC):
    """A distance between posterior samples and reference samples."""

    @abstractmethod
    def measure(self, samples: Tensor, reference: Tensor) -> Measurement:
        """Compare samples (n, D) with reference samples (m, D); deterministic; lower is better.

        Raises:
            MetricError: samples hold NaN, are too few, or have another dimension; the message says which.
        """


@dataclass(frozen=True)
class Setting:
    """The setting of posterior samples.

    Attributes:
        task: the task.
        observation: x, and the true theta where it is known.
        posterior: the posterior that was sampled; None if only its samples are stored.
    """

    task: Task
    observation: Observation
    posterior: Posterior | None


class NeedsSetting(Metric):
    """A metric that judges posterior samples by their setting, without reference samples.

    It can be computed for forward-only tasks too. Call :meth:`measure_in`; :meth:`measure` raises an error.
    """

    @abstractmethod
    def measure_in(self, setting: Setting, samples: Tensor) -> Measurement:
        """Judge samples (n, D) of ``setting.posterior`` given ``setting.observation``; deterministic.

        Raises:
            MetricError: the samples are invalid, or the setting lacks what the metric needs (a density, a gradient, the
                true theta).
        """

    @final
    def measure(self, samples: Tensor, reference: Tensor) -> Measurement:
        """Raise :class:`MetricError`."""
        raise MetricError(
            f"{type(self).__name__} needs a task, not reference samples; call measure_in(setting, samples)"
        )
