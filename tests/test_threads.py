"""CPU threads are limited wherever networks are trained, and restored afterwards."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from threadpoolctl import threadpool_info
from torch import Tensor
from torch.distributions import Independent, Normal

import ampbench
from ampbench import assess, registry
from ampbench.errors import UsageError
from ampbench.graph import Graph, density, learned, simulator
from ampbench.threads import limited_threads

PRIOR = Independent(Normal(torch.zeros(1), torch.ones(1)), 1)


@pytest.fixture
def two_threads() -> Iterator[None]:
    """The caller's own number of threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


class Recorder(torch.nn.Module):
    """A simulator, or a learned conditional, that records the threads that it may use."""

    def __init__(self) -> None:
        super().__init__()
        self.line = torch.nn.Linear(1, 1)
        self.torch: set[int] = set()
        self.linear_algebra: set[int] = set()

    def forward(self, theta: Tensor) -> Tensor:
        self.torch.add(torch.get_num_threads())
        self.linear_algebra |= {each["num_threads"] for each in threadpool_info() if each["user_api"] == "blas"}
        return self.line(theta) + torch.randn_like(theta)

    def simulate(self, theta: Tensor) -> Tensor:
        return self.forward(theta).detach()


@pytest.mark.usefixtures("two_threads")
@pytest.mark.parametrize(("options", "threads"), [({}, 1), ({"threads": 2}, 2)])
def test_infer(options: dict[str, int], threads: int) -> None:
    recorder = Recorder()
    ampbench.infer(PRIOR, recorder.simulate, budget=50, method="amp:steps=2", **options)
    assert recorder.torch == {threads}
    assert max(recorder.linear_algebra) <= threads
    assert torch.get_num_threads() == 2


@pytest.mark.usefixtures("two_threads")
def test_infer_graph_and_learn() -> None:
    recorder = Recorder()
    graph = Graph(density("theta", PRIOR), simulator("x", recorder.simulate, ["theta"]))
    ampbench.infer_graph(graph, ["x"], budget=50, method="amp:steps=2")
    assert recorder.torch == {1}
    seen: set[int] = set()
    model = Graph(density("z", PRIOR), learned("x", Recorder(), ["z"], size=1))
    ampbench.learn(
        model, {"x": torch.randn(50, 1)}, method="amp:steps=2", progress=lambda *_: seen.add(torch.get_num_threads())
    )
    assert seen == {1}
    assert torch.get_num_threads() == 2


@pytest.mark.usefixtures("two_threads")
def test_threads_are_restored_after_an_error() -> None:
    def broken(theta: Tensor) -> Tensor:
        raise RuntimeError("cannot simulate")

    with pytest.raises(RuntimeError, match="cannot simulate"):
        ampbench.infer(PRIOR, broken, budget=50, method="amp:steps=2")
    assert torch.get_num_threads() == 2


@pytest.mark.usefixtures("two_threads")
def test_assess() -> None:
    recorder = Recorder()
    graph = Graph(density("theta", PRIOR), simulator("x", recorder.simulate, ["theta"]))
    judges = assess.hold_out(graph, ["x"], 50, 0)
    recorder.torch.clear()
    (outcome,) = assess.outcomes(judges, ["amp:steps=2"], [50], registry.load())
    assert outcome.ok, outcome.error
    assert recorder.torch == {1}
    assert torch.get_num_threads() == 2


@pytest.mark.parametrize("threads", [0, -1])
def test_impossible_numbers_are_refused(threads: int) -> None:
    with pytest.raises(UsageError, match=f"threads={threads} is impossible: 1 or more"), limited_threads(threads):
        pass


def test_the_tests_themselves_use_one_thread() -> None:
    assert torch.get_num_threads() == 1
