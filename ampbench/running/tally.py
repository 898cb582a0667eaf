"""Where a sweep stands: what is done, running and failed, how long it will take, and which method is best so far."""

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
    """What one worker is at.

    Attributes:
        fit: the task, method, budget and seed.
        step: the fit, or what is done for an observation.
        done, total: steps of the fit; 0 of 0 if the method does not tell.
        seconds: since this step began.
    """

    fit: str
    step: str
    done: int
    total: int
    seconds: float


@dataclass(frozen=True)
class Best:
    """The method with the lowest mean so far of the first metric, on the task and budget that was last heard of."""

    task: str
    budget: int
    metric: str
    method: str
    mean: float
    n: int


@dataclass(frozen=True)
class Snapshot:
    """The state of a sweep at one moment.

    Attributes:
        total: runs to do in this sweep, without those that were stored before.
        done: of these, how many have ended, failures included.
        failed: how many of these have failed.
        seconds: since the sweep began.
        left: estimated seconds until its end; None before the first run has ended.
        running: what the workers are at.
        best: None if there is no value yet.
    """

    total: int
    done: int
    failed: int
    seconds: float
    left: float | None
    running: Sequence[Activity] = field(default_factory=tuple)
    best: Best | None = None


class Tally:
    """A listener that keeps count; other threads may ask it for a snapshot.

    Arguments:
        runs: what is to be done.
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
        """Keep count."""
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
        """Return how things stand."""
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
