"""The tasks with stored samples: simulators in closed form, densities, and the stored samples by independent routes."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor
from torch.distributions import Beta, Cauchy, HalfCauchy, Normal

from ampbench.cli.reference import build_reference
from ampbench.errors import UsageError
from ampbench.graph import Graph, Simulator, join
from ampbench.metrics.references import reference_samples
from ampbench.seeding import seeded
from ampbench.testing import TaskConformance
from ampbench.verify import Subject, certify
from ampbench_tasks import packaged
from ampbench_tasks.irt_1pl import IRT1PL
from ampbench_tasks.stochastic_volatility import MAX_LOG_VARIANCE, StochasticVolatility, log_returns
from ampbench_tasks.structured import Stored


class TestStochasticVolatility(TaskConformance):
    def make(self) -> StochasticVolatility:
        return StochasticVolatility()


class TestIRT(TaskConformance):
    def make(self) -> IRT1PL:
        return IRT1PL()


class TestSmallIRT(TaskConformance):
    def make(self) -> IRT1PL:
        return IRT1PL(students=1, questions=3)


TASKS = [StochasticVolatility(), IRT1PL()]


def identify(task: Stored) -> str:
    return task.folder


def given(task: Stored, n: int, **values: float) -> dict[str, Tensor]:
    """Simulate n times with given values of some latents."""
    known = {name: torch.full((n, 1), value) for name, value in values.items()}
    return dict(Simulator(task.graph, task.observed, n, seed=7).sample(n, known))


@pytest.mark.parametrize("task", TASKS, ids=identify)
def test_golden_statistics(task: Stored) -> None:
    """Prior and simulator agree with the second implementation: no score beyond what chance gives once in 1e5."""
    golden = task.golden()
    drawn = Simulator(task.graph, task.observed, 20_000, seed=11).sample(20_000)
    scores = [golden.prior.z_scores(join(drawn, task.latents))]
    for i, (theta, law) in enumerate(golden.given):
        latents = task.graph.split(theta.expand(20_000, -1), task.latents)
        x = Simulator(task.graph, task.observed, 20_000, seed=12 + i).sample(20_000, latents)
        scores.append(law.z_scores(join(x, task.observed)))
    worst = max(float(score.abs().max()) for score in scores)
    assert worst < stats.norm.isf(1e-5 / 2 / sum(score.numel() for score in scores))


@pytest.mark.parametrize("task", [*TASKS, IRT1PL(students=2, questions=3)], ids=identify)
def test_the_template_draws_what_the_graph_draws(task: Stored) -> None:
    """Up to the order of the variables, the flat graph of the template has the conditionals of the task's graph."""
    flat, repetition = task.graph, task.graph.repetition
    assert repetition is not None
    again = repetition.template.ground(repetition.sizes)
    ordered = Graph(*(again[name] for name in flat.names))
    with seeded(1):
        drawn = flat.sample(7)
    with seeded(1):
        expected = ordered.sample(7)
    assert list(drawn) == list(expected)
    assert all(torch.equal(value, expected[name]) for name, value in drawn.items())


# Stochastic volatility: the data, moments of a stationary series, bounds.


def test_real_series_has_the_published_extremes() -> None:
    """The index fell by 11.98% on 16 March 2020 and rose by 9.38% on 24 March 2020, its extremes in that year."""
    returns = log_returns()
    assert len(returns) == 100
    assert abs(float(returns.sum())) < 1e-12
    mean = math.log(3050.33 / 3225.52) / 100
    assert float((returns + mean).min().expm1()) == pytest.approx(-0.1198, abs=1e-4)
    assert float((returns + mean).max().expm1()) == pytest.approx(0.0938, abs=1e-4)
    assert int((returns.max() == returns).nonzero()) - int((returns.min() == returns).nonzero()) == 6
    assert torch.equal(StochasticVolatility().numbered(1).x, returns.float())
    assert bool(StochasticVolatility().numbered(1).theta.isnan().all())


def test_log_variances_are_a_stationary_autoregression() -> None:
    """Autocovariance σ² φ^k / (1 − φ²) about m, at the start and at the end of the series."""
    n, m, phi, sigma = 40_000, -1.5, 0.8, 0.6
    values = given(StochasticVolatility(), n, m=m, phi=phi, sigma=sigma)
    variance = sigma**2 / (1 - phi**2)
    for t in (1, 50, 98):
        h = torch.cat([values[f"h_{t + lag}"] for lag in range(3)], dim=1).double() - m
        expected = variance * phi ** torch.tensor([[0, 1, 2], [1, 0, 1], [2, 1, 0]]).double()
        assert float(h.mean(0).abs().max()) < 5 * math.sqrt(variance / n)
        assert float((h.T.cov() - expected).abs().max()) < 6 * variance * math.sqrt(2 / n)


