"""The structured tasks: exact posteriors by second routes, likelihoods, golden statistics, options."""

from __future__ import annotations

import math
from functools import partial

import numpy as np
import pytest
import torch
from scipy import integrate, special, stats
from scipy.linalg import expm
from torch import Tensor

from ampbench.errors import GraphError, SimulationError, UsageError
from ampbench.graph import Simulator, join
from ampbench.seeding import seeded
from ampbench.testing import TaskConformance
from ampbench_tasks import line
from ampbench_tasks.collider import Collider
from ampbench_tasks.diamond import Diamond
from ampbench_tasks.eight_schools import EFFECTS, ERRORS, EightSchools
from ampbench_tasks.gaussian_tree import GaussianTree
from ampbench_tasks.hierarchical import Hierarchical
from ampbench_tasks.lgssm import LGSSM
from ampbench_tasks.lgssm_theta import LGSSMTheta
from ampbench_tasks.linear_gaussian import LinearGaussian, LinearGaussianTask, scalar
from ampbench_tasks.nile import Nile
from ampbench_tasks.nonlinear_ssm import NonlinearSSM
from ampbench_tasks.structured import Structured, kept


class TestLGSSM(TaskConformance):
    def make(self) -> LGSSM:
        return LGSSM()


class TestLGSSMOptions(TaskConformance):
    def make(self) -> LGSSM:
        return LGSSM(length=6, dim=3, missing=0.4, irregular=True)


class TestNonlinearSSM(TaskConformance):
    def make(self) -> NonlinearSSM:
        return NonlinearSSM()


class TestNonlinearSSMMissing(TaskConformance):
    def make(self) -> NonlinearSSM:
        return NonlinearSSM(length=4, missing=0.5)


class TestGaussianTree(TaskConformance):
    def make(self) -> GaussianTree:
        return GaussianTree()


class TestGaussianTreeMissing(TaskConformance):
    def make(self) -> GaussianTree:
        return GaussianTree(depth=2, branching=3, missing=0.5)


class TestHierarchical(TaskConformance):
    def make(self) -> Hierarchical:
        return Hierarchical()


class TestHierarchicalMissing(TaskConformance):
    """At this share a group is without any observation."""

    def make(self) -> Hierarchical:
        task = Hierarchical(groups=5, size=2, missing=0.6)
        assert 0 in task.counts
        return task


class TestEightSchools(TaskConformance):
    def make(self) -> EightSchools:
        return EightSchools()


class TestDiamond(TaskConformance):
    def make(self) -> Diamond:
        return Diamond()


class TestCollider(TaskConformance):
    def make(self) -> Collider:
        return Collider()


DEFAULT_TASKS = [
    *(LGSSM(), LGSSMTheta(), Nile(), NonlinearSSM(), GaussianTree(), Hierarchical(), EightSchools(), Diamond()),
    Collider(),
]
OTHER_TASKS = [
    LGSSM(length=7, dim=2, missing=0.3, irregular=True),
    LGSSMTheta(length=4),
    Nile(length=3),
    NonlinearSSM(length=5, missing=0.4),
    GaussianTree(depth=2, branching=4, missing=0.25),
    Hierarchical(groups=6, size=2, missing=0.5),
]


def identify(task: Structured) -> str:
    return task.folder


@pytest.mark.parametrize("task", DEFAULT_TASKS, ids=identify)
def test_golden_statistics(task: Structured) -> None:
    """Prior and simulator agree with the second implementation: no score beyond what chance gives once in 1e5."""
    golden = task.golden()
    drawn = Simulator(task.graph, task.observed, 20_000, seed=11).sample(20_000)
    scores = [golden.prior.z_scores(join(drawn, task.latents))]
    for i, (theta, law) in enumerate(golden.given):
        given = task.graph.split(theta.expand(20_000, -1), task.latents)
        x = Simulator(task.graph, task.observed, 20_000, seed=12 + i).sample(20_000, given)
        scores.append(law.z_scores(join(x, task.observed)))
    worst = max(float(score.abs().max()) for score in scores)
    assert worst < stats.norm.isf(1e-5 / 2 / sum(score.numel() for score in scores))


