"""The strongest published scores: the lowest of each task, budget and scale.

A scale is a classifier with a number of samples; scores of different scales are not compared
(:mod:`ampbench.reporting.ledger`). A sequential method spends the whole budget on one observation, and is therefore
distinguished from those that spend it once for all. A score for which the best of several configurations was chosen,
by this very score, is too low; its row says so.
"""

from __future__ import annotations

import pandas as pd

from ampbench.reporting.ledger import CLASSIFIERS, ledger, our_means
from ampbench.results import schema
from ampbench.results.origins import OURS
from ampbench.spec import component_name

UNKNOWN = "unknown"
"""The classifier of published scores whose source does not state it."""

SCALE = ["task", "budget", "classifier", "samples"]


def strongest(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the strongest published scores of the tasks and budgets of our results, on every scale.

    Arguments:
        frame: our results, as returned by :func:`ampbench.results.load`; a scale on which they have no score is
            included, without ours.

    Returns:
        A table with the columns of :data:`ampbench.results.schema.STRONGEST`, sorted by scale, task, budget and mean.
    """
    cells = frame[["task", "budget"]].assign(task=frame["task"].map(component_name)).drop_duplicates()
    published = lowest_published().merge(cells.astype({"task": "string", "budget": "int64"}), on=["task", "budget"])
    theirs = published.rename(columns={"c2st": "mean", "source": "origin"})
    table = theirs.merge(_lowest_of_ours(frame), on=SCALE, how="left")
    table = table.assign(ours=table["ours"].astype("string").fillna(""), ours_n=table["ours_n"].astype("Int64"))
    table = table[schema.STRONGEST.names]
    return table.sort_values(["classifier", "samples", "task", "budget", "mean"], kind="stable", ignore_index=True)


def lowest_published() -> pd.DataFrame:
    """Return the rows of the ledger with the lowest score of each task, budget and scale.

    Where that is the score of a sequential method, the lowest score of the others follows. Scores whose source
    does not state the scale are left out.
    """
    scores = ledger()
    scores = scores[(scores["classifier"] != UNKNOWN) & scores["samples"].notna()].sort_values("c2st", kind="stable")
    amortised = scores[scores["sequential"] == "no"]
    return pd.concat([scores.groupby(SCALE).head(1), amortised.groupby(SCALE).head(1)]).drop_duplicates()


def _lowest_of_ours(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the method with the lowest mean of each scale on which we have scores."""
    found = [our_means(frame, metric) for metric in CLASSIFIERS if metric in frame.columns]
    of_ours = {"method": "ours", "mean": "ours_mean", "n": "ours_n"}
    columns = {name: kind for name, kind in schema.LEDGER.dtypes.items() if name in SCALE}
    if not found:
        return pd.DataFrame(columns=[*SCALE, *of_ours.values()]).astype(columns | {"ours_mean": "float64"})
    ours = pd.concat(found)
    ours = ours[ours["origin"] == OURS].sort_values("mean", kind="stable").groupby(SCALE).head(1)
    return ours.rename(columns=of_ours)[[*SCALE, *of_ours.values()]].astype(columns)
