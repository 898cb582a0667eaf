from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ampbench.cli.app import app

MODEL = """
import time, torch
from torch.distributions import *

prior = Independent(Normal(torch.zeros(2), torch.ones(2)), 1)

def simulator(theta):
    return theta + torch.randn_like(theta)

def endless(theta):
    if len(theta) > 100:
        print("simulating", flush=True)
        time.sleep(60)
    return simulator(theta)

def slow(theta):
    if len(theta) == 20:
        time.sleep(0.3)
    return simulator(theta)

def broken(theta):
    raise ZeroDivisionError("no body")

def failing(theta):
    return torch.where(theta[:, :1] > 1, torch.nan, simulator(theta))

def gappy(theta):
    x = theta[:, :1] + torch.randn(len(theta), 6)
    return torch.where(torch.arange(6) < torch.randint(1, 7, (len(theta), 1)), x, torch.nan)
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Work in an empty folder, with a module of simulators."""
    (tmp_path / "some_model.py").write_text(MODEL)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    yield tmp_path
    sys.modules.pop("some_model", None)


@pytest.fixture
def command() -> Callable[[str], int]:
    """Run ``ampbench infer`` in this process; return its exit code."""

    def run(text: str) -> int:
        try:
            app(["infer", *shlex.split(text)], standalone_mode=False)
        except SystemExit as end:
            return int(end.code or 0)
        return 0

    return run
