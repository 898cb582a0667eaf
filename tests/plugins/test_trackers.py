"""Training curves for TensorBoard can be read back; diagnoses are tables."""

from __future__ import annotations

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
from ampbench.interfaces import CanDiagnose, HasHistory, Posterior
from ampbench.registry import Plugin, Registry
from ampbench.results import Run
from ampbench_trackers.curves import label, write
from ampbench_trackers.environment import DIAGNOSTICS, TENSORBOARD

RUN = Run("two_moons", "1", "amp:divergence=jsd", "amp:divergence=jsd(width=8),steps=4", 1000, 1, 0, 100, ("c2st",))


class WithHistory(Posterior, HasHistory):
    """A posterior with two checks; the second tuple has a value in the second check only."""

    def __init__(self, scale: float = 1.0) -> None:
        self.scale = scale

    @property
    def history(self) -> pd.DataFrame:
        columns = {
            "step": [10, 20],
            "held_out_score": [0.5, 0.25],
            "family loss (a | x)": [1.0, 2.0],
            "family loss (b | a)": [float("nan"), 3.0],
        }
        frame = pd.DataFrame(columns)
        frame.loc[:, frame.columns != "step"] *= self.scale
        return frame

    def sample(self, observation: Tensor, n: int) -> Tensor:
        return torch.zeros(n, 1)


class WithoutHistory(Posterior):
    def sample(self, observation: Tensor, n: int) -> Tensor:
        return torch.zeros(n, 1)


def accumulated(folder: Path) -> Any:
    """Return the events that TensorBoard reads in a folder."""
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    return accumulator.EventAccumulator(str(folder)).Reload()


def curves(folder: Path) -> dict[str, list[tuple[int, float]]]:
    events = accumulated(folder)
    return {tag: [(event.step, event.value) for event in events.Scalars(tag)] for tag in events.Tags()["scalars"]}


class Diagnosed(WithoutHistory, CanDiagnose):
    """A posterior with a diagnosis of one tuple."""

    def diagnose(self) -> pd.DataFrame:
        return pd.DataFrame({"tuple": ["(a | x)"], "accuracy": [0.75], "verdict": ["told apart"]})


class WithHistoryAndDiagnosis(WithHistory, Diagnosed):
    """A posterior with a history and a diagnosis."""


def finish(posterior: Posterior, run: Run = RUN) -> None:
    registry = Registry()
    registry.register(Plugin("trackers", "ampbench", "0", "ampbench_trackers"), ampbench_trackers)
    registry.hook.fit_finished(run=run, posterior=posterior)


def test_tensorboard_reads_the_curves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("tensorboard", reason="the extra 'tensorboard' is not installed")
    monkeypatch.setenv(TENSORBOARD, str(tmp_path))
    finish(WithHistory())
    (folder,) = (tmp_path / "tensorboard").iterdir()
    assert curves(folder) == {
        "held_out_score": [(10, 0.5), (20, 0.25)],
        "family/loss (a | x)": [(10, 1.0), (20, 2.0)],
        "family/loss (b | a)": [(20, 3.0)],
    }
    finish(WithHistory(2.0))
    assert list((tmp_path / "tensorboard").iterdir()) == [folder]
    assert curves(folder)["held_out_score"] == [(10, 1.0), (20, 0.5)], "the curves of the first fit are hidden"


def test_tensorboard_tells_fits_apart(tmp_path: Path) -> None:
    """The table of hyperparameters has a column for each option of each method; the budget is a number."""
    pytest.importorskip("tensorboard", reason="the extra 'tensorboard' is not installed")
    from tensorboard.plugins.hparams import metadata

    write(tmp_path, RUN, WithHistory())
    write(tmp_path, replace(RUN, resolved="npe:depth=3", seed=1), WithHistory())
    found = []
    for folder in (tmp_path / "tensorboard").iterdir():
        summaries = accumulated(folder).summary_metadata
        assert metadata.EXPERIMENT_TAG not in summaries, "one experiment would fix the columns for all"
        start = metadata.parse_session_start_info_plugin_data(
            summaries[metadata.SESSION_START_INFO_TAG].plugin_data.content
        )
        values = {name: value.string_value or value.number_value for name, value in start.hparams.items()}
        found.append(values | {"plugin": summaries[metadata.SESSION_START_INFO_TAG].plugin_data.plugin_name})
    common = {"task": "two_moons", "budget": 1000, "plugin": "hparams"}
    assert sorted(found, key=lambda values: values["seed"]) == [
        common | {"method": "amp", "seed": "0", "divergence": "jsd(width=8)", "steps": "4"},
        common | {"method": "npe", "seed": "1", "depth": "3"},
    ]


def test_tensorboard_shows_the_diagnosis(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With both variables set, TensorBoard shows the table; the bar of a tuple does not end a cell."""
    pytest.importorskip("tensorboard", reason="the extra 'tensorboard' is not installed")
    for name in (TENSORBOARD, DIAGNOSTICS):
        monkeypatch.setenv(name, str(tmp_path))
    finish(WithHistoryAndDiagnosis())
    (folder,) = (tmp_path / "tensorboard").iterdir()
    events = accumulated(folder)
    (shown,) = events.Tensors("diagnosis/text_summary")
    assert shown.tensor_proto.string_val[0].decode().splitlines() == [
        "| tuple | accuracy | verdict |",
        "| --- | --- | --- |",
        "| (a \\| x) | 0.75 | told apart |",
    ]
    assert "held_out_score" in events.Tags()["scalars"]


def test_a_diagnosis_is_a_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each fit has one file; a repetition of the fit replaces it."""
    monkeypatch.setenv(DIAGNOSTICS, str(tmp_path))
    finish(Diagnosed())
    finish(Diagnosed())
    finish(Diagnosed(), replace(RUN, seed=1))
    paths = sorted((tmp_path / "diagnostics").iterdir())
    assert {path.name for path in paths} == {f"{label(RUN)}.csv", f"{label(replace(RUN, seed=1))}.csv"}
    assert pd.read_csv(paths[0]).equals(Diagnosed().diagnose())


def test_nothing_is_written_unless_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (TENSORBOARD, DIAGNOSTICS):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    finish(WithHistory())
    finish(Diagnosed())
    for name in (TENSORBOARD, DIAGNOSTICS):
        monkeypatch.setenv(name, str(tmp_path))
    finish(WithoutHistory())
    assert list(tmp_path.iterdir()) == []


def test_a_missing_tensorboard_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(PluginError, match=r"AMPBENCH_TENSORBOARD is set to .*pip install 'ampbench\[tensorboard\]'"):
        write(tmp_path, RUN, WithHistory())


def test_labels_are_folders_and_tell_fits_apart() -> None:
    long = replace(RUN, method="amp:" + "divergences.z=(kl:width=3)," * 40, resolved="x")
    others = [replace(RUN, seed=1), replace(RUN, budget=10), replace(RUN, resolved="amp:steps=5"), long]
    assert len({label(run) for run in [RUN, *others]}) == 5
    assert label(replace(RUN, observation=7)) == label(RUN)
    assert label(RUN).startswith("two_moons_budget1000_seed0_amp_divergence=jsd_")
    for run in [RUN, *others]:
        assert len(label(run)) < 150
        assert not set(label(run)) & set('/\\:*?"<>| ')
