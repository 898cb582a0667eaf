"""Calls in child processes: values, errors and progress come back; faults cost the call only."""

from __future__ import annotations

from functools import partial

import pytest
from work_in_child import fault, square

from ampbench.interfaces import Limits
from ampbench.running.calls import CallError, call_in_child


def test_the_value_comes_back_with_progress() -> None:
    seen: list[tuple[int, int]] = []
    assert call_in_child(partial(square, 7), Limits(), lambda done, total: seen.append((done, total))) == 49
    assert seen[0] == (0, 0)
    assert seen[-1] == (3, 3)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("raise", r"ValueError: cannot work \(work_in_child.py, line \d+, in fault\)"),
        ("exit", "its worker process ended itself with exit status 3"),
        ("hang", "the work took longer than the 0.5 s allowed"),
    ],
)
def test_a_fault_is_an_error(kind: str, message: str) -> None:
    with pytest.raises(CallError, match=message) as caught:
        call_in_child(partial(fault, kind), Limits(seconds=0.5))
    if kind == "exit":
        assert "last words" in caught.value.output
