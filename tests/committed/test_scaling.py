"""The script of the scaling curves: which cells it runs, and what a cell holds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture
def make(committed: Callable[[str], ModuleType], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    module = committed("scaling")
    monkeypatch.setattr(module, "TABLE", tmp_path / "table.csv")
    monkeypatch.setattr(module, "STEPS", 3)
    monkeypatch.setattr(module, "SERIES", 50)
    return module


def test_a_stored_cell_is_not_run_again(make: ModuleType) -> None:
    wanted = list(make.missing(["length"], 10))
    assert wanted[0] == ("length", 3, "flat")
    assert {value for _, value, _ in wanted} == {3, 10}
    make.append({"axis": "length", "value": 3, "method": "flat", "step_ms": 1.23456})
    assert list(make.missing(["length"], 10)) == wanted[1:]
    assert make.rows()[0]["step_ms"] == "1.235"


def test_workers_are_as_many_as_there_are_cores_at_most(make: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(make.os, "cpu_count", lambda: 4)
    assert [value for _, value, _ in make.missing(["workers"], 1000)] == [1, 2, 4]


@pytest.mark.parametrize(
    "cell", [("simulations", 1000, "flow"), ("length", 3, "flat"), ("groups", 3, "template"), ("members", 4, "flow")]
)
def test_a_cell_has_all_columns(make: ModuleType, cell: tuple[str, int, str]) -> None:
    found = make.measured(*cell)
    assert {"axis", "value", "method", "load", "finished"} | set(found) == set(make.COLUMNS)
    assert all(value > 0 for value in found.values())
    assert found["step_ms"] * (make.STEPS - 1) < 1000 * found["fit_seconds"] * 2


def test_the_size_that_grows_is_that_of_the_axis(make: ModuleType) -> None:
    for axis, size, of in (("theta", 10, "theta"), ("x", 100, "x")):
        source = make.AXES[axis].model(size, "flow")
        assert source.sample(2)[of].shape == (2, size)
    flat, template = (make.state_space(5, method) for method in ("flat", "template"))
    assert len(flat.latents) == 5
    assert template.sample(1)["z"].shape == (1, 5, 1)
