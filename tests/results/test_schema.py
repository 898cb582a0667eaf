"""One definition of every frame: the documentation is written from it, and what is produced follows it.

``python tests/results/test_schema.py --write`` renews docs/schema.md.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import ampbench
from ampbench.cli.plan import _row
from ampbench.errors import ResultsError, ResultsWarning
from ampbench.reporting.compare import summarise
from ampbench.reporting.ledger import STUDIES, compare_published, ledger, reproduced
from ampbench.results import Record, Run, checksums, load, validate
from ampbench.results.columns import Column, Table, records
from ampbench.results.record import Measured
from ampbench.results.schema import (
    COMPARISON,
    FINDINGS,
    HISTORY,
    LEDGER,
    PLAN,
    PUBLISHED_COMPARISON,
    RANKS,
    REPRODUCED,
    RESULTS,
    TABLES,
)
from ampbench.results.store import Store
from ampbench.running.plan import plan
from ampbench.spec import Spec

Follows = Callable[..., pd.DataFrame]
RUN = Run("task", "1.10", "method", "method:a=1", 10, 1, 0, 100, ("c2st",), ("torch==2.13.*",))


def record(run: Run = RUN, value: float | None = 0.123456789012345, error: str = "") -> Record:
    metrics = {"c2st": Measured(value, error, {"folds": 5})}
    status, kind = ("failed", "metric") if error else ("ok", "")
    when = "2026-01-01T00:00:00+00:00"
    return Record(run, status, error, "", metrics, 1.0, 0.1, 10, "cpu", when, {"torch": "2.10"}, "", kind)


def put_several(folder: Path) -> None:
    """Two tasks, two methods, two observations; one run failed, and one has another metric."""
    values = {"x": (0.5, 0.6), "y": (0.7, 0.8 + 1e-13)}
    for task in ("a", "b"):
        for method, scores in values.items():
            for i, value in enumerate(scores):
                Store(folder).put(
                    record(replace(RUN, task=task, method=method, resolved=method, observation=i), value), None
                )
    Store(folder).put(
        record(replace(RUN, method="y", resolved="y", observation=7), None, "NaN, or worse\nthan that"), None
    )
    other = replace(RUN, method="z", resolved="z", metrics=("mmd",))
    Store(folder).put(replace(record(other), metrics={"mmd": Measured(1e-9)}, versions={}), None)


ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "schema.md"
INTRODUCTION = """# Frames and their columns

The columns of every frame that ampbench returns, prints as JSON or CSV, or reads. They are defined in
`ampbench/results/schema.py`; this page is generated from that module, and input is validated against it. Names are
stable: columns may be added, but the meaning of a column does not change.

Text has the pandas dtype `string`, integers have `int64` (`Int64` if they may be missing), numbers have `float64`.
Missing values are NaN (`<NA>`) in a frame, `null` in JSON and empty in CSV; numbers are written with all digits.
Numbers are finite. A placeholder `<…>` in a column name stands for any text.

**Records** in a results directory have the columns of *results* as fields. The fields of the run are in the object
`run`; a record also has the fields `traceback`, `versions` (an object of texts) and `metrics` (for each metric an
object with `value`, `error` and `provenance`; a null value requires an error). A record with a missing field or a value
that is not allowed is left out, with a warning that names field, value and allowed values; `ampbench store check` lists
such records, and the same `ampbench run` repeats them.

