"""Logs of fits and their observations: ``DIR/logs/<fit>.jsonl``, one JSON object per line.

Every line has ``time`` (UTC), ``host``, ``pid`` and ``event``; lines about a run have its ``key`` and ``observation``.
A log is appended to by each attempt, in one write per line. What plugins print is beside it, in ``<fit>.out``. A log
that cannot be written costs nothing else.
"""

from __future__ import annotations

import json
import os
import platform
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from ampbench import files
from ampbench.interfaces.events import Event, Finished, Fitting, Measuring, Note, Sampling
from ampbench.results import Run
from ampbench.running.throttle import Throttle

STEP_INTERVAL = 5.0
"""Seconds between two lines about the steps of one fit."""


def log_path(results: Path, run: Run) -> Path:
    """Return the path of the log of a run's fit."""
    return results / "logs" / f"{run.fit_digest}.jsonl"


class RunLog:
    """A listener that writes events to a log; see :mod:`ampbench.interfaces.events`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._throttle = Throttle(STEP_INTERVAL)

    def write(self, event: str, run: Run | None = None, **about: object) -> None:
        """Append a line."""
        about_run = {"key": run.key, "observation": run.observation} if run else {}
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        line = {"time": now, "host": platform.node(), "pid": os.getpid(), "event": event, **about_run, **about}
        with suppress(OSError):
            files.append_line(self.path, json.dumps(line))

    def __call__(self, event: Event) -> None:
        """Log an event; the steps of a fit at intervals of :data:`STEP_INTERVAL`."""
        match event:
            case Fitting(run, done=0):
                about = {"task": run.task, "method": run.resolved, "budget": run.budget, "seed": run.seed}
                self.write("fitting", None, **about)
            case Fitting(_, done, total):
                if self._throttle.due() or done == total:
                    self.write("step", done=done, total=total)
            case Sampling(run):
                self.write("sampling", run)
            case Measuring(run, what):
                self.write("measuring", run, what=what)
            case Finished(record):
                values = {name: measured.value for name, measured in record.metrics.items()}
                about = {"status": record.status, "kind": record.kind, "error": record.error, "metrics": values}
                self.write("finished", record.run, **about)
            case Note(text):
                self.write("note", text=text)
