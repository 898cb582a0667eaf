"""Summaries of results that do not say more than the results do.

A cell is the mean over observations and seeds, with the standard error of that mean. Differences are paired: both
methods are judged on the same observations and seeds, so that what is hard about an observation cancels.

A store may hold several answers to one question, made with different versions of the task or of packages. The latest
counts, and it is said that there are others; answers for one table that were made with different versions are named.
"""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass
from typing import Any

import pandas as pd

from ampbench.results import metric_columns

GROUP = ["task", "budget", "samples"]
UNIT = ["observation", "seed"]
ANSWER = ["task_version", "resolved", "packages"]
"""What may differ between answers to the same question."""

VOLATILE = ("standard_error", "bandwidth")
"""Provenance that differs between runs without making their values incomparable."""


@dataclass(frozen=True)
class Summary:
    """A table with one row per task, budget, method and metric, and what the reader should know about it."""

    table: pd.DataFrame
    remarks: list[str]


def summarise(frame: pd.DataFrame) -> Summary:
    """Compare methods within each task and budget.

    Arguments:
        frame: as returned by :func:`ampbench.results.load`.

    Returns:
        For each method and metric: the mean, its standard error, the number of values, and the paired difference to the
        method with the lowest mean, with its standard error. Missing and incomparable values are named in the remarks.
    """
    rows: list[dict[str, Any]] = []
    frame, remarks = _latest(frame)
    for group, part in frame.groupby(GROUP, sort=True):
        label = dict(zip(GROUP, group, strict=True))
        failed = part[part["status"] != "ok"]
        remarks += [f"failed: {_name(row)}: {row['error']}" for _, row in failed.iterrows()]
        remarks += [f"not all with the same versions: {label}: {versions}" for versions in _mixed(part)]
        for metric in metric_columns(frame):
            table = part.pivot_table(index=UNIT, columns="method", values=metric, aggfunc="last")
            if table.empty:
                continue
            if len(_definitions(part, metric)) > 1:
                remarks.append(f"not compared: {metric} on {label} was computed in different ways; see its provenance")
                continue
            if bool(table.isna().any(axis=None)):
                remarks.append(f"{metric} on {label}: some methods lack observations; differences use the common ones")
            rows += [{**label, **row} for row in _rows(table, metric)]
    columns = [*GROUP, "metric", "method", "n", "mean", "se", "diff", "diff_se"]
    return Summary(pd.DataFrame(rows, columns=columns), remarks)


def _latest(frame: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """Keep the rows that answer as the latest row with the same question does; say what is left out."""
    if frame.empty:
        return frame, []
    frame = frame.sort_values("finished", kind="stable")
    latest = frame.groupby([*GROUP, "method", *UNIT])[ANSWER].transform("last")
    current = (frame[ANSWER] == latest).all(axis=1)
    older = frame[~current].groupby([*GROUP, "method"], sort=True).size()
    remarks = [
        f"left out: {count} older results of {', '.join(map(str, what))}, made with other versions"
        for what, count in older.items()
    ]
    return frame[current], remarks


def _mixed(part: pd.DataFrame) -> list[str]:
    """The packages, and the task, of which several versions made the results of a table."""
    versions: defaultdict[str, set[str]] = defaultdict(set)
    for row in part[["task_version", "packages", "metric_packages"]].drop_duplicates().itertuples(index=False):
        versions["task"].add(f"version {row.task_version} of the task")
        for package in f"{row.packages} {row.metric_packages}".split():
            versions[package.partition("==")[0]].add(package)
    return [" and ".join(sorted(several)) for several in versions.values() if len(several) > 1]


def _rows(table: pd.DataFrame, metric: str) -> list[dict[str, Any]]:
    best = table.mean().idxmin()
    rows = []
    for method, values in table.items():
        difference = (values - table[best]).dropna()
        rows.append(
            {
                "metric": metric,
                "method": method,
                "n": int(values.count()),
                "mean": values.mean(),
                "se": values.sem(),
                "diff": difference.mean(),
                "diff_se": difference.sem(),
            }
        )
    return sorted(rows, key=lambda row: row["mean"])


def _definitions(part: pd.DataFrame, metric: str) -> set[str]:
    """The different ways in which a metric was computed, as far as they matter."""
    kept = part.loc[part[metric].notna(), f"{metric}_provenance"].map(json.loads)
    return {json.dumps({k: v for k, v in how.items() if k not in VOLATILE}, sort_keys=True) for how in kept}


def _name(row: pd.Series[Any]) -> str:
    return ", ".join(str(row[name]) for name in ["task", "method", "budget", *UNIT])
