"""From runs to jobs: the runs without a good result, grouped by the fit that they share."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby

from ampbench.results import Run
from ampbench.results.store import Store


def pending(runs: Iterable[Run], store: Store) -> list[Run]:
    """Return the runs without a good result; a failed or damaged one is tried again."""
    return [run for run in runs if not store.done(run)]


def group_by_fit(runs: Iterable[Run]) -> list[tuple[Run, ...]]:
    """Group runs by the fit that they share; each group is a job."""
    ordered = sorted(runs, key=lambda run: run.fit_key)
    return [tuple(group) for _, group in groupby(ordered, key=lambda run: run.fit_key)]
