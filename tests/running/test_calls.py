"""Calls in child processes: values, errors and progress come back; faults cost the call only."""

from __future__ import annotations

import os
import time
from functools import partial

import pytest

from ampbench.interfaces import Limits
from ampbench.running.calls import CallError, StartStep, call_in_child


def square(number: int, start: StartStep) -> int:
    progress = start("squaring")
    for done in range(1, 4):
        progress(done, 3)
    return number**2


def fault(kind: str, start: StartStep) -> None:
    start("the work")
    if kind == "raise":
        raise ValueError("cannot work")
    if kind == "exit":
        print("last words", flush=True)
        os._exit(3)
    if kind == "hang":
        time.sleep(600)


def test_the_value_comes_back_with_progress() -> None:
    seen: list[tuple[int, int]] = []
    assert call_in_child(partial(square, 7), Limits(), lambda done, total: seen.append((done, total))) == 49
    assert seen[0] == (0, 0)
    assert seen[-1] == (3, 3)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("raise", r"ValueError: cannot work \(test_calls.py, line \d+, in fault\)"),
        ("exit", "its worker process ended itself with exit status 3"),
        ("hang", "the work took longer than the 0.5 s allowed"),
    ],
)
def test_a_fault_is_an_error(kind: str, message: str) -> None:
    with pytest.raises(CallError, match=message) as caught:
        call_in_child(partial(fault, kind), Limits(seconds=0.5))
    if kind == "exit":
        assert "last words" in caught.value.output
