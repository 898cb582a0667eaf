"""How a sweep stands: states, times, other versions."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ampbench.results import Record, Run
from ampbench.results.record import Draw, Measured
from ampbench.results.store import Store
from ampbench.running.plan import Estimate, plan

RUN = Run("task", "1", "method", "method:a=1", 10, 1, 0, 100, ("c2st",), ("torch==2.13.*",))
RUNS = [replace(RUN, seed=seed, observation=number) for seed in (0, 1) for number in (1, 2, 3)]
SAMPLES = np.zeros((100, 2), np.float32)
DRAW = Draw(1.0, 0.1, 10, "cpu", {}, "")


def record(run: Run, fit: float = 60.0, sample: float = 1.0, metric: float = 9.0, error: str = "") -> Record:
    metrics = {} if error else {"c2st": Measured(0.5)}
    status, kind = ("failed", "error") if error else ("ok", "")
    return Record(run, status, error, "", metrics, fit, sample, 10, "cpu", "2026-01-01", {}, "", kind, metric)


def test_every_state(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.put(record(RUNS[0]), SAMPLES)
    store.put(record(RUNS[1], error="boom"), None)
    store.put(record(RUNS[2]), None)
    (tmp_path / "runs" / RUNS[2].key / "record.json").write_text("{")
    store.put_draw(RUNS[3], SAMPLES, DRAW)
    store.put(record(RUNS[4]), SAMPLES + 1)
    torn = tmp_path / "samples" / f"{store.find(RUNS[4].key).samples}.npz"  # type: ignore[union-attr]
    torn.write_bytes(torn.read_bytes()[:-1])
    before = sorted((path, path.stat().st_mtime_ns) for path in tmp_path.rglob("*"))
    made = plan(RUNS, store)
    assert [planned.state for planned in made.runs] == ["done", "failed", "damaged", "drawn", "damaged", "missing"]
    assert [planned.refit for planned in made.runs[1:]] == [True, True, False, True, True]
    assert made.runs[1].detail == "boom"
    assert "record.json is damaged" in made.runs[2].detail
    assert "SHA-256" in made.runs[4].detail
    assert made.todo == RUNS[1:]
    assert made.todo == [run for run in RUNS if not store.done(run)]
    assert before == sorted((path, path.stat().st_mtime_ns) for path in tmp_path.rglob("*")), "nothing is written"


def test_a_failed_metric_needs_no_fit(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.put_draw(RUN, SAMPLES, DRAW)
    store.put(record(RUN, error="metric c2st: NaN"), SAMPLES)
    (planned,) = plan([RUN], store).runs
    assert (planned.state, planned.refit) == ("failed", False)


def test_nothing_is_known_of_an_empty_store(tmp_path: Path) -> None:
    made = plan(RUNS, Store(tmp_path / "none"))
    assert made.estimate == Estimate(0.0, fits=2, known=0, alike=0)
    assert made.count() == {"missing": 6}
    assert not (tmp_path / "none").exists()


def test_the_time_counts_a_fit_once_for_its_observations(tmp_path: Path) -> None:
    """Fits of 60 and 80 seconds, and observations of 10 and 20: three observations of a third fit take 70 + 3 · 15."""
    store = Store(tmp_path)
    store.put(record(replace(RUN, seed=7, observation=1), 60.0, 1.0, 9.0), None)
    store.put(record(replace(RUN, seed=7, observation=2), 60.0, 1.0, 19.0), None)
    store.put(record(replace(RUN, seed=8, observation=1), 80.0, 5.0, 5.0), None)
    store.put(record(replace(RUN, seed=8, observation=2), 80.0, 0.0, 20.0), None)
    store.put(record(replace(RUN, seed=9), 1e6, 1e6, 1e6, error="a failure took long"), None)
    assert plan(RUNS[:3], store).estimate == Estimate(pytest.approx(70 + 3 * 15), 1, 1, 0)
    assert plan(RUNS, store).estimate == Estimate(pytest.approx(2 * (70 + 3 * 15)), 2, 2, 0)
    store.put_draw(RUNS[0], SAMPLES, DRAW)
    assert plan(RUNS[:1], store).estimate == Estimate(pytest.approx(15), 1, 1, 0)
    other = replace(RUN, budget=100)
    assert plan([*RUNS[:3], other], store).estimate == Estimate(pytest.approx(70 + 3 * 15), 2, 1, 0)


def test_what_never_ran_is_judged_by_what_is_like_it(tmp_path: Path) -> None:
    """On a new task a fit takes what the method's took elsewhere, and metrics what another method's took there."""
    store = Store(tmp_path)
    new = replace(RUN, task="new")
    store.put(record(replace(RUN, task="one"), 60.0, 1.0, 9.0), None)
    store.put(record(replace(RUN, task="two"), 80.0, 3.0, 19.0), None)
    assert plan([new], store).estimate == Estimate(0.0, fits=1, known=0, alike=0), "no metric was computed there yet"
    store.put(record(replace(new, method="other", resolved="other"), 1e3, 1e3, 30.0), None)
    assert plan([new], store).estimate == Estimate(pytest.approx(70 + 2 + 30), fits=1, known=1, alike=1)
    for unlike in (replace(new, samples=1000), replace(new, metrics=("mmd",)), replace(new, budget=100)):
        assert plan([unlike], store).estimate == Estimate(0.0, fits=1, known=0, alike=0)
    store.put(record(replace(new, observation=2), 50.0, 4.0, 40.0), None)
    assert plan([new], store).estimate == Estimate(pytest.approx(50 + 4 + 35), fits=1, known=1, alike=0)


def test_results_of_other_versions_are_named_and_not_taken(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.put(record(replace(RUN, packages=("torch==2.12.*",))), None)
    (planned,) = plan([RUN], store).runs
    assert (planned.state, planned.versions) == ("missing", ("version 1 of the task", "torch==2.12.*"))
    store.put(record(RUN), None)
    (planned,) = plan([RUN], store).runs
    assert (planned.state, planned.versions) == ("done", ())
