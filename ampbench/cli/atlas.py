"""``ampbench atlas``: findings of the failure atlas in all posterior samples of a store."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from ampbench import registry
from ampbench.atlas.checks import CHECKS
from ampbench.atlas.findings import tally
from ampbench.cli.terminal import print_folded, print_table
from ampbench.console import complain, document, say, status
from ampbench.reporting.compare import GROUP_COLUMNS, count_unchecked, latest
from ampbench.reporting.labels import labels, legend
from ampbench.results import load
from ampbench.results.bundle import Bundle, open_store
from ampbench.results.columns import records
from ampbench.results.store import Store
from ampbench.running.backfill import check_unchecked
from ampbench.text import encodable


def show_atlas(results: Path, tasks: Sequence[str], methods: Sequence[str], as_json: bool) -> None:
    """Check unchecked results, and print the findings; a bundle is read, and not checked.

    Arguments:
        results: a results directory or a bundle.
        tasks, methods: specs as shown in the table; all if empty.
        as_json: print all groups and findings as JSON.

    Raises:
        ResultsError: there is no such directory, or it cannot be written.
    """
    store = open_store(results)
    if not isinstance(store, Bundle):
        _check_unchecked(store, tasks, methods)
    frame, _ = latest(load(results))
    for column, wanted in (("task", tasks), ("method", methods)):
        frame = frame[frame[column].isin(list(map(encodable, wanted)))] if wanted else frame
    table = tally(frame, [*GROUP_COLUMNS, "method"])
    if as_json:
        document(records(table))
    else:
        _print(table, count_unchecked(frame))


def _check_unchecked(store: Store, tasks: Sequence[str], methods: Sequence[str]) -> None:
    """Check unchecked results, and show the progress on a terminal."""
    with status() as update:

        def progress(done: int, total: int) -> None:
            update(f"checking {done + 1} of {total}")

        count = check_unchecked(store, registry.load(), tasks, methods, progress)
    if count:
        complain(f"{count} unchecked results were checked")


def _print(table: pd.DataFrame, unchecked: int) -> None:
    if table.empty:
        say("no results were checked yet")
    named = labels(table["method"])
    for values, part in table.groupby(GROUP_COLUMNS, sort=False):
        print_folded("task {}, budget {}, samples {}".format(*values))
        rows = [(named[row["method"]], *_cells(row)) for _, row in part.iterrows()]
        print_table(["method", "finding", "runs", "worst", "limit", "obs"], rows, fold=0)
        worst = part[part["count"] > 0]
        for _, row in worst[worst["text"].fillna("") != ""].iterrows():
            print_folded(f"{named[row['method']]}: {row['finding']}: {row['text']}")
        say()
    for text in legend(named):
        print_folded(text)
    seen = [name for name in CHECKS if name in set(table["finding"])]
    for name in seen:
        print_folded(f"{name}: {CHECKS[name]}")
    if unchecked:
        print_folded(
            f"{unchecked} results are unchecked: they are in a bundle, their samples are not stored, or their version "
            "of the task is not installed"
        )


def _cells(row: pd.Series) -> tuple[str, ...]:
    if not row["finding"]:
        return "none", f"0/{row['total']}", "", "", ""
    size = (f"{row[column]:.3g}" for column in ("worst", "threshold"))
    return row["finding"], f"{row['count']}/{row['total']}", *size, str(int(row["observation"]))
