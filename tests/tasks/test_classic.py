"""The classic tasks are the published ones: definitions, traps, observations, and exact references."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp
from scipy.stats import f, kstest, truncnorm
from torch import Tensor
from torch.distributions import Normal

from ampbench.errors import SimulationError, UsageError
from ampbench.graph import Simulator
from ampbench.seeding import seeded
from ampbench.testing import TaskConformance
from ampbench_tasks import slcp_distractors
from ampbench_tasks.bernoulli_glm import BernoulliGLM, design, spikes
from ampbench_tasks.bernoulli_glm_raw import BernoulliGLMRaw
from ampbench_tasks.classic import Classic
from ampbench_tasks.gaussian_linear import GaussianLinear
from ampbench_tasks.gaussian_linear_uniform import GaussianLinearUniform
from ampbench_tasks.gaussian_mixture import GaussianMixture
from ampbench_tasks.lotka_volterra import LotkaVolterra, log_populations
from ampbench_tasks.rejection import truncated
from ampbench_tasks.sir import SIR, infected
from ampbench_tasks.slcp import SLCP
from ampbench_tasks.slcp_distractors import SLCPDistractors
from ampbench_tasks.two_moons import TwoMoons

TASKS: list[Classic] = [
    BernoulliGLM(),
    BernoulliGLMRaw(),
    GaussianLinear(),
    GaussianLinearUniform(),
    GaussianMixture(),
    LotkaVolterra(),
    SIR(),
    SLCP(),
    SLCPDistractors(),
    TwoMoons(),
]
each_task = pytest.mark.parametrize("task", TASKS, ids=lambda task: type(task).__name__)


class TestTwoMoons(TaskConformance):
    def make(self) -> TwoMoons:
        return TwoMoons()


class TestGaussianLinear(TaskConformance):
    def make(self) -> GaussianLinear:
        return GaussianLinear()


class TestGaussianLinearUniform(TaskConformance):
    def make(self) -> GaussianLinearUniform:
        return GaussianLinearUniform()


class TestGaussianMixture(TaskConformance):
    def make(self) -> GaussianMixture:
        return GaussianMixture()


class TestSLCP(TaskConformance):
    calibration = 100

    def make(self) -> SLCP:
        return SLCP()


class TestSLCPDistractors(TaskConformance):
    calibration = 20  # the posterior is that of SLCP

    def make(self) -> SLCPDistractors:
        return SLCPDistractors()


class TestBernoulliGLM(TaskConformance):
    calibration = 100

    def make(self) -> BernoulliGLM:
        return BernoulliGLM()


class TestBernoulliGLMRaw(TaskConformance):
    calibration = 20  # the posterior is that of the GLM

    def make(self) -> BernoulliGLMRaw:
        return BernoulliGLMRaw()


class TestSIR(TaskConformance):
    calibration = 20  # verify takes more: each reference solves some 10,000 equations

    def make(self) -> SIR:
        return SIR()


class TestLotkaVolterra(TaskConformance):
    calibration = 15  # as for SIR

    def make(self) -> LotkaVolterra:
        return LotkaVolterra()


@each_task
def test_ten_published_observations(task: Classic) -> None:
    assert sorted(task.observations()) == list(range(1, 11))
    with pytest.raises(UsageError, match=r"unknown observation 11 of task .*; known: 1, 2, .*10"):
        task.numbered(11)


@each_task
def test_published_parameters_are_likely(task: Classic) -> None:
    """Observation and parameters belong together: the likelihood is higher at the true ones than at prior draws."""
    with seeded(0):
        prior = task.graph.sample(200)["theta"]
    for observation in task.observations().values():
        at_truth = task.log_likelihood(observation.theta[None].double(), observation.x.double())
        elsewhere = task.log_likelihood(prior.double(), observation.x.double())
        assert float((elsewhere < at_truth).double().mean()) > 0.9


@each_task
def test_likelihood_belongs_to_the_simulator(task: Classic) -> None:
    """E_{x ~ p(x|theta)}[p(x|theta') / p(x|theta)] = 1: a forgotten factor that depends on theta breaks it."""
    with seeded(1):
        for theta, near in neighbours(task):
            x = simulate(task, theta.expand(20_000, -1)).double()
            theta, near = theta.double(), near.double()
            ratio = (task.log_likelihood(near, x) - task.log_likelihood(theta, x)).exp()
            assert float(ratio.std()) < 3, "too far apart to judge"
            assert abs(float(ratio.mean()) - 1) < 4 * float(ratio.std()) / len(ratio) ** 0.5 + 1e-3


def neighbours(task: Classic) -> list[tuple[Tensor, Tensor]]:
    """Pairs of parameters, shape (1, D), as near as two draws of a posterior but nearer by a factor."""
    pairs = []
    for number in (1, 2):
        draws = task.reference(task.numbered(number).x, 50, seed=0)
        step = 0.2 if len(draws[0]) > 2 else 0.1
        theta = draws[:1]
        nearest = draws[1:][(draws[1:] - theta).norm(dim=1).argmin()]
        pairs.append((theta, theta + step * (nearest - theta)))
    return pairs


def simulate(task: Classic, theta: Tensor) -> Tensor:
    source = Simulator(task.graph, ["x"], len(theta), seed=0)
    return source.sample(len(theta), {"theta": theta})["x"]


def test_gaussian_scales_are_variances() -> None:
    for task in (GaussianLinear(), GaussianLinearUniform()):
        x = simulate(task, torch.zeros(100_000, 10))
        assert torch.allclose(x.var(0), torch.full((10,), 0.1), rtol=0.03)
    prior = Simulator(GaussianLinear().graph, ["x"], 100_000, 0).sample(100_000)["theta"]
    assert torch.allclose(prior.var(0), torch.full((10,), 0.1), rtol=0.03)


def test_truncated_gaussian_by_scipy() -> None:
    """Also for an observation far outside the box, where a naive inversion returns infinity."""
    scale = math.sqrt(0.1)
    x = torch.tensor([-9.0, -3.0, -1.0, -0.5, 0.0, 0.1, 0.9, 1.0, 2.0, 7.0])
    theta = GaussianLinearUniform().reference(x, 20_000, seed=0)
    assert bool(torch.isfinite(theta).all())
    for i, centre in enumerate(x.tolist()):
        law = truncnorm((-1 - centre) / scale, (1 - centre) / scale, centre, scale)
        assert kstest(theta[:, i].double().numpy(), law.cdf).pvalue > 1e-4


def test_one_mixture_component_for_both_dimensions() -> None:
    """A sample is near in both dimensions, or far in both; independent choices would mix."""
    x = simulate(GaussianMixture(), torch.zeros(100_000, 2)).abs()
    near = (x < 0.3).float().mean(0)
    expected = 0.5 * (2 * Normal(0.0, 0.1).cdf(torch.tensor(0.3)) - 1) + 0.5 * (
        2 * Normal(0.0, 1.0).cdf(torch.tensor(0.3)) - 1
    )
    assert torch.allclose(near, expected.expand(2), atol=0.01)
    narrow, wide = 0.9973**2, 0.2358**2
    assert abs(float((x < 0.3).all(1).float().mean()) - 0.5 * (narrow + wide)) < 0.01


def test_two_moons_crescent() -> None:
    """With theta = 0 the points lie on a half circle of radius 0.1 ± 0.01 around (0.25, 0), open to the left."""
    x = simulate(TwoMoons(), torch.zeros(50_000, 2)) - torch.tensor([0.25, 0.0])
    radius = x.norm(dim=1)
    assert abs(float(radius.mean()) - 0.1) < 1e-3
    assert abs(float(radius.std()) - 0.01) < 1e-3
    assert float((x[:, 0] > 0).float().mean()) == 1.0
    shifted = simulate(TwoMoons(), torch.tensor([[0.5, 0.2]]).expand(50_000, 2))
    expected = torch.tensor([0.25 + 0.2 / math.pi - 0.7 / math.sqrt(2), -0.3 / math.sqrt(2)])
    assert torch.allclose(shifted.mean(0), expected, atol=2e-3)


def test_slcp_moments() -> None:
    """Standard deviations θ₃², θ₄² and correlation tanh θ₅; four independent draws."""
    theta = torch.tensor([[0.5, -1.0, 1.5, -0.8, 0.6]])
    x = simulate(SLCP(), theta.expand(100_000, -1))
    s1, s2, rho = 1.5**2, 0.8**2, math.tanh(0.6)
    covariance = torch.tensor([[s1**2, rho * s1 * s2], [rho * s1 * s2, s2**2]])
    expected = torch.block_diag(*[covariance] * 4)
    assert torch.allclose(x.mean(0), theta[0, :2].repeat(4), atol=0.03)
    assert torch.allclose(x.T.cov(), expected, atol=0.09)


def test_distractors_hide_the_published_signal() -> None:
    """The signal in the published 100 components is the published 8; the noise is likely under the mixture."""
    constants = slcp_distractors.distractors()
    distances = []
    for number, observation in SLCPDistractors().observations().items():
        assert torch.equal(slcp_distractors.signal(observation.x), SLCP().numbered(number).x)
        noise = observation.x[constants.order.argsort()][8:]
        # the first eight components only: the whole factors are too ill-conditioned to invert
        centred = (noise - constants.locations)[:, :8, None].double()
        whitened = torch.linalg.solve_triangular(constants.factors[:, :8, :8].double(), centred, upper=False)
        distances.append(float(whitened.square().sum((1, 2)).min()) / 8)  # F(8, 2) or less
    assert f(8, 2).ppf(0.01) < np.median(distances) < f(8, 2).ppf(0.99)


def test_glm_statistics_are_a_convolution() -> None:
    """The published code convolves; its statistics, of the published spike trains, equal X'y."""
    stimulus = torch.from_numpy(np.random.RandomState(42).randn(100).astype(np.float32))
    for number, raw in BernoulliGLMRaw().observations().items():
        convolved = torch.nn.functional.conv1d(raw.x[None, None], stimulus[None, None], padding=8)[0, 0, -9:]
        published = BernoulliGLM().numbered(number).x
        assert torch.allclose(torch.cat([raw.x.sum()[None], convolved]), published, atol=1e-4)
        assert torch.allclose(raw.x @ design(), published, atol=1e-4)


def test_glm_rates() -> None:
    theta = torch.tensor([[-0.5, 0.3, 0.2, 0.1, 0.0, -0.1, 0.4, 0.2, 0.1, 0.3]]).expand(20_000, -1)
    with seeded(0):
        rate = spikes(theta).mean(0)
    stimulus = np.random.RandomState(42).randn(100).astype(np.float32)
    logits = [-0.5 + sum(float(theta[0, 1 + j]) * stimulus[t - j] for j in range(9) if t >= j) for t in range(100)]
    assert torch.allclose(rate, torch.sigmoid(torch.tensor(logits, dtype=torch.float32)), atol=0.02)


def solutions(field: Callable[..., list[float]], start: list[float], times: np.ndarray, theta: Tensor) -> np.ndarray:
    """Adaptive solutions of order 8, shape (n, times, d)."""
    return np.stack(
        [
            solve_ivp(
                field, (0, times[-1]), start, "DOP853", times, args=row, rtol=1e-10, atol=1e-12 * abs(start[0])
            ).y.T
            for row in theta.double().tolist()
        ]
    )


def test_lotka_volterra_solver() -> None:
    """Against DOP853, over prior draws: the error in log u is far below the noise of 0.1."""

    def field(_t: float, log_u: np.ndarray, a: float, b: float, c: float, d: float) -> list[float]:
        return [a - b * math.exp(log_u[1]), -c + d * math.exp(log_u[0])]

    with seeded(0):
        theta = LotkaVolterra().graph.sample(100)["theta"]
    exact = solutions(field, [math.log(30), 0.0], np.linspace(0, 18.9, 10), theta)
    exact = torch.from_numpy(exact).transpose(1, 2).flatten(1).clamp(math.log(1e-10), math.log(1e4))
    for dtype, bound in ((torch.float64, 1e-3), (torch.float32, 2e-3)):
        assert float((log_populations(theta.to(dtype)) - exact).abs().max()) < bound


def test_sir_solver() -> None:
    """Against DOP853, over prior draws: the error of I / N is far below the binomial standard deviation."""

    def field(_t: float, y: np.ndarray, beta: float, gamma: float) -> list[float]:
        new = beta * y[0] * y[1]
        return [-new, new - gamma * y[1]]

    with seeded(0):
        theta = SIR().graph.sample(100)["theta"]
    exact = solutions(field, [1 - 1e-6, 1e-6], np.arange(10) * 17.0, theta)[..., 1]
    exact = torch.from_numpy(exact).clamp(0, 1)
    deviation = (exact * (1 - exact) / 1000).sqrt().clamp(min=1e-3 / 1000)
    for dtype in (torch.float64, torch.float32):
        assert float(((infected(theta.to(dtype)) - exact).abs() / deviation).max()) < 0.01


@pytest.mark.parametrize("task", [TwoMoons(), GaussianMixture()], ids=["two_moons", "gaussian_mixture"])
def test_references_agree_with_importance_sampling(task: Classic) -> None:
    """Posterior moments by importance sampling from the prior near the reference, an independent second route."""
    for number in (1, 2, 3):
        x = task.numbered(number).x
        reference = task.reference(x, 50_000, seed=0)
        low, high = reference.min(0).values - 0.05, reference.max(0).values + 0.05
        bound = 1.0 if isinstance(task, TwoMoons) else 10.0
        with seeded(number):
            theta = low + (high - low) * torch.rand(1_000_000, 2)
        weights = task.log_likelihood(theta, x).exp() * (theta.abs() <= bound).all(1)
        weights = weights / weights.sum()
        assert 1 / weights.square().sum() > 3000, "too few effective samples to judge"
        mean = (weights[:, None] * theta).sum(0)
        second = (weights[:, None] * theta**2).sum(0)
        spread = reference.std(0)
        assert torch.allclose(reference.mean(0), mean, atol=float(0.04 * spread.max()))
        assert torch.allclose((reference**2).mean(0), second, rtol=0.03, atol=float(0.04 * spread.max()))


def test_impossible_observations_are_refused() -> None:
    with pytest.raises(SimulationError, match="practically impossible"):
        truncated(lambda m: torch.zeros(m, 1), lambda theta: theta[:, 0] > 0, 1)
