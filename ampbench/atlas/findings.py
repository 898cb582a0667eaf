"""Counts of the failure atlas's findings over a frame of results."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence

import pandas as pd

from ampbench.text import encodable

COLUMNS = ["finding", "count", "total", "worst", "threshold", "observation", "seed", "text"]

OF_CHECK = ["name", "value", "threshold", "text"]
"""Fields of a check that a finding shows."""


def tally(frame: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    """Count the findings of each group of results.

    Arguments:
        frame: as returned by :func:`ampbench.results.load`.
        by: the columns that define a group, such as task and method.

    Returns:
        One row per group and finding, the most frequent first: the number of runs with the finding (``count``) of those
        checked (``total``), and the largest value (``worst``) with the threshold, observation, seed and text of that
        run. A group without findings has one row with an empty ``finding`` and the number of its checked runs.
    """
    checked = frame[frame["findings_detail"].notna()]
    # metrics that were requested one after the other give several rows with equal samples
    checked = checked.drop_duplicates([*by, "observation", "seed"], keep="last")
    rows = []
    for values, part in checked.groupby(list(by), sort=True):
        group = dict(zip(by, values, strict=True))
        runs = zip(part.index, *(part[name].tolist() for name in ("observation", "seed")), strict=True)
        checks = map(json.loads, part["findings_detail"].tolist())
        each = [(run, check) for run, several in zip(runs, checks, strict=True) for check in several]
        cells = [(*map(encodable, map(check.get, OF_CHECK)), *run) for run, check in each if check["found"]]
        found = pd.DataFrame(cells, columns=[*OF_CHECK, "run", "observation", "seed"])
        if found.empty:
            rows.append({**group, "finding": "", "count": 0, "total": len(part)})
            continue
        made = Counter(encodable(check["name"]) for _, check in each)
        for name, of_name in found.groupby("name"):
            worst = of_name.loc[of_name["value"].idxmax()]
            # a check that failed was tried in every run
            total = len(part) if name == "check failed" else made[name]
            rows.append(
                {**group, "finding": name, "count": of_name["run"].nunique(), "total": total, "worst": worst["value"]}
                | {column: worst[column] for column in ("threshold", "observation", "seed", "text")}
            )
    table = pd.DataFrame(rows, columns=[*by, *COLUMNS])
    return table.sort_values([*by, "count"], ascending=[True] * len(by) + [False], kind="stable", ignore_index=True)


def summary_line(part: pd.DataFrame) -> str:
    """Return the findings of one group as one line of text.

    Example:
        >>> summary_line(pd.DataFrame({"finding": ["dropped modes", "too wide"], "count": [3, 2], "total": [10, 10]}))
        'dropped modes 3/10, too wide 2/10'
    """
    return ", ".join(
        f"{row.finding} {row.count_}/{row.total}" if row.finding else f"none in {row.total}"
        for row in part.rename(columns={"count": "count_"}).itertuples()
    )
