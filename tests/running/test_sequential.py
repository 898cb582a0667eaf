"""Methods that are fitted to one observation, and reference points that know the task, as ``ampbench run`` has them."""

from __future__ import annotations

import time
from functools import cached_property
from pathlib import Path
from types import SimpleNamespace

import torch
from torch import Tensor
from torch.distributions import Independent, Normal

from ampbench import hookimpl
from ampbench.graph import Graph, Simulator, density, simulator
from ampbench.interfaces import (
    Fitted,
    HasReference,
    Measurement,
    Method,
    Metric,
    Oracle,
    Posterior,
    Progress,
    Sequential,
    Task,
    silent,
)
from ampbench.registry import Plugin, Registry
from ampbench.results import load
from ampbench.results.store import Store
from ampbench.running import jobs, runner, sweep
from ampbench.running.context import Services


class Normals(Task, HasReference):
    version = "1"
    source = "a test"

    @cached_property
    def graph(self) -> Graph:
        prior = Independent(Normal(torch.zeros(1), torch.ones(1)), 1)
        return Graph(density("theta", prior), simulator("x", lambda t: t + torch.randn_like(t), ["theta"]))

    def reference(self, observation: Tensor, n: int, seed: int) -> Tensor:
        return observation / 2 + 0.5**0.5 * torch.randn(n, 1, generator=torch.Generator().manual_seed(seed))


class Exact(Posterior):
    def __init__(self, noise: float) -> None:
        self.noise = noise

    def sample(self, observation: Tensor, n: int) -> Tensor:
        return observation / 2 + 0.5**0.5 * torch.randn(n, 1) + self.noise


class Slow(Posterior, Sequential):
    """Takes 0.2 seconds and 7 simulations for each observation, but cannot do positive ones."""

    def __init__(self, source: Simulator) -> None:
        self.source = source

    def fit_to(self, observation: Tensor, progress: Progress) -> Fitted:
        if observation[0] > 0:
            raise RuntimeError("not a positive one")
        time.sleep(0.2)
        own = Simulator(self.source.graph, self.source.observed, self.source.budget, 1)
        own.sample(7)
        progress(1, 1)
        return Fitted(Exact(float(torch.rand(())) / 100), own.spent)

    def sample(self, observation: Tensor, n: int) -> Tensor:
        return self.fit_to(observation, silent).posterior.sample(observation, n)


class Rounds(Method):
    def fit(self, simulator: Simulator, device: torch.device, progress: Progress) -> Posterior:
        return Slow(simulator)


class Knowing(Method, Oracle):
    def __init__(self) -> None:
        self.task: Task | None = None

    def with_task(self, task: Task) -> Method:
        told = Knowing()
        told.task = task
        return told

    def fit(self, simulator: Simulator, device: torch.device, progress: Progress) -> Posterior:
        assert isinstance(self.task, Normals)
        return Exact(0.0)


class Mean(Metric):
    def measure(self, samples: Tensor, reference: Tensor) -> Measurement:
        return Measurement(float((samples.mean() - reference.mean()).abs()))


def execute(folder: Path, method: str) -> None:
    registry = Registry()
    components = SimpleNamespace(
        tasks=hookimpl(lambda: {"normals": Normals}),
        methods=hookimpl(lambda: {"rounds": Rounds, "knowing": Knowing}),
        metrics=hookimpl(lambda: {"mean": Mean}),
    )
    registry.register(Plugin("test", "test", "0", "test"), components)
    asked = {"tasks": ["normals"], "metrics": ["mean"], "budgets": [10], "samples": 100, "methods": [method]}
    store = Store(folder)
    runs = jobs.pending(sweep.runs(sweep.check(asked, "test"), registry), store)
    runner.execute(runs, Services(registry, store, "cpu", lambda event: None))


def test_time_and_simulations_belong_to_the_observation(tmp_path: Path) -> None:
    execute(tmp_path, "rounds")
    frame = load(tmp_path)
    positive = {number for number, given in Normals().observations().items() if given.x[0] > 0}
    assert 0 < len(positive) < 10
    failed = frame["observation"].isin(positive)
    assert (frame["status"] == "ok").tolist() == (~failed).tolist()
    assert frame["error"][failed].unique().tolist() == ["RuntimeError: not a positive one"]
    good = frame[~failed]
    assert (good["simulations"] == 7).all()
    assert good["fit_seconds"].between(0.2, 0.6).all()
    assert (good["sample_seconds"] < 0.2).all()


def test_a_sequential_fit_follows_from_the_seed(tmp_path: Path) -> None:
    """The same runs give the same numbers, and each observation its own."""
    execute(tmp_path / "all", "rounds")
    first = load(tmp_path / "all").query("status == 'ok'")
    execute(tmp_path / "again", "rounds")
    again = load(tmp_path / "again").query("status == 'ok'")
    assert first["mean"].tolist() == again["mean"].tolist()
    assert first["mean"].nunique() == len(first)


def test_a_reference_point_is_told_the_task(tmp_path: Path) -> None:
    execute(tmp_path, "knowing")
    frame = load(tmp_path)
    assert (frame["status"] == "ok").all()
    assert (frame["simulations"] == 0).all()
    assert frame["mean"].max() < 5 * (1 / 100) ** 0.5
