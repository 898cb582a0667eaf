"""``ampbench atlas``: what is wrong with posterior samples, over a whole store."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import torch
from torch import Tensor

from ampbench import registry
from ampbench.atlas.checks import CHECKS
from ampbench.atlas.findings import tally
from ampbench.cli.terminal import print_folded, print_table
from ampbench.errors import AmpbenchError, ResultsError
from ampbench.interfaces import Task
from ampbench.metrics.references import compares, reference_samples
from ampbench.registry import Registry
from ampbench.reporting.compare import latest
from ampbench.reporting.labels import labels, legend
from ampbench.reporting.text import line
from ampbench.results import Run, load
from ampbench.results.columns import records
from ampbench.results.store import Store, Stored
from ampbench.running.runner import look

BY = ["task", "budget", "samples", "method"]


def show_atlas(results: Path, tasks: Sequence[str], methods: Sequence[str], as_json: bool) -> None:
    """Check what was not checked yet, and print what was found.

    Arguments:
        results: the results directory.
        tasks, methods: specs as the table shows them; all if there are none.
        as_json: print every group and finding as JSON.

    Raises:
        ResultsError: there is no such directory, or it cannot be written.
    """
    if not results.is_dir():
        raise ResultsError(f"there is no results directory {str(results)!r}; name it by --results")
    catch_up(Store(results), registry.load(), tasks, methods)
    frame, _ = latest(load(results))
    for column, wanted in (("task", tasks), ("method", methods)):
        frame = frame[frame[column].isin(wanted)] if wanted else frame
    table = tally(frame, BY)
    if as_json:
        print(json.dumps(records(table), indent=1))
    else:
        _print(table, int((frame["findings_detail"].isna() & (frame["status"] == "ok")).sum()))


def catch_up(store: Store, loaded: Registry, tasks: Sequence[str], methods: Sequence[str]) -> int:
    """Check the samples of results that were never checked, store the checks, and return how many there were.

    Only results of the present version of their task; the samples of others belong to another reference.
    """
    waiting = [found for found in store.scan() if isinstance(found, Stored) and _waits(found, tasks, methods)]
    built: dict[str, Task | None] = {}
    references: dict[tuple[str, int, int], Tensor | None] = {}
    done = 0
    for number, found in enumerate(sorted(waiting, key=_order), start=1):
        run = found.record.run
        if run.task not in built:
            built[run.task] = _task(loaded, run.task)
        task = built[run.task]
        if task is None or task.version != run.task_version:
            continue
        try:
            samples = torch.from_numpy(store.samples(run.key))
        except ResultsError:  # its numbers were kept, its samples not; or they are damaged, as store check will say
            continue
        if sys.stderr.isatty():
            print(f"\rchecking {number} of {len(waiting)} ", end="", file=sys.stderr, flush=True)
        where = (run.task, run.observation, run.samples)
        if where not in references:
            references = {where: _reference(task, run, loaded)}  # one at a time: they are large
        store.put_checks(found, look(task, run, samples, references[where]))
        done += 1
    if sys.stderr.isatty() and done:
        print("\r\x1b[K", end="", file=sys.stderr)
    if done:
        print(f"{done} results that nobody had looked at were checked now", file=sys.stderr)
    return done


def _waits(found: Stored, tasks: Sequence[str], methods: Sequence[str]) -> bool:
    record = found.record
    asked = (not tasks or record.run.task in tasks) and (not methods or record.run.method in methods)
    return asked and record.ok and record.checks is None


def _order(found: Stored) -> tuple[str, int, int]:
    run = found.record.run
    return run.task, run.observation, run.samples


def _reference(task: Task, run: Run, loaded: Registry) -> Tensor | None:
    """The reference samples that the run was scored with; None if it was scored without."""
    if not any(compares(text, loaded) for text in run.metrics):
        return None
    try:
        return reference_samples(task, run.observation, run.samples)
    except AmpbenchError:
        return None


def _task(loaded: Registry, spec: str) -> Task | None:
    """The task; None if its plugin is not here."""
    try:
        task: Task = loaded.build("tasks", spec)
    except AmpbenchError:
        return None
    return task


def _print(table: pd.DataFrame, unchecked: int) -> None:
    if table.empty:
        print("nothing was checked yet")
    named = labels(table["method"])
    for values, part in table.groupby(["task", "budget", "samples"], sort=False):
        print_folded("task {}, budget {}, samples {}".format(*values))
        rows = [(named[row["method"]], *_cells(row)) for _, row in part.iterrows()]
        print_table(["method", "finding", "runs", "worst", "limit", "obs"], rows, fold=0)
        worst = part[part["count"] > 0]
        for _, row in worst[worst["text"].fillna("") != ""].iterrows():
            print_folded(f"{named[row['method']]}: {row['finding']}: {row['text']}")
        print()
    for text in legend(named):
        print_folded(text)
    seen = [name for name in CHECKS if name in set(table["finding"])]
    for name in seen:
        print_folded(f"{name}: {CHECKS[name]}")
    if unchecked:
        print_folded(f"{unchecked} results are not checked: their samples, or the version of their task, are not here")


def _cells(row: pd.Series) -> tuple[str, ...]:
    if not row["finding"]:
        return "none", f"0/{row['of']}", "", "", ""
    size = (f"{row[column]:.3g}" for column in ("worst", "threshold"))
    return line(row["finding"]), f"{row['count']}/{row['of']}", *size, str(int(row["observation"]))
