from __future__ import annotations

from pathlib import Path

import pytest

from ampbench import sweep
from ampbench.errors import UsageError
from ampbench.registry import Registry

GOOD = {"tasks": ["two_moons"], "methods": ["amp", "npe"], "budgets": [10, 100], "observations": [1, 2]}


def test_the_product(registry: Registry) -> None:
    runs = sweep.runs(sweep.check(GOOD, "here"), registry)
    assert len(runs) == len({run.key for run in runs}) == 8
    assert {run.seed for run in runs} == {0}
    assert runs[0].metrics == ("c2st:folds=5,seed=1", "mmd")


def test_all_observations_by_default_and_no_doubles(registry: Registry) -> None:
    content = GOOD | {"observations": [], "methods": ["amp", "amp:divergence=jsd"], "budgets": [10]}
    assert len(sweep.runs(sweep.check(content, "here"), registry)) == 10


def test_a_file_and_options_say_the_same(tmp_path: Path) -> None:
    path = tmp_path / "sweep.toml"
    path.write_text(
        'tasks = ["two_moons"]\nmethods = ["amp", "npe"]\nbudgets = [10, 100]\nobservations = [1, 2]\n',
        encoding="utf-8",
    )
    assert sweep.read(path) == sweep.check(GOOD, "here")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"budget": [1]}, "here: unknown key 'budget'; known: tasks, .*did you mean 'budgets'"),
        ({"budgets": [0]}, "here: budgets.0: .*greater than or equal to 1, got 0"),
        ({"budgets": ["many"]}, "here: budgets.0: .*integer, got 'many'"),
        ({"tasks": []}, "here: tasks: .*at least 1 item"),
        ({"samples": 3}, "here: samples: .*10, got 3"),
        ({"seeds": [-1]}, "here: seeds.0"),
    ],
)
def test_what_is_wrong_is_named(change: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        sweep.check(GOOD | change, "here")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"tasks": ["two_mons"]}, "unknown task 'two_mons'.*did you mean 'two_moons'"),
        ({"methods": ["amp:divergence=jds"]}, "unknown divergence 'jds'.*did you mean 'jsd'"),
        ({"methods": ["amp:scope=everywhere"]}, "option 'scope' of method 'amp' cannot be 'everywhere'"),
        ({"observations": [11]}, "unknown observation 11 of task TwoMoons"),
        ({"metrics": ["c2st", "c2st:seed=2"]}, "metric 'c2st' is given 2 times"),
    ],
)
def test_names_are_checked_before_anything_runs(registry: Registry, change: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        sweep.runs(sweep.check(GOOD | change, "here"), registry)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"cannot read .*none.toml"):
        sweep.read(tmp_path / "none.toml")
    path = tmp_path / "bad.toml"
    path.write_text("tasks = [")
    with pytest.raises(UsageError, match=r"bad.toml is not a TOML file"):
        sweep.read(path)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(UsageError, match=r"bad.toml is not a TOML file"):
        sweep.read(path)
