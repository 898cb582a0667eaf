"""``ampbench reference``: build the reference samples of a task, and export those of one observation."""

from __future__ import annotations

import os
from dataclasses import asdict, replace
from pathlib import Path

from ampbench import registry
from ampbench.console import document, say, status
from ampbench.errors import UsageError
from ampbench.interfaces import HasReference, ShipsReference, Task
from ampbench.metrics.references import build, reference_samples, write_arrays
from ampbench.results.provenance import commit, versions
from ampbench.text import line
from ampbench.verify import Effort, Row, Subject, certify

CHECKS = ("reference", "balance", "importance", "second sampler", "calibration")
"""Names of the checks that are run before samples are stored."""


def build_reference(spec: str, output: Path, samples: int, as_json: bool = False) -> int:
    """Certify a task and build its reference samples; return 1 if a check failed (recorded in the info file)."""
    task: Task = registry.load().build("tasks", spec)
    if isinstance(task, ShipsReference) and not isinstance(task, HasReference):
        raise UsageError(f"task {spec!r} has stored samples only: it cannot draw from its reference posterior")
    if not isinstance(task, HasReference):
        raise UsageError(f"task {spec!r} is forward-only: it has no reference posterior to draw samples from")
    folder = output / spec.replace(os.sep, "_")
    numbers = list(task.observations())
    with status() as update:
        subject = Subject(task, 0, replace(Effort(), judged=len(numbers)))
        rows = certify(spec, subject, CHECKS, lambda check: update(f"{spec}: checking: {check}"))
        build(
            task,
            samples,
            folder,
            {
                "task": spec,
                "version": task.version,
                "source": task.source,
                "versions": {name: version for name, version in versions().items() if name not in ("pandas", "sbi")},
                "commit": commit(),
            },
            [{key: value for key, value in asdict(row).items() if key != "task"} for row in rows],
            lambda number: update(f"{spec}: samples of observation {number} of {numbers[-1]}"),
        )
    if as_json:
        checks = [asdict(row) for row in rows]
        document({"folder": str(folder), "samples": samples, "observations": len(numbers), "checks": checks})
        return 1 if any(row.verdict == "failed" for row in rows) else 0
    return _report(rows, folder, samples, len(numbers))


def export_reference(spec: str, observation: int, output: Path, samples: int, as_json: bool = False) -> None:
    """Write reference samples as the array ``theta``, shape (n, D), with the observation ``x``, shape (L,)."""
    task: Task = registry.load().build("tasks", spec)
    if samples < 1:
        raise UsageError(f"{samples} samples asked for; ask for at least one")
    if not output.parent.is_dir():
        raise UsageError(f"cannot write {output}: the folder {output.parent} does not exist; make it first")
    theta = reference_samples(task, observation, samples)
    write_arrays(output, {"theta": theta.numpy(), "x": task.numbered(observation).x.numpy()})
    if as_json:
        said = {"output": str(output), "task": spec, "observation": observation, "shape": list(theta.shape)}
        document(said)
        return
    say(line(f"{output}: theta {tuple(theta.shape)}, the posterior of {spec}, observation {observation}"))


def _report(rows: list[Row], folder: Path, samples: int, number: int) -> int:
    failed = [row for row in rows if row.verdict == "failed"]
    for row in failed:
        say(line(f"failed: {row.check}: {row.detail}"))
    checks = f"{len(rows)} checks, {len(failed)} failed"
    say(f"{line(str(folder))}: {samples} samples for each of {number} observations; {checks}")
    return 1 if failed else 0
