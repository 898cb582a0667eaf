"""Runs for MLflow, in a file store: an experiment for each task, a run for each fit, and below it one per observation.

::

    DIR/mlruns/           the file store of MLflow
    DIR/mlruns-index/     the identifiers of its runs, by fit and by key of the run: TASK, FIT/fit, FIT/KEY

The run of a fit has its options as parameters, and its training curves as metrics per step. The run of an observation
begins with :func:`begin`, and ends with its scores, or with the failure. A fit ends with the last of its observations.

MLflow searches a file store by reading all of it; the index finds a run in one step, and tells a repetition from the
first try. The workers of a sweep write different fits, so that only the experiment of a task needs a lock.

References:
    MLflow, *Tracking*, https://mlflow.org/docs/latest/ml/tracking/.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from ampbench.errors import PluginError
from ampbench.interfaces import HasHistory, Posterior
from ampbench.results import Record, Run
from ampbench.spec import Spec
from ampbench_trackers.environment import MLFLOW
from ampbench_trackers.mlflow_names import experiment_name, key, tag, value

try:
    import fcntl
except ImportError:  # not on Windows
    fcntl = None  # type: ignore[assignment]

if TYPE_CHECKING:
    from mlflow.entities import Metric
    from mlflow.tracking import MlflowClient

MAX_BATCH = 1000
"""Largest number of metrics that MLflow takes at once."""
MAX_PARAMETERS = 100
"""Largest number of parameters that MLflow takes at once."""
SETTINGS = {
    "MLFLOW_ALLOW_FILE_STORE": "true",  # which MLflow 3.17 refuses otherwise
    "MLFLOW_DISABLE_TELEMETRY": "true",  # nothing is sent anywhere
    "GIT_PYTHON_REFRESH": "quiet",  # no message where git is not installed
}
"""Environment variables of MLflow that are set before it is imported, unless they have a value."""


def begin(folder: Path, run: Run) -> None:
    """Show a run as running, below the run of its fit; raises :class:`PluginError` if mlflow is not installed."""
    files = _Files(folder)
    identifier = files.child(run)
    files.client.update_run(identifier, status="RUNNING")


def write_curves(folder: Path, run: Run, posterior: Posterior) -> None:
    """Write the history of a posterior into the run of its fit; a repetition of the fit replaces the earlier curves."""
    if not isinstance(posterior, HasHistory):
        return
    files = _Files(folder)
    parent = files.parent(run)
    if "ampbench.curves" in files.client.get_run(parent).data.tags:
        parent = files.replaced_parent(run)
    history, now = posterior.history, _now()
    points = [
        (f"training/{key(column)}", float(number), int(step))
        for column in history.columns.drop("step")
        for step, number in zip(history["step"], history[column], strict=True)
    ]
    files.log(parent, points, now)
    files.client.set_tag(parent, "ampbench.curves", str(len(points)))


def end(folder: Path, run: Run, record: Record) -> None:
    """Write scores, versions and the failure into the run of an observation, and end it."""
    files = _Files(folder)
    child, now = files.child(run), _now()
    numbers = {f"scores/{key(name)}": found.value for name, found in record.metrics.items() if found.value is not None}
    numbers |= {"fit_seconds": record.fit_seconds, "sample_seconds": record.sample_seconds}
    numbers |= {"metric_seconds": record.metric_seconds, "simulations": float(record.simulations)}
    files.log(child, [(name, number, 0) for name, number in numbers.items()], now)
    told = {"device": record.device, "commit": record.commit, "failure": record.kind, "error": record.error}
    told |= {f"version.{key(name)}": version for name, version in record.versions.items()}
    told |= {f"error.{key(name)}": found.error for name, found in record.metrics.items() if found.error}
    told |= {f"finding.{key(check.name)}": check.text or str(check) for check in record.findings}
    for name, text in told.items():
        files.client.set_tag(child, f"ampbench.{name}", tag(text))
    failed = "KILLED" if record.kind == "killed" else "FAILED"
    files.client.set_terminated(child, "FINISHED" if record.ok else failed, now)
    files.end_parent(run, now)


class _Files:
    """The file store and its index below a folder.

    Raises:
        PluginError: mlflow is not installed.
    """

    def __init__(self, folder: Path) -> None:
        for name, setting in SETTINGS.items():
            os.environ.setdefault(name, setting)
        try:
            from mlflow.tracking import MlflowClient
        except ImportError as error:
            raise PluginError(
                f"{MLFLOW} is set to {str(folder)!r}, but mlflow is not installed: "
                f"pip install 'ampbench[mlflow]', or unset {MLFLOW}"
            ) from error
        store = (folder / "mlruns").absolute()
        store.mkdir(parents=True, exist_ok=True)
        self.client: MlflowClient = MlflowClient(tracking_uri=store.as_uri())
        self._index = folder / "mlruns-index"

    def parent(self, run: Run) -> str:
        """Return the run of a fit, which is made if it does not exist."""
        return self._found(self._fit(run) / "fit") or self._new_parent(run)

    def child(self, run: Run) -> str:
        """Return the run of an observation, which is made if it does not exist."""
        entry = self._fit(run) / run.key
        if found := self._found(entry):
            return found
        tags = _tags(run) | {"mlflow.parentRunId": self.parent(run), "ampbench.key": run.key}
        return self._create(entry, run, f"observation {run.observation}", tags, {"observation": run.observation})

    def replaced_parent(self, run: Run) -> str:
        """Return a new run for a repeated fit; the old one goes into MLflow's bin, and its observations move."""
        old = self.parent(run)
        new = self._new_parent(run)
        for child in self._children(run):
            self.client.set_tag(child, "mlflow.parentRunId", new)
        self.client.delete_run(old)
        return new

    def end_parent(self, run: Run, now: int) -> None:
        """End the run of a fit if those of its observations have ended: well, if one of them has."""
        status = [self.client.get_run(child).info.status for child in self._children(run)]
        if "RUNNING" not in status:
            self.client.set_terminated(self.parent(run), "FINISHED" if "FINISHED" in status else "FAILED", now)

    def log(self, identifier: str, points: list[tuple[str, float, int]], now: int) -> None:
        """Write numbers (name, value, step) into a run; those that are not finite are left out."""
        from mlflow.entities import Metric

        metrics: list[Metric] = [
            Metric(name, number, now, step) for name, number, step in points if math.isfinite(number)
        ]
        for start in range(0, len(metrics), MAX_BATCH):
            self.client.log_batch(identifier, metrics=metrics[start : start + MAX_BATCH])

    def _new_parent(self, run: Run) -> str:
        method = Spec.parse(run.resolved)
        name = f"{method.name}, budget {run.budget}, seed {run.seed}"
        return self._create(self._fit(run) / "fit", run, name, _tags(run), {})

    def _create(
        self, entry: Path, run: Run, name: str, tags: Mapping[str, str], parameters: Mapping[str, object]
    ) -> str:
        from mlflow.entities import Param

        made = self.client.create_run(
            self._experiment(run), _now(), {each: tag(text) for each, text in tags.items()}, name
        )
        options = [Param(key(each), value(text)) for each, text in (_parameters(run) | dict(parameters)).items()]
        for start in range(0, len(options), MAX_PARAMETERS):
            self.client.log_batch(made.info.run_id, params=options[start : start + MAX_PARAMETERS])
        self._remember(entry, made.info.run_id)
        return str(made.info.run_id)

    def _experiment(self, run: Run) -> str:
        """Return the experiment of a task, which is made if it does not exist."""
        name = experiment_name(run.task)
        with self._locked():
            found = self.client.get_experiment_by_name(name)
            if found is None:
                return str(self.client.create_experiment(name))
            if found.lifecycle_stage != "active":
                self.client.restore_experiment(found.experiment_id)
            return str(found.experiment_id)

    def _children(self, run: Run) -> list[str]:
        entries = [each for each in sorted(self._fit(run).iterdir()) if each.name != "fit"]
        return [found for each in entries if (found := self._found(each))]

    def _fit(self, run: Run) -> Path:
        return self._index / run.fit_digest

    def _found(self, entry: Path) -> str:
        """Return the identifier in a file of the index; "" if there is none, or if its run was deleted."""
        from mlflow.exceptions import MlflowException

        try:
            identifier = entry.read_text(encoding="utf-8")
            stage = self.client.get_run(identifier).info.lifecycle_stage
        except (OSError, ValueError, MlflowException):
            return ""
        return identifier if stage == "active" else ""

    def _remember(self, entry: Path, identifier: str) -> None:
        entry.parent.mkdir(parents=True, exist_ok=True)
        partial = entry.with_name(f".{entry.name}-{os.getpid()}")
        partial.write_text(identifier, encoding="utf-8")
        partial.replace(entry)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Keep other processes of the sweep from making an experiment of the same name."""
        self._index.mkdir(parents=True, exist_ok=True)
        with open(self._index / ".lock", "w", encoding="utf-8") as file:
            if fcntl:
                fcntl.flock(file, fcntl.LOCK_EX)
            yield


def _tags(run: Run) -> dict[str, str]:
    return {
        "ampbench.fit": run.fit_digest,
        "ampbench.task": run.task,
        "ampbench.task_version": run.task_version,
        "ampbench.method": run.method,
        "ampbench.resolved": run.resolved,
        "ampbench.packages": ", ".join(run.packages),
    }


def _parameters(run: Run) -> dict[str, object]:
    method = Spec.parse(run.resolved)
    fit = {"task": run.task, "method": method.name, "budget": run.budget, "seed": run.seed}
    return {f"option.{name}": text for name, text in method.options} | fit


def _now() -> int:
    """Return the time in milliseconds, as MLflow counts it."""
    return int(time.time() * 1000)
