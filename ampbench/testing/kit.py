"""The conformance tests of a component that is known by its kind and spec, one by one in child processes.

A test runs in a process of its own, with a time limit, so that a component that hangs or ends its process costs that
test only. The classes of tests are those that pytest runs in the project of a plugin's author.
"""

from __future__ import annotations

import faulthandler
import inspect
import multiprocessing
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ampbench import interfaces, registry
from ampbench.errors import PluginError, UsageError
from ampbench.faults import message, pass_interruption
from ampbench.hookspecs import KINDS
from ampbench.interfaces import Limits, NeedsSetting, Oracle
from ampbench.registry import Plugin
from ampbench.running.child import Send
from ampbench.running.process import Clock, last_output, run_in_child
from ampbench.seeding import derive, seeded
from ampbench.testing.divergence import DivergenceConformance
from ampbench.testing.executor import ExecutorConformance
from ampbench.testing.expect import expect
from ampbench.testing.family import DiscreteFamilyConformance, FamilyConformance
from ampbench.testing.finding import Finding, Sources, ended, explained
from ampbench.testing.method import MethodConformance
from ampbench.testing.metric import MetricConformance, SettingMetricConformance
from ampbench.testing.task import TaskConformance

DUMP_EARLIER = 0.5
"""Seconds before the time limit at which a test that still runs writes where it is."""
MAX_VALUES = 64
"""A family is discrete if 2,000 samples of one component have at most this number of values."""
MADE = "is made"
"""The name of the first test: the component can be made from its spec, and is what its hook says."""


@dataclass(frozen=True)
class Subject:
    """A component to test.

    Attributes:
        kind: of components, such as ``divergences``.
        spec: its name, and perhaps options.
        plugin: its plugin.
    """

    kind: str
    spec: str
    plugin: Plugin

    def __str__(self) -> str:
        return f"{KINDS[self.kind]} {self.spec!r}"


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
    pass


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


def examine(subject: Subject, seconds: float, on_check: Callable[[str], None]) -> Iterator[Finding]:
    """Run the conformance tests of a component, and yield the finding of each.

    Arguments:
        subject: the component.
        seconds: time limit of each test.
        on_check: called with the name of each test before it begins.
    """
    names: list[str] = []
    on_check(MADE)
    yield _in_child(partial(_make, subject), subject, MADE, "", seconds, names.extend)
    for name in names:
        check = in_words(name)
        on_check(check)
        yield _in_child(partial(_test, subject, name), subject, check, "", seconds)


def in_words(name: str) -> str:
    """Return the name of a test in words.

    Example:
        >>> in_words("test_same_seed_same_losses")
        'same seed same losses'
    """
    return name.removeprefix("test_").replace("_", " ")


def _in_child(
    work: Callable[[Send], None],
    subject: Subject,
    check: str,
    what: str,
    seconds: float,
    on_names: Callable[[list[str]], None] = lambda names: None,
) -> Finding:
    """Run a test in a child process; returns its finding, or one that says how the process ended."""
    found: list[Finding] = []
    properties = [what]
    clock = Clock(seconds)

    def on_message(told: object) -> None:
        match told:
            case Finding():
                found.append(told)
            case str():
                properties.append(told)
                clock.step(check, check)
            case list():
                on_names(told)

    since = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="ampbench-") as folder:
        output = Path(folder) / "output"
        timed = partial(_timed, work, seconds)
        ending = run_in_child(timed, Limits(), output, on_message, clock, threading.Event(), needs_main=False)
        printed = last_output(output)
    spent = time.monotonic() - since
    if found and not ending:
        return replace(found[-1], seconds=spent)
    kind, why = (ending.kind, ending.message) if ending else ("crashed", "its process ended before the test")
    begun = Finding(check, property=properties[-1])
    failed = ended(begun, kind, why, printed, Sources(subject.plugin.package), seconds, subject.spec)  # type: ignore[arg-type]
    return replace(failed, seconds=spent)


def _timed(work: Callable[[Send], None], seconds: float, send: Send) -> None:
    """Do the work in a child, which writes where it is shortly before its time ends."""
    with dumping(seconds):
        work(send)


@contextmanager
def dumping(seconds: float) -> Iterator[None]:
    """Let the process write where it is, to standard error, if a block takes nearly so many seconds."""
    faulthandler.dump_traceback_later(max(seconds - DUMP_EARLIER, seconds / 2))
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()


def _make(subject: Subject, send: Send) -> None:
    """Make the component in a child, and send the names of its tests."""
    begun = Finding(MADE, property=f"{subject} can be made from its spec, and is a {KINDS[subject.kind]}.")
    send(begun.property)
    sources, factory = Sources(subject.plugin.package), None
    try:
        loaded = registry.load(lambda fault: None)
        factory = loaded.entry(subject.kind, subject.spec).factory()
        loaded.resolve(subject.kind, subject.spec)
        component = loaded.build(subject.kind, subject.spec)
        if isinstance(component, Oracle):
            reason = "it needs the task itself (Oracle), for which there are no conformance tests"
            send(replace(begun, verdict="skipped", seen=reason))
            return
        tests = conformance(subject.kind, partial(loaded.build, subject.kind, subject.spec))
    except UsageError as error:
        send(_refused(begun, error, sources, factory))
    except BaseException as error:
        pass_interruption(error)
        cause = error.__cause__ if isinstance(error, PluginError) and error.__cause__ else error
        send(explained(begun, cause, sources, factory))
    else:
        send(names_of(tests))
        send(begun)


def _refused(begun: Finding, error: UsageError, sources: Sources, factory: object) -> Finding:
    place = sources.raised(error)
    place = place if place.file else sources.defined(factory)
    advice = "every option needs a default that the constructor accepts; or test it with others: NAME:option=value"
    return replace(
        begun,
        verdict="failed",
        cause="options",
        seen=f"it was refused: {message(error)}",
        expected="a component, made from this spec",
        place=place,
        advice=advice,
    )


def _test(subject: Subject, name: str, send: Send) -> None:
    """Run one test in a child."""
    _own_temporary_folder()
    loaded = registry.load(lambda fault: None)
    tests = conformance(subject.kind, partial(loaded.build, subject.kind, subject.spec))
    test = getattr(tests, name)
    begun = Finding(in_words(name), property=" ".join((inspect.getdoc(test) or "").split()))
    send(begun.property)
    component: object = None
    try:
        component = tests.make()
        with seeded(derive(0, "test")), tempfile.TemporaryDirectory(prefix="ampbench-") as folder:
            test(**({"tmp_path": Path(folder)} if "tmp_path" in inspect.signature(test).parameters else {}))
    except BaseException as error:
        pass_interruption(error)
        cause = error.__cause__ if isinstance(error, PluginError) and error.__cause__ else error
        send(explained(begun, cause, Sources(subject.plugin.package), component))
    else:
        send(begun)


def _own_temporary_folder() -> None:
    """Let the executor under test have a fork server, whose guardian removes the temporary folder of multiprocessing.

    A child of multiprocessing inherits the folder of its parent, which needs it longer.
    """
    config: dict[str, object] = multiprocessing.current_process()._config  # type: ignore[attr-defined]
    config.pop("tempdir", None)
