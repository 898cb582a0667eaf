"""Conformance of a task: the properties on which methods and metrics rely."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import partial

import torch

from ampbench.errors import AmpbenchError
from ampbench.graph import Simulator
from ampbench.interfaces import (
    HasReference,
    Task,
)


class TaskConformance(ABC):
    """The properties of a task on which the benchmark relies; ``ampbench verify`` tests more.

    Attributes:
        calibration: how many fresh observations the reference is judged on.
    """

    calibration = 300

    @abstractmethod
    def make(self) -> Task:
        """Make the task under test."""

    def test_simulations(self) -> None:
        """Simulations are finite vectors of constant size, and follow from the seed."""
        task = self.make()
        first = Simulator(task.graph, task.observed, 100, seed=3).sample(100)
        again = Simulator(task.graph, task.observed, 100, seed=3).sample(100)
        other = Simulator(task.graph, task.observed, 100, seed=4).sample(100)
        for name, value in first.items():
            assert torch.equal(value, again[name])
            assert not torch.equal(value, other[name])

    def test_numbered_observations(self) -> None:
        """Observations have the sizes of the simulations, and their parameters lie in the prior's support."""
        task = self.make()
        source = Simulator(task.graph, task.observed, 2, seed=0)
        sizes = {name: value.shape[1] for name, value in source.sample(2).items()}
        for observation in task.observations().values():
            assert observation.x.shape == (sum(sizes[name] for name in source.observed),)
            assert observation.theta.shape == (sum(sizes[name] for name in source.latents),)
            if observation.theta.isnan().all():
                continue  # real data: nobody knows its parameters
            parts = observation.theta.split([sizes[name] for name in source.latents])
            for name, part in zip(source.latents, parts, strict=True):
                assert bool(torch.all(task.graph[name].support.check(part)))

    def test_unknown_observation(self) -> None:
        """A number that does not exist is refused."""
        self.refused(lambda: self.make().numbered(-1), "observation -1")

    def test_parameters_outside_the_support(self) -> None:
        """Parameters outside their support, of the wrong shape, or NaN are refused before anything is simulated."""
        task = self.make()
        source = Simulator(task.graph, task.observed, 100, seed=0)
        values = source.sample(2)
        for name in source.latents:
            outside = torch.full_like(values[name], -1e30)
            bad = [values[name][:1], values[name] * torch.nan]
            if not bool(torch.all(task.graph[name].support.check(outside))):
                bad.append(outside)
            for value in bad:
                self.refused(partial(source.sample, 2, {name: value}), f"{name} = {value}")

    def test_reference(self) -> None:
        """Reference samples have the right shape, lie in the support, and follow from the seed."""
        task = self.make()
        if not isinstance(task, HasReference):
            return
        observation = task.observation(5)
        first = task.reference(observation.x, 200, 1)
        assert first.shape == (200, len(observation.theta))
        assert first.dtype == torch.float32
        for name, part in task.graph.split(first, task.latents).items():
            assert bool(torch.all(task.graph[name].support.check(part)))
        assert torch.equal(first, task.reference(observation.x, 200, 1))
        assert not torch.equal(first, task.reference(observation.x, 200, 2))

    def test_bad_observations(self) -> None:
        """An observation of the wrong shape, or with NaN, has no reference."""
        task = self.make()
        if not isinstance(task, HasReference):
            return
        x = task.observation(5).x
        for bad in (x[:-1], x[None], x * torch.nan):
            self.refused(partial(task.reference, bad, 10, 0), f"the observation {bad}")

    def test_reference_is_calibrated(self) -> None:
        """Ranks of true parameters among reference samples are uniform (simulation-based calibration)."""
        from scipy.stats import kstest

        task = self.make()
        if not isinstance(task, HasReference):
            return
        ranks = []
        for seed in range(self.calibration):
            observation = task.observation(seed)
            ranks.append((task.reference(observation.x, 99, seed) < observation.theta).float().mean(0))
        p_values = kstest(torch.stack(ranks).numpy(), "uniform").pvalue
        assert p_values.min() > 1e-3 / len(p_values)

    def refused(self, act: Callable[[], object], what: str) -> None:
        """Check that an act raises an error that ampbench raises on purpose."""
        try:
            act()
        except AmpbenchError:
            return
        raise AssertionError(f"{what} was not refused")
