"""The executors of this machine; those of clusters are tested in tests/plugins/test_dask.py."""

from __future__ import annotations

from ampbench.executors import Executor, InProcess, Local, places
from ampbench.testing import ExecutorConformance


class TestLocal(ExecutorConformance):
    def make(self) -> Executor:
        return Local(workers=2)


class TestInProcess(ExecutorConformance):
    def make(self) -> Executor:
        return InProcess()


def test_places() -> None:
    assert places("cpu") == ["cpu"]
    assert places("cuda:3") == ["cuda:3"]
