"""Comparisons as Markdown, LaTeX or HTML tables.

Only a method with the verdict ``best`` is bold, not every method with the lowest mean.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator

import pandas as pd

from ampbench.reporting.text import decimals, number
from ampbench.text import in_html, in_latex, in_markdown

GROUP_COLUMNS = ["budget", "samples", "metric"]
HEADINGS = [
    "task",
    "method",
    "seeds × observations",
    "mean [95 % interval]",
    "difference [95 % interval]",
    "p",
    "verdict",
]


def markdown(table: pd.DataFrame) -> str:
    """Return a comparison's table as one Markdown table for each budget, sample size and metric."""
    parts = []
    for title, rows in _groups(table):
        lines = [f"{in_markdown(title)}\n", _row(HEADINGS), _row("---" for _ in HEADINGS)]
        lines += [_row(row) for row in _cells(rows, in_markdown, "**{}**".format)]
        parts.append("\n".join(lines) + "\n")
    return "\n".join(parts)


def latex(table: pd.DataFrame) -> str:
    """Return a comparison's table as one LaTeX table (booktabs) for each budget, sample size and metric."""
    parts = []
    for title, rows in _groups(table):
        lines = [
            r"\begin{table}",
            rf"\caption{{{in_latex(title)}}}",
            rf"\begin{{tabular}}{{{'l' * len(HEADINGS)}}}",
        ]
        lines += [r"\toprule", " & ".join(map(in_latex, HEADINGS)) + r" \\", r"\midrule"]
        lines += [" & ".join(row) + r" \\" for row in _cells(rows, in_latex, r"\textbf{{{}}}".format)]
        parts.append("\n".join([*lines, r"\bottomrule", r"\end{tabular}", r"\end{table}"]) + "\n")
    return "\n".join(parts)


def html(table: pd.DataFrame) -> str:
    """Return a comparison's table as one HTML table for each budget, sample size and metric."""
    parts = []
    for title, rows in _groups(table):
        lines = [_html_row("th", map(in_html, HEADINGS))]
        lines += [_html_row("td", row) for row in _cells(rows, in_html, "<b>{}</b>".format)]
        parts.append(f"<table><caption>{in_html(title)}</caption>{''.join(lines)}</table>")
    return "".join(parts)


def paragraphs(texts: Iterable[str]) -> str:
    """Return one HTML paragraph for each text."""
    return "".join(f"<p>{in_html(each)}</p>" for each in texts)


def interval(low: float, high: float, digits: int) -> str:
    """Format an interval; "-" if it is unknown."""
    return "-" if math.isnan(low) else f"[{number(low, digits)}, {number(high, digits)}]"


def p_value(p: float) -> str:
    """Format a p-value; "" if it is NaN.

    Example:
        >>> p_value(0.0321), p_value(1e-9)
        ('0.032', '<.001')
    """
    if math.isnan(p):
        return ""
    return "<.001" if p < 0.001 else f"{p:.3f}"


def _groups(table: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    for (budget, samples, metric), rows in table.groupby(GROUP_COLUMNS, sort=False):
        yield f"{metric}, {budget} simulations, {samples} samples", rows


def _cells(rows: pd.DataFrame, escape: Callable[[str], str], bold: Callable[[str], str]) -> Iterator[list[str]]:
    digits = decimals(rows["mean"])
    for row in rows.itertuples():
        mean = number(row.mean, digits)
        others = row.verdict not in ("best", "lowest")
        difference = (
            f"{number(row.diff, digits, '+')} {interval(row.diff_low, row.diff_high, digits)}" if others else ""
        )
        name, score = escape(row.method), f"{mean} {interval(row.low, row.high, digits)}"
        best = row.verdict == "best"
        yield [
            escape(row.task),
            bold(name) if best else name,
            escape(f"{row.seeds} × {row.observations}"),
            bold(score) if best else score,
            difference,
            escape(p_value(row.p)),
            row.verdict,
        ]


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _html_row(tag: str, cells: Iterable[str]) -> str:
    return f"<tr>{''.join(f'<{tag}>{cell}</{tag}>' for cell in cells)}</tr>"
