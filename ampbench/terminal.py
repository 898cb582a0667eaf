r"""What is printed is text, whatever it contains.

Names and messages come from sweep files, plugins and exceptions. Square brackets in them are no markup, and control
characters, with which they could move the cursor or forget to end a colour, are shown as ``\x1b``.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from rich.cells import cell_len
from rich.console import Console, JustifyMethod
from rich.table import Table
from rich.text import Text

GAP = 2
"""Between two columns of a table."""
FOLDED = 20
"""Width that a folded column is given at least, if it has so much to say."""
LARGE = 1e6
"""Numbers from here on are written with an exponent."""


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

    What does not fit beside each other follows below, with the first column again: no number loses its end.

    Arguments:
        columns: headings.
        rows: text, integers and floats; the floats of a column have as many decimals each, and NaN becomes "-".
        fold: position of the column that is folded if the terminal is narrow.
    """
    headings, cells = list(columns), [list(row) for row in rows]
    numeric = [bool(cells) and all(isinstance(row[i], int | float) for row in cells) for i in range(len(headings))]
    shown = [list(row) for row in zip(*(_cells([row[i] for row in cells]) for i in range(len(headings))), strict=True)]
    widths = [max(map(cell_len, [heading, *(row[i].plain for row in shown)])) for i, heading in enumerate(headings)]
    if 0 <= fold < len(widths):
        widths[fold] = min(widths[fold], FOLDED)
    console = Console(highlight=False)
    for positions in _side_by_side(widths, console.width):
        table = Table(box=None, pad_edge=False, header_style="bold")
        for i in positions:
            justify: JustifyMethod = "right" if numeric[i] else "left"
            table.add_column(headings[i], justify=justify, overflow="fold", no_wrap=i != fold)
        for row in shown:
            table.add_row(*(row[i] for i in positions))
        console.print(table)


def decimals(values: Iterable[float]) -> int:
    """Return how many decimals show three digits of the largest of some numbers: from three to six."""
    largest = max((abs(value) for value in values if math.isfinite(value)), default=0.0)
    return min(max(2 - math.floor(math.log10(largest)), 3), 6) if largest > 0 else 3


def number(value: float, digits: int = 3, sign: str = "") -> str:
    """Write a number; "-" if it is unknown.

    Example:
        >>> number(0.12345), number(0.5, 2, sign="+"), number(-6.25e13), number(float("nan"))
        ('0.123', '+0.50', '-6.25e+13', '-')
    """
    if math.isnan(value):
        return "-"
    return f"{value:{sign}.2e}" if abs(value) >= LARGE else f"{value:{sign}.{digits}f}"


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


def _side_by_side(widths: Sequence[int], room: int) -> list[list[int]]:
    """Positions of the columns that fit in one table each; the first column is in all of them."""
    blocks, used = [[0]], widths[0]
    for i, width in enumerate(widths[1:], start=1):
        used += GAP + width
        if used > room and len(blocks[-1]) > 1:
            blocks.append([0])
            used = widths[0] + GAP + width
        blocks[-1].append(i)
    return blocks


def _cells(values: Sequence[object]) -> list[Text]:
    """Write the cells of a column."""
    digits = decimals(value for value in values if isinstance(value, float))
    return [Text(number(value, digits) if isinstance(value, float) else line(str(value))) for value in values]
