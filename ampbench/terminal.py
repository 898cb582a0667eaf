r"""What is printed is text, whatever it contains.

Names and messages come from sweep files, plugins and exceptions. Square brackets in them are no markup, and control
characters, with which they could move the cursor or forget to end a colour, are shown as ``\x1b``.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from rich.console import Console
from rich.table import Table
from rich.text import Text


def plain(text: str) -> str:
    r"""Show what cannot be printed as its escape; line ends and tabs stay.

    Example:
        >>> print(plain("a\x1b[31m"))
        a\x1b[31m
    """
    return "".join(
        each if each.isprintable() or each in "\n\t" else each.encode("unicode_escape").decode() for each in text
    )


def line(text: str) -> str:
    """The same on one line."""
    return plain(" ".join(text.split()))


def print_folded(text: str) -> None:
    """Print one line, folded if the terminal is narrow."""
    Console(highlight=False).print(Text(line(text), overflow="fold"))


def print_table(columns: Iterable[str], rows: Iterable[Iterable[object]], fold: int = -1) -> None:
    """Print a table; numbers to the right, and one column may be folded over several lines.

    Arguments:
        columns: headings.
        rows: text, integers and floats; NaN becomes "-".
        fold: position of the column that is folded if the terminal is narrow.
    """
    cells = [list(row) for row in rows]
    table = Table(box=None, pad_edge=False, header_style="bold")
    for i, heading in enumerate(columns):
        numeric = bool(cells) and all(isinstance(row[i], int | float) for row in cells)
        table.add_column(heading, justify="right" if numeric else "left", overflow="fold", no_wrap=i != fold)
    for row in cells:
        table.add_row(*map(_cell, row))
    Console(highlight=False).print(table)


def duration(seconds: float) -> str:
    """Write a time for people.

    Example:
        >>> duration(4.2), duration(75), duration(3600 * 50), duration(3600 * 100)
        ('4 s', '1 min 15 s', '2 d 2 h', '4 d 4 h')
    """
    whole = round(seconds)
    for unit, size, smaller, part in (("d", 86400, "h", 3600), ("h", 3600, "min", 60), ("min", 60, "s", 1)):
        if whole >= size:
            return f"{whole // size} {unit} {whole % size // part} {smaller}"
    return f"{whole} s"


def _cell(value: object) -> Text:
    if isinstance(value, float):
        return Text("-" if math.isnan(value) else f"{value:.3f}")
    return Text(line(str(value)))
