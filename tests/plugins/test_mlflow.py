"""Runs for MLflow can be read back by MLflow itself, from its file store, without a server or a network."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from torch import Tensor

import ampbench_trackers
from ampbench.errors import PluginError
from ampbench.interfaces import HasHistory, Posterior
from ampbench.registry import Plugin, Registry
from ampbench.results import Record, Run
from ampbench.results.record import Measured
from ampbench_trackers.environment import MLFLOW
from ampbench_trackers.experiments import SETTINGS, begin
from ampbench_trackers.mlflow_names import MAX_NAME, key, tag, value

RUN = Run("two_moons", "1", "amp:divergence=jsd", "amp:divergence=jsd(width=8),steps=4", 1000, 1, 0, 100, ("c2st",))
HOSTILE = "../../x | <b> \x1b[31m\n" + "y" * 9000


class Trained(Posterior, HasHistory):
    """A posterior with two checks, one value of which is missing."""

    def __init__(self, scale: float = 1.0, column: str = "family loss (b | a)") -> None:
        self.scale, self.column = scale, column

    @property
    def history(self) -> pd.DataFrame:
        return pd.DataFrame({"step": [10, 20], "held_out_score": [self.scale, 0.25], self.column: [float("nan"), 3.0]})

    def sample(self, observation: Tensor, n: int) -> Tensor:
        return torch.zeros(n, 1)


@pytest.fixture(autouse=True)
def _settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, setting in SETTINGS.items():
        monkeypatch.setenv(name, setting)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    pytest.importorskip("mlflow", reason="mlflow is not installed: pip install 'ampbench[mlflow]'")
    monkeypatch.setenv(MLFLOW, str(tmp_path))
    return tmp_path


def call(hook: str, **arguments: Any) -> None:
    registry = Registry()
    registry.register(Plugin("trackers", "ampbench", "0", "ampbench_trackers"), ampbench_trackers)
    getattr(registry.hook, hook)(**arguments)


def record_of(run: Run, **changes: Any) -> Record:
    outcome: dict[str, Any] = {"status": "ok", "error": "", "traceback": "", "metrics": {"c2st": Measured(0.75)}}
    outcome |= {"fit_seconds": 2.0, "sample_seconds": 0.1, "simulations": 1000, "device": "cpu", "commit": "abc"}
    return Record(run, **outcome | {"finished": "2026-01-01T00:00:00", "versions": {"torch": "2.13.0"}} | changes)


def runs(folder: Path) -> list[Any]:
    from mlflow.tracking import MlflowClient

    client = MlflowClient(tracking_uri=(folder / "mlruns").as_uri())
    experiments = client.search_experiments()
    return [each for found in experiments for each in client.search_runs([found.experiment_id])]


def families(folder: Path) -> tuple[list[Any], list[Any]]:
    """Return the runs of fits and those of observations."""
    found = runs(folder)
    nested = [each for each in found if "mlflow.parentRunId" in each.data.tags]
    return [each for each in found if each not in nested], nested


def curve(folder: Path, run: Any, name: str) -> list[tuple[int, float]]:
    from mlflow.tracking import MlflowClient

    client = MlflowClient(tracking_uri=(folder / "mlruns").as_uri())
    return [(point.step, point.value) for point in client.get_metric_history(run.info.run_id, name)]


def test_a_fit_has_parameters_and_curves_and_each_observation_its_scores(folder: Path) -> None:
    second = replace(RUN, observation=2)
    for run in (RUN, second):
        call("run_started", run=run)
    (fit,), children = families(folder)
    assert {each.info.status for each in (fit, *children)} == {"RUNNING"}
    call("fit_finished", run=RUN, posterior=Trained())
    call("run_finished", run=RUN, record=record_of(RUN))
    (fit,), children = families(folder)
    assert fit.info.status == "RUNNING", "its second observation has not ended"
    call("run_finished", run=second, record=record_of(second, metrics={"c2st": Measured(0.5)}))
    (fit,), children = families(folder)
    assert {each.info.status for each in (fit, *children)} == {"FINISHED"}
    assert {each.data.tags["mlflow.parentRunId"] for each in children} == {fit.info.run_id}
    shared = {"task": "two_moons", "method": "amp", "budget": "1000", "seed": "0"}
    options = {"option.divergence": "jsd(width=8)", "option.steps": "4"}
    assert fit.data.params == shared | options
    assert [each.data.params["observation"] for each in sorted(children, key=lambda each: each.info.run_name)] == [
        "1",
        "2",
    ]
    assert {each.data.metrics["scores/c2st"] for each in children} == {0.75, 0.5}
    assert {each.data.tags["ampbench.key"] for each in children} == {RUN.key, second.key}
    assert children[0].data.tags["ampbench.version.torch"] == "2.13.0"
    assert curve(folder, fit, "training/held_out_score") == [(10, 1.0), (20, 0.25)]
    assert curve(folder, fit, f"training/{key('family loss (b | a)')}") == [(20, 3.0)]


@pytest.mark.parametrize(("kind", "status"), [("error", "FAILED"), ("killed", "KILLED"), ("timeout", "FAILED")])
def test_failures_are_told(folder: Path, kind: str, status: str) -> None:
    """Also by a new process, which knows nothing of the start."""
    call("run_started", run=RUN)
    failed = record_of(RUN, status="failed", kind=kind, error="it broke", metrics={})
    call("run_finished", run=RUN, record=failed)
    (fit,), (child,) = families(folder)
    assert (child.info.status, fit.info.status) == (status, "FAILED")
    assert (child.data.tags["ampbench.failure"], child.data.tags["ampbench.error"]) == (kind, "it broke")
    call("run_started", run=RUN)
    assert {each.info.status for each in families(folder)[1]} == {"RUNNING"}
    call("run_finished", run=RUN, record=record_of(RUN))
    (fit,), (child,) = families(folder)
    assert (child.info.status, fit.info.status) == ("FINISHED", "FINISHED")


def test_a_repetition_of_a_fit_replaces_its_curves(folder: Path) -> None:
    call("run_started", run=RUN)
    for scale in (1.0, 2.0):
        call("fit_finished", run=RUN, posterior=Trained(scale))
    (fit,), (child,) = families(folder)
    assert curve(folder, fit, "training/held_out_score")[0] == (10, 2.0)
    assert child.data.tags["mlflow.parentRunId"] == fit.info.run_id


def test_fits_of_a_task_share_an_experiment(folder: Path) -> None:
    for run in (RUN, replace(RUN, seed=1), replace(RUN, task="sir")):
        call("run_finished", run=run, record=record_of(run))
    fits, children = families(folder)
    assert (len(fits), len(children)) == (3, 3)
    assert len({each.info.experiment_id for each in fits}) == 2


def test_hostile_names_stay_texts(folder: Path) -> None:
    """Nothing is written outside the folder, and names that differ stay different."""
    run = replace(RUN, task=HOSTILE, method="m", resolved="amp:x=(" + "y" * 9000 + ")", metrics=("a", "a/b"))
    metrics = {"a": Measured(1.0), "a/b": Measured(2.0), "..": Measured(3.0), "A|": Measured(None, HOSTILE)}
    call("run_started", run=run)
    call("fit_finished", run=run, posterior=Trained(column=HOSTILE))
    call("run_finished", run=run, record=record_of(run, metrics=metrics, versions={"../v": HOSTILE}))
    _, (child,) = families(folder)
    scores = {name: number for name, number in child.data.metrics.items() if name.startswith("scores/")}
    assert sorted(scores.values()) == [1.0, 2.0, 3.0]
    assert "\x1b" not in child.data.tags["ampbench.task"]
    assert {path.name for path in folder.iterdir()} == {"mlruns", "mlruns-index"}
    assert not list(folder.parent.glob("x*"))


def test_names() -> None:
    names = ["a", "a/b", "a b", "a|b", ".", "..", "", "é", "x" * 300, "x" * 301, "a.", "\ud800"]
    keys = [key(name) for name in names]
    assert len(set(keys)) == len(names)
    assert all(0 < len(each) <= MAX_NAME + 9 and "/" not in each and each.strip(". ") for each in keys)
    assert len(value("x" * 9000)) == 500
    assert len(tag("x" * 9000)) == 5000


def test_nothing_is_written_unless_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(MLFLOW, raising=False)
    monkeypatch.chdir(tmp_path)
    call("run_started", run=RUN)
    call("run_finished", run=RUN, record=record_of(RUN))
    assert list(tmp_path.iterdir()) == []


def test_a_missing_mlflow_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mlflow.tracking", None)
    with pytest.raises(PluginError, match=r"AMPBENCH_MLFLOW is set to .*pip install 'ampbench\[mlflow\]'"):
        begin(tmp_path, RUN)


@pytest.mark.slow
def test_a_sweep_writes_runs(folder: Path) -> None:
    """The hooks are called by the workers of a real sweep, one method of which fails."""
    words = (
        "--task gaussian_linear --budget 50 --samples 20 --metric mmd --observation 1 --observation 2 --method prior "
    )
    words += "--method rejection-abc:accept=100"
    done = subprocess.run(
        [sys.executable, "-m", "ampbench", "run", *words.split()],
        env=os.environ | {"MLFLOW_ALLOW_FILE_STORE": "true"},
        cwd=folder,
        capture_output=True,
        text=True,
    )
    fits, children = families(folder)
    assert done.returncode == 1, done.stderr
    assert sorted(each.info.status for each in fits) == ["FAILED", "FINISHED"]
    assert sorted(each.info.status for each in children) == ["FAILED", "FAILED", "FINISHED", "FINISHED"]
