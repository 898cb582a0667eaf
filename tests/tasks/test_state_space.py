"""State spaces: filters against dense Gaussians, unknown parameters against importance sampling, long chains."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy import optimize
from torch import Tensor
from torch.distributions import MultivariateNormal, Normal

from ampbench.errors import SimulationError
from ampbench.graph import Simulator, join
from ampbench.testing import TaskConformance
from ampbench_tasks.kalman import Chain
from ampbench_tasks.lgssm import LGSSM, MAX_DENSE
from ampbench_tasks.lgssm_theta import LGSSMTheta
from ampbench_tasks.nile import FLOW, Nile


class TestLGSSMTheta(TaskConformance):
    calibration = 60

    def make(self) -> LGSSMTheta:
        return LGSSMTheta()


class TestLGSSMThetaShort(TaskConformance):
    """Barely identified: the posterior of (a, r) is almost the prior."""

    def make(self) -> LGSSMTheta:
        return LGSSMTheta(length=2)


class TestNile(TaskConformance):
    calibration = 60

    def make(self) -> Nile:
        return Nile()


class TestNileShort(TaskConformance):
    def make(self) -> Nile:
        return Nile(length=4)


# Scalar Kalman filter and backward sampling: the joint Gaussian.


def dense(mean: float, variance: float, a: Tensor, q: Tensor, length: int) -> tuple[Tensor, Tensor]:
    """Mean (m, T) and covariance (m, T, T) of the states, from those of the innovations."""
    powers = torch.arange(length)[:, None] - torch.arange(length)
    effect = torch.where(powers >= 0, a[:, None, None] ** powers.clamp(min=0), 0.0)
    innovations = torch.cat([torch.full((len(a), 1), variance), q[:, None].expand(-1, length - 1)], dim=1)
    return mean * effect[:, :, 0], effect @ torch.diag_embed(innovations.double()) @ effect.mT


def conditioned(prior: tuple[Tensor, Tensor], noise: Tensor, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """log p(x) (m,), and mean (m, T) and covariance (m, T, T) of the states given x = z + noise."""
    mean, covariance = prior
    total = covariance + torch.diag_embed(noise[:, None].expand(-1, len(x)))
    gain = torch.linalg.solve(total, covariance, left=False)
    return (
        MultivariateNormal(mean, total).log_prob(x),
        mean + (gain @ (x - mean)[..., None])[..., 0],
        covariance - gain @ covariance,
    )


A = torch.tensor([0.9, -0.5, 1.0, 0.0, 0.99999, 1.0], dtype=torch.float64)
Q = torch.tensor([0.2, 1.0, 3.0, 0.5, 1e-9, 0.0], dtype=torch.float64)
R = torch.tensor([0.5, 1e-3, 2.0, 0.1, 1.0, 0.3], dtype=torch.float64)
X = torch.tensor([0.3, 1.2, -0.4, 2.2, 0.9, 3.1, 2.5], dtype=torch.float64)


def test_kalman_likelihood_is_that_of_the_joint_gaussian() -> None:
    expected, _, _ = conditioned(dense(0.7, 1.3, A, Q, len(X)), R, X)
    assert torch.allclose(Chain(0.7, 1.3, A, Q, R).log_likelihood(X), expected, atol=1e-9)


@pytest.mark.parametrize("i", range(5))
def test_backward_samples_have_the_conditional_moments(i: int) -> None:
    """Each row has the distribution of its own parameters, also with other rows between."""
    rows = torch.arange(40_000 * 2) % 2 * i  # 0, i, 0, i, …
    states = Chain(0.7, 1.3, A[rows], Q[rows], R[rows]).sample(X, torch.Generator().manual_seed(i))[1::2]
    _, mean, covariance = conditioned(dense(0.7, 1.3, A[[i]], Q[[i]], len(X)), R[[i]], X)
    roots, axes = torch.linalg.eigh(covariance[0])
    white = (states - mean[0]) @ axes / roots.clamp(min=1e-12).sqrt()
    assert float(white.mean(0).abs().max()) < 5 / math.sqrt(40_000)
    assert float((white.T.cov() - torch.eye(len(X))).abs().max()) < 6 * math.sqrt(2 / 40_000)


def test_without_steps_the_states_are_equal() -> None:
    states = Chain(0.7, 1.3, A[-1:], Q[-1:], R[-1:]).sample(X, torch.Generator())
    assert float((states - states[:, :1]).abs().max()) < 1e-12


def test_nile_maximum_likelihood_is_the_published_one() -> None:
    """Durbin & Koopman 2012, section 2.10.3: variances 15099 and 1469.1 with a diffuse first level."""
    y = torch.tensor(FLOW, dtype=torch.float64)

    def loss(logs: np.ndarray) -> float:
        step, noise = torch.from_numpy(logs).exp()[:, None]
        return -float(Chain(0.0, 1e10, torch.ones(1, dtype=torch.float64), step, noise).log_likelihood(y))

    found = optimize.minimize(loss, np.log([1000.0, 10_000.0]), method="Nelder-Mead", options={"xatol": 1e-6}).x
    assert np.allclose(np.exp(found), [1469.1, 15099], rtol=1e-3)


# Unknown parameters: importance sampling of the parameters with dense Gaussians, and of everything.


def assert_close(samples: Tensor, expected: Tensor, effective: float, what: str) -> None:
    """Means of samples (n, D) are the expected ones within five standard errors of both."""
    error = samples.std(0) * (1 / effective + 1 / len(samples)) ** 0.5
    worst = ((samples.mean(0) - expected).abs() / error).max()
    assert worst < 5, f"{what}: {float(worst):.1f} standard errors"


def assert_posterior(
    samples: Tensor, parameters: Tensor, log_weights: Tensor, given: tuple[Tensor, Tensor], least: float
) -> None:
    """Compare reference samples with weighted parameters (m, 2) and the Gaussians of the states given these."""
    weights = (log_weights - log_weights.max()).exp()
    weights = weights / weights.sum()
    effective = float(1 / weights.square().sum())
    assert effective > least, "too few effective samples to judge"
    samples = samples.double()
    mean, second = given[0], given[0] ** 2 + given[1].diagonal(dim1=1, dim2=2)
    theta = torch.cat([parameters, mean], dim=1)
    assert_close(samples, weights @ theta, effective, "mean")
    assert_close(samples**2, weights @ torch.cat([parameters**2, second], dim=1), effective, "second moment")
    pairs = given[1].diagonal(offset=1, dim1=1, dim2=2) + mean[:, 1:] * mean[:, :-1]
    assert_close(samples[:, 3:] * samples[:, 2:-1], weights @ pairs, effective, "consecutive states")
    for i in range(2):
        products = samples[:, [i]] * samples
        assert_close(products[:, 2:], weights @ (parameters[:, [i]] * mean), effective, "parameter times state")
        order = parameters[:, i].argsort()
        below = torch.searchsorted(samples[:, i].sort().values, parameters[order, i].contiguous()) / len(samples)
        distance = (below - weights[order].cumsum(0)).abs().max()
        assert distance < 2.2 * (1 / effective + 1 / len(samples)) ** 0.5, "Kolmogorov-Smirnov at 1e-4"


@pytest.mark.parametrize("seed", [1, 2, 4])
def test_lgssm_theta_agrees_with_importance_sampling(seed: int) -> None:
    task = LGSSMTheta(length=10)
    x = task.observation(seed).x
    generator = torch.Generator().manual_seed(seed)
    a = torch.rand(100_000, dtype=torch.float64, generator=generator)
    r = (0.5 * torch.randn(100_000, dtype=torch.float64, generator=generator) - 1).exp()
    log_weights, mean, covariance = conditioned(dense(0, 1, a, 1 - a**2, 10), r**2, x.double())
    parameters = torch.stack([a, r], dim=1)
    assert_posterior(task.reference(x, 50_000, seed), parameters, log_weights, (mean, covariance), least=5000)


def test_nile_agrees_with_importance_sampling() -> None:
    """The real data; parameters are proposed about the published estimates."""
    task, y = Nile(), torch.tensor(FLOW, dtype=torch.float64)
    proposal = Normal(torch.tensor([4.8, 3.6]).double(), torch.tensor([0.2, 0.6]).double())
    prior = Normal(torch.tensor([math.log(100), math.log(30)]).double(), torch.ones(2).double())
    parameters = proposal.sample(torch.Size([2000]))
    s, w = parameters.T
    likelihood, mean, covariance = conditioned(
        dense(1000, 300**2, torch.ones_like(w), (2 * w).exp(), 100), (2 * s).exp(), y
    )
    log_weights = likelihood + (prior.log_prob(parameters) - proposal.log_prob(parameters)).sum(1)
    assert_posterior(task.reference(y.float(), 50_000, 0), parameters, log_weights, (mean, covariance), least=500)


@pytest.mark.parametrize("task", [LGSSMTheta(length=3), Nile(length=2)], ids=lambda task: task.folder)
def test_weighted_prior_draws(task: LGSSMTheta | Nile) -> None:
    """Prior draws of the graph, weighted by the likelihood of the task: the two agree with the reference."""
    prior = join(Simulator(task.graph, task.observed, 500_000, seed=99).sample(500_000), task.latents)
    for seed in (1, 2):
        x = task.observation(seed).x
        log_weights = task.log_likelihood(prior, x)
        weights = (log_weights - log_weights.max()).exp()
        weights = weights / weights.sum()
        effective = float(1 / weights.square().sum())
        assert effective > 2000, "too few effective samples to judge"
        samples = task.reference(x, 50_000, seed).double()
        for power in (1, 2):
            assert_close(samples**power, weights @ prior.double() ** power, effective, f"moment {power}")


@pytest.mark.parametrize("make", [LGSSMTheta, Nile])
@pytest.mark.parametrize("length", [10, 100, 1000])
def test_a_finer_grid_changes_no_moment(make: Callable[[int], LGSSMTheta | Nile], length: int) -> None:
    """Draws at the same levels: the shift is a hundredth of the Monte Carlo error of 10,000 draws."""
    task = make(length)
    x = task.observation(3).x
    coarse, fine = (task.reference(x, 2000, 0, refine).double()[:, :2] for refine in (1, 2))
    assert float(((coarse - fine).mean(0) / fine.std(0)).abs().max()) < 1e-4
    assert float((coarse.std(0) / fine.std(0) - 1).abs().max()) < 1e-3


def test_parameters_are_found_as_series_become_long() -> None:
    """At T = 3000, the posterior is narrower than a cell of the first grid, which cuts some of it off at first."""
    task = LGSSMTheta(3000)
    truth = task.observation(2)
    samples = task.reference(truth.x, 200, 0)[:, :2].double()
    score = (samples.mean(0) - truth.theta[:2]) / samples.std(0)
    assert float(samples.std(0).max()) < 0.02
    assert float(score.abs().max()) < 4.5


def test_nile_real_data() -> None:
    """Observation 1 is the series, its parameters unknown, as long as it is long enough; the others are simulated."""
    assert len(FLOW) == 100
    assert sum(FLOW) == 91_935
    for length in (25, 50, 100):
        first = Nile(length).numbered(1)
        assert first.x.tolist() == list(FLOW[:length])
        assert bool(first.theta.isnan().all())
        assert first.seed == -1
    observations = Nile(101).observations()
    assert sorted(observations) == list(range(1, 11))
    assert all(bool(observation.theta.isfinite().all()) for observation in observations.values())
    assert [number for number, other in Nile().observations().items() if other.seed == number] == list(range(2, 11))


def test_nile_fell_in_1899() -> None:
    """The level is about 1100 up to 1898, and 850 after (Cobb 1978)."""
    samples = Nile().reference(Nile().numbered(1).x, 2000, 0)
    assert float(samples[:, 2:28].mean()) == pytest.approx(1100, abs=30)
    assert float(samples[:, 32:].mean()) == pytest.approx(850, abs=30)


@pytest.mark.parametrize("task", [LGSSMTheta(220), Nile(100)], ids=lambda task: task.folder)
def test_a_constant_series_is_impossible(task: LGSSMTheta | Nile) -> None:
    """The likelihood grows without bound as the noise vanishes, faster than the prior declines."""
    with pytest.raises(SimulationError, match=r"reaches the bounds .* practically impossible under the prior"):
        task.reference(torch.full((task.graph.size(task.observed) or 0,), 0.5), 10, 0)


# LGSSM at any size.


@pytest.mark.parametrize(
    ("length", "dim", "missing", "irregular"),
    [(10, 1, 0.0, False), (12, 2, 0.0, True), (9, 3, 0.5, True), (1, 2, 0.0, False), (250, 2, 0.5, True)],
)
def test_chain_and_joint_gaussian_agree(length: int, dim: int, missing: float, irregular: bool) -> None:
    task = LGSSM(length, dim, missing, irregular)
    x = task.observation(2).x
    mean, covariance = task.model.posterior(x)
    smoothed = task.chain.smooth(x)
    blocks = covariance.reshape(length, dim, length, dim)
    assert torch.allclose(smoothed.means.flatten(), mean, atol=1e-10)
    assert torch.allclose(smoothed.covariances, torch.stack([blocks[t, :, t] for t in range(length)]), atol=1e-10)
    lags = [blocks[t, :, t + 1] for t in range(length - 1)]
    assert len(smoothed.lags) == length - 1
    assert all(torch.allclose(lag, expected, atol=1e-10) for lag, expected in zip(smoothed.lags, lags, strict=True))


@pytest.mark.parametrize("options", [(6, 1, 0.3, True), (4, 2, 0.0, False), (3, 3, 0.4, True)])
def test_chain_samples_have_the_joint_posterior(options: tuple[int, int, float, bool]) -> None:
    task = LGSSM(*options)
    x = task.observation(1).x
    mean, covariance = task.model.posterior(x)
    samples = task.chain.sample(x, 40_000, seed=3).double()
    white = torch.linalg.solve_triangular(torch.linalg.cholesky(covariance), (samples - mean).T, upper=False)
    assert float(white.mean(1).abs().max()) < 5 / math.sqrt(40_000)
    assert float((white.cov() - torch.eye(len(mean))).abs().max()) < 6 * math.sqrt(2 / 40_000)


def test_route_by_size() -> None:
    """Up to 500 components the draws are those of the joint Gaussian, on which stored results depend."""
    for task, draw in ((LGSSM(MAX_DENSE), "model"), (LGSSM(MAX_DENSE // 2 + 1, dim=2), "chain")):
        x = task.observation(1).x
        assert torch.equal(task.reference(x, 5, 7), getattr(task, draw).sample(x, 5, 7))


def test_likelihood_above_the_size_of_the_joint_gaussian() -> None:
    task = LGSSM(MAX_DENSE // 3 + 1, dim=3, missing=0.2)
    values = Simulator(task.graph, task.observed, 4, seed=1).sample(4)
    theta, x = join(values, task.latents), join(values, task.observed)
    assert torch.allclose(task.log_likelihood(theta, x), task.model.log_likelihood(theta, x), rtol=1e-12)
    assert task.algorithm != LGSSM().algorithm


@pytest.mark.parametrize("dim", [1, 2])
def test_a_chain_of_ten_thousand_times(dim: int) -> None:
    """Draws have the smoother's moments, averaged over time; truths are normal scores; missing times less certain."""
    task = LGSSM(10_000, dim, missing=0.3, irregular=True)
    generator = torch.Generator().manual_seed(dim)
    z, readings = simulated(task, generator)
    smoothed = task.chain.smooth(readings)
    draws = task.chain.sample(readings, 100, seed=1).double().reshape(100, 10_000, dim)
    variances = smoothed.covariances.diagonal(dim1=1, dim2=2)
    scores = (draws - smoothed.means) / variances.sqrt()
    assert float(scores.mean((0, 1)).abs().max()) < 0.02
    assert float((scores.square().mean((0, 1)) - 1).abs().max()) < 0.02
    lag = ((draws - smoothed.means)[:, :-1, :, None] * (draws - smoothed.means)[:, 1:, None, :]).mean((0, 1))
    assert torch.allclose(lag, smoothed.lags.mean(0), atol=0.003)
    truth = ((z - smoothed.means) / variances.sqrt()).flatten()
    assert abs(float(truth.mean())) < 0.1
    assert float(truth.square().mean()) == pytest.approx(1, abs=0.08)
    seen = torch.zeros(10_000, dtype=torch.bool)
    seen[list(task.chain.times)] = True
    assert float(variances[seen, 0].mean()) < float(variances[~seen, 0].mean()) < 1


def simulated(task: LGSSM, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """States (T, d) and observations, by the definition of the chain."""
    chained, z = task.chain, []
    noise = torch.randn(len(task.gaps) + 1, len(chained.first), dtype=torch.float64, generator=generator)
    for t, own in enumerate(noise):
        z.append(chained.transitions[t - 1] @ z[-1] + chained.steps[t - 1].diagonal().sqrt() * own if t else own)
    states = torch.stack(z)
    means = states[list(chained.times)] @ chained.reading.T
    return states, (means + 0.5 * torch.randn(means.shape, dtype=torch.float64, generator=generator)).flatten()
