"""Conformance of a task: the properties on which methods and metrics rely."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from ampbench.errors import AmpbenchError
from ampbench.graph import Simulator
from ampbench.interfaces import (
    HasLikelihood,
    HasReference,
    Task,
)
from ampbench.testing.expect import SEED_ADVICE, NonconformanceError, expect, expect_equal, expect_tensor, refused
from ampbench.verify import QUICK_EFFORT, Subject, certify

RULE = "an error of ampbench, such as UsageError"


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
        """Simulations are finite vectors of constant size, follow from the seed, and vary."""
        task = self.make()
        at = type(task).graph
        first = Simulator(task.graph, task.observed, 100, seed=3).sample(100)
        again = Simulator(task.graph, task.observed, 100, seed=3).sample(100)
        other = Simulator(task.graph, task.observed, 100, seed=4).sample(100)
        for name, value in first.items():
            expect_equal(value, again[name], f"{name}, simulated with one seed,", at, SEED_ADVICE)
            expect(
                not torch.equal(value, other[name]),
                f"{name} is the same for two seeds",
                "other simulations for another seed",
                at,
                "draw from a distribution, and set no seed in the simulator",
            )
            if len(value) > 1 and value.numel():
                expect(
                    bool((value != value[0]).any()),
                    f"all 100 simulations of {name} are {value[0].flatten()[:3].tolist()}",
                    "rows that are independent draws",
                    at,
                    "draw random numbers of shape (n, …), one row for each row of the parents",
                )

    def test_numbered_observations(self) -> None:
        """Observations have the sizes of the simulations, and their parameters lie in the prior's support."""
        task = self.make()
        at = task.observations
        source = Simulator(task.graph, task.observed, 2, seed=0)
        sizes = {name: value.shape[1] for name, value in source.sample(2).items()}
        for number, observation in task.observations().items():
            what = f"of observation {number}"
            _expect_length(observation.x, f"x {what}", sum(sizes[name] for name in source.observed), at)
            _expect_length(observation.theta, f"theta {what}", sum(sizes[name] for name in source.latents), at)
            if observation.theta.isnan().all():
                continue  # real data: nobody knows its parameters
            parts = observation.theta.split([sizes[name] for name in source.latents])
            for name, part in zip(source.latents, parts, strict=True):
                inside = bool(torch.all(task.graph[name].support.check(part)))
                expect(inside, f"{name} {what} is {part.tolist()}", "a value in the support of its prior", at)

    def test_unknown_observation(self) -> None:
        """A number that does not exist is refused."""
        task = self.make()
        self.refused(lambda: task.numbered(-1), "observation -1", task.numbered)

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
                self.refused(partial(source.sample, 2, {name: value}), f"{name} = {value}", type(task).graph)

    def test_likelihood_and_simulator_agree(self) -> None:
        """Where the likelihood is known, its ratios are those of the simulator's frequencies; see ampbench verify."""
        task = self.make()
        if not isinstance(task, HasLikelihood):
            return
        at = task.log_likelihood
        source = Simulator(task.graph, task.observed, 5, seed=0)
        values = source.sample(5)
        theta = torch.cat([values[name] for name in source.latents], 1)
        x = torch.cat([values[name] for name in source.observed], 1)
        expect_tensor(at(theta, x), "the log-likelihood of 5 rows", (5,), at, "sum over the components of x")
        for row in certify(type(task).__name__, Subject(task, 0, QUICK_EFFORT), ("likelihood",)):
            p = "" if row.p is None else f" (p = {row.p:.2g})"
            expect(
                row.verdict != "failed",
                f"simulations contradict the log-likelihood{p}: {row.detail}",
                "log p(x | theta) of the distribution that the simulator draws from",
                at,
                "compare mean, scale and the order of the components of both",
            )

    def test_reference(self) -> None:
        """Reference samples have the right shape, lie in the support, and follow from the seed."""
        task = self.make()
        if not isinstance(task, HasReference):
            return
        at = task.reference
        observation = task.observation(5)
        first = expect_tensor(at(observation.x, 200, 1), "the reference", (200, len(observation.theta)), at)
        expect(first.dtype == torch.float32, f"the reference has type {first.dtype}", "torch.float32", at)
        for name, part in task.graph.split(first, task.latents).items():
            outside = int((~task.graph[name].support.check(part)).sum())
            expect(not outside, f"{outside} values of {name} are outside its support", "values in the support", at)
        advice = "make a generator of the seed: torch.Generator().manual_seed(seed)"
        expect_equal(first, task.reference(observation.x, 200, 1), "the reference with one seed", at, advice)
        differs = not torch.equal(first, task.reference(observation.x, 200, 2))
        expect(differs, "the reference is the same for two seeds", "other samples for another seed", at, advice)

    def test_bad_observations(self) -> None:
        """An observation of the wrong shape, or with NaN, has no reference."""
        task = self.make()
        if not isinstance(task, HasReference):
            return
        x = task.observation(5).x
        for what, bad in (("is too short", x[:-1]), ("has two axes", x[None]), ("is NaN", x * torch.nan)):
            self.refused(partial(task.reference, bad, 10, 0), f"an observation that {what}", task.reference)

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
        worst = int(p_values.argmin())
        expect(
            p_values.min() > 1e-3 / len(p_values),
            f"ranks of component {worst} of theta among its reference are not uniform, p = {p_values.min():.2g} in "
            f"{self.calibration} simulations",
            f"uniform ranks, p above {1e-3 / len(p_values):.2g}",
            task.reference,
            "the reference must draw from the posterior of this prior and this simulator; compare their formulas",
        )

    def refused(self, act: Callable[[], object], what: str, at: object) -> None:
        """Check that an act raises an error that ampbench raises on purpose."""
        if not refused(act, AmpbenchError):
            raise NonconformanceError(
                f"{what} was not refused", RULE, at, "begin with x = self.check_observation(observation)"
            )


def _expect_length(value: Tensor, what: str, length: int, at: object) -> None:
    expect(value.shape == (length,), f"{what} has shape {tuple(value.shape)}", f"shape ({length},)", at)