@pytest.mark.parametrize("task", OTHER_TASKS, ids=identify)
def test_golden_statistics_of_other_options_are_refused(task: Structured) -> None:
    with pytest.raises(UsageError, match=r"golden statistics for its default options only: .* the default is"):
        task.golden()


@pytest.mark.parametrize("task", [*DEFAULT_TASKS, *OTHER_TASKS], ids=identify)
def test_observed_variables_are_in_topological_order_without_density(task: Structured) -> None:
    assert task.graph.check(task.observed) == task.observed
    assert {task.graph[name].kind for name in task.observed} == {"simulator"}
    assert {task.graph[name].kind for name in task.latents} == {"density"}
    assert task.graph.size(task.graph.names) is not None


@pytest.mark.parametrize("task", [*DEFAULT_TASKS, *OTHER_TASKS], ids=identify)
def test_likelihood_belongs_to_the_simulator(task: Structured) -> None:
    """E over x ~ p(x | theta) of p(x | theta') / p(x | theta) is 1 for any theta' (Sugiyama et al. 2012)."""
    n = 200_000
    theta = task.observation(3).theta
    scale = min(1.0, math.sqrt(10 / len(theta)))  # the ratio varies more in more dimensions
    for step in (0.1, -0.05):
        other = theta + step * scale * torch.linspace(0.5, 1, len(theta))
        given = task.graph.split(theta.expand(n, -1), task.latents)
        x = join(Simulator(task.graph, task.observed, n, seed=5).sample(n, given), task.observed)
        ratio = (task.log_likelihood(other[None], x) - task.log_likelihood(theta[None], x)).exp()
        error = float(ratio.std()) / math.sqrt(n)
        assert 0 < error < 0.02, "the test has no power"
        assert abs(float(ratio.mean()) - 1) < 4.5 * error


@pytest.mark.parametrize("task", [*DEFAULT_TASKS, *OTHER_TASKS], ids=identify)
def test_log_likelihood_broadcasts(task: Structured) -> None:
    drawn = Simulator(task.graph, task.observed, 4, seed=1).sample(4)
    theta, x = join(drawn, task.latents), join(drawn, task.observed)
    rows = task.log_likelihood(theta, x)
    assert rows.shape == (4,)
    assert torch.allclose(task.log_likelihood(theta[:1], x)[0], rows[0])
    assert torch.allclose(task.log_likelihood(theta, x[1])[1], rows[1])


# Linear-Gaussian tasks: Kalman and RTS, and the precision matrix.