**Exported frames**: `ampbench.load("theirs.csv")` reads the output of `ampbench results --csv` or `--json`, and so does
`ampbench compare --results theirs.csv`. `ampbench.validate(frame)` validates a frame that you made or changed, and
converts its columns to their types; `ampbench.reporting.compare.summarise(frame)` does so itself. Read CSV with
`ampbench.load`: other readers turn the version `1.10` into the number 1.1, and drop leading zeros of a key of digits.
A frame may have further columns; a column whose values may all be missing or empty may be left out.
"""


def page() -> str:
    parts = [INTRODUCTION]
    for table in TABLES:
        lines = [f"## {table.title.capitalize()}\n", f"{table.source}. One row is {table.rows}.\n"]
        lines += ["| column | meaning | allowed |", "|---|---|---|"]
        lines += [
            f"| `{column.name}` | {column.meaning} | {column.allowed} |"
            for column in table.columns + table.open_columns
        ]
        parts.append("\n".join(lines) + "\n")
    return "\n".join(parts)


def test_the_page_is_that_of_the_schema() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "python tests/results/test_schema.py --write"


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.title)
def test_a_table_is_well_defined(table: Table) -> None:
    assert len(table.by_name) == len(table.columns)
    assert all(column.meaning for column in table.columns + table.open_columns)


def test_results_comparisons_and_ranks(tmp_path: Path, follows: Follows) -> None:
    put_several(tmp_path)
    frame = load(tmp_path)
    pd.testing.assert_frame_equal(follows(frame, RESULTS), frame)
    summary = summarise(frame)
    pd.testing.assert_frame_equal(follows(summary.table, COMPARISON), summary.table)
    pd.testing.assert_frame_equal(follows(summary.ranks, RANKS), summary.ranks)
    assert (len(frame), len(summary.table), len(summary.ranks)) == (10, 5, 2)


def test_empty_frames_have_columns_and_types(tmp_path: Path, follows: Follows) -> None:
    frame = load(tmp_path)
    assert {name: str(kind) for name, kind in frame.dtypes.items()} == RESULTS.dtypes
    summary = summarise(frame)
    follows(summary.table, COMPARISON)
    follows(summary.ranks, RANKS)
    follows(summary.findings, FINDINGS)


def test_published_scores(tmp_path: Path, follows: Follows) -> None:
    pd.testing.assert_frame_equal(follows(ledger(), LEDGER), ledger())
    study = STUDIES["lueckmann2021"]
    spec = str(Spec.parse(study.methods["NPE"]))
    for i in (1, 2):
        run = replace(RUN, task="two_moons", method=spec, budget=1000, samples=10_000, observation=i)
        Store(tmp_path).put(record(run, 0.7 + i / 100), None)
    frame = load(tmp_path)
    assert len(follows(compare_published(frame).table, PUBLISHED_COMPARISON)) > 2
    assert len(follows(reproduced(frame, study), REPRODUCED)) == 1


def test_plans(tmp_path: Path, follows: Follows) -> None:
    Store(tmp_path).put(record(), None)
    rows = [_row(planned) for planned in plan([RUN, replace(RUN, seed=1)], Store(tmp_path)).runs]
    assert follows(rows, PLAN)["state"].tolist() == ["done", "missing"]


def test_histories(follows: Follows, gaussian_graph: ampbench.Graph) -> None:
    posterior = ampbench.infer_graph(gaussian_graph, ["x"], budget=200, method="amp:steps=20")
    frame = follows(posterior.history, HISTORY)  # type: ignore[attr-defined]
    assert frame["step"].dtype == "int64"


@pytest.mark.parametrize("ending", ["csv", "json"])
def test_what_was_exported_reads_back_as_it_was(tmp_path: Path, ending: str) -> None:
    """Every digit of the numbers, versions that look like numbers, empty texts, line ends."""
    put_several(tmp_path)
    frame = load(tmp_path)
    path = tmp_path / f"sent.{ending}"
    path.write_text(frame.to_csv(index=False) if ending == "csv" else json.dumps(records(frame)), encoding="utf-8")
    pd.testing.assert_frame_equal(load(path), frame)
    assert load(path)["task_version"].tolist() == ["1.10"] * 10


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"budget": 0}, "row 1: budget is 0, where an integer of at least 1 should be"),
        ({"budget": 2.5}, "row 1: budget is 2.5, where an integer"),
        ({"budget": True}, "row 1: budget is True, where an integer"),
        ({"status": "fine"}, "row 1: status is 'fine', where 'ok' or 'failed' should be"),
        ({"status": None}, "row 1: status is missing"),
        ({"kind": "timout"}, r"row 1: kind is 'timout', where 'error', 'timeout', .*\(or empty\) should be"),
        ({"fit_seconds": -1.0}, "row 1: fit_seconds is -1.0, where a finite number of at least 0"),
        ({"c2st": float("inf")}, "row 1: c2st is inf, where a finite number \\(or missing\\) should be"),
        ({"c2st": "high"}, "row 1: c2st is 'high'"),
        ({"c2st_provenance": None}, "row 1: c2st has a value, but c2st_provenance is missing"),
        ({"c2st_provenance": "[1]"}, "row 1: c2st_provenance is '\\[1\\]', where a JSON object"),
        ({"finished": "yesterday"}, "row 1: finished is 'yesterday', where a time as ISO 8601"),
        ({"key": "1" * 19}, "row 1: key is '1+', where 20 hexadecimal digits should be"),
        ({"task_version": 1.1}, "row 1: task_version is 1.1, where text should be"),
        ({"error": "boom"}, "row 1: error is 'boom', but status is 'ok'"),
        ({"status": "failed"}, "row 1: status is 'failed', but error is empty"),
    ],
)
def test_a_frame_with_a_bad_value_is_refused(tmp_path: Path, change: dict[str, Any], complaint: str) -> None:
    put_several(tmp_path)
    frame = load(tmp_path).astype(object)
    assert summarise(frame).table.equals(summarise(load(tmp_path)).table), "types are given back"
    for name, value in change.items():
        frame.loc[1, name] = value
    with pytest.raises(ResultsError, match=f"^the frame: {complaint}"):
        summarise(frame)


def test_a_frame_with_bad_columns_or_rows_is_refused(tmp_path: Path) -> None:
    put_several(tmp_path)
    frame = load(tmp_path)
    with pytest.raises(
        ResultsError, match=r"the frame has no column 'budget'; docs/schema.md .* and this has: task, .*Budget"
    ):
        validate(frame.rename(columns={"budget": "Budget"}))
    with pytest.raises(ResultsError, match="several columns 'seed'"):
        validate(pd.concat([frame, frame["seed"]], axis=1))
    with pytest.raises(ResultsError, match=r"mine: rows 0, 10 are of one run, with the key .*drop_duplicates"):
        validate(pd.concat([frame, frame[:1]], ignore_index=True), "mine")
    with pytest.raises(ResultsError, match="but none 'c2st'"):
        validate(frame.drop(columns="c2st"))
    with pytest.raises(ResultsError, match=r"budget is 0, where .* \(9 more rows like it\)"):
        validate(frame.assign(budget=0))
    old = frame.drop(columns=["commit", "metric_packages"])
    assert validate(old).equals(frame[[*old.columns, "commit", "metric_packages"]]), "made before there were such"
    written = frame.assign(c2st=frame["c2st"].astype(str), mine=1).rename(columns={"mine": 0})
    assert validate(written)["c2st"].equals(frame["c2st"]), "NaN may be written as text, and columns have numbers"
    assert validate(frame.assign(lab="ours", note=[[]] * 10))["note"].tolist() == [[]] * 10, (
        "columns of one's own may stay"
    )


def test_files_that_hold_no_results(tmp_path: Path) -> None:
    for name, content, complaint in [
        ("a.csv", "task,method\na,b\n", "a.csv has no column 'budget', "),
        ("b.csv", "", "b.csv cannot be read"),
        ("c.json", "{", "c.json cannot be read"),
        ("d.json", '{"task": 1}', "d.json cannot be read: it is no JSON array of objects"),
        ("e.txt", "", "e.txt is no results directory, and no .csv or .json file"),
    ]:
        (tmp_path / name).write_text(content, encoding="utf-8")
        with pytest.raises(ResultsError, match=complaint):
            load(tmp_path / name)
    (tmp_path / "none.json").write_text("[]", encoding="utf-8")
    assert load(tmp_path / "none.json").empty


BAD_RECORDS: list[tuple[Callable[[dict[str, Any]], Any], str]] = [
    (lambda it: it["run"].update(budget=0), "run.budget is 0, where an integer of at least 1 should be"),
    (lambda it: it["run"].update(seed="0"), "run.seed is '0', where an integer of at least 0 should be"),
    (lambda it: it["run"].update(metrics="c2st"), "run.metrics is 'c2st', where a list of texts should be"),
    (lambda it: it["run"].pop("task"), "it has no field run.task"),
    (lambda it: it.pop("device"), "it has no field device"),
    (lambda it: it.update(devise="cpu"), "it has a field devise, which this ampbench does not know"),
    (lambda it: it.update(run=[]), r"run is \[\], where an object should be"),
    (lambda it: it.update(status="good"), "status is 'good', where 'ok' or 'failed' should be"),
    (lambda it: it.update(kind="timeout"), "kind is 'timeout', but status is 'ok'"),
    (lambda it: it.update(status="failed"), "status is 'failed', but error is empty"),
    (lambda it: it.update(fit_seconds=None), "fit_seconds is missing, where a finite number of at least 0 should be"),
    (lambda it: it.update(simulations=1.5), "simulations is 1.5"),
    (lambda it: it.update(finished=""), "finished is '', where a time as ISO 8601"),
    (lambda it: it.update(traceback=1), "traceback is 1"),
    (lambda it: it["versions"].update(torch=2), "versions.torch is 2, where text"),
    (lambda it: it.update(metrics=[]), r"metrics is \[\], where an object should be"),
    (lambda it: it["metrics"].update(c2st=0.5), "metrics.c2st is 0.5, where an object should be"),
    (
        lambda it: it["metrics"]["c2st"].update(value="0.5"),
        "metrics.c2st.value is '0.5', where a finite number",
    ),
    (
        lambda it: it["metrics"]["c2st"].update(value=None),
        "metrics.c2st.value is missing, and metrics.c2st.error does not",
    ),
    (
        lambda it: it["metrics"]["c2st"].update(value=None, error="NaN"),
        "metrics.c2st.value is missing, but status",
    ),
    (lambda it: it["metrics"]["c2st"]["provenance"].update(folds=[5]), r"metrics.c2st.provenance.folds is \[5\]"),
]


@pytest.mark.parametrize(("change", "complaint"), BAD_RECORDS)
def test_a_bad_record_costs_itself_only(
    tmp_path: Path, change: Callable[[dict[str, Any]], Any], complaint: str
) -> None:
    put_several(tmp_path)
    Store(tmp_path).put(record(), None)
    path = tmp_path / "runs" / RUN.key / "record.json"
    _, content = checksums.read(path)
    change(content)
    checksums.write(path, content)  # with a checksum that fits
    with pytest.warns(ResultsWarning, match=f"left out: .*{RUN.key}/record.json is damaged: {complaint}"):
        assert len(load(tmp_path)) == 10
    assert not Store(tmp_path).done(RUN), "the same sweep repeats it"


def test_old_records_without_checksums_are_validated(tmp_path: Path) -> None:
    Store(tmp_path).put(record(), None)
    path = tmp_path / "runs" / RUN.key / "record.json"
    _, content = checksums.read(path)
    path.write_text(json.dumps({"schema": 1, **content}))
    assert len(load(tmp_path)) == 1
    path.write_text(json.dumps({"schema": 1, **content}).replace("0.123456789012345", "NaN"))
    with pytest.warns(ResultsWarning, match="metrics.c2st.value is nan, where a finite number "):
        assert load(tmp_path).empty


@given(value=st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.lists(st.integers())))
def test_a_fault_is_found_exactly_where_a_value_is_not_accepted(value: object) -> None:
    for table in TABLES:
        for column in table.columns:
            assert bool(column.fault(value)) == (not column.accepts(value))
            if column.accepts(value):
                series = pd.Series([value], dtype=column.dtype)
                assert bool(series.isna().item()) == (value is None), "what is allowed has a place in the column's type"


def test_open_names() -> None:
    column = Column("<metric>", float, "its value", companion="<metric>_provenance")
    assert column.names(["mmd", "mmd_provenance", "mine"]) == ["mmd"]
    assert Column("a <b> c.d", str, "").names(["a x c.d", "a x cxd", "a  c.d"]) == ["a x c.d"]


def test_json_keeps_every_digit_and_says_what_is_missing() -> None:
    frame = pd.DataFrame({"x": [1e-13 + 0.1, None], "n": pd.array([1, None], dtype="Int64"), "t": ["a", None]})
    assert json.loads(json.dumps(records(frame))) == [{"x": 0.1 + 1e-13, "n": 1, "t": "a"}, dict.fromkeys("xnt")]


if __name__ == "__main__" and "--write" in sys.argv:
    PAGE.write_text(page(), encoding="utf-8")
