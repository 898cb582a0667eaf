"""The tasks of a report: what their plugins say about them, and what their stored samples show."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ampbench import registry
from ampbench.errors import PluginError
from ampbench.faults import describe, pass_interruption
from ampbench.registry import Entry, Registry
from ampbench.report.content import Task
from ampbench.report.samples import Run, coverages, pairs
from ampbench.results.store import Store
from ampbench.spec import component_name
from ampbench.text import line

MAX_FILES = 400
"""Largest number of files of samples that are read for the calibration of all tasks together."""


class Held(NamedTuple):
    """A stored result: the store that holds it, the SHA-256 of its samples, and the metrics that its run asked for."""

    store: Store
    samples: str
    metrics: Sequence[str]


Entries = Mapping[tuple[str, str], Held]
"""Key and origin of a run → its result."""


def described(frame: pd.DataFrame, entries: Entries) -> Iterator[Task]:
    """Describe the tasks of results, sorted by spec.

    Arguments:
        frame: the latest results.
        entries: the stored results of its rows, where they come from a store.
    """
    faults: list[PluginError] = []
    known = registry.load(faults.append)
    specs = sorted(set(frame["task"]))
    for spec in specs:
        rows = frame[frame["task"] == spec]
        entry = known.entries("tasks").get(component_name(spec))
        runs = list(_runs(rows, entries))
        yield _described(known, spec, entry, runs, set(rows["task_version"]), MAX_FILES // len(specs))


def _runs(rows: pd.DataFrame, entries: Entries) -> Iterator[Run]:
    """Return the runs whose samples are stored."""
    for row in rows[rows["status"] == "ok"].itertuples(index=False):
        held = entries.get((row.key, row.origin))
        if held and held.samples and held.store.exists(path := held.store.array(held.samples)):
            load = partial(_samples, held.store, path)
            yield Run(row.method, int(row.budget), int(row.seed), int(row.observation), load)


def _samples(store: Store, path: Path) -> NDArray[np.floating] | None:
    """Return samples (n, D); None if they are missing or damaged."""
    loaded = store.load_array(path)
    return loaded if isinstance(loaded, np.ndarray) else None


def _described(
    known: Registry, spec: str, entry: Entry | None, runs: Sequence[Run], versions: set[str], most: int
) -> Task:
    if entry is None:
        return Task(spec, "", "", {}, remarks=("the plugin of this task is not installed, or does not load",))
    labels = {line(name): line(value) for name, value in entry.labels.items()}
    task = Task(spec, line(entry.summary), line(entry.source), labels)
    if not runs:
        return replace(task, remarks=("no posterior samples are stored: no pair plot and no calibration",))
    try:
        built = known.build("tasks", spec)
        if {built.version} != versions:
            return replace(
                task, remarks=(f"samples are of other versions of the task than the installed {built.version}",)
            )
        found, left_out = coverages(built, runs, most)
        remarks = (f"calibration of {left_out} smaller fits is not shown",) if left_out else ()
        return replace(task, pairs=pairs(built, runs), coverage=found, remarks=remarks)
    except BaseException as error:  # of the task's plugin
        pass_interruption(error)
        return replace(task, remarks=(line(f"no pair plot and no calibration: {describe(error)}"),))
