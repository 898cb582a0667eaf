"""What a run is, and what comes of it: two frozen values."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

SCHEMA = 1
"""Version of the stored form; raised when old records can no longer be read as new ones."""


@dataclass(frozen=True)
class Run:
    """All that determines a result.

    Attributes:
        task, task_version: the task's spec with every option written out, and the version of its definition.
        method: the method's spec as it was asked for, with its options sorted; rows are grouped by it.
        resolved: the same with every option written out.
        budget: number of simulations allowed.
        observation: number of the task's observation.
        seed: seed of simulations, training and posterior sampling.
        samples: how many posterior (and reference) samples are compared.
        metrics: the metrics' specs with every option written out.
    """

    task: str
    task_version: str
    method: str
    resolved: str
    budget: int
    observation: int
    seed: int
    samples: int
    metrics: tuple[str, ...]

    @property
    def key(self) -> str:
        """The hash under which the result is stored; ``method`` is a label only."""
        determines = {name: value for name, value in asdict(self).items() if name != "method"}
        text = json.dumps({"schema": SCHEMA, **determines}, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:20]

    @property
    def fit_key(self) -> tuple[str, str, int, int]:
        """What determines the fitted posterior, which all observations of a task share."""
        return self.task, self.resolved, self.budget, self.seed

    def __str__(self) -> str:
        return f"{self.task} | {self.method} | budget {self.budget} | observation {self.observation} | seed {self.seed}"


@dataclass(frozen=True)
class Measured:
    """A metric's value, or the reason why there is none, with its provenance."""

    value: float | None
    error: str = ""
    provenance: Mapping[str, str | int | float] = field(default_factory=dict)


@dataclass(frozen=True)
class Record:
    """A run and its outcome: numbers and strings only.

    Attributes:
        status: ``ok``, or ``failed``; a failed run is tried again when it is asked for again.
        error, traceback: empty if all went well.
        metrics: by metric name.
        fit_seconds: wall-clock seconds of the fit that this run's posterior came from, shared by its observations.
        sample_seconds: wall-clock seconds of drawing the posterior samples.
        simulations: how many simulations the method used.
        device: where it ran.
        finished: when, as ISO 8601 in UTC.
        versions: of Python and of the packages that matter.
        commit: of ampbench's source checkout, "" if installed from a wheel.
    """

    run: Run
    status: str
    error: str
    traceback: str
    metrics: Mapping[str, Measured]
    fit_seconds: float
    sample_seconds: float
    simulations: int
    device: str
    finished: str
    versions: Mapping[str, str]
    commit: str

    @property
    def ok(self) -> bool:
        """Whether the run and all its metrics went well."""
        return self.status == "ok"
