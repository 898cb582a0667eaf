"""Output to the terminal: every text is shown literally, whoever wrote it.

All that ampbench prints passes through this module, which applies :func:`ampbench.text.plain`; so no text moves the
cursor, changes colours or is read as rich's markup, and no encoding of a stream ends the program.
"""

from __future__ import annotations

import io
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any, TextIO

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ampbench.text import line, plain


class LiteralConsole(Console):
    """A console that shows markup, names of pictograms and control characters of a text literally."""

    def __init__(self, **options: Any) -> None:
        super().__init__(markup=False, emoji=False, highlight=False, **options)

    def render_str(self, text: str, **options: Any) -> Text:
        """Return a text for the console; rich calls this for every string that it is given."""
        return super().render_str(plain(text), **options)


def say(text: str = "", end: str = "\n", file: TextIO | None = None) -> None:
    """Print lines, not folded, on standard output or another stream."""
    print(plain(text), end=end, file=file)


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
