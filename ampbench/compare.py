"""Summaries of results that do not say more than the results do.

A cell is the mean over observations and seeds, with the standard error of that mean. Differences are paired: both
methods are judged on the same observations and seeds, so that what is hard about an observation cancels.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import pandas as pd

from ampbench.results import metric_columns

GROUP = ["task", "budget", "samples"]
UNIT = ["observation", "seed"]
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
    remarks: list[str] = []
    for group, part in frame.groupby(GROUP, sort=True):
        label = dict(zip(GROUP, group, strict=True))
        failed = part[part["status"] != "ok"]
        remarks += [f"failed: {_name(row)}: {row['error']}" for _, row in failed.iterrows()]
        for metric in metric_columns(frame):
            table = part.pivot_table(index=UNIT, columns="method", values=metric, aggfunc="mean")
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