def rts(task: LGSSM, dim: int, x: np.ndarray, times: list[int]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Means (T, d), covariances (T, d, d) and lag-one covariances (T − 1, d, d) by Kalman filter and RTS smoother."""
    kappa, omega, length = 0.1, 0.5, len(task.gaps) + 1
    A, Q = [], []
    for gap in task.gaps:
        generator = -kappa * np.eye(dim)
        for plane in range(dim // 2):
            generator[2 * plane, 2 * plane + 1], generator[2 * plane + 1, 2 * plane] = -omega, omega
        A.append(expm(generator * gap))
        # the noise of dz = M z ds + sqrt(2 kappa) dW over a gap: the integral of exp(M u) 2 kappa exp(M u)^T
        flow = partial(diffused, generator)
        Q.append(2 * kappa * integrate.quad_vec(flow, 0, gap)[0])
    H, R = np.eye(dim)[::2], 0.25 * np.eye((dim + 1) // 2)
    readings = dict(zip(times, x.reshape(len(times), -1), strict=True))
    predicted, filtered = [(np.zeros(dim), np.eye(dim))], []
    for t in range(length):
        m, P = predicted[t]
        if t + 1 in readings:
            gain = P @ H.T @ np.linalg.inv(H @ P @ H.T + R)
            m, P = m + gain @ (readings[t + 1] - H @ m), P - gain @ H @ P
        filtered.append((m, P))
        if t < length - 1:
            predicted.append((A[t] @ m, A[t] @ P @ A[t].T + Q[t]))
    means, covariances, lags = [filtered[-1][0]], [filtered[-1][1]], []
    for t in range(length - 2, -1, -1):
        (m, P), (m_next, P_next) = filtered[t], predicted[t + 1]
        G = P @ A[t].T @ np.linalg.inv(P_next)
        lags.append(G @ covariances[-1])
        means.append(m + G @ (means[-1] - m_next))
        covariances.append(P + G @ (covariances[-1] - P_next) @ G.T)
    return np.array(means[::-1]), np.array(covariances[::-1]), np.array(lags[::-1]).reshape(-1, dim, dim)


def diffused(generator: np.ndarray, time: float) -> np.ndarray:
    """exp(M s) exp(M s)ᵀ: what the noise of time s ago has become."""
    return expm(generator * time) @ expm(generator * time).T


@pytest.mark.parametrize(
    ("length", "dim", "missing", "irregular"),
    [(10, 1, 0.0, False), (12, 2, 0.0, True), (9, 3, 0.5, True), (50, 2, 0.3, False), (1, 1, 0.0, False)],
)
def test_lgssm_agrees_with_the_rts_smoother(length: int, dim: int, missing: float, irregular: bool) -> None:
    task = LGSSM(length, dim, missing, irregular)
    times = [int(name[2:]) for name in task.observed]
    x = task.observation(2).x
    means, covariances, lags = rts(task, dim, x.double().numpy(), times)
    mean, covariance = (tensor.numpy() for tensor in task.model.posterior(x))
    blocks = covariance.reshape(length, dim, length, dim)
    assert np.allclose(mean.reshape(length, dim), means, atol=1e-10)
    assert np.allclose([blocks[t, :, t] for t in range(length)], covariances, atol=1e-10)
    assert np.allclose([blocks[t, :, t + 1] for t in range(length - 1)], lags, atol=1e-10) or length == 1


@pytest.mark.parametrize("task", [LGSSM(8, 2, 0.25, True), GaussianTree(missing=0.4), Diamond()], ids=identify)
def test_linear_gaussian_posterior_has_the_precision_of_the_log_density(task: LinearGaussianTask) -> None:
    """Second derivatives of log p(z) + log p(x | z) give the precision, a zero of the first gives the mean."""
    x = task.observation(4).x.double()
    mean, covariance = task.model.posterior(x)

    def energy(theta: Tensor) -> Tensor:
        latents = task.graph.split(theta[None], task.latents)
        return -(task.graph.log_prob(latents, task.latents) + task.log_likelihood(theta[None], x))[0]

    precision = torch.autograd.functional.hessian(energy, mean)
    assert torch.allclose(precision @ covariance, torch.eye(len(mean), dtype=torch.float64), atol=1e-5)
    (slope,) = torch.autograd.grad(energy(mean.requires_grad_()), mean)
    assert float(slope.abs().max()) < 1e-5


@pytest.mark.parametrize("task", [LGSSM(dim=2), GaussianTree(), Diamond()], ids=identify)
def test_linear_gaussian_samples_have_the_posterior_moments(task: LinearGaussianTask) -> None:
    x = task.observation(1).x
    mean, covariance = task.model.posterior(x)
    samples = task.reference(x, 40_000, seed=3).double()
    white = torch.linalg.solve_triangular(torch.linalg.cholesky(covariance), (samples - mean).T, upper=False)
    assert float(white.mean(1).abs().max()) < 5 / math.sqrt(40_000)
    assert float((white.cov() - torch.eye(len(mean))).abs().max()) < 6 * math.sqrt(2 / 40_000)


def test_joint_covariance_is_that_of_the_simulations() -> None:
    task = GaussianTree(depth=2)
    values = Simulator(task.graph, task.observed, 100_000, seed=0).sample(100_000)
    empirical = join(values, task.graph.names).double().T.cov()
    _, covariance = task.model.joint
    scale = covariance.diag().sqrt()
    assert float(((empirical - covariance) / scale / scale[:, None]).abs().max()) < 6 * math.sqrt(2 / 100_000)


@pytest.mark.parametrize("length", [50, 200])
def test_long_state_spaces(length: int) -> None:
    """The joint posterior stays positive definite and finite; each variance lies below the prior's, 1."""
    task = LGSSM(length=length, dim=2, missing=0.5, irregular=True)
    observation = task.observation(0)
    samples = task.reference(observation.x, 500, seed=0)
    assert samples.shape == (500, 2 * length)
    _, covariance = task.model.posterior(observation.x)
    assert float(torch.linalg.eigvalsh(covariance)[0]) > 0
    assert float(covariance.diag().max()) < 1


def test_observed_parents_are_refused() -> None:
    with pytest.raises(GraphError, match="observed variable 'b' is a parent of 'c'; observe leaves only"):
        LinearGaussian([scalar("a", 1.0), scalar("b", 1.0, a=1.0), scalar("c", 1.0, b=1.0)], ["b", "c"])


# A density on a line.


@pytest.mark.parametrize(
    ("known", "low", "high"),
    [
        (stats.norm(3, 0.01), -40, 40),
        (stats.norm(-2, 5), -80, 80),
        (stats.expon(), 0, 100),
        (stats.laplace(1, 2), -90, 90),
        (stats.gumbel_r(), -10, 80),
    ],
    ids=lambda value: getattr(getattr(value, "dist", None), "name", ""),
)
def test_line_draws(known: stats.rv_continuous, low: float, high: float) -> None:
    """Draws follow known distributions, also when the cells of the coarse grid are as wide as the distribution."""

    def log_density(u: Tensor) -> Tensor:
        return torch.from_numpy(known.logpdf(u.numpy()))

    drawn = line.draw(log_density, low, high, 20_000, torch.Generator().manual_seed(1)).numpy()
    assert stats.kstest(drawn, known.cdf).pvalue > 1e-4
    levels = torch.rand(20_000, dtype=torch.float64, generator=torch.Generator().manual_seed(1)).numpy()
    assert np.abs(known.cdf(drawn) - levels).max() < 1e-3


# Collider, hierarchy, eight schools: importance sampling and quadrature.


def weighted_moments(theta: Tensor, log_weights: Tensor, least: float) -> tuple[Tensor, Tensor, Tensor]:
    """Mean and second moment of weighted draws, and the effective sample size, which must be enough to judge."""
    weights = (log_weights - log_weights.max()).exp().double()
    weights = weights / weights.sum()
    effective = 1 / weights.square().sum()
    assert effective > least, "too few effective samples to judge"
    return weights @ theta.double(), weights @ theta.double() ** 2, effective


def assert_same_moments(samples: Tensor, theta: Tensor, log_weights: Tensor, least: float) -> None:
    """First and second moments of reference samples and of weighted prior draws agree within sampling error."""
    mean, second, effective = weighted_moments(theta, log_weights, least)
    samples = samples.double()
    for power, expected in ((1, mean), (2, second)):
        error = (samples**power).std(0) * (1 / effective + 1 / len(samples)).sqrt()
        assert bool(((samples**power).mean(0) - expected).abs().le(5 * error).all())


def prior_draws(task: Structured, n: int) -> Tensor:
    return join(Simulator(task.graph, task.observed, n, seed=99).sample(n), task.latents)


@pytest.mark.parametrize("x", [0.0, 0.4, -2.5, 4.0])
def test_collider_agrees_with_importance_sampling(x: float) -> None:
    task = Collider()
    theta = prior_draws(task, 500_000)
    observation = torch.tensor([x])
    samples = task.reference(observation, 50_000, seed=1)
    log_weights = task.log_likelihood(theta, observation)
    assert_same_moments(samples, theta, log_weights, least=500)
    product, expected = samples.prod(1), theta.prod(1)
    assert_same_moments(product[:, None], expected[:, None], log_weights, least=500)


def test_collider_is_bimodal() -> None:
    """Both signs are equally likely, and causes have equal signs when their product is seen to be positive."""
    samples = Collider().reference(torch.tensor([2.0]), 20_000, seed=0)
    assert abs(float((samples[:, 0] > 0).float().mean()) - 0.5) < 5 * 0.5 / math.sqrt(20_000)
    assert float((samples.prod(1) > 0).float().mean()) > 0.99


@pytest.mark.parametrize("task", [Hierarchical(groups=2, size=2), Hierarchical(groups=3, size=2, missing=0.5)])
def test_hierarchical_agrees_with_importance_sampling(task: Hierarchical) -> None:
    theta = prior_draws(task, 1_000_000)
    for seed in (1, 2):
        x = task.observation(seed).x
        assert_same_moments(task.reference(x, 50_000, seed), theta, task.log_likelihood(theta, x), least=2000)


def schools_marginal(tau: float, y: np.ndarray, errors: np.ndarray) -> float:
    """log p(y | tau) as one multivariate normal, mu and theta integrated out."""
    covariance = 25 + np.diag(tau**2 + errors**2)
    return float(stats.multivariate_normal(np.zeros(len(y)), covariance).logpdf(y))


def test_eight_schools_agree_with_quadrature() -> None:
    """The real data: the posterior of tau by quadrature over its quantile under the prior, and each school's mean."""
    y, errors = np.array(EFFECTS), np.array(ERRORS)
    level = (np.arange(5000) + 0.5) / 5000
    tau = stats.halfcauchy(scale=5).ppf(level)
    log_density = np.array([schools_marginal(t, y, errors) for t in tau])
    weights = np.exp(log_density - special.logsumexp(log_density))
    task = EightSchools()
    samples = task.reference(task.numbered(1).x, 100_000, seed=0).double().numpy()
    cdf = np.cumsum(weights)
    below = np.searchsorted(np.sort(samples[:, 1]), tau) / len(samples)
    assert np.abs(below - cdf).max() < 1.95 / math.sqrt(100_000) + weights.max()  # KS at 1e-3
    means = np.zeros(9)
    for t, weight in zip(tau[::10], weights[::10] / weights[::10].sum(), strict=True):
        prior = np.block([[np.full((8, 8), 25.0) + t**2 * np.eye(8), np.full((8, 1), 25.0)], [np.full((1, 9), 25.0)]])
        means += weight * (prior[:, :8] @ np.linalg.solve(prior[:8, :8] + np.diag(errors**2), y))
    error = 5 * samples.std(0) / math.sqrt(100_000) + 1e-3
    assert np.all(
        np.abs(np.append(samples[:, 2:].mean(0), samples[:, 0].mean()) - means) < np.append(error[2:], error[0])
    )


def test_eight_schools_real_data() -> None:
    """Observation 1 is Rubin's, its parameters unknown; the others are fresh, and all numbers are those known."""
    observations = EightSchools().observations()
    assert sorted(observations) == list(range(1, 11))
    assert observations[1].x.tolist() == [28, 8, -3, 7, -1, 1, 18, 12]
    assert bool(observations[1].theta.isnan().all())
    assert all(bool(observations[number].theta.isfinite().all()) for number in range(2, 11))


def test_half_cauchy_tails() -> None:
    """Schools a million points apart: tau follows them out, as the spread of eight schools with known effects would."""
    x = 1e6 * torch.linspace(-1, 1, 8)
    samples = EightSchools().reference(x, 5000, seed=0).double()
    assert bool(samples.isfinite().all())
    assert torch.allclose(samples[:, 2:].mean(0), x.double(), atol=3.0)
    # p(tau | x) ∝ tau^-10 exp(-S / 2 tau²), S the sum of squares (about mu ≈ 0): S / tau² is chi-square with 9 degrees
    ratio = x.double().square().sum() / samples[:, 1] ** 2
    assert stats.kstest(ratio.numpy(), stats.chi2(9).cdf).pvalue > 1e-4


# Nonlinear state space: importance sampling, and the grid.


@pytest.mark.parametrize("task", [NonlinearSSM(length=3), NonlinearSSM(length=4, missing=0.5)])
def test_nonlinear_ssm_agrees_with_importance_sampling(task: NonlinearSSM) -> None:
    theta = prior_draws(task, 1_000_000)
    for seed in (1, 2):
        x = task.observation(seed).x
        assert_same_moments(task.reference(x, 50_000, seed), theta, task.log_likelihood(theta, x), least=2000)


def test_nonlinear_ssm_grid_is_fine_enough() -> None:
    """A grid twice as fine changes no filtered distribution function by as much as 0.0002."""
    task = NonlinearSSM(length=6)
    for seed in (0, 1, 2):
        x = task.observation(seed).x
        coarse, fine = (task.smoother(x, refine).filtering() for refine in (1, 2))
        for (z, mass), (z_fine, mass_fine) in zip(coarse, fine, strict=True):
            edges = np.arange(-50, 50, 0.02)
            cdf = np.interp(edges, z.numpy() + 0.01, (mass.cumsum(0) / mass.sum()).numpy(), left=0)
            other = np.interp(edges, z_fine.numpy() + 0.005, (mass_fine.cumsum(0) / mass_fine.sum()).numpy(), left=0)
            assert np.abs(cdf - other).max() < 2e-4


def test_nonlinear_ssm_draws_are_continuous() -> None:
    task = NonlinearSSM(length=3)
    samples = task.reference(task.observation(1).x, 2000, seed=0)
    assert all(len(samples[:, t].unique()) > 1990 for t in range(3))


def test_impossible_observation_leaves_the_grid() -> None:
    with pytest.raises(SimulationError, match=r"leaves the grid of ±50 at time 2: .* practically impossible"):
        NonlinearSSM(length=3).reference(torch.tensor([1.0, 1000.0, 1.0]), 10, seed=0)


# Options and bad input.


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: LGSSM(length=0), "LGSSM needs length of at least 1, got length=0"),
        (lambda: LGSSM(dim=0), "LGSSM needs dim of at least 1, got dim=0"),
        (lambda: LGSSM(missing=1.0), "LGSSM needs missing of at least 0 and below 1, got missing=1.0"),
        (lambda: LGSSMTheta(length=0), "LGSSMTheta needs length of at least 1, got length=0"),
        (lambda: Nile(length=0), "Nile needs length of at least 1, got length=0"),
        (lambda: NonlinearSSM(length=-1), "NonlinearSSM needs length of at least 1, got length=-1"),
        (lambda: NonlinearSSM(missing=-0.1), "NonlinearSSM needs missing of at least 0 and below 1, got missing=-0.1"),
        (lambda: GaussianTree(depth=0), "GaussianTree needs depth of at least 1, got depth=0"),
        (lambda: GaussianTree(branching=0), "GaussianTree needs branching of at least 1, got branching=0"),
        (
            lambda: GaussianTree(missing=float("nan")),
            "GaussianTree needs missing of at least 0 and below 1, got missing=nan",
        ),
        (lambda: Hierarchical(groups=0), "Hierarchical needs groups of at least 1, got groups=0"),
        (lambda: Hierarchical(size=0), "Hierarchical needs size of at least 1, got size=0"),
        (lambda: Hierarchical(missing=2.0), "Hierarchical needs missing of at least 0 and below 1, got missing=2.0"),
    ],
)
def test_impossible_options(make: object, message: str) -> None:
    assert callable(make)
    with pytest.raises(UsageError, match=message):
        make()


