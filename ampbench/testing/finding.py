"""Findings of the conformance tests, in a person's words: the property, what was seen, where to look, the next step."""

from __future__ import annotations

import inspect
import linecache
import re
import traceback
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from ampbench.faults import named, traceback_of
from ampbench.testing.expect import NonconformanceError

Verdict = Literal["ok", "failed", "skipped"]
Cause = Literal["", "property", "exception", "timeout", "crashed", "killed", "memory", "import", "options"]

KIT = str(Path(__file__).parent)
_FRAME = re.compile(r'^\s*File "(?P<file>.+)", line (?P<line>\d+),? in (?P<function>.+)$', re.MULTILINE)


@dataclass(frozen=True)
class Place:
    """A line of a plugin's code.

    Attributes:
        file: path.
        line: number, from 1; 0 if it is not known.
        function: the function that the line is in.
        code: the text of the line.
    """

    file: str = ""
    line: int = 0
    function: str = ""
    code: str = ""


@dataclass(frozen=True)
class Finding:
    """The result of one conformance test.

    Attributes:
        check: the name of the test, in words.
        verdict: whether the component has the property.
        property: the property that is tested.
        cause: how the test failed; "" if it did not.
        seen: what the component did.
        expected: what it should have done.
        place: the line of the plugin's code to look at.
        advice: the next step.
        seconds: the duration of the test.
    """

    check: str
    verdict: Verdict = "ok"
    property: str = ""
    cause: Cause = ""
    seen: str = ""
    expected: str = ""
    place: Place = Place()
    advice: str = ""
    seconds: float = 0.0


class Sources:
    """The files of a plugin's code.

    Arguments:
        package: its top-level package or module, which is not imported.
    """

    def __init__(self, package: str) -> None:
        try:
            found = find_spec(package)
        except (ImportError, ValueError):
            found = None
        folders = list(found.submodule_search_locations or ()) if found else []
        self._files = {found.origin} if found and not folders else set()
        self._folders = tuple(f"{folder}/" for folder in folders)

    def __contains__(self, file: str) -> bool:
        own = file in self._files or file.startswith(self._folders)
        return own and not file.startswith(KIT)

    def last(self, frames: Iterable[Place]) -> Place:
        """Return the last of these lines that belongs to the plugin."""
        return next((each for each in reversed(list(frames)) if each.file in self), Place())

    def raised(self, error: BaseException) -> Place:
        """Return the line of the plugin at which an exception was raised, or passed through."""
        frames = traceback.extract_tb(traceback_of(error))
        found = self.last(Place(each.filename, each.lineno or 0, each.name, each.line or "") for each in frames)
        if not found.file and type(error) in (SyntaxError, IndentationError, TabError):
            assert isinstance(error, SyntaxError)
            return Place(str(error.filename), error.lineno or 0, "", (error.text or "").strip())
        return found

    def dumped(self, output: str) -> Place:
        """Return the line of the plugin in the output of :mod:`faulthandler`, whose first line is the innermost."""
        frames = [(each["file"], int(each["line"]), each["function"]) for each in _FRAME.finditer(output)]
        return self.last(Place(*each, linecache.getline(each[0], each[1]).strip()) for each in reversed(frames))

    def defined(self, *candidates: object) -> Place:
        """Return where the first of these functions or classes that the plugin defines is defined."""
        for each in candidates:
            thing = getattr(each, "fget", None) or getattr(each, "func", None) or each
            try:
                thing = inspect.unwrap(thing)  # type: ignore[arg-type]
                file, (lines, number) = inspect.getsourcefile(thing), inspect.getsourcelines(thing)
            except (TypeError, OSError, ValueError):
                continue
            if file and file in self:
                skipped = next((i for i, line in enumerate(lines) if not line.lstrip().startswith("@")), 0)
                name = getattr(thing, "__qualname__", "")
                return Place(file, number + skipped, name, lines[skipped].strip())
        return Place()


def explained(check: Finding, error: BaseException, sources: Sources, component: object) -> Finding:
    """Return the failed finding for what a test of a component raised; ``component`` may be its class, or None."""
    owner = component if inspect.isclass(component) or inspect.isroutine(component) else type(component)
    if issubclass(type(error), NonconformanceError):
        assert isinstance(error, NonconformanceError)
        place = sources.defined(error.at, owner)
        return _failed(check, "property", error.seen, error.expected, place, error.advice)
    place = sources.raised(error)
    if place.file:
        advice = "mend this line, or what it is given"
    else:
        place = sources.defined(owner)
        advice = "no line of the plugin raised it: look at what its functions return"
    if issubclass(type(error), ImportError):
        advice = "install the missing package, and name it in the dependencies of the plugin's pyproject.toml"
    return _failed(check, "exception", f"it raised {named(error)}", "no exception", place, advice)


def ended(check: Finding, kind: Cause, why: str, output: str, sources: Sources, seconds: float, spec: str) -> Finding:
    """Return the failed finding for a test whose process did not complete it."""
    place = sources.dumped(output)
    if kind == "timeout":
        seen = f"it was still running after {seconds:g} s"
        advice = (
            "look for a loop without an end or a wait at this line; if it is only slow, allow more time by --timeout, "
            f"or test it with options that make it faster, such as ampbench plugin check '{spec}:option=value'"
        )
        return _failed(check, kind, seen, f"an end within {seconds:g} s", place, advice)
    advice = {
        "memory": "it allocates more than there is: look for a tensor of n × n entries or a list that grows",
        "killed": "the system kills what fills the memory, or somebody did: look at its use of memory",
    }.get(kind, "look for os._exit, or for compiled code that crashed, at this line")
    return _failed(check, kind, why, "a test that ends, with its process alive", place, advice)


def _failed(check: Finding, cause: Cause, seen: str, expected: str, place: Place, advice: str) -> Finding:
    return Finding(check.check, "failed", check.property, cause, seen, expected, place, advice)
