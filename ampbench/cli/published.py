"""Published scores in the output of ``ampbench compare --published``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from ampbench.cli.terminal import print_folded, print_table, remark, warn
from ampbench.console import say
from ampbench.reporting.compare import latest
from ampbench.reporting.ledger import PublishedComparison, compare_all
from ampbench.reporting.strongest import strongest
from ampbench.reporting.text import number
from ampbench.results.columns import records


@dataclass(frozen=True)
class Published:
    """Published scores beside ours, and the strongest of them on every scale."""

    beside: PublishedComparison
    strongest: pd.DataFrame

    @classmethod
    def of(cls, frame: pd.DataFrame, mix: bool) -> Published:
        """Return those beside results; raises :class:`UsageError` if they have no metric with published scores."""
        current, _ = latest(frame)
        return cls(compare_all(current, mix), strongest(current))

    def document(self) -> dict[str, object]:
        """Return the fields of the JSON document."""
        return {
            "published": records(self.beside.table),
            "published_remarks": self.beside.remarks,
            "strongest": records(self.strongest),
        }

    def show(self, named: Mapping[str, str]) -> None:
        """Print tables of all scores and of the strongest ones; ``named`` has the label of each spec."""
        _print_beside(self.beside.table, named)
        _print_strongest(self.strongest)
        for text in self.beside.remarks:
            warn(text)


def _print_beside(table: pd.DataFrame, named: Mapping[str, str]) -> None:
    shown = renamed(table, named).assign(samples=table["samples"].astype("string").fillna("unknown"))
    for label, part in labelled(shown, ["task", "budget", "classifier", "samples"]):
        print_folded(f"ours and published c2st; {label}")
        columns = part[["method", "mean", "se", "sequential", "origin"]].astype({"mean": float, "se": float})
        print_table(columns.columns, columns.itertuples(index=False), fold=4)
        say()
    remark("se: standard error for independent fits; our scores of one seed share a fit if the method is amortised")


def _print_strongest(table: pd.DataFrame) -> None:
    """Print the strongest published scores, one table for each scale, with our lowest mean beside them."""
    for label, part in labelled(table, ["classifier", "samples"]):
        print_folded(f"strongest published c2st; {label}")
        rows = [
            (row.task, row.budget, _mean_of(row), row.mean, row.sequential, row.method, row.choice)
            for row in part.itertuples()
        ]
        print_table(["task", "budget", "ours", "published", "sequential", "method", "configuration"], rows, fold=6)
        say()
    if not table.empty:
        remark(
            "ours: the lowest mean of our methods by the same classifier and number of samples (scores); sequential: "
            "the whole budget for each observation; best by this score: the lowest of several configurations, which is "
            "too low"
        )


def _mean_of(row: Any) -> str:
    """Return our mean with the number of scores, or "-"."""
    return "-" if pd.isna(row.ours_mean) else f"{number(row.ours_mean, 3)} ({row.ours_n})"


def renamed(table: pd.DataFrame, named: Mapping[str, str]) -> pd.DataFrame:
    """Return a table with each method's spec replaced by its label."""
    return table.assign(method=table["method"].map(lambda method: named.get(method, method)))


def labelled(table: pd.DataFrame, by: list[str]) -> list[tuple[str, pd.DataFrame]]:
    """Return the parts of a table, each with a text that names its group."""
    return [
        (", ".join(f"{name} {value}" for name, value in zip(by, values, strict=True)), part)
        for values, part in table.groupby(by, sort=False)
    ]
