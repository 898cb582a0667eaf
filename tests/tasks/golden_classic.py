"""An independent implementation of the classic tasks, in numpy and scipy, and the golden statistics it gives.

``python tests/tasks/golden_classic.py`` rewrites ``tasks/ampbench_tasks/data/<task>/golden.json``; minutes.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from scipy.integrate import solve_ivp
from scipy.stats import multivariate_t

from ampbench.interfaces.golden import Golden
from ampbench_tasks import packaged

DATA = Path(__file__).parents[2] / "tasks" / "ampbench_tasks" / "data"
PRIOR_DRAWS, SIMULATIONS = 50_000, 20_000
Draw = Callable[[np.random.Generator, int], np.ndarray]
Simulate = Callable[[np.random.Generator, np.ndarray, int], np.ndarray]


def gaussian(rng: np.random.Generator, theta: np.ndarray, n: int) -> np.ndarray:
    return rng.multivariate_normal(theta, 0.1 * np.eye(10), size=n)


def mixture(rng: np.random.Generator, theta: np.ndarray, n: int) -> np.ndarray:
    return np.array([rng.normal(theta, 1.0 if rng.integers(2) else 0.1) for _ in range(n)])


def moons(rng: np.random.Generator, theta: np.ndarray, n: int) -> np.ndarray:
    a, r = rng.uniform(-np.pi / 2, np.pi / 2, n), rng.normal(0.1, 0.01, n)
    crescent = np.stack([r * np.cos(a) + 0.25, r * np.sin(a)], 1)
    return crescent + np.array([-abs(theta[0] + theta[1]), theta[1] - theta[0]]) / np.sqrt(2)


def slcp(rng: np.random.Generator, theta: np.ndarray, n: int) -> np.ndarray:
    s1, s2, rho = theta[2] ** 2, theta[3] ** 2, np.tanh(theta[4])
    covariance = np.array([[s1**2, rho * s1 * s2], [rho * s1 * s2, s2**2]]) + 1e-6 * np.eye(2)
    return rng.multivariate_normal(theta[:2], covariance, size=(n, 4)).reshape(n, 8)


def slcp_distractors(rng: np.random.Generator, theta: np.ndarray, n: int) -> np.ndarray:
    np.random.seed(42)
    locations = [15 * np.random.normal(size=92) for _ in range(20)]
    factors = [np.tril(np.random.normal(size=(92, 92))) + np.diag(np.exp(np.random.normal(size=92))) for _ in range(20)]
    permutation = np.random.permutation(100)
    densities = [
        multivariate_t(loc, 9 * factor @ factor.T, df=2, allow_singular=True)
        for loc, factor in zip(locations, factors, strict=True)
    ]
    counts = rng.multinomial(n, [1 / 20] * 20)
    noise = np.concatenate([law.rvs(count, random_state=rng) for law, count in zip(densities, counts, strict=True)])
    return np.concatenate([slcp(rng, theta, n), rng.permutation(noise)], 1)[:, permutation]


def filter_prior(rng: np.random.Generator, n: int) -> np.ndarray:
    lagged = np.eye(9) - np.eye(9, k=-1)
    smooth = lagged @ lagged + np.diag(np.sqrt(np.arange(9) / 9))
    precision = np.zeros((10, 10))
    precision[0, 0] = 0.5
    precision[1:, 1:] = smooth.T @ smooth
    return rng.multivariate_normal(np.zeros(10), np.linalg.inv(precision), size=n)


def spikes(rng: np.random.Generator, theta: np.ndarray, n: int) -> np.ndarray:
    stimulus = np.random.RandomState(42).randn(100)
    logits = theta[0] + np.convolve(stimulus, theta[1:])[:100]
    return (rng.uniform(size=(n, 100)) < 1 / (1 + np.exp(-logits))).astype(float)


def spike_statistics(rng: np.random.Generator, theta: np.ndarray, n: int) -> np.ndarray:
    stimulus = np.random.RandomState(42).randn(100)
    y = spikes(rng, theta, n)
    correlated = np.array([np.correlate(row, stimulus, "full")[99:108] for row in y])
    return np.concatenate([y.sum(1, keepdims=True), correlated], 1)


def sir(rng: np.random.Generator, theta: np.ndarray, n: int) -> np.ndarray:
    def field(_t: float, y: np.ndarray) -> list[float]:
        new = theta[0] * y[0] * y[1] / 1e6
        return [-new, new - theta[1] * y[1]]

    times = np.arange(10) * 17.0
    path = solve_ivp(field, (0, 153), [1e6 - 1, 1.0], "DOP853", times, rtol=1e-10, atol=1e-6).y[1]
    return rng.binomial(1000, np.clip(path / 1e6, 0, 1), size=(n, 10)).astype(float)


def lotka_volterra(rng: np.random.Generator, theta: np.ndarray, n: int) -> np.ndarray:
    alpha, beta, gamma, delta = theta

    def field(_t: float, y: np.ndarray) -> list[float]:
        return [alpha * y[0] - beta * y[0] * y[1], -gamma * y[1] + delta * y[0] * y[1]]

    times = np.linspace(0, 18.9, 10)
    path = solve_ivp(field, (0, 18.9), [30.0, 1.0], "DOP853", times, rtol=1e-11, atol=1e-11).y
    return rng.lognormal(np.log(np.clip(path, 1e-10, 1e4)).flatten(), 0.1, size=(n, 20))


def box(bound: float, size: int) -> Draw:
    return lambda rng, n: rng.uniform(-bound, bound, (n, size))


IMPLEMENTATIONS: dict[str, tuple[Draw, Simulate]] = {
    "bernoulli_glm": (filter_prior, spike_statistics),
    "bernoulli_glm_raw": (filter_prior, spikes),
    "gaussian_linear": (lambda rng, n: rng.normal(0, np.sqrt(0.1), (n, 10)), gaussian),
    "gaussian_linear_uniform": (box(1, 10), gaussian),
    "gaussian_mixture": (box(10, 2), mixture),
    "lotka_volterra": (lambda rng, n: rng.lognormal([-0.125, -3, -0.125, -3], 0.5, (n, 4)), lotka_volterra),
    "sir": (lambda rng, n: rng.lognormal(np.log([0.4, 0.125]), [0.5, 0.2], (n, 2)), sir),
    "slcp": (box(3, 5), slcp),
    "slcp_distractors": (box(3, 5), slcp_distractors),
    "two_moons": (box(1, 2), moons),
}


def golden(name: str) -> Golden:
    """Statistics at the parameters of the first three published observations."""
    draw, simulate = IMPLEMENTATIONS[name]
    rng = np.random.default_rng(20261124)
    thetas = torch.stack([packaged.observations(name)[number].theta for number in (1, 2, 3)])
    return Golden.record(
        "tests/tasks/golden_classic.py, numpy and scipy",
        torch.from_numpy(draw(rng, PRIOR_DRAWS)),
        thetas,
        lambda theta, n: torch.from_numpy(simulate(rng, theta.double().numpy(), n)),
        SIMULATIONS,
    )


if __name__ == "__main__":
    for name in sys.argv[1:] or IMPLEMENTATIONS:
        (DATA / name / "golden.json").write_text(golden(name).dumps(), encoding="utf-8")
        print(name)
