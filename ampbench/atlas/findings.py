"""How often the failure atlas found what, over the rows of a frame of results."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pandas as pd

COLUMNS = ["finding", "count", "of", "worst", "threshold", "observation", "seed", "text"]


def tally(frame: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    """Count findings.

    Arguments:
        frame: as returned by :func:`ampbench.results.load`.
        by: columns whose values make a group, such as task and method.

    Returns:
        One row per group and finding, the most frequent first: in how many of how many checks (``count`` ``of``), the
        largest value (``worst``) with the threshold, observation, seed and explanation of that run. A group in which
        nothing was found has one row with an empty ``finding``, and the number of its runs that were checked.
    """
    checked = frame[frame["findings_detail"].notna()]
    # metrics that were asked for one after the other make several rows of the same samples
    checked = checked.drop_duplicates([*by, "observation", "seed"], keep="last")
    rows = []
    for values, part in checked.groupby(list(by), sort=True):
        group = dict(zip(by, values, strict=True))
        each = [
            {**check, "run": row.Index, "observation": int(row.observation), "seed": int(row.seed)}
            for row in part.itertuples()
            for check in json.loads(row.findings_detail)
        ]
        found = pd.DataFrame([check for check in each if check["found"]])
        if found.empty:
            rows.append({**group, "finding": "", "count": 0, "of": len(part)})
            continue
        made = pd.Series([check["name"] for check in each]).value_counts()
        for name, of_name in found.groupby("name"):
            worst = of_name.loc[of_name["value"].idxmax()]
            # a check that failed was tried in every run
            of = len(part) if name == "check failed" else int(made[name])
            rows.append(
                {**group, "finding": name, "count": of_name["run"].nunique(), "of": of, "worst": worst["value"]}
                | {column: worst[column] for column in ("threshold", "observation", "seed", "text")}
            )
    table = pd.DataFrame(rows, columns=[*by, *COLUMNS])
    return table.sort_values([*by, "count"], ascending=[True] * len(by) + [False], kind="stable", ignore_index=True)


def summary_line(part: pd.DataFrame) -> str:
    """Say what was found in a group, in one line.

    Example:
        >>> summary_line(pd.DataFrame({"finding": ["dropped modes", "too wide"], "count": [3, 2], "of": [10, 10]}))
        'dropped modes 3/10, too wide 2/10'
    """
    return ", ".join(
        f"{row.finding} {row.count_}/{row.of}" if row.finding else f"none in {row.of}"
        for row in part.rename(columns={"count": "count_"}).itertuples()
    )
