"""Scores and times of methods, with intervals: the numbers of the plots of budgets and of times.

Means and intervals of scores are those of :func:`ampbench.reporting.compare.summarise`. The time of a run is that of
its fit, which the observations of a seed share, plus that of drawing its samples. Times are positive and skewed, so
that their geometric mean is taken: the mean of the logarithms, whose interval has the same model as that of scores.

A method at a budget is *dominated* if another one has a lower mean score in less mean time, and *clearly* dominated if
the intervals of both do not even overlap. What is not dominated by means is the Pareto front.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ampbench.errors import UsageError
from ampbench.reporting.compare import GROUP_COLUMNS, latest, summary_of
from ampbench.reporting.selection import matching
from ampbench.results import validate
from ampbench.results.frame import metric_columns
from ampbench.statistics.crossed_effects import complete, estimate

DEFAULT_METRIC = "c2st"
DIFFERENCES = "differences use"
"""Part of a remark on paired differences, which are not drawn."""
MIN_SECONDS = 1e-3
"""Shortest time that is told apart from none, since times have a logarithmic axis."""


@dataclass(frozen=True)
class Scores:
    """Mean scores and times.

    Attributes:
        metric: the metric.
        table: one row per task, sample size, method and budget: ``mean``, ``low`` and ``high`` of the score,
            ``seconds``, ``seconds_low`` and ``seconds_high`` of the time, and ``n``, ``seeds`` and ``observations``.
            Ends of intervals are NaN where they cannot be estimated.
        remarks: what is missing from the table, or limits it.
    """

    metric: str
    table: pd.DataFrame
    remarks: tuple[str, ...]


def scores(
    frame: pd.DataFrame,
    metric: str | None = None,
    tasks: Sequence[str] = (),
    methods: Sequence[str] = (),
    budgets: Sequence[int] = (),
) -> Scores:
    """Return the scores and times of stored runs.

    Arguments:
        frame: as :func:`ampbench.results.load` returns it.
        metric: name of a metric; by default c2st, or the first one.
        tasks, methods: specs or names of components; all if empty.
        budgets: numbers of simulations; all if empty.

    Raises:
        UsageError: nothing is selected, or no run has a value of the metric; the message lists the choices.
        ResultsError: the frame does not follow the schema.
    """
    frame = validate(frame)
    if frame.empty:
        raise UsageError("there are no results yet; run 'ampbench run' first")
    for column, wanted in (("task", tasks), ("method", methods), ("budget", budgets)):
        frame = matching(frame, column, wanted)
    metric = _chosen(frame, metric)
    others = [name for name in metric_columns(frame) if name != metric]
    frame = frame.drop(columns=[*others, *(f"{name}_provenance" for name in others)])
    by_task = frame.groupby("task", sort=True)  # ranks over tasks are not needed
    found = [summary_of(*latest(part)) for _, part in by_task]
    told = [
        text for each in found for text in each.remarks if not text.startswith("failed: ") and DIFFERENCES not in text
    ]
    lost = _failed(frame, metric)
    table = pd.concat([each.table for each in found])
    if table.empty:
        raise UsageError(f"no selected run has a value of {metric}: {'; '.join((*lost, *told))}")
    table = table.merge(_times(latest(frame)[0]), on=[*GROUP_COLUMNS, "method"], how="left")
    table = table.sort_values(["task", "samples", "method", "budget"], ignore_index=True)
    return Scores(metric, table, (*lost, *told, *_gaps(table)))


def dominated(table: pd.DataFrame) -> pd.Series[bool]:
    """Return which rows of one task have a higher mean score and no shorter time than another one."""
    return _beaten(table, "mean", "mean", "seconds", "seconds")


def clearly_dominated(table: pd.DataFrame) -> pd.Series[bool]:
    """Return which rows another one beats in score and in time by intervals that do not overlap; not if one is NaN."""
    return _beaten(table, "high", "low", "seconds_high", "seconds_low")


def _beaten(table: pd.DataFrame, score: str, own_score: str, time: str, own_time: str) -> pd.Series[bool]:
    """Return for which rows another row's score and time are at most, and one of them below, the row's own."""
    better = table[score].to_numpy()[:, None] - table[own_score].to_numpy()
    faster = table[time].to_numpy()[:, None] - table[own_time].to_numpy()
    with np.errstate(invalid="ignore"):
        beats = (better <= 0) & (faster <= 0) & ((better < 0) | (faster < 0))
    np.fill_diagonal(beats, False)
    return pd.Series(beats.any(axis=0), index=table.index)


def _chosen(frame: pd.DataFrame, metric: str | None) -> str:
    known = metric_columns(frame)
    if metric is None:
        metric = DEFAULT_METRIC if DEFAULT_METRIC in known else next(iter(known), "")
    if metric not in known:
        raise UsageError(f"no stored run has the metric {metric!r}; there are: {', '.join(known) or 'none'}")
    return metric


def _times(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the geometric mean of the times of good runs by group and method, with its interval."""
    good = frame[frame["status"] == "ok"]
    seconds = (good["fit_seconds"] + good["sample_seconds"]).clip(lower=MIN_SECONDS)
    rows = []
    for group, part in good.assign(log=np.log(seconds)).groupby([*GROUP_COLUMNS, "method"], sort=True):
        runs = part.pivot_table(index="seed", columns="observation", values="log", aggfunc="last")
        found = estimate(complete(runs))
        low, high = found.interval()
        rows.append((*group, *map(math.exp, (found.mean, low, high))))
    return pd.DataFrame(rows, columns=[*GROUP_COLUMNS, "method", "seconds", "seconds_low", "seconds_high"])


def _failed(frame: pd.DataFrame, metric: str) -> list[str]:
    """Return how many of the selected runs have no score, by task, budget and method."""
    current, _ = latest(frame)
    lost = current[current[metric].isna()]
    told = []
    for group, part in lost.groupby([*GROUP_COLUMNS, "method"], sort=True):
        task, budget, _, method = group
        there = int((current[[*GROUP_COLUMNS, "method"]] == list(group)).all(axis=1).sum())
        failed = int((part["status"] != "ok").sum())
        what = f"{failed} failed" if failed else f"have no value of {metric}"
        told.append(f"{len(part)} of {there} runs left out: {task}, budget {budget:,}, {method}: {what}")
    return told


def _gaps(table: pd.DataFrame) -> Iterable[str]:
    """Return what the table cannot show: budgets that a method lacks, and means without an interval."""
    for (task, samples), part in table.groupby(["task", "samples"], sort=True):
        budgets = sorted(part["budget"].unique())
        for method, own in part.groupby("method", sort=True):
            if missing := [f"{budget:,}" for budget in budgets if budget not in set(own["budget"])]:
                yield f"no scores: {task}, {method}: budget {', '.join(missing)}"
        if bare := int(part["low"].isna().sum()):
            yield f"no interval: {task}, samples {samples}: {bare} means of a single score, whose error is unknown"
    if (table["seeds"] == 1).any():
        yield "one seed: the interval is that of this fit on further observations, not of other fits of the method"
