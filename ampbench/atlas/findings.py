"""Counts of the failure atlas's findings over a frame of results."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import pandas as pd

from ampbench.text import encodable

COLUMNS = ["finding", "count", "total", "worst", "threshold", "observation", "seed", "text"]

OF_CHECK = {"worst": "value", "threshold": "threshold", "text": "text"}
"""The columns that show fields of a check."""
OF_RUN = ["observation", "seed"]
"""The columns that show fields of a run."""


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
    checked = checked.drop_duplicates([*by, *OF_RUN], keep="last")
    rows = []
    cells = list(zip(*(checked[name].tolist() for name in ("findings_detail", *OF_RUN)), strict=True))
    for value, places in checked.groupby(list(by)).indices.items():
        group = dict(zip(by, value if isinstance(value, tuple) else (value,), strict=True))
        found = _findings([cells[i] for i in places]) or [{"finding": "", "count": 0, "total": len(places)}]
        rows += [{**group, **row} for row in found]
    table = pd.DataFrame(rows, columns=[*by, *COLUMNS])
    return table.sort_values([*by, "count"], ascending=[True] * len(by) + [False], kind="stable", ignore_index=True)


def _findings(runs: Sequence[tuple[str, int, int]]) -> list[dict[str, Any]]:
    """Return one row per finding of a group of checked runs: of each the checks, observation and seed."""
    made, count = defaultdict[str, int](int), defaultdict[str, int](int)
    worst: dict[str, tuple[Mapping[str, Any], int, int]] = {}
    largest: dict[str, float] = {}
    for text, observation, seed in runs:
        found: set[str] = set()
        for check in json.loads(text):
            name = _name(check["name"])
            made[name] += 1
            if check["found"]:
                found.add(name)
                value = check.get("value")
                if name not in worst or (value is not None and value > largest[name]):
                    worst[name] = check, observation, seed
                    largest[name] = -math.inf if value is None or math.isnan(value) else value
        for name in found:
            count[name] += 1
    made["check failed"] = len(runs)  # a check that failed was tried in every run
    return [
        {"finding": name, "count": count[name], "total": made[name]}
        | {column: encodable(check.get(field)) for column, field in OF_CHECK.items()}
        | dict(zip(OF_RUN, run, strict=True))
        for name, (check, *run) in sorted(worst.items(), key=lambda item: item[0])
    ]


_name = lru_cache(maxsize=1024)(encodable)


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