def test_returns_have_the_moments_of_a_lognormal_mixture() -> None:
    """E y² = exp(m + s²/2) and E y⁴ = 3 exp(2 m + 2 s²), where s² is the variance of h."""
    n, m, phi, sigma = 200_000, 0.3, 0.9, 0.1
    values = given(StochasticVolatility(), n, m=m, phi=phi, sigma=sigma)
    variance = sigma**2 / (1 - phi**2)
    for t in (1, 100):
        y = values[f"y_{t}"].double()[:, 0]
        for power, expected in ((2, math.exp(m + variance / 2)), (4, 3 * math.exp(2 * m + 2 * variance))):
            assert abs(float((y**power).mean()) - expected) < 5 * float((y**power).std()) / math.sqrt(n)


def test_prior_of_the_roots() -> None:
    values = Simulator(StochasticVolatility().graph, ("y_1",), 20_000, seed=3).sample(20_000)
    known = {"m": stats.cauchy(0, 5), "phi": stats.beta(20, 1.5, loc=-1, scale=2), "sigma": stats.halfcauchy(0, 2)}
    for name, law in known.items():
        assert stats.kstest(values[name][:, 0].double().numpy(), law.cdf).pvalue > 1e-4


@pytest.mark.parametrize("level", [-1000.0, 1000.0])
def test_log_variances_are_bounded(level: float) -> None:
    task = StochasticVolatility()
    values = given(task, 1000, **{name: level for name in task.latents if name.startswith("h_")})
    y, scale = join(values, task.observed).double(), math.exp(math.copysign(MAX_LOG_VARIANCE, level) / 2)
    assert bool((y != 0).all())
    assert float((y / scale).std()) == pytest.approx(1, abs=0.02)
    theta = torch.cat([torch.tensor([0.0, 0.5, 1.0]), torch.full((100,), level)]).expand(1000, -1)
    expected = stats.norm(0, scale).logpdf(y.numpy()).sum(1)
    assert np.allclose(task.log_likelihood(theta, y).numpy(), expected, rtol=1e-6)


def test_a_persistence_rounded_to_one_gives_finite_states() -> None:
    values = given(StochasticVolatility(), 10, m=0.0, phi=1.0, sigma=1.0)
    assert bool(torch.isfinite(values["h_100"]).all())


# Item response: margins by quadrature.


