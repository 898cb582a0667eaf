"""Numbers of processes and threads, and limits: a slip of the finger is refused before anything starts."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.distributions import Independent, Normal

import ampbench
from ampbench import registry
from ampbench.cli.run import with_workers
from ampbench.errors import UsageError
from ampbench.interfaces import Job, Limits
from ampbench.running import executors
from ampbench.running.executors import Local
from ampbench.threads import limited_threads

PRIOR = Independent(Normal(torch.zeros(1), torch.ones(1)), 1)


def simulate(theta: Tensor) -> Tensor:
    return theta + torch.randn_like(theta)


def enter_threads(number: int) -> None:
    with limited_threads(number):
        pass


REFUSED: dict[str, Callable[[], object]] = {
    "run --workers": lambda: registry.load().build("executors", with_workers("local", 10**9)),
    "local:workers": partial(Local, workers=1025),
    "local:per_gpu": partial(Local, per_gpu=10**9),
    "run --threads": partial(Limits, threads=10**9),
    "run --timeout": partial(Limits, seconds=math.nan),
    "run --timeout, negative": partial(Limits, seconds=-1.0),
    "run --memory": partial(Limits, memory=1e30),
    "run --memory, infinite": partial(Limits, memory=math.inf),
    "run --memory, negative": partial(Limits, memory=-1.0),
    "limited_threads": partial(enter_threads, 10**9),
    "infer(threads)": partial(ampbench.infer, PRIOR, simulate, budget=100, threads=10**9),
    "infer(workers)": partial(ampbench.infer, PRIOR, simulate, budget=100, workers=10**9),
    "infer(timeout)": partial(ampbench.infer, PRIOR, simulate, budget=100, workers=1, timeout=math.nan),
}


@pytest.mark.parametrize("refused", REFUSED.values(), ids=REFUSED)
def test_impossible_numbers_are_refused(refused: Callable[[], object]) -> None:
    with pytest.raises(UsageError, match=r"at most 1024|at most 1048576|must be (more than|above) 0"):
        refused()


def test_no_more_threads_than_jobs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """However many workers are asked for."""
    seen: set[str] = set()
    together = threading.Barrier(2, timeout=20)

    def work(*_: object) -> None:
        together.wait()
        seen.update(each.name for each in threading.enumerate() if each.name.startswith("ampbench"))
        together.wait()

    monkeypatch.setattr(executors, "isolated", work)
    monkeypatch.setattr(executors, "start_server", lambda *_: None)
    monkeypatch.setattr(executors, "methods_import", lambda _: ())
    Local(workers=1024).execute([Job((), tmp_path)] * 2, lambda _: None)
    assert len(seen) == 2
