"""Reference samples of numbered observations: their seeds, and their files.

A folder holds ``reference.npz``, with one float32 array (n, D) per numbered observation, and ``info.json``, which
records how the samples were made and the rows of their certification. Stored samples equal those that
:meth:`HasReference.reference` returns for :func:`reference_seed`, so that they can be reproduced.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from ampbench.errors import SimulationError, UsageError
from ampbench.graph.prior import not_finite, parameter_names, wrong_type
from ampbench.interfaces import HasReference, ShipsReference, Task
from ampbench.results import atomic
from ampbench.seeding import derive


def reference_seed(number: int) -> int:
    """Return the seed of the reference samples of a numbered observation."""
    return derive(0, "reference", number)


def reference_samples(task: Task, number: int, n: int) -> Tensor:
    """Return n reference samples (n, D) of a numbered observation: stored ones, or fresh ones if too few are stored.

    Raises:
        UsageError: the task has no such observation, no reference, or stored samples only and fewer than n.
        SimulationError: the task returned samples of another type or shape, NaN or infinite values.
    """
    drawn, names = _reference_samples(task, number, n), parameter_names(task.graph, task.latents)
    what = f"task {type(task).__name__}, observation {number}"
    if found := wrong_type(drawn, n, len(names)):
        raise SimulationError(
            f"{what}: the reference returned {found} for {n} samples, expected ({n}, D) with D = {len(names)}, "
            "floating-point numbers in a tensor; correct the task"
        )
    if fault := not_finite(drawn, names, "reference samples"):
        raise SimulationError(f"{what}: {fault}; correct the task")
    return drawn.detach()


def _reference_samples(task: Task, number: int, n: int) -> Tensor:
    observation = task.numbered(number)
    if isinstance(task, ShipsReference):
        stored = task.shipped_reference(number)
        if not isinstance(stored, Tensor) or stored.ndim != 2:
            return stored  # the caller refuses it
        if len(stored) >= n:
            return stored[:n]
        if not isinstance(task, HasReference):
            raise UsageError(
                f"task {type(task).__name__} has {len(stored)} stored reference samples for each observation and can "
                f"draw no others: {n} are too many; set samples to at most {len(stored)}"
            )
    if not isinstance(task, HasReference):
        raise UsageError(
            f"task {type(task).__name__} is forward-only: it has no reference posterior to compare with or to export"
        )
    return task.reference(observation.x, n, reference_seed(number))


def build(
    task: Task,
    n: int,
    folder: Path,
    describe: Mapping[str, Any],
    checks: Sequence[Mapping[str, Any]],
    progress: Callable[[int], None],
) -> None:
    """Make the reference samples of all numbered observations, and write them with their info file.

    Arguments:
        task: a task with a reference.
        n: number of samples for each observation.
        folder: the folder, created if missing; its files are replaced atomically.
        describe: entries of the info file on the task and the software.
        checks: the rows of the certification.
        progress: function called with the number of each observation before its samples are made.

    Raises:
        UsageError: the task has no reference.
    """
    if not isinstance(task, HasReference):
        raise UsageError(f"task {type(task).__name__} has no reference posterior, so that none can be built")
    samples = {}
    for number, observation in task.observations().items():
        progress(number)
        samples[str(number)] = task.reference(observation.x, n, reference_seed(number)).numpy()
    info = {
        **describe,
        "algorithm": task.algorithm,
        "samples": n,
        "seeds": {number: reference_seed(int(number)) for number in samples},
        "sha256": {number: hashlib.sha256(drawn.tobytes()).hexdigest() for number, drawn in samples.items()},
        "checks": list(checks),
    }
    folder.mkdir(parents=True, exist_ok=True)
    write_arrays(folder / "reference.npz", samples)
    atomic.write(folder / "info.json", (json.dumps(info, indent=1) + "\n").encode())


def write_arrays(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write arrays as one compressed npz file; equal arrays give equal bytes."""
    with tempfile.TemporaryFile() as file:
        np.savez_compressed(file, allow_pickle=False, **arrays)
        file.seek(0)
        atomic.write(path, file.read())
