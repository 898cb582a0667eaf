"""The intractable tasks: golden statistics, likelihoods that are densities, closed forms, and references."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy import integrate, stats
from scipy.linalg import toeplitz
from torch import Tensor

from ampbench.errors import SimulationError, UsageError
from ampbench.graph import Simulator
from ampbench.interfaces import HasLikelihood, HasReference, Task
from ampbench.seeding import seeded
from ampbench.testing import TaskConformance
from ampbench_tasks import birth_death, g_and_k, mg1, ricker, stochastic_lotka_volterra
from ampbench_tasks.birth_death import BirthDeath
from ampbench_tasks.epidemic import Epidemic, contacts
from ampbench_tasks.external import ExternalProgram
from ampbench_tasks.g_and_k import GAndK
from ampbench_tasks.gillespie import trajectories
from ampbench_tasks.ma2 import MA2, Triangle
from ampbench_tasks.mg1 import MG1
from ampbench_tasks.ricker import Ricker
from ampbench_tasks.stochastic_lotka_volterra import StochasticLotkaVolterra


class TestMG1(TaskConformance):
    calibration = 40

    def make(self) -> MG1:
        return MG1()


class TestGAndK(TaskConformance):
    calibration = 40

    def make(self) -> GAndK:
        return GAndK()


class TestRicker(TaskConformance):
    calibration = 30

    def make(self) -> Ricker:
        return Ricker(steps=10)  # short, to be quick; the full length is a slow test


class TestStochasticLotkaVolterra(TaskConformance):
    def make(self) -> StochasticLotkaVolterra:
        return StochasticLotkaVolterra()


class TestBirthDeath(TaskConformance):
    calibration = 60

    def make(self) -> BirthDeath:
        return BirthDeath()


class TestEpidemic(TaskConformance):
    def make(self) -> Epidemic:
        return Epidemic()


class TestMA2(TaskConformance):
    calibration = 60

    def make(self) -> MA2:
        return MA2()


class TestExternalProgram(TaskConformance):
    calibration = 30  # the reference is that of birth_death

    def make(self) -> ExternalProgram:
        return ExternalProgram()


EXACT_TASKS = [MG1(), GAndK(), BirthDeath(), MA2()]
TASKS = [*EXACT_TASKS, Ricker(), StochasticLotkaVolterra(), Epidemic(), ExternalProgram()]


def name(task: Task) -> str:
    return type(task).__name__


def simulate(task: Task, theta: Tensor, n: int, seed: int = 0) -> Tensor:
    """n draws of x at one theta, shape (n, L)."""
    return Simulator(task.graph, ["x"], n, seed).sample(n, {"theta": theta.expand(n, -1)})["x"]


@pytest.mark.parametrize("task", TASKS, ids=name)
def test_golden_statistics(task: Task) -> None:
    """An independent implementation gives the same probabilities; 3e-5 is the share of normal scores beyond 4.2."""
    golden = task.golden()  # type: ignore[attr-defined]
    prior = Simulator(task.graph, ["x"], 10_000, 0)
    theta = task.graph["theta"].sample(50_000)
    scores = [golden.prior.z_scores(theta).flatten()]
    n = {StochasticLotkaVolterra: 1000, Epidemic: 3000}.get(type(task), 10_000)
    scores += [law.z_scores(simulate(task, theta, n)).flatten() for theta, law in golden.given]
    assert prior.spent == 0
    assert float(torch.cat(scores).abs().max()) < 4.7


THETAS = {
    "MG1": ([2.0, 4.0, 0.15], [2.0, 4.1, 0.16]),
    "GAndK": ([3.0, 1.0, 2.0, 0.5], [3.05, 1.05, 2.1, 0.52]),
    "BirthDeath": ([0.6, 0.4], [0.65, 0.38]),
    "MA2": ([0.6, 0.2], [0.7, 0.15]),
}


@pytest.mark.parametrize("task", EXACT_TASKS, ids=name)
def test_likelihood_is_a_normalised_density(task: Task) -> None:
    """E_{x ~ p(x | theta)} [p(x | theta') / p(x | theta)] = 1."""
    assert isinstance(task, HasLikelihood)
    theta, near = map(torch.tensor, THETAS[name(task)])
    x = simulate(task, theta, 20_000)
    ratio = (task.log_likelihood(near, x) - task.log_likelihood(theta, x)).exp()
    error = float(ratio.std()) / len(ratio) ** 0.5
    assert 0 < error < 0.02
    assert abs(float(ratio.mean()) - 1) < 4 * error


@pytest.mark.parametrize("task", EXACT_TASKS, ids=name)
def test_likelihood_broadcasts(task: Task) -> None:
    assert isinstance(task, HasLikelihood)
    values = Simulator(task.graph, ["x"], 6, 0).sample(6)
    theta, x = values["theta"], values["x"]
    table = task.log_likelihood(theta[:, None], x)
    assert table.shape == (6, 6)
    assert torch.allclose(table.diagonal(), task.log_likelihood(theta, x))
    assert torch.allclose(table[:, 2], task.log_likelihood(theta, x[2]))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: MG1(0), "customers=0"),
        (lambda: GAndK(0), "draws=0"),
        (lambda: Ricker(0), "steps=0"),
        (lambda: MA2(2), "length=2"),
        (lambda: BirthDeath(start=0), "start=0"),
        (lambda: BirthDeath(interval=math.nan), "interval=nan"),
        (lambda: BirthDeath(length=30), r"populations of 10 exp\(9\), beyond 2000; choose smaller"),
        (lambda: ExternalProgram("a 'b"), "cannot split the command .*close its quotation"),
        (lambda: ExternalProgram(timeout=0), "timeout=0"),
    ],
)
def test_impossible_options(make: Callable[[], Task], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        make()


@pytest.mark.parametrize("task", [MG1(5), GAndK(5), Ricker(5), MA2(5), BirthDeath(length=5)], ids=name)
def test_golden_statistics_are_for_the_defaults_only(task: Task) -> None:
    assert task.observation(0).x.shape == (5,)
    with pytest.raises(UsageError, match="golden statistics for"):
        task.golden()  # type: ignore[attr-defined]


def same_distribution(first: Tensor, second: Tensor) -> bool:
    """Whether two samples (n, D) pass a Kolmogorov-Smirnov test in each component and in each pairwise sum."""
    columns = [first, first + first.roll(1, 1)], [second, second + second.roll(1, 1)]
    a, b = (torch.cat(each, 1).double().numpy() for each in columns)
    return min(stats.ks_2samp(u, v).pvalue for u, v in zip(a.T, b.T, strict=True)) > 1e-4


def gibbs_queue(x: np.ndarray, chains: int, sweeps: int, rng: np.random.Generator) -> np.ndarray:
    """Shestopaloff & Neal's Gibbs sampler of theta and the arrival times V, one state per chain: (chains, 3)."""
    size, departed = len(x), np.concatenate([[0.0], np.cumsum(x)])
    low = np.full(chains, 0.5 * x.min())
    high = np.full(chains, min(low[0] + 9.9, x.max() + 1.0))
    upper = departed[1:] - low[:, None]
    arrivals = np.maximum.accumulate(np.where(x > high[:, None], upper - 1e-3, 0.5 * departed[:-1] + 1e-3), axis=1)
    arrivals = np.minimum(arrivals, upper)
    for _ in range(sweeps):
        for parity in (0, 1):
            before = np.concatenate([np.zeros((chains, 1)), arrivals[:, :-1]], 1)
            after = np.concatenate([arrivals[:, 1:], np.full((chains, 1), np.inf)], 1)
            least = np.maximum(before, np.where(x > high[:, None], departed[1:] - high[:, None], 0.0))
            most = np.minimum(after, departed[1:] - low[:, None])
            fresh = rng.uniform(least, most)
            chosen = np.arange(size) % 2 == parity
            chosen[-1] = False
            arrivals = np.where(chosen, fresh, arrivals)
        rate = truncated_gamma(size + 1, arrivals[:, -1], 1 / 3, rng)
        least = np.maximum(arrivals[:, -2], np.where(x[-1] > high, departed[-1] - high, 0.0))
        width = rate * (departed[-1] - low - least)
        arrivals[:, -1] = least - np.log1p(rng.random(chains) * np.expm1(-width)) / rate
        services = x - np.maximum(0, arrivals - departed[:-1])
        # (high - low) ** -size, in low and in high
        low = high - powered(high - services.min(1), np.minimum(high, 10.0), size, rng, high)
        high = low + powered(services.max(1) - low, np.full(chains, 10.0), size, rng, low)
    return np.stack([low, high - low, rate], 1)


def truncated_gamma(shape: int, rate: np.ndarray, top: float, rng: np.random.Generator) -> np.ndarray:
    law = stats.gamma(shape, scale=1 / rate)
    return law.ppf(rng.random(len(rate)) * law.cdf(top))


def powered(least: np.ndarray, most: np.ndarray, size: int, rng: np.random.Generator, anchor: np.ndarray) -> np.ndarray:
    """Draw from the density proportional to v ** -size between two positive bounds."""
    a, b = least ** (1 - size), most ** (1 - size)
    return (a + rng.random(len(anchor)) * (b - a)) ** (1 / (1 - size))


def test_queue_reference_agrees_with_shestopaloff_and_neal() -> None:
    task = MG1()
    x = task.observation(3).x
    chains = gibbs_queue(x.double().numpy(), 300, 2000, np.random.default_rng(0))
    assert same_distribution(task.reference(x, 4000, 0), torch.from_numpy(chains))


def test_queue_likelihood_integrates_to_one() -> None:
    theta = torch.tensor([1.0, 2.0, 0.25], dtype=torch.float64)
    middles = (torch.arange(1200, dtype=torch.float64) + 0.5) * 0.05
    mass = mg1.log_likelihood(theta, torch.cartesian_prod(middles, middles)).exp().sum() * 0.05**2
    assert abs(float(mass) - 1) < 1e-3


def test_queue_likelihood_of_one_customer() -> None:
    """x_1 = S_1 + V_1: a uniform and an exponential variable, added."""
    theta, x = torch.tensor([1.0, 2.0, 0.25]), torch.tensor([0.5, 1.5, 2.9, 3.1, 20.0])
    expected = [
        integrate.quad(lambda s, t=t: 0.125 * math.exp(-0.25 * (t - s)), 1, min(3, t))[0] if t > 1 else 0 for t in x
    ]
    assert np.allclose(mg1.log_likelihood(theta, x[:, None]).exp(), expected, rtol=1e-6)


def test_a_queue_that_never_waits() -> None:
    """With rare arrivals every departure follows an arrival: gaps are exponential plus a service time."""
    x = simulate(MG1(), torch.tensor([1.0, 2.0, 1e-4]), 20_000)
    assert abs(float(x[:, 5].mean()) / 10_002 - 1) < 0.03
    busy = simulate(MG1(customers=200), torch.tensor([9.0, 1.0, 1 / 3]), 500)
    assert abs(float(busy[:, 100:].mean()) - 9.5) < 0.01


def test_impossible_queue() -> None:
    """No customer can be served faster than instantly."""
    with pytest.raises(SimulationError, match="cannot be sampled"):
        MG1().reference(torch.full((20,), -1.0), 10, 0)


def test_g_and_k_without_skew_and_tails_is_gaussian() -> None:
    theta = torch.tensor([3.0, 2.0, 0.0, 0.0], dtype=torch.float64)
    x = torch.linspace(-30, 30, 50, dtype=torch.float64)
    expected = torch.distributions.Normal(3.0, 2.0).log_prob(x)
    assert torch.allclose(g_and_k.log_density(theta, x), expected, atol=1e-6)
    with seeded(0):
        draws = GAndK().simulate(theta.float().expand(2000, 4)).flatten()
    assert stats.kstest(draws.numpy(), "norm", (3, 2)).pvalue > 1e-4


def test_g_and_k_density_is_the_derivative_of_the_inverse() -> None:
    """At Q(z) the density is φ(z) / Q'(z), with Q' by automatic differentiation, all over the prior."""
    with seeded(0):
        theta = 10 * torch.rand(3000, 4, dtype=torch.float64)
        z = 1.5 * torch.randn(3000, 50, dtype=torch.float64)
    z.requires_grad_()
    x = g_and_k.quantile(theta, z)
    (slope,) = torch.autograd.grad(x.sum(), z)
    expected = torch.distributions.Normal(0.0, 1.0).log_prob(z) - slope.log()
    assert torch.allclose(g_and_k.log_density(theta, x.detach()), expected.detach(), atol=1e-5)


@pytest.mark.parametrize("theta", [[3.0, 1.0, 2.0, 0.5], [5.0, 2.0, 9.9, 0.0], [0.0, 1.0, 0.0, 0.01]])
def test_g_and_k_density_integrates_to_one(theta: list[float]) -> None:
    z = torch.linspace(-8, 8, 40_001, dtype=torch.float64)
    x = g_and_k.quantile(torch.tensor(theta, dtype=torch.float64), z)
    mass = torch.trapezoid(g_and_k.log_density(torch.tensor(theta), x).exp(), x)
    assert abs(float(mass) - 1) < 1e-4


@pytest.mark.parametrize("seed", [4, 5])
def test_g_and_k_reference_reaches_into_the_corner(seed: int) -> None:
    """Near the bound of A the posterior is a thin ridge; two independent references agree all along it."""
    with seeded(seed):
        x = GAndK().simulate(torch.tensor([[9.26, 4.57, 8.76, 0.24]]))[0]
    first, second = (GAndK().reference(x, 1000, run) for run in (0, 1))
    assert min(stats.ks_2samp(first[:, i], second[:, i]).pvalue for i in range(4)) > 1e-4


def test_moving_average_covariance() -> None:
    theta = torch.tensor([0.6, -0.3])
    covariance = simulate(MA2(), theta, 50_000).T.cov()
    column = torch.zeros(50)
    column[:3] = torch.tensor([1 + 0.36 + 0.09, 0.6 * (1 - 0.3), -0.3])
    assert torch.allclose(covariance, torch.from_numpy(toeplitz(column)).float(), atol=0.05)


def test_moving_average_likelihood_is_gaussian() -> None:
    values = Simulator(MA2().graph, ["x"], 20, 0).sample(20)
    for theta, x in zip(values["theta"].double().numpy(), values["x"].double().numpy(), strict=True):
        column = np.zeros(50)
        column[:3] = 1 + theta @ theta, theta[0] * (1 + theta[1]), theta[1]
        expected = stats.multivariate_normal(np.zeros(50), toeplitz(column)).logpdf(x)
        mine = MA2().log_likelihood(torch.from_numpy(theta), torch.from_numpy(x))
        assert abs(float(mine) - expected) < 1e-8


def test_triangle() -> None:
    prior, corners = Triangle(), torch.tensor([[-2.0, 1.0], [2.0, 1.0], [0.0, -1.0]])
    with seeded(0):
        theta = prior.sample(torch.Size([100_000]))
    assert bool(torch.isfinite(prior.log_prob(theta)).all())
    assert torch.allclose(theta.mean(0), corners.mean(0), atol=0.01)
    covariance = (corners - corners.mean(0)).T @ (corners - corners.mean(0)) / 12
    assert torch.allclose(theta.T.cov(), covariance, atol=0.01)
    outside = torch.tensor([[1.5, 0.0], [-1.5, 0.0], [0.5, -0.9]])
    assert bool((prior.log_prob(outside) == -torch.inf).all())
    grid = torch.cartesian_prod(torch.linspace(-2, 2, 801), torch.linspace(-1, 1, 401))
    assert abs(float(prior.log_prob(grid).exp().mean()) * 8 - 1) < 0.01


def test_moving_average_reference_agrees_with_a_grid() -> None:
    task, steps = MA2(), 600
    x = task.observation(2).x
    cells = torch.cartesian_prod(
        (torch.arange(steps) + 0.5) / steps * 4 - 2, (torch.arange(steps) + 0.5) / steps * 2 - 1
    )
    cells = cells.double()[torch.isfinite(Triangle().log_prob(cells))]
    with seeded(0):
        chosen = cells[torch.softmax(task.log_likelihood(cells, x), 0).multinomial(4000, replacement=True)]
        jitter = (torch.rand(4000, 2) - 0.5) * torch.tensor([4 / steps, 2 / steps])
    assert same_distribution(task.reference(x, 4000, 0), chosen + jitter)


def test_birth_death_moments() -> None:
    """E n(t) = n_0 exp((λ − μ) t), and the variance is n_0 (λ + μ) / (λ − μ) e^{(λ − μ) t} (e^{(λ − μ) t} − 1)."""
    birth, death = 0.7, 0.4
    x = simulate(BirthDeath(), torch.tensor([birth, death]), 50_000)
    growth = torch.exp((birth - death) * 0.3 * torch.arange(1, 11))
    variance = 10 * (birth + death) / (birth - death) * growth * (growth - 1)
    assert bool(((x.mean(0) - 10 * growth).abs() < 4 * (variance / 50_000).sqrt()).all())
    assert torch.allclose(x.var(0), variance, rtol=0.04)


@pytest.mark.parametrize("theta", [[0.7, 0.4], [0.3, 0.9], [0.5, 0.5], [0.5, 0.5000001], [1.0, 0.0], [0.0, 1.0]])
def test_birth_death_transitions_sum_to_one(theta: list[float]) -> None:
    rates, n = torch.tensor(theta, dtype=torch.float64), torch.arange(0.0, 200)[:, None]
    for start in (1, 10):
        mass = birth_death.log_likelihood(rates, n, start, 0.3).exp()
        assert abs(float(mass.sum()) - 1) < 1e-9
        assert abs(float(mass @ n[:, 0].double()) - start * math.exp((theta[0] - theta[1]) * 0.3)) < 1e-6


def test_birth_death_likelihood_by_matrix_exponential() -> None:
    """The generator of the chain, cut off far above what can be reached, gives the same transition probabilities."""
    birth, death, size = 0.8, 0.5, 150
    n = torch.arange(size, dtype=torch.float64)
    generator = torch.diag(birth * n[:-1], 1) + torch.diag(death * n[1:], -1) - torch.diag((birth + death) * n)
    expected = torch.matrix_exp(generator * 0.3)[10, :60]
    mine = birth_death.log_likelihood(torch.tensor([birth, death]), n[:60, None], 10, 0.3).exp()
    assert torch.allclose(mine, expected, atol=1e-7)  # the rates were float32


def test_the_dead_stay_dead() -> None:
    extinct, raised = torch.tensor([[3.0, 0.0, 0.0]]), torch.tensor([[3.0, 0.0, 1.0]])
    theta = torch.tensor([0.5, 0.5])
    assert bool(torch.isfinite(birth_death.log_likelihood(theta, extinct, 10, 0.3)).all())
    assert bool((birth_death.log_likelihood(theta, raised, 10, 0.3) == -torch.inf).all())
    with pytest.raises(SimulationError, match="cannot be sampled"):
        BirthDeath(length=3).reference(raised[0], 10, 0)


def test_gillespie_freezes_at_the_cap() -> None:
    """A pure birth process stops at its cap of events, and keeps its state."""
    theta, one = torch.full((50, 1), 5.0, dtype=torch.float64), torch.ones(1, dtype=torch.float64)
    paths = trajectories(theta, one, lambda rate, n: rate * n, one[None], 0.5, 8, cap=30)
    assert paths.shape == (50, 9, 1)
    assert bool((paths[:, 0] == 1).all())
    assert bool((paths.diff(dim=1) >= 0).all())
    assert bool((paths[:, -1] == 31).all())


def test_gillespie_waits_are_exponential() -> None:
    """A counter at a constant rate is a Poisson process."""
    theta, zero = torch.full((20_000, 1), 2.0, dtype=torch.float64), torch.zeros(1, dtype=torch.float64)
    with seeded(0):
        counts = trajectories(theta, zero, lambda rate, n: rate, torch.ones(1, 1).double(), 0.7, 3)[:, :, 0].diff(dim=1)
    for column in counts.T:
        seen = torch.bincount(column.long(), minlength=8)[:8]
        expected = stats.poisson(1.4).pmf(np.arange(8)) * 20_000
        assert ((seen.numpy() - expected) ** 2 / expected).sum() < 30


def test_lotka_volterra_statistics() -> None:
    series = torch.randn(3, 151, 2, dtype=torch.float64).cumsum(1)
    x = stochastic_lotka_volterra.statistics(series)
    for row, (first, second) in zip(x.numpy(), series.transpose(1, 2).numpy(), strict=True):
        assert np.allclose(row[[0, 2]], [first.mean(), np.log1p(first.var(ddof=1))])
        assert np.isclose(row[8], np.corrcoef(first, second)[0, 1])
        centred = second - second.mean()
        assert np.isclose(row[7], centred[:-2] @ centred[2:] / (centred @ centred))
    still = stochastic_lotka_volterra.statistics(torch.full((1, 151, 2), 7.0))
    assert still.tolist() == [[7.0, 7.0, 0, 0, 0, 0, 0, 0, 0]]


def test_lotka_volterra_without_predation() -> None:
    """Slow contacts leave independent linear processes: predators die at rate k_2, prey grow at rate k_3."""
    theta = torch.log(torch.tensor([1e-9, 0.1, 0.05, 1e-9])).expand(4000, 4)
    with seeded(0):
        paths = stochastic_lotka_volterra.populations(theta)
    time = 0.2 * torch.arange(151, dtype=torch.float64)
    assert torch.allclose(paths[:, :, 0].mean(0), 50 * torch.exp(-0.1 * time), rtol=0.05, atol=0.1)
    assert torch.allclose(paths[:, :, 1].mean(0), 100 * torch.exp(0.05 * time), rtol=0.02)


def test_epidemic_network() -> None:
    network = contacts()
    assert torch.equal(network, network.T)
    assert float(network.diagonal().sum()) == 0
    assert float(network.sum()) == 150 * 6


def test_epidemic_limits() -> None:
    """Without infection, cases only recover, geometrically."""
    x = simulate(Epidemic(), torch.tensor([0.0, 0.2, 0.0]), 5000)
    assert torch.allclose(x.mean(0), 3 * 0.8 ** torch.arange(1.0, 31), atol=0.05)
    assert bool((x.diff(dim=1) <= 0).all())


def test_epidemic_first_day() -> None:
    """The neighbours of the first cases are infected with the probability of their contacts, others from outside."""
    contact, recovery, outside = 0.2, 0.3, 0.005
    exposure = contacts()[[0, 50, 100]].sum(0)
    exposure[[0, 50, 100]] = torch.nan
    infected = 1 - (1 - outside) * (1 - contact) ** exposure
    x = simulate(Epidemic(), torch.tensor([contact, recovery, outside]), 10_000)[:, 0]
    assert abs(float(x.mean() - infected.nansum() - 3 * (1 - recovery))) < 4 * float(x.std()) / 10_000**0.5


def test_ricker_estimate_is_unbiased() -> None:
    """Two counts: the likelihood is a double integral, by quadrature; the estimate's mean agrees."""
    theta, x = torch.tensor([3.8, 0.3, 10.0]), torch.tensor([150.0, 1.0])
    log_r, sigma, phi = theta.double().tolist()
    u = np.linspace(1, 4.5, 1001)
    v = np.linspace(-25, 3, 2001)
    first = stats.norm.pdf(u, log_r - 1, sigma) * stats.poisson.pmf(150, phi * np.exp(u))
    second = stats.norm.pdf(v, (log_r + u - np.exp(u))[:, None], sigma) * stats.poisson.pmf(1, phi * np.exp(v))
    expected = np.trapezoid(first * np.trapezoid(second, v, axis=1), u)
    with seeded(0):
        estimates = ricker.estimate(theta.expand(20_000, 3), x, 8).exp() / expected
    error = float(estimates.std()) / len(estimates) ** 0.5
    assert 0 < error < 0.02
    assert abs(float(estimates.mean()) - 1) < 4 * error


def test_ricker_estimates_agree_across_numbers_of_particles() -> None:
    observation = Ricker().observation(1)
    means, errors = [], []
    for particles in (32, 256):
        with seeded(particles):
            logs = ricker.estimate(observation.theta.expand(64_000 // particles, 3), observation.x, particles)
        weights = (logs + 174.5).exp()
        means.append(float(weights.mean()))
        errors.append(float(weights.std()) / len(weights) ** 0.5)
    assert abs(means[0] - means[1]) < 4 * math.hypot(*errors)


@pytest.mark.slow
@pytest.mark.parametrize(("task", "observations"), [*((task, 300) for task in EXACT_TASKS), (Ricker(), 100)])
def test_references_are_calibrated_on_many_observations(task: Task, observations: int) -> None:
    """The conformance tests above use fewer observations, and fewer steps of Ricker's map."""
    assert isinstance(task, HasReference)
    ranks = []
    for seed in range(observations):
        observation = task.observation(seed)
        ranks.append((task.reference(observation.x, 99, seed) < observation.theta).float().mean(0))
    p_values = stats.kstest(torch.stack(ranks).numpy(), "uniform").pvalue
    assert p_values.min() > 1e-3 / len(p_values)


def test_external_program_repeats_birth_death() -> None:
    """The program's likelihood is birth_death's: the normalisation identity holds for its simulations."""
    task = ExternalProgram()
    theta, near = torch.tensor([0.6, 0.4]), torch.tensor([0.65, 0.38])
    x = simulate(task, theta, 10_000)
    ratio = (task.log_likelihood(near, x) - task.log_likelihood(theta, x)).exp()
    assert abs(float(ratio.mean()) - 1) < 4 * float(ratio.std()) / 100


def test_external_program_can_be_another() -> None:
    task = ExternalProgram("false", timeout=5)
    with pytest.raises(SimulationError, match="`false` failed with exit code 1"):
        task.observation(0)
    other, shipped = BirthDeath(), ExternalProgram()
    x = other.observation(3).x
    assert torch.equal(other.reference(x, 50, 1), shipped.reference(x, 50, 1))
