from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ampbench.compare import summarise
from ampbench.errors import ResultsError
from ampbench.results import COLUMNS, Store, load
from ampbench.run import Measured, Record, Run

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


def _put_often(folder: Path) -> None:
    for _ in range(50):
        Store(folder).put(record(), np.zeros((2, 1)))


def test_several_processes_may_finish_the_same_run(tmp_path: Path) -> None:
    code = f"import pathlib, runpy; runpy.run_path({__file__!r})['_put_often'](pathlib.Path({str(tmp_path)!r}))"
    writers = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(3)]
    assert [writer.wait() for writer in writers] == [0, 0, 0]
    assert Store(tmp_path).get(RUN.key) == record()
    assert [path.name for path in (tmp_path / "runs").iterdir()] == [RUN.key]


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text[: len(text) // 2],
        lambda text: "",
        lambda text: text.replace('"budget": 10', '"budget": 99'),
        lambda text: text.replace('"schema": 1', '"schema": 2'),
        lambda text: text.replace('"status"', '"stauts"'),
        lambda text: "[1, 2]",
    ],
    ids=["torn", "empty", "tampered", "schema", "field", "array"],
)
def test_damaged_records_are_refused(tmp_path: Path, damage: object) -> None:
    store = Store(tmp_path)
    store.put(record(), None)
    path = tmp_path / "runs" / RUN.key / "record.json"
    path.write_text(damage(path.read_text()))
    with pytest.raises(ResultsError, match=str(path)):
        store.get(RUN.key)


def test_unfinished_writes_are_invisible(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.put(record(), None)
    torn = tmp_path / "runs" / ".writing-abc"
    torn.mkdir()
    (torn / "record.json").write_text("{")
    assert len(load(tmp_path)) == 1


def test_the_key_depends_on_all_but_the_label() -> None:
    assert RUN.key == replace(RUN, method="other spelling").key
    changed = [
        replace(RUN, task="t"),
        replace(RUN, task_version="2"),
        replace(RUN, resolved="r"),
        replace(RUN, budget=11),
        replace(RUN, observation=2),
        replace(RUN, seed=1),
        replace(RUN, samples=99),
        replace(RUN, metrics=("mmd",)),
    ]
    assert len({RUN.key, *(run.key for run in changed)}) == 9


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
