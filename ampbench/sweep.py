"""What to run: the product of tasks, methods, budgets, seeds and observations, from options or a TOML file."""

from __future__ import annotations

import difflib
import tomllib
from collections import Counter
from itertools import product
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ampbench.errors import UsageError
from ampbench.interfaces import Task
from ampbench.registry import Registry
from ampbench.run import Run
from ampbench.spec import Spec

Seed = Annotated[int, Field(ge=0, lt=2**63)]
Positive = Annotated[int, Field(ge=1)]


class Sweep(BaseModel):
    """A product of runs.

    Attributes:
        tasks, methods, metrics: specs.
        budgets: numbers of simulations.
        seeds: seeds.
        observations: numbers of the task's observations; empty means all of each task.
        samples: how many posterior samples are compared with as many reference samples.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    tasks: Annotated[list[str], Field(min_length=1)]
    methods: Annotated[list[str], Field(min_length=1)]
    budgets: Annotated[list[Positive], Field(min_length=1)]
    seeds: list[Seed] = [0]
    observations: list[int] = []
    metrics: list[str] = ["c2st", "mmd"]
    samples: Annotated[int, Field(ge=10)] = 10_000


def read(path: Path) -> Sweep:
    """Read a sweep from a TOML file; raises :class:`UsageError` that names file, key, value and what is allowed."""
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from error
    except ValueError as error:
        raise UsageError(f"{path} is not a TOML file: {error}") from error
    return check(content, str(path))


def check(content: dict[str, object], where: str) -> Sweep:
    """Validate a sweep; ``where`` is named in the error."""
    try:
        return Sweep.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        if first["type"] == "extra_forbidden":
            near = difflib.get_close_matches(key, Sweep.model_fields, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise UsageError(f"{where}: unknown key {key!r}; known: {', '.join(Sweep.model_fields)}{hint}") from None
        given = "" if first["type"] == "missing" else f", got {first['input']!r}"
        raise UsageError(f"{where}: {key}: {first['msg']}{given}") from None


def runs(sweep: Sweep, registry: Registry) -> list[Run]:
    """Return the sweep's runs, every spec checked and written out; raises :class:`UsageError` for a wrong one."""
    metrics = tuple(str(registry.resolve("metrics", text)) for text in sweep.metrics)
    for name, count in Counter(Spec.parse(text).name for text in metrics).items():
        if count > 1:
            raise UsageError(f"metric {name!r} is given {count} times; a metric has one column in the results")
    methods = [(str(Spec.parse(text)), str(registry.resolve("methods", text))) for text in sweep.methods]
    made = []
    for task_text in sweep.tasks:
        task: Task = registry.build("tasks", task_text)
        resolved = str(registry.resolve("tasks", task_text))
        numbers = sweep.observations or sorted(task.observations())
        if not numbers:
            raise UsageError(f"task {task_text!r} has no numbered observations, so that there is nothing to run on")
        for number in numbers:
            task.numbered(number)
        for (method, written), budget, seed, number in product(methods, sweep.budgets, sweep.seeds, numbers):
            made.append(Run(resolved, task.version, method, written, budget, number, seed, sweep.samples, metrics))
    return list({run.key: run for run in made}.values())
