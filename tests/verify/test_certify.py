"""Certification passes tasks that are right, and catches each fault with the check that is there for it."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from torch import Generator, Tensor
from torch.distributions import Beta as BetaLaw
from torch.distributions import Binomial, Gamma, Independent, MultivariateNormal, Normal, constraints

from ampbench import registry
from ampbench.cli.verify import run_verify
from ampbench.errors import UsageError
from ampbench.graph import Graph, density, simulator
from ampbench.interfaces import HasGolden, HasLikelihood, HasReference, Observation, ShipsReference, Task
from ampbench.interfaces.golden import Golden, Summary
from ampbench.results.schema import CERTIFICATION
from ampbench.verify import CHECKS, QUICK_EFFORT, SIGNIFICANCE_LEVEL, Row, Subject, certify
from ampbench.verify.finding import Finding, judge, smallest
from ampbench.verify.likelihood import difference
from ampbench.verify.statistics import shares
from ampbench_tasks.rejection import truncated
from ampbench_tasks.two_moons import TwoMoons

PRIOR = torch.tensor([1.0, 0.5])
MIXING = torch.tensor([[1.0, 0.0, 1.0], [0.0, 1.0, -1.0]])
NOISE = 0.4


@cache
def plane_golden() -> Golden:
    rng = np.random.default_rng(1)
    prior = rng.normal(size=(30_000, 2)) * [1.0, 0.5]
    mixing = np.array([[1.0, 0.0, 1.0], [0.0, 1.0, -1.0]])
    thetas = [[0.5, -0.3], [-1.0, 0.4]]

    def simulate(theta: Tensor, n: int) -> Tensor:
        return torch.from_numpy(theta.numpy() @ mixing + 0.4 * rng.normal(size=(n, 3)))

    return Golden.record("numpy", torch.from_numpy(prior), torch.tensor(thetas, dtype=torch.float64), simulate, 10_000)


class Plane(Task, HasReference, HasLikelihood, HasGolden, ShipsReference):
    """Three noisy linear readings of two Gaussian parameters: the posterior is Gaussian."""

    version, source = "1", "this test"

    @property
    def graph(self) -> Graph:
        prior = Independent(Normal(torch.zeros(2), PRIOR), 1)
        return Graph(density("theta", prior), simulator("x", self.simulate, ["theta"], size=3))

    def simulate(self, theta: Tensor) -> Tensor:
        return theta @ MIXING + NOISE * torch.randn(len(theta), 3)

    def log_likelihood(self, theta: Tensor, x: Tensor) -> Tensor:
        return Normal(theta @ MIXING.to(theta.dtype), NOISE).log_prob(x).sum(-1)

    def posterior(self, x: Tensor) -> tuple[Tensor, Tensor]:
        covariance = torch.linalg.inv(MIXING @ MIXING.T / NOISE**2 + torch.diag(PRIOR**-2))
        return covariance @ MIXING @ x / NOISE**2, covariance

    def reference(self, observation: Tensor, n: int, seed: int) -> Tensor:
        mean, covariance = self.posterior(self.check_observation(observation))
        noise = torch.randn(n, 2, generator=Generator().manual_seed(seed))
        return mean + noise @ torch.linalg.cholesky(covariance).T

    def golden(self) -> Golden:
        return plane_golden()

    def shipped_reference(self, number: int) -> Tensor:
        return self.reference(self.numbered(number).x, 2000, 1000 + number)


class WrongNoise(Plane):
    def simulate(self, theta: Tensor) -> Tensor:
        return theta @ MIXING + math.sqrt(NOISE) * torch.randn(len(theta), 3)  # the variance is NOISE now


class SwappedReadings(Plane):
    def simulate(self, theta: Tensor) -> Tensor:
        return super().simulate(theta)[:, [1, 0, 2]]


class NoisePerBatch(Plane):
    def simulate(self, theta: Tensor) -> Tensor:
        scale = NOISE if torch.rand(()) < 0.5 else 0.5 * NOISE
        return theta @ MIXING + scale * torch.randn(len(theta), 3)


class ReadingsCentred(Plane):
    """Normalised over the batch, as careless preprocessing does."""

    def simulate(self, theta: Tensor) -> Tensor:
        x = super().simulate(theta)
        return x - x.mean(0)


class RowsRepeated(Plane):
    """Pairs of rows share their noise."""

    def simulate(self, theta: Tensor) -> Tensor:
        return theta @ MIXING + NOISE * torch.randn(len(theta), 3).repeat_interleave(2, dim=0)[: len(theta)]


class SometimesNaN(Plane):
    def simulate(self, theta: Tensor) -> Tensor:
        x = super().simulate(theta)
        return torch.where(torch.rand(len(theta), 1) < 1e-3, torch.nan, x)


class Unseeded(Plane):
    def simulate(self, theta: Tensor) -> Tensor:
        return theta @ MIXING + NOISE * torch.from_numpy(np.random.default_rng().normal(size=(len(theta), 3))).float()


class UnseededReference(Plane):
    def reference(self, observation: Tensor, n: int, seed: int) -> Tensor:
        return super().reference(observation, n, int(torch.randint(10**6, ())))


class CovarianceForRoot(Plane):
    def reference(self, observation: Tensor, n: int, seed: int) -> Tensor:
        mean, covariance = self.posterior(observation)
        return mean + torch.randn(n, 2, generator=Generator().manual_seed(seed)) @ covariance.T


class SlightlyWide(Plane):
    """A standard deviation that is 10 % too large."""

    def reference(self, observation: Tensor, n: int, seed: int) -> Tensor:
        mean, _ = self.posterior(observation)
        return mean + 1.1 * (super().reference(observation, n, seed) - mean)


class SwappedParameters(Plane):
    def reference(self, observation: Tensor, n: int, seed: int) -> Tensor:
        return super().reference(observation, n, seed)[:, [1, 0]]


class PriorForPosterior(Plane):
    """Ranks of theta alone are uniform; only data-dependent quantities show it."""

    def reference(self, observation: Tensor, n: int, seed: int) -> Tensor:
        return PRIOR * torch.randn(n, 2, generator=Generator().manual_seed(seed))


class RepeatedDraws(Plane):
    def reference(self, observation: Tensor, n: int, seed: int) -> Tensor:
        return super().reference(observation, (n + 1) // 2, seed).repeat_interleave(2, dim=0)[:n]


class OtherObservation(Plane):
    def shipped_reference(self, number: int) -> Tensor:
        return super().shipped_reference(number % 10 + 1)


class WrongPrior(Plane):
    @property
    def graph(self) -> Graph:
        prior = Independent(Normal(torch.zeros(2), PRIOR.square()), 1)
        return Graph(density("theta", prior), simulator("x", self.simulate, ["theta"], size=3))


class Discordant(MultivariateNormal):
    """Draws that do not have its density."""

    def sample(self, sample_shape: torch.Size = torch.Size()) -> Tensor:  # noqa: B008
        return 1.1 * super().sample(sample_shape)


class PriorWithWrongDensity(Plane):
    @property
    def graph(self) -> Graph:
        prior = Discordant(torch.zeros(2), torch.diag(PRIOR**2))
        return Graph(density("theta", prior), simulator("x", self.simulate, ["theta"], size=3))


class OutsideObservation(Plane):
    def observations(self) -> Mapping[int, Observation]:
        return {1: Observation(torch.zeros(2), torch.zeros(2), 1)}


class BrokenShip(Plane):
    def shipped_reference(self, number: int) -> Tensor:
        raise OSError("reference.npz is truncated")


class Rate(Task, HasReference, HasLikelihood):
    """Four waiting times of an unknown rate: positive parameter, Gamma posterior."""

    version, source = "1", "this test"
    support: constraints.Constraint = constraints.positive

    @property
    def graph(self) -> Graph:
        prior = Independent(Gamma(torch.tensor([3.0]), torch.tensor([1.0])), 1)
        wait = simulator("x", lambda rate: -torch.rand(len(rate), 4).clamp(min=1e-7).log() / rate, ["rate"], size=4)
        return Graph(density("rate", prior, support=self.support), wait)

    def log_likelihood(self, theta: Tensor, x: Tensor) -> Tensor:
        return 4 * theta[..., 0].log() - theta[..., 0] * x.sum(-1)

    def reference(self, observation: Tensor, n: int, seed: int) -> Tensor:
        draws = np.random.default_rng(seed).gamma(7.0, 1 / (1 + float(observation.sum())), (n, 1))
        return torch.from_numpy(draws).float()


class ForgottenNormaliser(Rate):
    def log_likelihood(self, theta: Tensor, x: Tensor) -> Tensor:
        return -theta[..., 0] * x.sum(-1)


class WrongSupport(Rate):
    support = constraints.unit_interval


class OutsideSupport(Rate):
    def reference(self, observation: Tensor, n: int, seed: int) -> Tensor:
        return super().reference(observation, n, seed) - 1.0


class Coins(Task, HasReference, HasLikelihood, HasGolden):
    """Counts of rare and of common events: discrete data, full of ties."""

    version, source = "1", "this test"
    tosses = torch.tensor([1.0, 3.0, 40.0])

    @property
    def graph(self) -> Graph:
        prior = Independent(BetaLaw(torch.tensor([1.0]), torch.tensor([9.0])), 1)
        toss = simulator("x", lambda p: Binomial(self.tosses, p).sample(), ["p"], size=3)
        return Graph(density("p", prior), toss)

    def log_likelihood(self, theta: Tensor, x: Tensor) -> Tensor:
        return (x * theta.log() + (self.tosses - x) * (-theta).log1p()).sum(-1)

    def reference(self, observation: Tensor, n: int, seed: int) -> Tensor:
        heads, tails = float(observation.sum()), float((self.tosses - observation).sum())
        return torch.from_numpy(np.random.default_rng(seed).beta(1 + heads, 9 + tails, (n, 1))).float()

    def golden(self) -> Golden:
        rng = np.random.default_rng(2)
        thetas = torch.tensor([[0.0002], [0.1]], dtype=torch.float64)
        prior = torch.from_numpy(rng.beta(1, 9, (20_000, 1)))
        return Golden.record(
            "numpy",
            prior,
            thetas,
            lambda theta, n: torch.from_numpy(rng.binomial([1, 3, 40], float(theta), (n, 3))).double(),
            20_000,
        )


class Moons(Task, HasReference, HasLikelihood):
    """The two moons, without golden statistics and stored draws."""

    version, source = "1", "this test"

    @property
    def graph(self) -> Graph:
        return TwoMoons().graph

    def log_likelihood(self, theta: Tensor, x: Tensor) -> Tensor:
        across = x[..., 0] + theta.sum(-1).abs() / math.sqrt(2) - 0.25
        along = x[..., 1] - (theta[..., 1] - theta[..., 0]) / math.sqrt(2)
        radius = (across.square() + along.square()).sqrt()
        return torch.where(across > 0, Normal(0.1, 0.01).log_prob(radius) + self.log_jacobian(radius), -torch.inf)

    def log_jacobian(self, radius: Tensor) -> Tensor:
        return -(math.pi * radius).log()

    def reference(self, observation: Tensor, n: int, seed: int) -> Tensor:
        return TwoMoons().reference(observation, n, seed)


class ForgottenJacobian(Moons):
    def log_jacobian(self, radius: Tensor) -> Tensor:
        return torch.zeros_like(radius)


class DroppedMode(Moons):
    def reference(self, observation: Tensor, n: int, seed: int) -> Tensor:
        draws = iter(super().reference(observation, 20 * n, seed).split(4 * n))
        return truncated(lambda _: next(draws), lambda theta: theta.sum(1) > 0, n)


def caught(rows: list[Row]) -> set[str]:
    """The checks that failed, by the level of a whole examination with its 40 p-values or fewer."""
    return {row.check for row in rows if row.verdict == "failed" and (row.p is None or row.p < SIGNIFICANCE_LEVEL / 40)}


@pytest.mark.parametrize("task", [Plane(), Rate(), Coins(), Moons()], ids=lambda task: type(task).__name__)
def test_correct_tasks_pass(task: Task) -> None:
    rows = certify("task", Subject(task, 0, QUICK_EFFORT))
    assert [row for row in rows if row.verdict == "failed"] == []
    judged = {row.check for row in rows if row.verdict == "ok"}
    assert {"shapes", "rows", "reproducible", "prior density", "likelihood", "reference", "calibration"} <= judged
    assert {"balance", "importance", "second sampler"} <= judged


FAULTS = [
    (WrongNoise, ["simulator", "likelihood", "calibration"]),
    (SwappedReadings, ["simulator", "calibration"]),
    (NoisePerBatch, ["rows"]),
    (ReadingsCentred, ["rows"]),
    (RowsRepeated, ["rows"]),
    (SometimesNaN, ["shapes"]),
    (Unseeded, ["reproducible"]),
    (UnseededReference, ["reproducible"]),
    (CovarianceForRoot, ["balance", "importance", "second sampler", "calibration"]),
    (SwappedParameters, ["balance", "calibration"]),
    (PriorForPosterior, ["balance", "calibration"]),
    (RepeatedDraws, ["reference"]),
    (OtherObservation, ["shipped", "shipped balance"]),
    (WrongPrior, ["prior golden"]),
    (PriorWithWrongDensity, ["prior density", "prior moments"]),
    (OutsideObservation, ["observations"]),
    (BrokenShip, ["shipped"]),
    (ForgottenNormaliser, ["likelihood", "balance"]),
    (WrongSupport, ["shapes"]),
    (OutsideSupport, ["reference"]),
    (DroppedMode, ["calibration"]),
]


@pytest.mark.parametrize(("task", "expected"), FAULTS, ids=lambda each: getattr(each, "__name__", ""))
def test_faults_are_caught(task: type[Task], expected: list[str]) -> None:
    asked = [check for check in expected if check in CHECKS] or ["shapes"]
    rows = certify("task", Subject(task(), 0, QUICK_EFFORT), asked)
    assert caught(rows) == set(expected), rows


@pytest.mark.parametrize(
    ("task", "expected"), [(SlightlyWide, ["balance", "importance"]), (ForgottenJacobian, ["likelihood"])]
)
def test_subtle_faults_need_full_effort(task: type[Task], expected: list[str]) -> None:
    assert caught(certify("task", Subject(task()), expected)) == set(expected)


def test_an_exception_costs_its_own_row() -> None:
    found = certify("task", Subject(BrokenShip(), 0, QUICK_EFFORT), ["shipped", "prior moments"])
    assert [(row.check, row.verdict) for row in found] == [("shipped", "failed"), ("prior moments", "ok")]
    assert found[0].detail == "OSError: reference.npz is truncated"


def test_what_a_task_cannot_show_is_skipped_with_the_reason() -> None:
    class Forward(Task):
        version, source = "1", "this test"
        graph = Plane().graph

    rows = certify("task", Subject(Forward(), 0, QUICK_EFFORT))
    assert all(row.verdict != "failed" for row in rows)
    reasons = {row.check: row.detail for row in rows if row.verdict == "skipped"}
    assert reasons["calibration"] == "the task has no reference"
    assert reasons["importance"] == reasons["likelihood"] == "the task has no likelihood"
    assert reasons["simulator"] == "the task has no golden statistics"


def test_noisy_likelihoods_are_judged_by_importance_sampling() -> None:
    class Noisy(Plane):
        noisy_likelihood = True

        def log_likelihood(self, theta: Tensor, x: Tensor) -> Tensor:
            return super().log_likelihood(theta, x) + 0.3 * torch.randn(len(theta)) - 0.045  # unbiased: the mean is 1

    asked = ["likelihood", "balance", "importance", "second sampler", "calibration"]
    rows = certify("task", Subject(Noisy(), 0, QUICK_EFFORT), asked)
    assert {row.check for row in rows if row.verdict == "skipped"} == {"likelihood", "balance", "second sampler"}
    assert {row.check for row in rows if row.verdict == "ok"} == {"importance", "calibration"}


@pytest.mark.parametrize(("task", "verdict"), [(Plane, "ok"), (WrongNoise, "failed"), (ForgottenNormaliser, "failed")])
def test_a_costly_likelihood_is_tested_with_as_many_simulations_as_the_detail_says(
    task: type[Plane], verdict: str
) -> None:
    class Costly(task):  # type: ignore[misc, valid-type]
        max_likelihood_rows = 200

        def log_likelihood(self, theta: Tensor, x: Tensor) -> Tensor:
            assert len(x) <= 200
            return super().log_likelihood(theta, x)

    (row,) = certify("task", Subject(Costly()), ["likelihood"])
    assert row.verdict == verdict
    assert row.detail.endswith("12 pairs of thetas, 200 simulations at each theta") or verdict == "failed"


def test_same_seed_same_report() -> None:
    first, again = (
        certify("task", Subject(Plane(), 3, QUICK_EFFORT), ["rows", "likelihood", "importance"]) for _ in "ab"
    )
    assert first == again


def test_level_is_shared_by_all_p_values() -> None:
    p = SIGNIFICANCE_LEVEL / 3
    assert [row.verdict for row in judge("task", [Finding("a", "", p)])] == ["failed"]
    rows = judge("task", [Finding("a", "", p), *[Finding("b", "", 0.5)] * 3, Finding("c", "", None, "skipped")])
    assert [row.verdict for row in rows] == ["ok", "ok", "ok", "ok", "skipped"]
    assert judge("task", [smallest("a", [("bad", math.nan), ("good", 0.5)])])[0].verdict == "failed"


def test_rounded_cut_points_do_not_alarm() -> None:
    """Thirds have no short decimals: an atom at a golden cut point is written rounded, and read in single precision."""
    counts = torch.distributions.Binomial(3, torch.tensor(0.5))
    torch.manual_seed(0)
    golden = Golden("", Summary.of(counts.sample(torch.Size([20_000, 1])).double() / 3), ())
    law = Golden.loads(golden.dumps()).prior
    assert float(shares(law, counts.sample(torch.Size([20_000, 1])) / 3).min()) > 1e-3


def test_rare_events_do_not_alarm() -> None:
    """Three events in 2,000 against none in 20,000 are rare, not impossible: p = (1/11)³, far from a normal score."""
    law = Summary.of(torch.zeros(20_000, 1))
    samples = torch.zeros(2000, 1)
    samples[:3] = 1
    assert float(shares(law, samples).min()) == pytest.approx(2 / 11**3, rel=0.01)


def test_rare_events_on_one_side_do_not_alarm() -> None:
    """34 of 2,000 where they are likelier by 50, none on the other side, where 0.7 are expected: no evidence."""
    events = np.arange(2000) < 34
    left, right = np.where(events, 0.02, 0.505), np.full(2000, 0.495)
    assert difference(left, right, events.astype(float), np.zeros(2000)) > 0.1


def test_a_constant_in_the_log_ratio_is_all_the_evidence() -> None:
    one = np.ones(2000)
    assert difference(0.5 * one, 0.5 * one, one, one) == 1.0
    assert difference(0.7 * one, 0.3 * one, one, one) < 1e-9


def registered(monkeypatch: pytest.MonkeyPatch, **tasks: type[Task]) -> None:
    class Plugin:
        @staticmethod
        @registry.hookspecs.hookimpl
        def tasks() -> Mapping[str, type[Task]]:
            return tasks

    def load() -> registry.Registry:
        loaded = registry.Registry()
        loaded.register(registry.Plugin("here", "tests", "1", "tests"), Plugin())
        return loaded

    monkeypatch.setattr(registry, "load", load)


def test_command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], follows: Any) -> None:
    registered(monkeypatch, good=Plane, nan=SometimesNaN)
    monkeypatch.setenv("COLUMNS", "80")
    checks = ["shapes", "prior moments"]
    assert run_verify(["good"], checks, quick=True) == 0
    assert run_verify([], checks, quick=True) == 1  # all registered tasks
    text = capsys.readouterr().out
    assert "2 tasks: 4 checks ok, 0 skipped, 1 failed: nan (seed 0, level 0.001 per task)" in text
    assert max(map(len, text.splitlines())) <= 80
    assert run_verify(["nan"], checks, quick=True, as_json=True) == 1
    rows = json.loads(capsys.readouterr().out)
    follows(rows, CERTIFICATION)
    assert [(row["task"], row["check"], row["verdict"]) for row in rows] == [
        ("nan", "shapes", "failed"),
        ("nan", "prior moments", "ok"),
    ]


def test_bad_usage(monkeypatch: pytest.MonkeyPatch) -> None:
    registered(monkeypatch, good=Plane)
    with pytest.raises(UsageError, match=r"unknown task 'goood'.*did you mean 'good'"):
        run_verify(["goood"])
    with pytest.raises(UsageError, match=r"unknown check 'shape'.*did you mean 'shapes'"):
        run_verify(["good"], ["shape"])
    with pytest.raises(UsageError, match="5 observations cannot show calibration; take at least 20"):
        run_verify(["good"], observations=5)


def test_a_task_that_cannot_be_built_fails_alone(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Missing(Plane):
        def __init__(self) -> None:
            raise OSError("no data")

    registered(monkeypatch, bad=Missing, good=Plane)
    assert run_verify([], ["prior moments"], quick=True) == 1
    assert "1 checks ok, 0 skipped, 1 failed: bad" in capsys.readouterr().out
