"""The executors of this machine; those of clusters are tested in tests/plugins/test_dask.py."""

from __future__ import annotations

import threading
from collections import Counter
from pathlib import Path

import pytest
import torch

from ampbench.interfaces import Executor, Job
from ampbench.running import executors
from ampbench.running.executors import InProcess, Local, devices
from ampbench.testing import ExecutorConformance


class TestLocal(ExecutorConformance):
    def make(self) -> Executor:
        return Local(workers=2)


class TestInProcess(ExecutorConformance):
    def make(self) -> Executor:
        return InProcess()


def test_places() -> None:
    assert devices("cpu") == ["cpu"]
    assert devices("cuda:3") == ["cuda:3"]


@pytest.mark.parametrize("per_gpu", [1, 3])
def test_gpus_are_shared_evenly(per_gpu: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Of two GPUs, as the machine says, each has as many workers as it may have, and never more."""
    together = threading.Barrier(2 * per_gpu, timeout=20)
    busy, most, lock = Counter[str](), Counter[str](), threading.Lock()

    def work(job: Job, *_: object) -> None:
        with lock:
            busy[job.device] += 1
            most[job.device] = max(most[job.device], busy[job.device])
        together.wait()
        with lock:
            busy[job.device] -= 1

    monkeypatch.setattr(torch.accelerator, "is_available", lambda: True)
    monkeypatch.setattr(torch.accelerator, "device_count", lambda: 2)
    monkeypatch.setattr(executors, "isolated", work)
    monkeypatch.setattr(executors, "start_server", lambda *_: None)
    monkeypatch.setattr(executors, "methods_import", lambda _: ())
    Local(per_gpu=per_gpu).execute([Job((), tmp_path, "cuda")] * (6 * per_gpu), lambda _: None)
    assert most == {"cuda:0": per_gpu, "cuda:1": per_gpu}
