"""The conformance tests of a component that is known by its kind alone.

The classes of tests are those that pytest runs in the project of a plugin's author.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ampbench import interfaces
from ampbench.faults import pass_interruption
from ampbench.hookspecs import KINDS
from ampbench.interfaces import NeedsSetting
from ampbench.seeding import seeded
from ampbench.testing.divergence import DivergenceConformance
from ampbench.testing.executor import ExecutorConformance
from ampbench.testing.expect import expect
from ampbench.testing.family import DiscreteFamilyConformance, FamilyConformance
from ampbench.testing.method import MethodConformance
from ampbench.testing.metric import MetricConformance
from ampbench.testing.setting_metric import SettingMetricConformance
from ampbench.testing.task import TaskConformance

MAX_VALUES = 64
"""A family is discrete if 2,000 samples of one component have at most this number of values."""


class _Made:
    """A class of tests for a component that a function makes."""

    def __init__(self, make: Callable[[], Any]) -> None:
        self._make = make

    def make(self) -> Any:
        """Make the component under test."""
        return self._make()


class _Divergence(_Made, DivergenceConformance):
    pass


class _Executor(_Made, ExecutorConformance):
    pass


class _Family(_Made, FamilyConformance):
    pass


class _DiscreteFamily(_Made, DiscreteFamilyConformance):
    def values(self, features: int) -> Tensor:
        """Return the distinct values among many samples."""
        conditional = self.conditional(features, 2)
        with seeded(2):
            return torch.unique(conditional(torch.ones(50_000, 2)).detach(), dim=0)


class _Method(_Made, MethodConformance):
    least = 0


class _Metric(_Made, MetricConformance):
    def far(self, samples: Tensor) -> Tensor:
        """Return shifted and wider samples, since some metrics ignore shifts, and others widths."""
        return 2 * samples + 1.5


class _SettingMetric(_Made, SettingMetricConformance):
    @property
    def uses_samples(self) -> bool:  # type: ignore[override]
        """Whether other samples have another value."""
        values = [self.make().measure_in(self.setting(), self.samples() + shift).value for shift in (0.0, 1.0)]
        return bool(values[0] != values[1])


class _Task(_Made, TaskConformance):
    pass


def conformance(kind: str, make: Callable[[], Any]) -> _Made:
    """Return the conformance tests of a component.

    Arguments:
        kind: of components, such as ``divergences``.
        make: makes the component.
    """
    component = make()
    interface = getattr(interfaces, KINDS[kind].capitalize())
    expect(
        isinstance(component, interface),
        f"what the hook {kind} names makes a {type(component).__name__}",
        f"an instance of ampbench.interfaces.{interface.__name__}",
        type(component),
        f"derive the class from {interface.__name__}",
    )
    match kind:
        case "divergences":
            return _Divergence(make)
        case "executors":
            return _Executor(make)
        case "families":
            return (_DiscreteFamily if _is_discrete(component) else _Family)(make)
        case "methods":
            return _Method(make)
        case "metrics":
            return (_SettingMetric if isinstance(component, NeedsSetting) else _Metric)(make)
        case _:
            return _Task(make)


def _is_discrete(family: Any) -> bool:
    try:
        with seeded(0):
            samples = family(1, 0).eval()(torch.zeros(2000, 0)).detach()
        return 1 < len(torch.unique(samples)) <= MAX_VALUES
    except BaseException as error:  # which the tests will find and explain
        pass_interruption(error)
        return False


def names_of(tests: _Made) -> list[str]:
    """Return the names of the tests of a class, in the order in which they are written."""
    names = [name for each in reversed(type(tests).__mro__) for name in vars(each) if name.startswith("test_")]
    return list(dict.fromkeys(names))


def in_words(name: str) -> str:
    """Return the name of a test in words.

    Example:
        >>> in_words("test_same_seed_same_losses")
        'same seed same losses'
    """
    return name.removeprefix("test_").replace("_", " ")
