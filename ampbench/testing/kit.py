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

from ampbench import registry
from ampbench.errors import PluginError, UsageError
from ampbench.faults import message, pass_interruption
from ampbench.hookspecs import KINDS
from ampbench.interfaces import Limits, Oracle
from ampbench.registry import Plugin
from ampbench.running.child import Send
from ampbench.running.process import Clock, last_output, run_in_child
from ampbench.seeding import derive, seeded
from ampbench.testing.finding import Finding, Sources, ended, explained
from ampbench.testing.registered import conformance, in_words, names_of

DUMP_EARLIER = 0.5
"""Seconds before the time limit at which a test that still runs writes where it is."""
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