def logistic_mean(mean: np.ndarray, variance: float) -> np.ndarray:
    """E of the logistic function of Gaussians, by Gauss-Hermite quadrature."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(60)
    logits = np.asarray(mean)[..., None] + math.sqrt(variance) * nodes
    return (weights / (1 + np.exp(-logits))).sum(-1) / math.sqrt(2 * math.pi)


def test_answers_share_students_and_questions() -> None:
    """P(y_ij) = E σ(N(0.75, 3)); two answers with one question or one student in common have two of three variances."""
    n, task = 100_000, IRT1PL(students=2, questions=2)
    values = Simulator(task.graph, task.observed, n, seed=5).sample(n)
    first, second = (values[name].double().numpy() for name in ("y_1", "y_2"))
    nodes, weights = np.polynomial.hermite_e.hermegauss(60)
    weights = weights / math.sqrt(2 * math.pi)
    one = float(logistic_mean(np.array(0.75), 3))
    shared = {
        count: float((weights * logistic_mean(0.75 + math.sqrt(count) * nodes, 3 - count) ** 2).sum())
        for count in (1, 2)
    }
    cases = [(first[:, 0], one), (second[:, 1], one)]
    cases += [(first[:, 0] * first[:, 1], shared[2]), (first[:, 0] * second[:, 0], shared[2])]
    cases += [(first[:, 0] * second[:, 1], shared[1])]
    assert shared[2] - shared[1] > 0.02
    for values_, expected in cases:
        assert abs(values_.mean() - expected) < 5 * math.sqrt(expected * (1 - expected) / n)


def test_item_response_likelihood_is_that_of_bernoulli_variables() -> None:
    task = IRT1PL(students=4, questions=3)
    observation = task.observation(2)
    m, a, b = observation.theta.double().numpy()[0], observation.theta[1:5].numpy(), observation.theta[5:].numpy()
    bits = observation.x.numpy().reshape(4, 3)
    chance = 1 / (1 + np.exp(-(m + a[:, None] - b)))
    expected = stats.bernoulli(chance).logpmf(bits.astype(int)).sum()
    assert float(task.log_likelihood(observation.theta[None], observation.x)[0]) == pytest.approx(expected, rel=1e-6)


def test_only_the_margins_matter() -> None:
    task = IRT1PL(students=2, questions=2)
    theta = torch.randn(50, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    one, other = torch.tensor([1.0, 0, 0, 1]), torch.tensor([0.0, 1, 1, 0])
    assert torch.allclose(task.log_likelihood(theta, one), task.log_likelihood(theta, other))


# Stored samples.


@pytest.mark.parametrize("task", TASKS, ids=identify)
def test_stored_sets_are_whole_and_their_chains_converged(task: Stored) -> None:
    info = json.loads(packaged.DATA.joinpath(task.folder, "info.json").read_text(encoding="utf-8"))
    assert (info["task"], info["version"], info["samples"]) == (task.folder, task.version, 2000)
    assert {"algorithm", "source", "versions", "seeds", "script", "warmup"} <= info.keys()
    numbers = [str(number) for number in task.observations()]
    assert numbers == list(info["diagnostics"]) == list(info["seeds"])
    for number in task.observations():
        theta, found = task.shipped_reference(number), info["diagnostics"][str(number)]
        assert found["r_hat"] < 1.005
        assert min(found["ess_bulk"], found["ess_tail"]) > 4000
        assert found["divergences"] == 0
        assert theta.shape == (2000, task.graph.size(task.latents))
        assert len(theta.unique(dim=0)) == 2000
        assert hashlib.sha256(theta.numpy().tobytes()).hexdigest() == info["sha256"][str(number)]
        for name, part in task.graph.split(theta, task.latents).items():
            assert bool(torch.all(task.graph[name].support.check(part)))


@pytest.mark.parametrize("task", TASKS, ids=identify)
def test_more_samples_than_are_stored_are_refused(task: Stored) -> None:
    assert torch.equal(reference_samples(task, 2, 1500), task.shipped_reference(2)[:1500])
    with pytest.raises(UsageError, match=r"has 2000 stored reference samples .* 2001 are too many"):
        reference_samples(task, 2, 2001)


def test_stored_samples_cannot_be_built(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="task 'irt_1pl' has stored samples only"):
        build_reference("irt_1pl", tmp_path, 10)


def test_other_options_have_observations_but_no_samples() -> None:
    task = IRT1PL(students=3)
    assert len(task.observations()) == 10
    for act in (task.golden, lambda: task.shipped_reference(1)):
        with pytest.raises(UsageError, match="for its default options only: students is 3, the default is 30"):
            act()
    (row,) = certify("irt_1pl:students=3", Subject(task), ["shipped"])
    assert row.verdict == "skipped"
    with pytest.raises(UsageError, match="unknown observation 99"):
        IRT1PL().shipped_reference(99)


@pytest.mark.parametrize("option", ["students", "questions"])
def test_impossible_options(option: str) -> None:
    with pytest.raises(UsageError, match=f"IRT1PL needs {option} of at least 1, got {option}=0"):
        IRT1PL(**{option: 0})


# The posterior densities, written a second time in unconstrained coordinates u.

Density = Callable[[Tensor, Tensor], Tensor]


def volatility_coordinates(theta: Tensor) -> Tensor:
    """Map theta to u = (m, artanh φ, log σ, e), where e are the innovations."""
    m, phi, sigma, h = theta.double().split([1, 1, 1, 100], dim=1)
    first = (h[:, :1] - m) * (1 - phi**2).sqrt()
    steps = h[:, 1:] - m - phi * (h[:, :-1] - m)
    return torch.cat([m, phi.atanh(), sigma.log(), torch.cat([first, steps], dim=1) / sigma], dim=1)


def volatility_density(u: Tensor, y: Tensor) -> Tensor:
    """log p(u, y), shape (n,)."""
    m, slope, log_sigma, e = u.split([1, 1, 1, 100], dim=1)
    phi, share = slope.tanh(), 1 / slope.cosh() ** 2  # 1 − φ² is the derivative of φ, too
    roots = Cauchy(0.0, 5.0).log_prob(m) + Beta(20.0, 1.5).log_prob((1 + phi) / 2) + share.log()
    roots = roots + HalfCauchy(2.0).log_prob(log_sigma.exp()) + log_sigma
    g = [e[:, :1] / share.sqrt()]
    for t in range(1, 100):
        g.append(phi * g[-1] + e[:, t : t + 1])
    h = m + log_sigma.exp() * torch.cat(g, dim=1)
    return roots[:, 0] - (e**2 + h + y**2 * (-h).exp()).sum(1) / 2


def response_density(u: Tensor, y: Tensor) -> Tensor:
    """log p(u, y) of u = (m, a, b), shape (n,)."""
    prior = Normal(torch.tensor([0.75] + 40 * [0.0], dtype=torch.float64), 1.0).log_prob(u).sum(1)
    logits = (u[:, :1] + u[:, 1:31])[:, :, None] - u[:, None, 31:]
    bits = y.reshape(30, 10)
    return prior + (bits * logits - torch.nn.functional.softplus(logits)).sum((1, 2))


DENSITIES: dict[str, tuple[Callable[[Tensor], Tensor], Density]] = {
    "stochastic_volatility": (volatility_coordinates, volatility_density),
    "irt_1pl": (Tensor.double, response_density),
}
STORED = [(task, number) for task in TASKS for number in task.observations()]
NAMES = [f"{task.folder}-{number}" for task, number in STORED]


@pytest.mark.parametrize(("task", "number"), STORED, ids=NAMES)
def test_density_is_that_of_the_task(task: Stored, number: int) -> None:
    """Up to a constant, at the stored draws; the task's prior is in float32."""
    encode, log_density = DENSITIES[task.folder]
    theta, x = task.shipped_reference(number)[:200], task.numbered(number).x.double()
    jacobian = torch.zeros(200, dtype=torch.float64)
    if task.folder == "stochastic_volatility":  # 1 − φ² of φ and its root of e_1; σ of log σ, and of each e
        jacobian = torch.log1p(-(theta[:, 1].double() ** 2)) / 2 + 101 * theta[:, 2].double().log()
    prior = task.graph.log_prob(task.graph.split(theta, task.latents), task.latents).double()
    gap = prior + task.log_likelihood(theta, x) + jacobian - log_density(encode(theta), x)
    assert float((gap - gap.median()).abs().max()) < 0.02


