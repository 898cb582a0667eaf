"""Output on a terminal: folded lines, and tables that fit the width or go on below."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from rich.cells import cell_len
from rich.console import Console, JustifyMethod
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from ampbench.reporting.text import decimals, line, number

GAP = 2
"""Between two columns of a table."""
FOLDED = 20
"""Width that a folded column is given at least, if it has so much to say."""


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


def print_groups(frame: Any, by: list[str], columns: list[str], nothing: str = "no results yet") -> None:
    """Print a pandas frame as one table per group, under a line that names the group."""
    if frame.empty:
        print(nothing)
    for values, part in frame.groupby(by, sort=False):
        Console(highlight=False).print(
            escape(line(", ".join(f"{name} {value}" for name, value in zip(by, values, strict=True))))
        )
        last_is_text = part[columns[-1]].dtype.kind not in "if"
        rows = zip(*(part[name].tolist() for name in columns), strict=True)
        print_table(columns, rows, fold=len(columns) - 1 if last_is_text else -1)
        print()
