"""Whole sweeps again: after damage, with another metric, in parts. Frames tell whether anything was lost or doubled."""

from __future__ import annotations

import re
import shutil
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

import pandas as pd
import pytest

from ampbench.cli.plan import show_plan
from ampbench.cli.run import run_sweep
from ampbench.cli.store import check_store, merge_stores
from ampbench.results import load
from ampbench.results.store import Store
from ampbench.running.sweep import Request

AMP = "amp:steps=20,divergence=jsd(width=8,depth=1),family=implicit(width=8,depth=1)"
SWEEP = f"""
tasks = ["two_moons"]
budgets = [100]
seeds = [0, 1]
samples = 50
observations = [1, 2, 3]
metrics = ["mmd"]
methods = ["{AMP}"]
"""


LIMITS = {"threads": 1, "seconds": None, "memory": None, "retries": 0}


def run(sweep: Path, results: Path, shard: str | None = None) -> str:
    """What ``ampbench run`` prints."""
    with redirect_stdout(StringIO()) as printed:
        assert run_sweep(Request(sweep, shard=shard), results, "in-process", "cpu", LIMITS) == 0
    return printed.getvalue()


def plan(sweep: Path, results: Path) -> str:
    with redirect_stdout(StringIO()) as printed:
        show_plan(Request(sweep), results)
    return printed.getvalue()


def numbers(folder: Path) -> pd.DataFrame:
    return load(folder)[["seed", "observation", "mmd", "key", "status"]]


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sweep") / "sweep.toml"
    path.write_text(SWEEP)
    return path


@pytest.fixture(scope="module")
def whole(sweep: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The results of the sweep; nobody changes them."""
    folder = tmp_path_factory.mktemp("whole")
    run(sweep, folder)
    assert len(load(folder)) == 6
    return folder


def test_parts_merged_are_the_whole(sweep: Path, whole: Path, tmp_path: Path) -> None:
    parts = [tmp_path / "1", tmp_path / "2"]
    for i, part in enumerate(parts, start=1):
        run(sweep, part, f"{i}/2")
    merge_stores(parts, tmp_path / "merged")
    assert numbers(tmp_path / "merged").equals(numbers(whole))
    assert "nothing is left to do" in plan(sweep, tmp_path / "merged")


def test_damage_is_reported_and_repeated(sweep: Path, whole: Path, tmp_path: Path) -> None:
    """Neither a torn record nor torn samples cost a fit, which is kept as well. Every number comes back."""
    results = tmp_path / "results"
    shutil.copytree(whole, results)
    keys = load(results).set_index(["seed", "observation"])["key"]
    torn, altered, record = (results / "runs" / keys[which] / "record.json" for which in ((0, 1), (0, 2), (1, 3)))
    torn.write_text(torn.read_text()[:100])
    altered.write_text(re.sub(r'"value": [0-9.e-]+', '"value": 0.0', altered.read_text()))
    digest = re.search(r'"samples": "([0-9a-f]{64})"', record.read_text())
    assert digest is not None
    samples = results / "samples" / f"{digest[1]}.npz"
    samples.write_bytes(samples.read_bytes()[:-20])

    planned = plan(sweep, results)
    assert "3 done" in planned
    assert "3 damaged: will be run again" in planned
    shown = run(sweep, results)
    assert "3 of 6 runs are stored" in shown
    assert all(f"run again: {path} is damaged" in shown for path in (torn, altered, samples))
    assert "3 runs finished, 0 failed" in shown
    assert numbers(results).equals(numbers(whole))
    assert load(results)["fit_seconds"].tolist() == load(whole)["fit_seconds"].tolist(), "the fits were kept"
    assert check_store(results) == 0


def test_a_missing_observation_costs_no_fit(sweep: Path, whole: Path, tmp_path: Path) -> None:
    """Its numbers, and the time of its fit, come back to the last digit."""
    results, first = tmp_path / "results", load(whole)
    shutil.copytree(whole, results)
    shutil.rmtree(results / "draws")
    shutil.rmtree(results / "samples")
    shutil.rmtree(results / "runs" / first["key"][1])
    assert "1 fitted: samples and metrics, from a kept fit" in plan(sweep, results)
    run(sweep, results)
    assert numbers(results).equals(numbers(whole))
    assert load(results)["fit_seconds"].tolist() == first["fit_seconds"].tolist()
    again, before = Store(results).samples(first["key"][1]), Store(whole).samples(first["key"][1])
    assert again.tobytes() == before.tobytes()


def test_another_metric_later_costs_no_fit(sweep: Path, whole: Path, tmp_path: Path) -> None:
    results, more = tmp_path / "results", tmp_path / "more.toml"
    shutil.copytree(whole, results)
    more.write_text(SWEEP.replace('["mmd"]', '["mmd", "c2st:folds=2"]').replace("[0, 1]", "[1]"))
    assert "3 drawn: only metrics to compute" in plan(more, results)
    run(more, results)
    first, both = load(whole), load(results)
    first = first[first["seed"] == 1]
    assert len(both) == 9
    added = both[both["c2st"].notna()]
    assert added["fit_seconds"].tolist() == first["fit_seconds"].tolist(), "to the last digit: it is the same fit"
    assert added["mmd"].tolist() == first["mmd"].tolist()
