"""The page of series: what asv stored is shown, and changes for the worse are marked."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

pytest.importorskip("asv", reason="asv belongs to the extra dev")


@pytest.fixture(scope="module")
def series(benchmark: Callable[[str], ModuleType]) -> ModuleType:
    return benchmark("series")


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    """Two commits: times of 1 s and 2 s become 1.05 s and 3 s, an error of 0.6 stays, and another was new."""
    benchmarks = {
        "time_it": {"params": [["'a'", "'b'"]], "param_names": ["<what>"], "unit": "seconds"},
        "track_error": {"params": [], "param_names": [], "unit": "nats"},
        "track_new": {"params": [], "param_names": [], "unit": "nats"},
        "track_never": {"params": [], "param_names": [], "unit": "nats"},
    }
    described = {name: each | {"name": name, "version": "1"} for name, each in benchmarks.items()}
    (tmp_path / "benchmarks.json").write_text(json.dumps(described | {"version": 2}))
    machine = tmp_path / "box"
    machine.mkdir()
    (machine / "machine.json").write_text(json.dumps({"machine": "box", "version": 1}))
    rows = {"a" * 40: ([1.0, 2.0], [0.6], None), "b" * 40: ([1.05, 3.0], [0.6], [0.1])}
    for day, (commit, (times, error, new)) in enumerate(rows.items()):
        results = {"time_it": [times, [["'a'", "'b'"]], "1"], "track_error": [error, [], "1"]}
        results |= {"track_new": [new, [], "1"]} if new else {"track_never": [[9.0], [], "an older version"]}
        content = {
            "commit_hash": commit,
            "env_name": "env",
            "date": 86_400_000 * day,
            "params": {"machine": "box"},
            "python": "3.11",
            "requirements": {},
            "env_vars": {},
            "result_columns": ["result", "params", "version"],
            "results": results,
            "durations": {},
            "version": 2,
        }
        (machine / f"{commit[:8]}-env.json").write_text(json.dumps(content))
    return tmp_path


def test_every_value_is_in_its_column(series: ModuleType, stored: Path) -> None:
    (one,) = series.read(stored)
    assert [commit.short for commit in one.commits] == ["a" * 8, "b" * 8]
    assert one.commits[1].date == "1970-01-02"
    found = {(row.name, row.cell): list(row.values) for _, rows in one.tables for row in rows}
    assert found["time_it", "b"] == [2.0, 3.0]
    assert found["track_error", ""] == [0.6, 0.6]
    assert math.isnan(found["track_new", ""][0])
    assert ("track_never", "") not in found


@pytest.mark.parametrize(("factor", "marked"), [(1.1, 1), (1.01, 2), (2.0, 0)])
def test_changes_for_the_worse_are_marked(series: ModuleType, stored: Path, factor: float, marked: int) -> None:
    page = series.page(series.read(stored), factor)
    assert page.count('class="worse"') == marked


def test_a_change_for_the_better_is_marked_across_a_gap(series: ModuleType) -> None:
    row = series.Row("time_it", "", "", "seconds", [2.0, math.nan, 1.0])
    assert [verdict for _, verdict in row.shown(1.1)] == ["", "", "better"]


def test_the_page_loads_nothing_and_names_are_escaped(series: ModuleType, stored: Path, tmp_path: Path) -> None:
    series.main(["--results", str(stored), "--output", str(tmp_path / "new" / "page.html")])
    page = (tmp_path / "new" / "page.html").read_text()
    assert not re.search(r"(src|href)\s*=|https?:", page)
    assert "&lt;what&gt;" in page
    assert "<what>" not in page


def test_a_folder_without_results(series: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        series.main(["--results", str(tmp_path)])
    assert "run 'asv run' first" in capsys.readouterr().err
