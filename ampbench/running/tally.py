"""Progress of a sweep: its finished, running and failed runs, the remaining time, and the best method so far."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean

from ampbench.interfaces.events import Event, Finished, Fitting, Measuring, Note, Sampling
from ampbench.results import Record, Run
from ampbench.spec import Spec


@dataclass(frozen=True)
class Activity:
    """The activity of one worker.

    Attributes:
        fit: the task, method, budget and seed.
        step: the fit, or sampling or measuring at an observation.
        done, total: steps of the fit; 0 of 0 if the method does not report them.
        seconds: time since the step began.
    """

    fit: str
    step: str
    done: int
    total: int
    seconds: float


@dataclass(frozen=True)
class Best:
    """The method with the lowest mean of the first metric so far, on the task and budget of the latest record."""

    task: str
    budget: int
    metric: str
    method: str
    mean: float
    n: int


@dataclass(frozen=True)
class Snapshot:
    """The progress of a sweep at one moment.

    Attributes:
        total: number of runs of this sweep, without those that were stored before.
        done: number of runs that have ended, failures included.
        failed: number of runs that have failed.
        seconds: time since the sweep began.
        left: estimated seconds until its end; None before the first run has ended.
        running: activities of the workers.
        best: the best method so far; None before the first value.
    """

    total: int
    done: int
    failed: int
    seconds: float
    left: float | None
    running: Sequence[Activity] = field(default_factory=tuple)
    best: Best | None = None


class Tally:
    """A listener that counts; other threads may take snapshots.

    Arguments:
        runs: the runs of the sweep.
    """

    def __init__(self, runs: Sequence[Run]) -> None:
        self.total = len(runs)
        self.failed: list[Record] = []
        self.done = 0
        self._outstanding = Counter(run.fit_key for run in runs)
        self._running: dict[tuple[str, str, int, int], tuple[Event, float]] = {}
        self._values: dict[tuple[str, int, str], dict[str, list[float]]] = {}
        self._last: tuple[str, int, str] | None = None
        self._began = time.monotonic()
        self._lock = threading.Lock()

    def __call__(self, event: Event) -> None:
        """Count an event."""
        with self._lock:
            match event:
                case Fitting(run) | Sampling(run) | Measuring(run):
                    before = self._running.get(run.fit_key)
                    same = before is not None and isinstance(event, Fitting) and isinstance(before[0], Fitting)
                    self._running[run.fit_key] = (event, before[1] if before and same else time.monotonic())
                case Finished(record):
                    self._finished(record)
                case Note():
                    pass

    def snapshot(self) -> Snapshot:
        """Return the progress at this moment."""
        with self._lock:
            seconds = time.monotonic() - self._began
            left = seconds * (self.total - self.done) / self.done if self.done else None
            running = tuple(_activity(event, since) for event, since in self._running.values())
            return Snapshot(self.total, self.done, len(self.failed), seconds, left, running, self._best())

    def _finished(self, record: Record) -> None:
        run = record.run
        self.done += 1
        if not record.ok:
            self.failed.append(record)
        self._outstanding[run.fit_key] -= 1
        if self._outstanding[run.fit_key] <= 0:
            self._running.pop(run.fit_key, None)
        for text in run.metrics[:1]:
            name = Spec.parse(text).name
            if name in record.metrics and (value := record.metrics[name].value) is not None:
                self._last = (run.task, run.budget, name)
                self._values.setdefault(self._last, {}).setdefault(run.method, []).append(value)

    def _best(self) -> Best | None:
        if self._last is None:
            return None
        methods: Mapping[str, list[float]] = self._values[self._last]
        method = min(methods, key=lambda name: fmean(methods[name]))
        task, budget, metric = self._last
        return Best(task, budget, metric, method, fmean(methods[method]), len(methods[method]))


def _activity(event: Event, since: float) -> Activity:
    seconds = time.monotonic() - since
    match event:
        case Fitting(run, done, total):
            return Activity(_fit(run), "fit", done, total, seconds)
        case Sampling(run):
            return Activity(_fit(run), f"observation {run.observation}: posterior samples", 0, 0, seconds)
        case Measuring(run, what):
            return Activity(_fit(run), f"observation {run.observation}: {what}", 0, 0, seconds)
    raise AssertionError(event)


def _fit(run: Run) -> str:
    return f"{run.task}  {run.method}  budget {run.budget}  seed {run.seed}"
