from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ampbench.errors import ResultsError, ResultsWarning
from ampbench.reporting.compare import summarise
from ampbench.results import Record, Run, load, upkeep
from ampbench.results.frame import COLUMNS
from ampbench.results.record import FAILURES, Measured
from ampbench.results.store import Store

ROOT = Path(__file__).parents[2]

RUN = Run("task", "1", "method", "method:a=1", 10, 1, 0, 100, ("c2st",))


def record(run: Run = RUN, value: float | None = 0.6, error: str = "", **provenance: str | int) -> Record:
    status = "failed" if error else "ok"
    metrics = {} if value is None else {"c2st": Measured(value, "", provenance)}
    return Record(run, status, error, "", metrics, 1.0, 0.1, 10, "cpu", "2026-01-01T00:00:00+00:00", {"torch": "2"}, "")


def test_round_trip(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.put(record(folds=5), np.ones((3, 2)))
    assert store.get(RUN.key) == record(folds=5)
    assert store.samples(RUN.key).shape == (3, 2)
    assert store.get("0" * 20) is None


def test_a_frame_has_the_schema(tmp_path: Path) -> None:
    Store(tmp_path).put(record(folds=5), None)
    frame = load(tmp_path)
    assert list(frame.columns)[: len(COLUMNS)] == list(COLUMNS)
    row = frame.iloc[0]
    assert (row["c2st"], row["task"], row["budget"], row["version_torch"]) == (0.6, "task", 10, "2")
    assert json.loads(row["c2st_provenance"]) == {"folds": 5}


def test_an_empty_and_a_missing_directory(tmp_path: Path) -> None:
    assert load(tmp_path).empty
    with pytest.raises(ResultsError, match="no results directory"):
        load(tmp_path / "none")


def test_a_failure_is_replaced(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.put(record(value=None, error="boom"), None)
    store.put(record(), np.zeros((1, 1)))
    assert len(load(tmp_path)) == 1
    assert store.get(RUN.key) == record()


def test_damaged_records_are_left_out_and_said_to_be(tmp_path: Path) -> None:
    put_many(tmp_path, "a", [0.5, 0.6, 0.7])
    for path in sorted((tmp_path / "runs").glob("*/record.json"))[:2]:
        path.write_text("{")
    with pytest.warns(ResultsWarning, match="left out: .*record.json is damaged.*, and 1 more; .*store check"):
        assert len(load(tmp_path)) == 1


def test_committed_results_stay_readable(tmp_path: Path) -> None:
    """They are of schema 1, without checksums; their keys are what they were."""
    frame = load(ROOT / "results" / "backbone")
    assert len(frame) == 30
    assert (frame["status"] == "ok").all()
    assert summarise(frame).table["mean"].notna().all()
    upkeep.merge([Store(ROOT / "results" / "backbone")], Store(tmp_path / "copy"))
    path = next((tmp_path / "copy" / "runs").glob("*/record.json"))
    path.write_text(path.read_text().replace('"budget": 10000', '"budget": 1000'))
    with pytest.warns(ResultsWarning, match="does not belong to its folder"):
        assert len(load(tmp_path / "copy")) == 29


def put_many(folder: Path, method: str, values: list[float], **provenance: str | int) -> None:
    for i, value in enumerate(values, start=1):
        run = replace(RUN, method=method, resolved=method, observation=i)
        Store(folder).put(record(run, value, **provenance), None)


def test_differences_are_paired(tmp_path: Path) -> None:
    put_many(tmp_path, "a", [0.5, 0.6, 0.9])
    put_many(tmp_path, "b", [0.6, 0.7, 1.0])
    summary = summarise(load(tmp_path))
    rows = summary.table.set_index("method")
    assert rows.index.tolist() == ["a", "b"]
    assert rows.loc["b", "diff"] == pytest.approx(0.1)
    assert rows.loc["b", "diff_se"] == pytest.approx(0.0, abs=1e-12)
    assert rows.loc["a", "se"] == pytest.approx(np.std([0.5, 0.6, 0.9], ddof=1) / 3**0.5)
    assert not summary.remarks


def test_missing_failed_and_incomparable_values_are_named(tmp_path: Path) -> None:
    put_many(tmp_path, "a", [0.5, 0.6], folds=5)
    put_many(tmp_path, "b", [0.5], folds=5)
    Store(tmp_path).put(record(replace(RUN, resolved="c", method="c"), None, "boom"), None)
    remarks = "\n".join(summarise(load(tmp_path)).remarks)
    assert "failed: task, c, 10, 1, 0: boom" in remarks
    assert "some methods lack observations" in remarks
    put_many(tmp_path, "d", [0.5, 0.5], folds=3)
    assert "computed in different ways" in "\n".join(summarise(load(tmp_path)).remarks)


def test_the_latest_of_several_answers_counts(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for version, value, day in (("2.12", 0.9, 1), ("2.13", 0.6, 2), ("2.14", 0.5, 3)):
        run = replace(RUN, packages=(f"torch=={version}.*",))
        store.put(replace(record(run, value), finished=f"2026-01-0{day}T00:00:00+00:00"), None)
    other = replace(RUN, method="b", resolved="b", packages=("torch==2.13.*",))
    store.put(record(other, 0.7), None)
    frame = load(tmp_path)
    assert len(frame) == 4, "several versions live in one store"
    summary = summarise(frame)
    assert summary.table.set_index("method")["mean"].to_dict() == {"method": 0.5, "b": 0.7}
    remarks = "\n".join(summary.remarks)
    assert "left out: 2 older results of task, 10, 100, method, made with other versions" in remarks
    assert "torch==2.13.* and torch==2.14.*" in remarks


def test_metrics_that_were_asked_for_one_after_the_other_stand_side_by_side(tmp_path: Path) -> None:
    for run, name, value in ((RUN, "c2st", 0.6), (replace(RUN, metrics=("mmd",)), "mmd", 0.1)):
        Store(tmp_path).put(replace(record(run), metrics={name: Measured(value)}), None)
    summary = summarise(load(tmp_path))
    assert dict(zip(summary.table["metric"], summary.table["mean"], strict=True)) == {"c2st": 0.6, "mmd": 0.1}
    assert not summary.remarks


def test_the_documentation_lists_kinds() -> None:
    page = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
    for kind, meaning in FAILURES.items():
        assert f"| `{kind}` | {meaning} |" in page
