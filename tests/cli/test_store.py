"""The commands plan, failures and store: what they print, whatever names and messages contain, and how they exit."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ampbench import registry
from ampbench.cli.plan import show_plan
from ampbench.cli.store import check_store, collect_garbage, merge_stores, show_failures
from ampbench.errors import ResultsError, UsageError
from ampbench.results import Record, Run
from ampbench.results.record import Draw, Measured
from ampbench.results.schema import FAILED_RUNS
from ampbench.results.store import Store
from ampbench.running.sweep import Request

HOSTILE = 'x[bold red]y\x1b[2J\x07\r\n"../../z'
RUN = Run("two_moons", "1", "npe", "npe:batch_size=200", 10, 1, 0, 100, ("c2st",))
DRAW = Draw(1.0, 0.1, 10, "cpu", {}, "")

WHEN = "2026-01-01T00:00:00+00:00"


def record(run: Run = RUN, error: str = "", kind: str = "error", traceback: str = "") -> Record:
    metrics = {} if error else {"c2st": Measured(0.5)}
    status = "failed" if error else "ok"
    return Record(run, status, error, traceback, metrics, 1.0, 0.1, 10, "cpu", WHEN, {}, "", kind if error else "")


def ampbench(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "ampbench", *arguments],
        capture_output=True,
        text=True,
        cwd=cwd,
        env=os.environ | {"COLUMNS": "80"},
        timeout=300,
    )


def test_failures_of_a_fit_that_say_the_same_stand_together(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], follows: Any
) -> None:
    store = Store(tmp_path)
    for number in (10, 2, 3):
        store.put(record(replace(RUN, observation=number), "boom", traceback="Traceback:\n  line 1"), None)
    store.put(record(replace(RUN, observation=4), "too long", "timeout"), None)
    store.put(record(replace(RUN, observation=5)), None)
    assert show_failures(tmp_path, [], with_traceback=False, as_json=False) == 0
    shown = capsys.readouterr().out
    assert "error: two_moons  npe\n  budget 10  seed 0  observations 2, 3, 10\n  boom\n" in shown
    assert "timeout: two_moons  npe\n  budget 10  seed 0  observation 4\n  too long\n" in shown
    assert "4 of 5 runs failed: 3 error, 1 timeout; 0 damaged" in shown
    assert "line 1" not in shown
    show_failures(tmp_path, ["error"], with_traceback=True, as_json=False)
    shown = capsys.readouterr().out
    assert shown.count("    Traceback:\n      line 1") == 1
    assert "too long" not in shown
    show_failures(tmp_path, ["timeout"], with_traceback=False, as_json=True)
    (row,) = follows(json.loads(capsys.readouterr().out), FAILED_RUNS).to_dict("records")
    assert (row["kind"], row["observation"], row["error"]) == ("timeout", 4, "too long")


def test_failures_that_cannot_be_shown(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"unknown kind of failure 'timout'.*did you mean 'timeout'"):
        show_failures(tmp_path, ["timout"], with_traceback=False, as_json=False)
    with pytest.raises(ResultsError, match="no results directory"):
        show_failures(tmp_path / "none", [], with_traceback=False, as_json=False)


def test_names_and_messages_are_only_text(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = replace(RUN, task=HOSTILE, method=HOSTILE, resolved=HOSTILE)
    folder = tmp_path / "a[red]\x1b[31m\nb"
    store = Store(folder)
    store.put(record(run, HOSTILE, "error", HOSTILE), None)
    store.put(record(replace(run, observation=2), HOSTILE, HOSTILE, HOSTILE), None)
    store.put(record(replace(run, seed=1)), None)
    path = store.runs / replace(run, seed=1).key / "record.json"
    path.write_text(path.read_text().replace('"schema": 2', f'"schema": {json.dumps(HOSTILE)}'))
    show_failures(folder, [], with_traceback=True, as_json=False)
    check_store(folder)
    merge_stores([folder], tmp_path / "[b]")
    collect_garbage(folder, failed=True, damaged=True, fits=True, dry=True)
    shown = capsys.readouterr().out
    assert "x[bold red]y\\x1b[2J" in shown
    assert all(each.isprintable() or each == "\n" for each in shown)


def test_check_merge_and_collect_say_what_they_did(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = Store(tmp_path / "a")
    for number in (1, 2):
        store.put(record(replace(RUN, observation=number)), np.zeros((100, 2), np.float32))
    assert check_store(store.directory) == 0
    assert "2 good results, 0 failures, 0 damaged files" in capsys.readouterr().out
    path = store.runs / RUN.key / "record.json"
    path.write_text("{")
    assert check_store(store.directory) == 1
    assert f"{path} is damaged: " in capsys.readouterr().out
    assert merge_stores([store.directory], tmp_path / "b") == 1
    shown = capsys.readouterr().out
    assert "1 records copied, 0 were already present" in shown
    assert f"left out: {path} is damaged" in shown
    assert collect_garbage(store.directory, failed=False, damaged=True, fits=False, dry=False) == 0
    assert "1 files removed" in capsys.readouterr().out
    assert check_store(store.directory) == 0


def test_a_plan_shows_what_is_left(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given: dict[str, object] = {"tasks": ["two_moons"], "methods": ["npe", "amp"], "budgets": [10, 100]}
    results = tmp_path / "none"
    assert show_plan(Request(given=given), results) == 0
    shown = capsys.readouterr().out
    assert "40 runs, 4 fits" in shown
    assert "40 missing" in shown
    assert "time: unknown" in shown
    assert not results.exists()
    show_plan(Request(given=given, select=("method=amp,observation<=2",)), results, as_json=True)
    rows = json.loads(capsys.readouterr().out)
    assert {(row["method"], row["budget"], row["observation"]) for row in rows} == {
        ("amp", budget, number) for budget in (10, 100) for number in (1, 2)
    }
    assert {row["state"] for row in rows} == {"missing"}
    counts = []
    for i in (1, 2, 3):
        show_plan(Request(given=given, shard=f"{i}/3"), results, as_json=True)
        counts.append(len(json.loads(capsys.readouterr().out)))
    assert sum(counts) == 40


def test_a_plan_says_what_its_time_rests_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given: dict[str, object] = {"tasks": ["two_moons"], "methods": ["npe", "amp"], "budgets": [10, 100]}
    one, *_ = Request(given=given).runs(registry.load())
    Store(tmp_path).put(replace(record(one), fit_seconds=60.0, metric_seconds=10.0), None)
    show_plan(Request(given=given), tmp_path)
    shown = capsys.readouterr().out
    assert "1 done" in shown
    assert "time: about 2 min 31 s on one worker\n" in shown, "a fit, as none is kept, and nine observations"
    assert "estimated from other" not in shown
    assert "3 of 4 fits are not included, since no similar runs are stored" in shown


def test_plan_in_a_narrow_terminal(tmp_path: Path) -> None:
    (tmp_path / "sweep.toml").write_text(
        """
        tasks = ["two_moons", "gaussian_linear"]
        budgets = [100, 1000]
        [[methods]]
        spec = "amp:family=implicit(width=64,depth=2),learning_rate=0.0005,adversary_learning_rate=0.0005"
        [methods.grid]
        divergence = ["jsd(width=64)", "kl"]
        """
    )
    done = ampbench("plan", "sweep.toml", "--select", "budget=100", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert "40 of 80 runs are selected" in done.stdout
    assert "40 runs, 4 fits, in results" in done.stdout
    assert {path.name for path in tmp_path.iterdir()} == {"sweep.toml"}, "nothing is written"
    wrong = ampbench("plan", "sweep.toml", "--shard", "5/4", cwd=tmp_path)
    assert (wrong.returncode, wrong.stderr) == (
        2,
        "ampbench: cannot read the shard '5/4'; write 3/10 for the third of ten\n",
    )


def test_exit_codes_and_a_damaged_record_among_results(tmp_path: Path) -> None:
    store = Store(tmp_path / "results")
    store.put(record(), None)
    store.put(record(replace(RUN, seed=1)), None)
    (store.runs / RUN.key / "record.json").write_text("{")
    assert ampbench("store", "check", cwd=tmp_path).returncode == 1
    shown = ampbench("compare", cwd=tmp_path)
    assert shown.returncode == 0
    assert shown.stderr.startswith("ampbench: left out: results/runs/")
    assert len(shown.stderr.splitlines()) == 1
    assert ampbench("store", "merge", "results", "--into", "merged", cwd=tmp_path).returncode == 1
    assert ampbench("store", "merge", "merged", "--into", "again", cwd=tmp_path).returncode == 0
    none = ampbench("failures", "--results", "none", cwd=tmp_path)
    assert none.returncode == 2
    assert "there is no results directory 'none'" in none.stderr
