"""Output to the terminal: every text is shown literally, whoever wrote it.

All that ampbench prints passes through this module, which applies :func:`ampbench.text.plain`; so no text moves the
cursor, changes colours or is read as rich's markup, and no encoding of a stream ends the program.

Results go to standard output, errors to standard error. Notes, such as progress, legends and next steps, go to standard
output, with ``--json`` to standard error, and nowhere with ``--quiet``. Colours follow ``NO_COLOR``, ``FORCE_COLOR``,
``CLICOLOR`` and ``CLICOLOR_FORCE``, the width follows ``COLUMNS``; a stream that is no terminal has no colours, and 80
columns whatever the terminal beside it.

References:
    https://no-color.org, https://force-color.org and https://bixense.com/clicolors: the variables.
"""

from __future__ import annotations

import io
import os
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, redirect_stdout
from dataclasses import dataclass
from types import TracebackType
from typing import Any, TextIO

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ampbench.text import line, plain, to_json

DEFAULT_WIDTH = 80
"""Number of columns of a stream that is no terminal, unless ``COLUMNS`` is set."""

MIN_WIDTH = 20
"""Smallest number of columns that is used, however narrow the terminal is."""


@dataclass
class _Mode:
    """The options of the command that is executed; with ``--json``, the stream of its document."""

    quiet: bool = False
    document: TextIO | None = None


_mode = _Mode()


@contextmanager
def output_mode(quiet: bool = False, as_json: bool = False) -> Iterator[None]:
    """Leave out notes, or reserve standard output for one JSON document.

    All else that is printed, also by simulators and plugins, goes to standard error then.
    """
    before = vars(_mode).copy()
    _mode.quiet, _mode.document = quiet, sys.stdout if as_json else None
    try:
        with redirect_stdout(sys.stderr) if as_json else nullcontext():
            yield
    finally:
        vars(_mode).update(before)


def is_quiet() -> bool:
    """Return whether notes are left out."""
    return _mode.quiet


def is_json() -> bool:
    """Return whether standard output is one JSON document."""
    return _mode.document is not None


class LiteralConsole(Console):
    """A console that shows markup, names of pictograms and control characters of a text literally."""

    def __init__(self, **options: Any) -> None:
        stream: TextIO = options.get("file") or (sys.stderr if options.get("stderr") else sys.stdout)
        terminal = stream.isatty()
        coloured = has_colours(terminal)
        shown: dict[str, Any] = {"force_terminal": terminal, "no_color": not coloured, "width": _width(terminal)}
        if coloured and not terminal:
            shown["color_system"] = "standard"
        super().__init__(markup=False, emoji=False, highlight=False, **(shown | options))

    def render_str(self, text: str, **options: Any) -> Text:
        """Return a text for the console; rich calls this for every string that it is given."""
        return super().render_str(plain(text), **options)


def say(text: str = "", end: str = "\n", file: TextIO | None = None) -> None:
    """Print lines, not folded, on standard output or another stream."""
    print(plain(text), end=end, file=file)


def note(text: str) -> None:
    """Print lines that are no result: on standard error with ``--json``, and nowhere with ``--quiet``."""
    if not _mode.quiet:
        say(text, file=sys.stderr if is_json() else None)


def document(value: Any) -> None:
    """Print a value as JSON on standard output."""
    say(to_json(value), file=_mode.document)


def complain(text: str) -> None:
    """Print lines, not folded, on standard error."""
    say(text, file=sys.stderr)


def cell(text: str, style: str = "") -> Text:
    """Return a cell of a table, or a line of a display; styles come from here, never from a text."""
    return Text(line(text), style)


def new_table(title: str | None = None) -> Table:
    """Return an empty table without borders."""
    return Table(
        box=None,
        pad_edge=False,
        header_style="bold",
        title=None if title is None else line(title),
        title_justify="left",
    )


@contextmanager
def status(first: str = "") -> Iterator[Callable[[str], None]]:
    """Show a line that changes on standard error, in a terminal only.

    Yields:
        A function that replaces the line.
    """
    if _mode.quiet:
        yield lambda text: None
        return
    with LiteralConsole(stderr=True).status(cell(first)) as shown:
        yield lambda text: shown.update(cell(text))


def prepare_streams() -> None:
    """Let standard output and error write escapes of characters that their encodings lack, and literal tracebacks."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    sys.excepthook = _show_exception


def _show_exception(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    say("".join(traceback.format_exception(kind, error, trace)), end="", file=sys.stderr)


def has_colours(terminal: bool) -> bool:
    """Return whether output to a terminal, or to another stream, has colours."""
    if os.environ.get("NO_COLOR"):
        return False
    if any(os.environ.get(name, "") not in ("", "0") for name in ("FORCE_COLOR", "CLICOLOR_FORCE")):
        return True
    return terminal and os.environ.get("CLICOLOR") != "0" and os.environ.get("FORCE_COLOR") != "0"


def _width(terminal: bool) -> int | None:
    """Return the number of columns; None for a terminal that tells its width."""
    given = os.environ.get("COLUMNS", "")
    if given.isascii() and given.isdigit() and int(given[:6]) > 0:
        return max(int(given[:6]), MIN_WIDTH)
    return None if terminal else DEFAULT_WIDTH
