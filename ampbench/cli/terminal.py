"""Output on a terminal: folded lines, and tables that are split to fit the width."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from rich.cells import cell_len
from rich.console import JustifyMethod
from rich.text import Text

from ampbench import console
from ampbench.console import LiteralConsole, cell, complain, new_table, say
from ampbench.reporting.text import decimals, number
from ampbench.text import line

COLUMN_GAP = 2
"""Number of spaces between two columns of a table."""

MIN_FOLDED_WIDTH = 20
"""Smallest width, in characters, of a folded column whose cells are longer."""


def print_folded(text: str) -> None:
    """Print one line, folded if the terminal is narrow."""
    LiteralConsole().print(line(text), overflow="fold")


def remark(text: str) -> None:
    """Print one folded line that explains a result, or says what to do next: a note of :mod:`ampbench.console`."""
    if console.is_json():
        console.note(line(text))
    elif not console.is_quiet():
        print_folded(text)


def warn(text: str) -> None:
    """Print one folded line on what a result lacks; on standard error where standard output is the bare result."""
    if console.is_quiet() or console.is_json():
        complain(line(text))
    else:
        print_folded(text)


def print_table(columns: Iterable[str], rows: Iterable[Iterable[object]], fold: int = -1) -> None:
    """Print a table with numbers aligned to the right; one column may be folded over several lines.

    Columns that do not fit the width follow in further tables, each with the first column; no number is truncated.

    Arguments:
        columns: headings.
        rows: texts, integers and floats; all floats of a column get the same number of decimals, and NaN becomes "-".
        fold: index of the column that is folded if the terminal is narrow; -1 for none.
    """
    headings, cells = [cell(column) for column in columns], [list(row) for row in rows]
    numeric = [bool(cells) and all(isinstance(row[i], int | float) for row in cells) for i in range(len(headings))]
    shown = [list(row) for row in zip(*(_cells([row[i] for row in cells]) for i in range(len(headings))), strict=True)]
    widths = [
        max(map(cell_len, [heading.plain, *(row[i].plain for row in shown)])) for i, heading in enumerate(headings)
    ]
    if 0 <= fold < len(widths):
        widths[fold] = min(widths[fold], MIN_FOLDED_WIDTH)
    terminal = LiteralConsole()
    for positions in _side_by_side(widths, terminal.width):
        table = new_table()
        for i in positions:
            justify: JustifyMethod = "right" if numeric[i] else "left"
            table.add_column(headings[i], justify=justify, overflow="fold", no_wrap=i != fold)
        for row in shown:
            table.add_row(*(row[i] for i in positions))
        terminal.print(table)


def _side_by_side(widths: Sequence[int], room: int) -> list[list[int]]:
    """Return, for each table that fits the width, the indices of its columns; each contains the first column."""
    blocks, used = [[0]], widths[0]
    for i, width in enumerate(widths[1:], start=1):
        used += COLUMN_GAP + width
        if used > room and len(blocks[-1]) > 1:
            blocks.append([0])
            used = widths[0] + COLUMN_GAP + width
        blocks[-1].append(i)
    return blocks


def _cells(values: Sequence[object]) -> list[Text]:
    """Format the cells of a column."""
    digits = decimals(value for value in values if isinstance(value, float))
    return [cell(number(value, digits) if isinstance(value, float) else str(value)) for value in values]


def print_groups(frame: Any, by: list[str], columns: list[str], nothing: str = "no results yet") -> None:
    """Print a pandas frame as one table per group, each below a line that names the group."""
    if frame.empty:
        say(nothing)
    for values, part in frame.groupby(by, sort=False):
        print_folded(", ".join(f"{name} {value}" for name, value in zip(by, values, strict=True)))
        last_is_text = part[columns[-1]].dtype.kind not in "if"
        rows = zip(*(part[name].tolist() for name in columns), strict=True)
        print_table(columns, rows, fold=len(columns) - 1 if last_is_text else -1)
        say()