def scores(log_density: Density, u: Tensor, x: Tensor) -> Tensor:
    """Standard scores of E[∂ log π] = 0 and of E[(u − c) ∂ log π] = −1, c the mean.

    There is one for each component, and one for the sum of the latter, shape (2 D + 1,).
    """
    u = u.clone().requires_grad_()
    (slope,) = torch.autograd.grad(log_density(u, x).sum(), u)
    widths = (u - u.mean(0)) * slope + 1
    terms = torch.cat([slope, widths, widths.sum(1, keepdim=True)], dim=1).detach()
    return terms.mean(0) / terms.std(0) * math.sqrt(len(terms))


@pytest.mark.parametrize(("task", "number"), STORED, ids=NAMES)
def test_stored_samples_satisfy_steins_identity(task: Stored, number: int) -> None:
    """E[∂ (f π) / π] = 0 for f = 1 and f = u − c (Stein 1972); draws that are a twentieth too wide do not."""
    encode, log_density = DENSITIES[task.folder]
    u, x = encode(task.shipped_reference(number)), task.numbered(number).x.double()
    assert float(scores(log_density, u, x).abs().max()) < 5
    wide = u.mean(0) + 1.05 * (u - u.mean(0))
    assert float(scores(log_density, wide, x).abs().max()) > 10


