"""The intractable tasks written a second time, in plain numpy and by other routes where there are any.

Run as a script, this records their golden statistics: ``python tests/tasks/golden_intractable.py [TASK…]``; about two
minutes for all. Nothing here imports the tasks: an error would have to be made twice, in two ways of writing, to go
unnoticed. Only the default options are covered.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import networkx as nx
import numpy as np
import torch
from scipy.linalg import toeplitz
from torch import Tensor

from ampbench.interfaces.golden import Golden

DATA = Path(__file__).parents[2] / "tasks" / "ampbench_tasks" / "data"
SOURCE = "numpy, tests/tasks/golden_intractable.py"
PRIOR_DRAWS = 50_000

Rng = np.random.Generator


def mg1(rng: Rng, theta: np.ndarray, n: int) -> np.ndarray:
    """By departures, D_i = max(A_i, D_{i-1}) + S_i, rather than by waiting."""
    low, spread, rate = theta
    arrivals = np.cumsum(rng.exponential(1 / rate, (n, 20)), axis=1)
    services = rng.uniform(low, low + spread, (n, 20))
    departures = np.zeros((n, 21))
    for i in range(20):
        departures[:, i + 1] = np.maximum(arrivals[:, i], departures[:, i]) + services[:, i]
    return np.diff(departures, axis=1)


def g_and_k(rng: Rng, theta: np.ndarray, n: int) -> np.ndarray:
    """With the quotient of exponentials that the literature writes for tanh."""
    a, b, g, k = theta
    z = rng.standard_normal((n, 50))
    skew = (1 - np.exp(-g * z)) / (1 + np.exp(-g * z))
    return np.sort(a + b * (1 + 0.8 * skew) * (1 + z**2) ** k * z, axis=1)


def ricker(rng: Rng, theta: np.ndarray, n: int) -> np.ndarray:
    """In N rather than in its logarithm."""
    growth, sigma, phi = np.exp(theta[0]), theta[1], theta[2]
    population, counts = np.ones(n), []
    for _ in range(50):
        population = growth * population * np.exp(-population + rng.normal(0, sigma, n))
        counts.append(rng.poisson(phi * population))
    return np.stack(counts, axis=1)


def stochastic_lotka_volterra(rng: Rng, theta: np.ndarray, n: int) -> np.ndarray:
    """By the first-reaction method: each reaction has its own clock, and the earliest one rings."""
    speeds = np.exp(theta)
    moves = np.array([[1, 0], [-1, 0], [0, 1], [0, -1]])
    grid = np.arange(151) * 0.2
    states, times = np.tile([50, 100], (n, 1)), np.zeros(n)
    series = np.zeros((n, 151, 2))
    reached = np.zeros(n, dtype=int)  # grid points that have been recorded
    for event in range(10_001):
        x, y = states.T
        rates = speeds[:, None] * np.stack([x * y, x, y, x * y])
        with np.errstate(divide="ignore"):
            clocks = rng.standard_exponential((4, n)) / rates
        after = times + clocks.min(0) if event < 10_000 else np.full(n, np.inf)
        passed = np.searchsorted(grid, after)  # grid points before the event
        for i in np.flatnonzero(passed > reached):
            series[i, reached[i] : passed[i]] = states[i]
        reached = np.maximum(reached, passed)
        if (reached == 151).all():
            break
        going = np.isfinite(after)
        states[going] += moves[clocks.argmin(0)[going]]
        times = after
    return np.array([_lotka_volterra_statistics(*each.T) for each in series])


def _lotka_volterra_statistics(x: np.ndarray, y: np.ndarray) -> list[float]:
    def correlation(first: np.ndarray, second: np.ndarray, lag: int) -> float:
        scale = first.std(ddof=1) * second.std(ddof=1)
        product = (first[: len(first) - lag] - first.mean()) @ (second[lag:] - second.mean())
        return product / 150 / scale if scale > 0 else 0.0

    variances = [np.log(x.var(ddof=1) + 1), np.log(y.var(ddof=1) + 1)]
    auto = [correlation(series, series, lag) for series in (x, y) for lag in (1, 2)]
    return [x.mean(), y.mean(), *variances, *auto, correlation(x, y, 0)]


def birth_death(rng: Rng, theta: np.ndarray, n: int) -> np.ndarray:
    """By the law of the population after a time 0.3, without events: surviving lines, and their sizes."""
    birth, death = theta
    growth = np.exp((birth - death) * 0.3)
    extinct = death * (growth - 1) / (birth * growth - death)
    crowded = birth * (growth - 1) / (birth * growth - death)
    population, counts = np.full(n, 10), []
    for _ in range(10):
        lines = rng.binomial(population, 1 - extinct)
        more = rng.negative_binomial(np.maximum(lines, 1), 1 - crowded)
        population = np.where(lines > 0, lines + more, 0)
        counts.append(population)
    return np.stack(counts, axis=1)


def epidemic(rng: Rng, theta: np.ndarray, n: int) -> np.ndarray:
    """By single contacts: every pair of an infectious and a susceptible neighbour meets with a coin of its own."""
    contact, recovery, outside = theta
    edges = np.array(nx.watts_strogatz_graph(150, 6, 0.1, seed=2026).edges)
    sources, targets = np.concatenate([edges, edges[:, ::-1]]).T
    state = np.zeros((n, 150), dtype=int)  # 0 susceptible, 1 infectious, 2 recovered
    state[:, [0, 50, 100]] = 1
    counts = []
    for _ in range(30):
        hit = rng.random((n, 150)) < outside
        meets = (state[:, sources] == 1) & (rng.random((n, len(sources)), dtype=np.float32) < contact)
        row, edge = np.nonzero(meets)
        hit[row, targets[edge]] = True
        recovers = (state == 1) & (rng.random((n, 150)) < recovery)
        state = np.where((state == 0) & hit, 1, np.where(recovers, 2, state))
        counts.append((state == 1).sum(1))
    return np.stack(counts, axis=1)


def ma2(rng: Rng, theta: np.ndarray, n: int) -> np.ndarray:
    """By its covariance, rather than by moving averages."""
    column = np.zeros(50)
    column[:3] = 1 + theta[0] ** 2 + theta[1] ** 2, theta[0] + theta[0] * theta[1], theta[1]
    return rng.multivariate_normal(np.zeros(50), toeplitz(column), size=n, method="cholesky")


def box(low: list[float], high: list[float]) -> Callable[[Rng, int], np.ndarray]:
    return lambda rng, n: rng.uniform(low, high, (n, len(low)))


def triangle(rng: Rng, n: int) -> np.ndarray:
    """By rejection from the box."""
    theta = rng.uniform([-2, -1], [2, 1], (4 * n, 2))
    return theta[(theta.sum(1) > -1) & (theta[:, 0] - theta[:, 1] < 1)][:n]


@dataclass(frozen=True)
class Case:
    prior: Callable[[Rng, int], np.ndarray]
    simulate: Callable[[Rng, np.ndarray, int], np.ndarray]
    thetas: list[list[float]]
    simulations: int = 20_000


CASES = {
    "mg1": Case(box([0, 0, 0], [10, 10, 1 / 3]), mg1, [[1.0, 4.0, 0.2], [4.0, 3.0, 0.05], [0.5, 9.0, 0.3]]),
    "g_and_k": Case(
        box([0] * 4, [10] * 4), g_and_k, [[3.0, 1.0, 2.0, 0.5], [5.0, 2.0, 0.2, 0.1], [8.0, 6.0, 7.0, 3.0]]
    ),
    "ricker": Case(box([3, 0.1, 5], [5, 0.6, 15]), ricker, [[3.8, 0.3, 10.0], [3.1, 0.15, 6.0], [4.7, 0.55, 14.0]]),
    "stochastic_lotka_volterra": Case(
        box([-5] * 4, [2] * 4),
        stochastic_lotka_volterra,
        np.log([[0.01, 0.5, 1.0, 0.01], [0.007, 0.8, 0.4, 0.02], [0.02, 1.0, 2.0, 0.02]]).tolist(),
        simulations=5_000,
    ),
    "birth_death": Case(box([0, 0], [1, 1]), birth_death, [[0.9, 0.2], [0.3, 0.8], [0.5, 0.45]]),
    "epidemic": Case(
        box([0, 0.05, 0], [0.3, 0.5, 0.01]), epidemic, [[0.1, 0.2, 0.002], [0.25, 0.1, 0.0], [0.03, 0.4, 0.009]]
    ),
    "ma2": Case(triangle, ma2, [[0.6, 0.2], [-1.2, 0.5], [0.3, -0.6]]),
}


def record(name: str) -> Golden:
    case, rng = CASES[name], np.random.default_rng(2026)

    def simulate(theta: Tensor, n: int) -> Tensor:
        return torch.from_numpy(np.asarray(case.simulate(rng, theta.double().numpy(), n), dtype=np.float32))

    prior = torch.from_numpy(case.prior(rng, PRIOR_DRAWS).astype(np.float32))
    return Golden.record(SOURCE, prior, torch.tensor(case.thetas), simulate, case.simulations)


def main() -> None:
    for name in sys.argv[1:] or CASES:
        folder = DATA / name
        folder.mkdir(parents=True, exist_ok=True)
        folder.joinpath("golden.json").write_text(record(name).dumps(), encoding="utf-8")
        print(name, folder.joinpath("golden.json").stat().st_size)


if __name__ == "__main__":
    main()