def test_missing_share() -> None:
    """The share is kept to, the pattern is always the same one, and at least one observation is left."""
    assert len(kept(40, 0.25)) == 30
    assert kept(40, 0.25) == kept(40, 0.25)
    assert kept(7, 0.0) == tuple(range(7))
    assert len(kept(1, 0.99)) == len(kept(3, 0.999)) == 1
    assert len(LGSSM(length=20, missing=0.25).observed) == 15
    assert len(LGSSM(length=20, missing=0.25).latents) == 20


def test_irregular_gaps_are_unequal_and_fixed() -> None:
    assert set(LGSSM(5).gaps) == {1.0}
    assert LGSSM(5, irregular=True).gaps == LGSSM(5, irregular=True).gaps
    assert len(set(LGSSM(5, irregular=True).gaps)) == 4


@pytest.mark.parametrize("task", DEFAULT_TASKS, ids=identify)
def test_bad_observations_are_refused(task: Structured) -> None:
    size = task.graph.size(task.observed) or 0
    with pytest.raises(UsageError, match=rf"shape \({size + 1},\), expected \({size},\)"):
        task.reference(torch.zeros(size + 1), 10, 0)
    with pytest.raises(UsageError, match="NaN or infinite values: component 0 is nan"):
        task.reference(torch.full((size,), torch.nan), 10, 0)


def test_reference_leaves_the_global_generators_alone() -> None:
    for task in DEFAULT_TASKS:
        x = task.observation(1).x
        with seeded(0):
            expected = torch.rand(1)
        with seeded(0):
            task.reference(x, 5, seed=3)
            assert torch.equal(torch.rand(1), expected)
