"""Samples for ArviZ: written, read back by it, and summarised."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from ampbench.cli.export import export, select_run
from ampbench.errors import GraphError, ResultsError, UsageError
from ampbench.graph import Graph
from ampbench.metrics.references import reference_samples
from ampbench.registry import Registry
from ampbench.reporting.inference_data import inference_data, tree
from ampbench.results import Record, Run, load
from ampbench.results.record import Measured
from ampbench.results.store import Store

pytest.importorskip("arviz_base")
RUN = Run("two_moons", "1", "npe", "npe:a=1", 1000, 1, 0, 100, ("c2st",), ("sbi==0.27.*",))
ROOT = Path(__file__).parents[2]


def put(folder: Path, registry: Registry, run: Run = RUN, error: str = "", day: int = 1) -> np.ndarray:
    """Store a run with made-up samples, of the version of the task that is installed."""
    task = registry.build("tasks", run.task)
    run = replace(run, task_version=task.version)
    samples = np.random.default_rng(day).normal(size=(run.samples, task.graph.size(task.latents))).astype(np.float32)
    metrics = {"c2st": Measured(None if error else 0.5, error, {"folds": 5})}
    status, kind, when = "failed" if error else "ok", "metric" if error else "", f"2026-01-0{day}T00:00:00+00:00"
    made = Record(run, status, error, "", metrics, 1.5, 0.1, 1000, "cpu", when, {"torch": "2.13"}, "", kind)
    Store(folder).put(made, samples)
    return samples


def key(folder: Path) -> str:
    (found,) = load(folder)["key"]
    return str(found)


def test_written_read_and_summarised(
    tmp_path: Path, registry: Registry, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import xarray
    from arviz_stats import summary

    monkeypatch.setenv("COLUMNS", "300")
    samples = put(tmp_path, registry)
    out = tmp_path / "out.nc"
    export(tmp_path, out, {"task": "two_moons"})
    assert capsys.readouterr().out == (
        f"{out}: two_moons, npe, budget 1000, seed 0, observation 1\n"
        "posterior: theta (1, 100, 2)\nreference: theta (1, 100, 2)\nobserved_data: x (2,)\n"
    )
    with xarray.open_datatree(out) as read:
        posterior = read["posterior"]
        assert posterior["theta"].dims == ("chain", "draw", "theta_dim_0")
        np.testing.assert_array_equal(posterior["theta"][0], samples)
        task = registry.build("tasks", "two_moons")
        np.testing.assert_array_equal(read["reference"]["theta"][0], reference_samples(task, 1, 100))
        np.testing.assert_array_equal(read["observed_data"]["x"], task.numbered(1).x)
        table = summary(read, kind="stats", round_to="none")
    assert table.index.tolist() == ["theta[0]", "theta[1]"]
    np.testing.assert_allclose(table["mean"], samples.mean(0), rtol=1e-5)


def test_a_tree_says_where_it_comes_from(tmp_path: Path, registry: Registry) -> None:
    put(tmp_path, registry)
    row = load(tmp_path).iloc[0]
    export(tmp_path, tmp_path / "out.nc", {})
    import xarray

    with xarray.open_datatree(tmp_path / "out.nc") as read:
        for attributes in (read.attrs, read["posterior"].attrs):
            known = row.dropna()  # nobody looked for findings
            assert {name: attributes[name] for name in known.index} == known.to_dict()
            assert not set(row.index) - set(known.index) & set(attributes)


def test_structured_latents_have_their_names(tmp_path: Path, registry: Registry) -> None:
    samples = put(tmp_path, registry, replace(RUN, task="diamond"))
    found = inference_data(tmp_path, key(tmp_path))
    assert list(found["posterior"].data_vars) == ["a", "b", "c", "d"]
    assert found["posterior"]["b"].dims == ("chain", "draw")
    np.testing.assert_array_equal(found["posterior"]["b"][0], samples[:, 1])
    assert list(found["observed_data"].data_vars) == ["x"]


def test_a_forward_only_task_has_no_reference(tmp_path: Path, registry: Registry) -> None:
    put(tmp_path, registry, replace(RUN, task="epidemic"))
    assert list(inference_data(tmp_path, key(tmp_path)).children) == ["posterior", "observed_data"]


def test_samples_of_a_run_whose_metric_failed(tmp_path: Path, registry: Registry) -> None:
    put(tmp_path, registry, error="metric c2st: NaN")
    assert np.isnan(inference_data(tmp_path, key(tmp_path)).attrs["c2st"])


def test_any_graph(gaussian_graph: Graph) -> None:
    found = tree(gaussian_graph, ["x"], torch.zeros(5, 1), torch.ones(1), attributes={"method": "mine", "no": None})
    assert (found["posterior"]["theta"].shape, dict(found.attrs)) == ((1, 5), {"method": "mine"})


def test_sizes_that_do_not_agree(registry: Registry) -> None:
    task = registry.build("tasks", "diamond")
    with pytest.raises(GraphError, match="3 components, but a, b, c, d have 4 together"):
        tree(task.graph, task.observed, torch.zeros(5, 3), torch.ones(1))


def test_samples_that_were_not_kept() -> None:
    results = ROOT / "results" / "backbone"
    row = load(results).iloc[0]
    with pytest.raises(
        ResultsError, match=r"only its numbers were kept. To make them again, in another directory: amp"
    ):
        inference_data(results, row["key"])


def test_runs_without_samples(tmp_path: Path, registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path, registry)
    with pytest.raises(ResultsError, match="holds no run 00000000000000000000"):
        inference_data(tmp_path, "0" * 20)
    monkeypatch.setattr(type(registry.build("tasks", "two_moons")), "version", "99")
    with pytest.raises(ResultsError, match=r"of version .* of task 'two_moons', and installed is 99"):
        inference_data(tmp_path, key(tmp_path))
    monkeypatch.undo()
    Store(tmp_path / "b").put(
        Record(RUN, "failed", "boom", "", {}, 0, 0, 0, "cpu", "2026-01-01T00:00:00+00:00", {}, "", "error"), None
    )
    with pytest.raises(ResultsError, match="failed before there were samples: boom"):
        inference_data(tmp_path / "b", RUN.key)


def test_without_arviz(tmp_path: Path, registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path, registry)
    monkeypatch.setitem(sys.modules, "arviz_base", None)
    with pytest.raises(UsageError, match=r"needs ArviZ: pip install 'ampbench\[arviz\]'"):
        inference_data(tmp_path, key(tmp_path))


def test_which_run_is_meant(tmp_path: Path, registry: Registry) -> None:
    deep = "npe:density_estimator=nsf"
    for method in ("npe", deep):
        for number in (1, 2):
            put(tmp_path, registry, replace(RUN, method=method, resolved=method, observation=number))
    put(tmp_path, registry, replace(RUN, packages=("sbi==0.28.*",)), day=2)
    frame = load(tmp_path)
    with pytest.raises(
        UsageError, match=rf"5 runs match; select one by: --method npe or {deep}; --observation 1 or 2$"
    ):
        select_run(frame, {"task": "two_moons"})
    with pytest.raises(UsageError, match="no stored run has observation '3'; there are: 1 or 2"):
        select_run(frame, {"method": deep, "observation": 3})
    with pytest.raises(UsageError, match="no stored run has task 'slcp'; there are: two_moons"):
        select_run(frame, {"task": "slcp"})
    assert select_run(frame, {"method": deep, "observation": 2})["method"] == deep
    assert select_run(frame, {"method": "npe", "observation": 1})["packages"] == "sbi==0.28.*", "the latest answer"
    assert select_run(frame[frame["method"] == deep], {"method": "npe", "observation": 1})["method"] == deep, (
        "by its name"
    )
    with pytest.raises(UsageError, match="no results yet"):
        select_run(frame[:0], {})


def test_places_that_cannot_be_written_or_read(tmp_path: Path, registry: Registry) -> None:
    put(tmp_path, registry)
    with pytest.raises(UsageError, match=r"folder .*none does not exist"):
        export(tmp_path, tmp_path / "none" / "out.nc", {})
    with pytest.raises(ResultsError, match="no results directory; only a results directory contains samples"):
        export(tmp_path / "sent.csv", tmp_path / "out.nc", {})
    (tmp_path / "folder.nc").mkdir()
    with pytest.raises(UsageError, match=r"cannot write .*folder.nc"):
        export(tmp_path, tmp_path / "folder.nc", {})
