"""The parts of a report that are written as HTML or Markdown: numbers formatted, rows in order."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from ampbench.report.content import Content, Task
from ampbench.reporting.leaderboard import Leaderboard, Score, Standing
from ampbench.reporting.tables import interval, p_value
from ampbench.reporting.text import decimals, duration, number
from ampbench.text import line

SHADES = 5
"""Number of steps of the shade of a cell, from the lowest to the highest score of its task."""
MAX_FAILURES = 200
"""Largest number of failures that are listed outside the table of all runs."""
BY = ["metric", "budget", "samples"]
LEVEL_VERDICTS = ("best", "lowest", "tied")


@dataclass(frozen=True)
class Cell:
    """A number of a table: its text, interval, place, verdict and shade."""

    task: int
    method: int
    value: float
    text: str
    interval: str
    verdict: str
    shade: int
    count: str


def view(content: Content) -> dict[str, Any]:
    """Return the variables of the template."""
    tasks = {task.spec: i for i, task in enumerate(content.tasks)}
    methods = {method.spec: i for i, method in enumerate(content.methods)}
    names = {method.spec: method.label for method in content.methods}
    failed = content.frame[content.frame["status"] != "ok"]
    return {
        "content": content,
        "facts": facts(content),
        "boards": [_board(board, tasks, methods, names) for board in content.boards],
        "tasks": [_task(task, i, content, methods, names) for i, task in enumerate(content.tasks)],
        "metrics": list(dict.fromkeys(board.metric for board in content.boards)),
        "budgets": sorted({board.budget for board in content.boards}),
        "sizes": sorted({board.samples for board in content.boards}),
        "divergences": _choices(method.divergence for method in content.methods),
        "families": _choices(method.family for method in content.methods),
        "failures": failed.head(MAX_FAILURES).to_dict("records"),
        "failed": len(failed),
        "names": names,
    }


def facts(content: Content) -> list[tuple[str, str]]:
    """Return what the results are about, in numbers."""
    frame = content.frame
    if frame.empty:
        return [("results", "none yet")]
    fits = frame.drop_duplicates(["task", "resolved", "budget", "seed"])
    dates = sorted(text[:10] for text in frame["finished"])
    commits = sorted(set(frame["commit"]) - {""})
    failed = int((frame["status"] != "ok").sum())
    return [
        ("runs", f"{len(frame):,}" + (f", {failed:,} of them failed" if failed else "")),
        ("tasks", str(len(content.tasks))),
        ("methods", str(len(content.methods))),
        ("fits", f"{len(fits):,}, {duration(fits['fit_seconds'].sum())} together"),
        ("finished", dates[0] if dates[0] == dates[-1] else f"{dates[0]} to {dates[-1]}"),
        ("code", f"{len(commits)} commits" if len(commits) > 1 else next(iter(commits), "a release")),
    ]


def _choices(values: Iterable[str]) -> list[str]:
    return sorted({part for value in values for part in value.split(", ")})


def _board(
    board: Leaderboard, tasks: Mapping[str, int], methods: Mapping[str, int], names: Mapping[str, str]
) -> dict[str, Any]:
    digits = decimals(score.mean for each in board.standings for score in each.scores.values())
    shades = {task: _shades(board.standings, task) for task in board.tasks}
    return {
        "metric": board.metric,
        "budget": board.budget,
        "samples": board.samples,
        "tasks": [(tasks[task], task) for task in board.tasks],
        "remarks": board.remarks,
        "leaders": _leaders(board, names),
        "rows": [
            {
                "method": methods[each.method],
                "label": names[each.method],
                "standing": each,
                "rank": number(each.rank, 2),
                "interval": interval(each.low, each.high, 1),
                "p": p_value(each.p),
                "bar": _bar(each, len(board.standings)),
                "cells": [
                    _cell(tasks[task], methods[each.method], each.scores.get(task), digits, shades[task])
                    for task in board.tasks
                ],
            }
            for each in board.standings
        ],
    }


def _leaders(board: Leaderboard, names: Mapping[str, str]) -> str:
    """Return a sentence on the methods that are not told apart from the lowest mean rank."""
    found = [names[each.method] for each in board.leaders]
    if not found:
        return "No two methods have scores on a common task, so that there are no ranks."
    if len(found) == 1:
        alone = board.leaders[0].verdict == "best"
        return f"{found[0]} is ranked better than all others (p < .05)." if alone else f"{found[0]} ranks lowest."
    if len(found) == len(board.standings):
        return f"No method is told apart from the lowest mean rank ({found[0]}): there is no winner."
    return (
        f"{len(found)} of {len(board.standings)} methods are not told apart from the lowest mean rank: "
        f"{', '.join(found)}."
    )


def _bar(standing: Standing, count: int) -> tuple[float, float, float] | None:
    """Return rank and ends of its interval on an axis from 0 to 100; None without a rank."""
    if math.isnan(standing.rank):
        return None
    scale = 100 / max(1, count - 1)
    return tuple(round((value - 1) * scale, 1) for value in (standing.low, standing.rank, standing.high))  # type: ignore[return-value]


def _shades(standings: Sequence[Standing], task: str) -> tuple[float, float]:
    means = [each.scores[task].mean for each in standings if task in each.scores]
    return min(means), max(means)


def _cell(task: int, method: int, score: Score | None, digits: int, ends: tuple[float, float]) -> Cell | None:
    if score is None:
        return None
    low, high = ends
    share = (score.mean - low) / (high - low) if high > low else 0.0
    return Cell(
        task,
        method,
        score.mean,
        number(score.mean, digits),
        interval(score.low, score.high, digits),
        score.verdict,
        min(SHADES - 1, int(share * SHADES)),
        f"{score.seeds} × {score.observations}",
    )


def _task(task: Task, position: int, content: Content, methods: Mapping[str, int], names: Mapping[str, str]) -> Any:
    table = content.summary.table[content.summary.table["task"] == task.spec]
    found = content.summary.findings[content.summary.findings["task"] == task.spec]
    return {
        "position": position,
        "task": task,
        "tables": [_table(group, rows, position, methods, names) for group, rows in table.groupby(BY, sort=True)],
        "findings": list(_findings(found, methods, names)),
        "published": list(_published(content.published[content.published["task"] == task.spec], names)),
        "strongest": list(_strongest(content.strongest[content.strongest["task"] == task.spec], names)),
    }


def _table(group: Any, rows: pd.DataFrame, task: int, methods: Mapping[str, int], names: Mapping[str, str]) -> Any:
    metric, budget, samples = group
    digits = decimals(rows["mean"])
    return {
        "metric": metric,
        "budget": budget,
        "samples": samples,
        "rows": [
            {
                "method": methods[row.method],
                "label": names[row.method],
                "task": task,
                "value": row.mean,
                "count": f"{row.seeds} × {row.observations}",
                "mean": number(row.mean, digits),
                "interval": interval(row.low, row.high, digits),
                "difference": "" if row.verdict in ("best", "lowest") else number(row.diff, digits, "+"),
                "p": p_value(row.p),
                "verdict": row.verdict,
            }
            for row in rows.itertuples(index=False)
        ],
    }


def _findings(found: pd.DataFrame, methods: Mapping[str, int], names: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    for row in found.rename(columns={"count": "times"}).itertuples(index=False):
        if row.finding:
            yield {
                "label": names[row.method],
                "method": methods[row.method],
                "budget": row.budget,
                "finding": line(row.finding),
                "count": f"{int(row.times)} of {int(row.total)}",
                "worst": f"{number(row.worst, 2)} > {number(row.threshold, 2)}",
                "where": f"observation {int(row.observation)}, seed {int(row.seed)}",
                "text": line(row.text) if isinstance(row.text, str) else "",
            }


def _published(table: pd.DataFrame, names: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    """Return our scores and published ones by scale, for each budget of which a score is published on it."""
    for (classifier, samples), rows in table.groupby(["classifier", "samples"], sort=True):
        theirs = set(rows.loc[rows["origin"] != "ours", "budget"])
        if theirs:
            yield {
                "classifier": line(classifier),
                "samples": f"{samples:,}",
                "rows": [_score(row, names) for row in rows.itertuples(index=False) if row.budget in theirs],
            }


def _score(row: Any, names: Mapping[str, str]) -> dict[str, Any]:
    return {
        "label": names.get(row.method, line(row.method)),
        "ours": row.origin == "ours",
        "origin": line(row.origin),
        "budget": row.budget,
        "mean": number(row.mean, 3),
        "se": "" if pd.isna(row.se) else number(row.se, 3),
        "sequential": row.sequential,
        "choice": row.choice,
    }


def _strongest(table: pd.DataFrame, names: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    """Return the strongest published scores of a task, on every scale, beside our lowest one."""
    for row in table.itertuples(index=False):
        yield {
            "label": line(row.method),
            "budget": row.budget,
            "scale": f"{line(row.classifier)}, {row.samples:,} samples",
            "mean": number(row.mean, 3),
            "count": _count(row.n, row.observations),
            "sequential": row.sequential,
            "choice": row.choice,
            "ours": names.get(row.ours, line(row.ours)),
            "ours_mean": "" if pd.isna(row.ours_mean) else f"{number(row.ours_mean, 3)} ({row.ours_n} scores)",
            "origin": line(row.origin),
        }


def _count(n: object, observations: object) -> str:
    """Return the number of averaged scores, and of observations among them, as far as the source states them."""
    if pd.isna(n):
        return "not stated"
    return str(n) if pd.isna(observations) else f"{n} ({observations} observations)"