def laplace(log_density: Density, x: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """The mode of a log-concave density, and the Cholesky factor of the inverse of minus the Hessian there."""
    u = torch.zeros(size, dtype=torch.float64)
    for _ in range(20):
        slope = torch.autograd.functional.jacobian(lambda v: log_density(v[None], x)[0], u)
        precision = -torch.autograd.functional.hessian(lambda v: log_density(v[None], x)[0], u)
        u = u + torch.linalg.solve(precision, slope)
    return u, torch.linalg.cholesky(torch.linalg.inv(precision))


@pytest.mark.parametrize("number", list(IRT1PL().observations()))
def test_item_response_samples_agree_with_importance_sampling(number: int) -> None:
    """First and second moments, and those of neighbours, of draws from the Laplace approximation, weighted."""
    n, task = 20_000, IRT1PL()
    x, stored = task.numbered(number).x.double(), task.shipped_reference(number).double()
    mode, factor = laplace(response_density, x, 41)
    noise = torch.randn(n, 41, dtype=torch.float64, generator=torch.Generator().manual_seed(number))
    u = mode + noise @ factor.T
    weights = torch.softmax(response_density(u, x) + (noise**2).sum(1) / 2, 0)
    effective = float(1 / weights.square().sum())
    assert effective > 2000, "too few effective samples to judge"
    moments: list[Callable[[Tensor], Tensor]] = [lambda v: v, torch.square, lambda v: v * v.roll(1, 1)]
    for moment in moments:
        error = moment(stored).std(0) * math.sqrt(1 / effective + 1 / len(stored))
        assert float(((moment(stored).mean(0) - weights @ moment(u)) / error).abs().max()) < 5


def volatility_proposals(task: StochasticVolatility, number: int, n: int) -> tuple[Tensor, Tensor]:
    """Draws theta (n, 103) with log weights (n,): roots about the stored ones, and h by its Laplace approximation."""
    generator = torch.Generator().manual_seed(number)
    y, stored = task.numbered(number).x.double(), volatility_coordinates(task.shipped_reference(number))[:, :3]
    factor = torch.linalg.cholesky(1.3 * stored.T.cov())
    noise, freedom = torch.randn(n, 103, dtype=torch.float64, generator=generator), 5
    squares = torch.randn(n, freedom, dtype=torch.float64, generator=generator).square().mean(1, keepdim=True)
    roots = stored.mean(0) + noise[:, :3] / squares.sqrt() @ factor.T  # Student t
    log_q = -(freedom + 3) / 2 * torch.log1p((noise[:, :3] ** 2).sum(1) / squares[:, 0] / freedom)
    m, phi, sigma = roots[:, :1], roots[:, 1:2].tanh(), roots[:, 2:].exp()
    main = torch.cat([torch.ones(n, 1), (1 + phi**2).expand(-1, 98), torch.ones(n, 1)], dim=1)
    beside = torch.diag_embed(-phi.expand(-1, 99), offset=1)
    prior = (torch.diag_embed(main) + beside + beside.mT) / sigma[..., None] ** 2  # precision of h given the roots
    h = torch.full((n, 100), float((y**2).mean().log()), dtype=torch.float64)
    for _ in range(25):
        half = y**2 * (-h).exp() / 2
        slope = half - 0.5 - (prior @ (h - m)[..., None])[..., 0]
        precision = torch.linalg.cholesky(prior + torch.diag_embed(half.clamp(min=0.05)))
        h = h + torch.cholesky_solve(slope[..., None], precision)[..., 0].clamp(-2, 2)
    precision = torch.linalg.cholesky(prior + torch.diag_embed(y**2 * (-h).exp() / 2 + 0.1))  # a little too narrow
    e = torch.linalg.solve_triangular(precision.mT, noise[:, 3:, None], upper=True)[..., 0]
    log_q = log_q - (noise[:, 3:] ** 2).sum(1) / 2 + precision.diagonal(dim1=1, dim2=2).log().sum(1)
    theta = torch.cat([m, phi, sigma, h + e], dim=1)
    jacobian = 100 * roots[:, 2] - torch.log1p(-(phi[:, 0] ** 2)) / 2  # of h with respect to the innovations
    return theta, volatility_density(volatility_coordinates(theta), y) - jacobian - log_q


@pytest.mark.slow
@pytest.mark.parametrize("number", [3, 4])
def test_volatility_samples_agree_with_importance_sampling(number: int) -> None:
    """The observations with small σ, where the Laplace approximation of h suffices."""
    task = StochasticVolatility()
    stored = task.shipped_reference(number).double()
    theta, log_weights = volatility_proposals(task, number, 3000)
    weights = torch.softmax(log_weights, 0)
    effective = float(1 / weights.square().sum())
    assert effective > 500, "too few effective samples to judge"
    for power in (1, 2):
        error = (stored**power).std(0) * math.sqrt(1 / effective + 1 / len(stored))
        assert float((((stored**power).mean(0) - weights @ theta**power) / error).abs().max()) < 5


def test_real_posterior_has_the_published_moments() -> None:
    """Means and deviations of many draws by Stan: ``stochastic_volatility_log_sp500_small`` of the inference gym."""
    published = {
        "m": (-7.661183, 1.1869502),
        "phi": (0.9316394, 0.0429751),
        "sigma": (0.5338257, 0.1404033),
        "h_1": (-8.873341, 0.7883943),
        "h_30": (-5.122223, 0.5583107),
        "h_60": (-8.054614, 0.6659860),
        "h_100": (-8.118430, 0.7003485),
    }
    task = StochasticVolatility()
    draws = task.graph.split(task.shipped_reference(1), task.latents)
    for name, (mean, deviation) in published.items():
        drawn = draws[name].double()
        assert abs(float(drawn.mean()) - mean) < 4 * deviation / math.sqrt(2000), name
        assert float(drawn.std()) == pytest.approx(deviation, rel=0.15), name
