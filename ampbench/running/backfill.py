"""Atlas checks of results that were stored without them, by older versions or by another program."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ampbench.errors import AmpbenchError, ResultsError
from ampbench.faults import pass_interruption
from ampbench.interfaces import Progress, Task, silent
from ampbench.metrics.references import reference_samples
from ampbench.registry import Registry
from ampbench.results import Run
from ampbench.results.store import Store, Stored
from ampbench.results.survey import survey
from ampbench.running.components import needs_reference
from ampbench.running.measuring import atlas_checks


def check_unchecked(
    store: Store, registry: Registry, tasks: Sequence[str], methods: Sequence[str], progress: Progress = silent
) -> int:
    """Check the samples of results that were never checked, store the checks, and return the number of such results.

    Only results of the present version of their task are checked; older samples belong to another reference.

    Arguments:
        store: where the results are.
        registry: where tasks come from.
        tasks, methods: specs as they were asked for; all if there are none.
        progress: called before each result with the number of results looked at, and of all that wait.

    Raises:
        ResultsError: the store cannot be written.
    """
    entries = survey(store).entries
    unchecked = [i for i, checks in enumerate(entries["checks"]) if checks is None]
    waiting = [found for found in map(entries.stored, unchecked) if _waits(found, tasks, methods)]
    built: dict[str, Task | None] = {}
    references: dict[tuple[str, int, int], Tensor | None] = {}
    done = 0
    for number, found in enumerate(sorted(waiting, key=_order)):
        progress(number, len(waiting))
        run = found.record.run
        if run.task not in built:
            built[run.task] = _task(registry, run.task)
        task = built[run.task]
        if task is None or task.version != run.task_version:
            continue
        try:
            samples = torch.from_numpy(store.samples(run.key))
        except ResultsError:  # the samples are not here, or damaged, which `ampbench store check` reports
            continue
        where = _order(found)
        if where not in references:
            references = {where: _reference(task, run, registry)}  # one at a time: they are large
        store.put_checks(found, atlas_checks(task, run, samples, references[where]))
        done += 1
    return done


def _waits(found: Stored, tasks: Sequence[str], methods: Sequence[str]) -> bool:
    record = found.record
    wanted = (not tasks or record.run.task in tasks) and (not methods or record.run.method in methods)
    return wanted and record.ok and record.checks is None


def _order(found: Stored) -> tuple[str, int, int]:
    """Results with one set of reference samples follow each other."""
    run = found.record.run
    return run.task, run.observation, run.samples


def _reference(task: Task, run: Run, registry: Registry) -> Tensor | None:
    """Return the reference samples that the run was scored with; None if it was scored without."""
    if not any(needs_reference(registry, spec) for spec in run.metrics):
        return None
    try:
        return reference_samples(task, run.observation, run.samples)
    except BaseException as error:
        pass_interruption(error)
        return None


def _task(registry: Registry, spec: str) -> Task | None:
    """Return the task; None if its plugin is not installed."""
    try:
        task: Task = registry.build("tasks", spec)
    except AmpbenchError:
        return None
    return task
