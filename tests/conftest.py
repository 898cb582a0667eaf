from __future__ import annotations

import importlib.util
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import pandas as pd
import pytest
import torch
from threadpoolctl import threadpool_limits
from torch.distributions import Independent, Normal

from ampbench.graph import Graph, density, simulator
from ampbench.registry import Registry, load
from ampbench.results.columns import Table
from ampbench.seeding import derive, seeded

# Several processes run tests side by side, each on one core; subprocesses of the tests limit themselves, as for users.
torch.set_num_threads(1)
threadpool_limits(1)


@pytest.fixture(autouse=True)
def same_numbers() -> Iterator[None]:
    """Tests run in any order, dealt out over processes: each begins at the same random numbers, whatever ran before."""
    with seeded(derive(0, "test")):
        yield


HANDLERS = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
"""The handlers of signals before any test."""


@pytest.fixture(autouse=True)
def same_handlers() -> Iterator[None]:
    """Commands that tests, or fixtures of modules, call in this process handle signals until the process ends."""
    for number, handler in HANDLERS.items():
        signal.signal(number, handler)
    yield
    for number, handler in HANDLERS.items():
        signal.signal(number, handler)


@pytest.fixture(scope="session")
def registry() -> Registry:
    return load()


@pytest.fixture(scope="session")
def follows() -> Callable[[pd.DataFrame | Sequence[Mapping[str, Any]], Table], pd.DataFrame]:
    """Check that a frame, or rows of JSON, have the columns of a table, no others, and only what is allowed there."""

    def check(given: pd.DataFrame | Sequence[Mapping[str, Any]], table: Table) -> pd.DataFrame:
        frame = given if isinstance(given, pd.DataFrame) else pd.DataFrame(list(given))
        assert list(frame.columns)[: len(table.columns)] == table.names
        assert set(frame.columns) == set(table.described(frame.columns))
        return table.validated(frame, "it")

    return check


@pytest.fixture(scope="session")
def committed() -> Callable[[str], ModuleType]:
    """Load ``results/<name>/make.py``, the script of committed results."""

    def load_script(name: str) -> ModuleType:
        script = Path(__file__).parents[1] / "results" / name / "make.py"
        if not script.exists():
            pytest.skip("a source distribution leaves results/ out")
        spec = importlib.util.spec_from_file_location(name, script)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    return load_script


@pytest.fixture(scope="session")
def alive() -> Callable[[int], bool]:
    """Check whether a process runs; a zombie, which nobody has collected yet, has ended."""

    def check(pid: int) -> bool:
        try:
            return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
        except (FileNotFoundError, ProcessLookupError):  # the latter where it ends while we read
            return False

    return check


@pytest.fixture(scope="session")
def gone(alive: Callable[[int], bool]) -> Callable[[int], bool]:
    """Check that a process ends within ten seconds."""

    def check(pid: int) -> bool:
        for _ in range(100):
            if not alive(pid):
                return True
            time.sleep(0.1)
        return False

    return check


@pytest.fixture
def gaussian_graph() -> Graph:
    """theta ~ N(0, 1), x ~ N(theta, 1): the posterior is N(x / 2, 1 / 2)."""
    prior = Independent(Normal(torch.zeros(1), torch.ones(1)), 1)
    return Graph(density("theta", prior), simulator("x", lambda t: t + torch.randn_like(t), ["theta"]))


@pytest.fixture
def chain() -> Graph:
    """z2 -> z1 -> x, the two-layer model of section 5.1, with unit Gaussians."""

    def child(parent: torch.Tensor) -> Independent:
        return Independent(Normal(parent, 1.0), 1)

    root = Independent(Normal(torch.zeros(1), torch.ones(1)), 1)
    return Graph(density("z2", root), density("z1", child, ["z2"]), density("x", child, ["z1"]))
