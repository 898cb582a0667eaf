r"""Linear birth-death process, simulated event by event, observed at equally spaced times.

.. math::
    \theta &= (\lambda, \mu) \sim \mathcal U(0, 1)^2, \qquad n(0) = n_0 \\
    n &\to n + 1 \text{ at rate } \lambda n, \quad n \to n - 1 \text{ at rate } \mu n

x holds the population at times Δ, 2Δ, …, LΔ. By default n₀ = 10, L = 10 and Δ = 0.3; the population then stays below a
few hundred.

Each of m individuals has living descendants after a time t with probability 1 − α; their number is then geometric with
parameter 1 − β. With k of the m lines of descent surviving, the transition probability is a sum of positive terms:

.. math::
    \Pr(n \mid m) &= \sum_{k} \binom m k (1 - \alpha)^k \alpha^{m-k} \binom{n-1}{k-1} (1 - \beta)^k \beta^{n-k}, \\
    \alpha &= \frac{\mu \varphi}{1 + \lambda \varphi}, \qquad \beta = \frac{\lambda \varphi}{1 + \lambda \varphi},
    \qquad \varphi = \frac{e^{(\lambda - \mu) t} - 1}{\lambda - \mu}

and Pr(0 | m) = α^m. φ tends to t as λ − μ tends to 0, so that the formulas also hold for λ = μ.

References:
    Kendall 1948, *On the generalized "birth-and-death" process*, doi:10.1214/aoms/1177730285.
    Bailey 1964, *The elements of stochastic processes*, section 8.6.
    Gillespie 1977, *Exact stochastic simulation of coupled chemical reactions*, doi:10.1021/j100540a008.
"""

from __future__ import annotations

import math
from functools import cached_property
from typing import final

import torch
from torch import Tensor
from torch.distributions import Distribution, Independent, Uniform, constraints

from ampbench.errors import UsageError
from ampbench.graph import Graph, density, simulator
from ampbench.interfaces import HasGolden, HasLikelihood, HasReference, Task
from ampbench.interfaces.golden import Golden
from ampbench_tasks import packaged
from ampbench_tasks.gillespie import trajectories
from ampbench_tasks.importance import posterior_draws

START, LENGTH, INTERVAL = 10, 10, 0.3
MAX_MEAN_POPULATION = 2000.0
"""Largest allowed mean population at the prior's largest birth rate; simulation time grows with the population."""


@final
class BirthDeath(Task, HasReference, HasLikelihood, HasGolden):
    """Linear birth-death process: theta of size 2, x of size ``length``.

    Arguments:
        start: population at time 0, n₀.
        length: number of observed times, L.
        interval: time between observations, Δ.

    Raises:
        UsageError: an option is not positive, or populations would grow too large to simulate.
    """

    version = "1"
    source = "Kendall 1948; Bailey 1964, section 8.6"
    algorithm = "adaptive importance sampling with weighted acceptance"

    def __init__(self, start: int = START, length: int = LENGTH, interval: float = INTERVAL) -> None:
        _check(start, length, interval)
        self.start, self.length, self.interval = start, length, interval

    @cached_property
    def graph(self) -> Graph:
        """The graph theta → x."""
        counts = constraints.independent(constraints.nonnegative_integer, 1)
        return Graph(density("theta", prior()), simulator("x", self.simulate, ["theta"], counts, self.length))

    def simulate(self, theta: Tensor) -> Tensor:
        """Draw x given theta (n, 2), shape (n, length)."""
        start = torch.tensor([float(self.start)], dtype=torch.float64, device=theta.device)
        changes = torch.tensor([[1.0], [-1.0]], dtype=torch.float64, device=theta.device)
        paths = trajectories(
            theta.double(), start, lambda theta, n: theta * n, changes, self.interval, self.length
        )  # (n, length + 1, 1)
        return paths[:, 1:, 0].float()

    def log_likelihood(self, theta: Tensor, x: Tensor) -> Tensor:
        """Return log p(x | theta) from the closed-form transition probabilities."""
        return log_likelihood(theta, x, self.start, self.interval)

    def reference(self, observation: Tensor, n: int, seed: int) -> Tensor:
        """Draw exactly from the posterior by importance sampling, shape (n, 2)."""
        x = self.check_observation(observation)
        return reference(x, self.start, self.interval, n, seed)

    def golden(self) -> Golden:
        """Return the statistics of an independent implementation in numpy.

        Raises:
            UsageError: an option differs from its default.
        """
        return packaged.golden_of_defaults(
            "birth_death",
            {"start": self.start, "length": self.length, "interval": self.interval},
            {"start": START, "length": LENGTH, "interval": INTERVAL},
        )


def prior() -> Distribution:
    """Return the uniform prior of the rates of birth and death."""
    return Independent(Uniform(torch.zeros(2), torch.ones(2)), 1)


def reference(x: Tensor, start: int, interval: float, n: int, seed: int) -> Tensor:
    """Draw n exact posterior samples, shape (n, 2), for populations x, shape (L,)."""
    return posterior_draws(prior(), lambda theta: log_likelihood(theta, x, start, interval), n, seed)


def log_likelihood(theta: Tensor, x: Tensor, start: int, interval: float) -> Tensor:
    """Return log p(x | theta), shape (*,), for theta (*, 2) and x (*, L), broadcast; minus infinity if impossible."""
    shape = torch.broadcast_shapes(theta.shape[:-1], x.shape[:-1])
    alpha, beta, both = (each.expand(*shape, 1).reshape(-1, 1) for each in _log_probabilities(theta, interval))
    path = torch.nn.functional.pad(x.double(), (1, 0), value=float(start))
    path = path if path.ndim == 1 else path.expand(*shape, -1).reshape(-1, path.shape[-1])
    steps = zip(path[..., :-1].unbind(-1), path[..., 1:].unbind(-1), strict=True)
    parts = [_log_transition(alpha, beta, both, m[..., None], n[..., None]) for m, n in steps]
    return torch.stack(parts).sum(0).reshape(shape)


def _log_probabilities(theta: Tensor, interval: float) -> tuple[Tensor, Tensor, Tensor]:
    """Return log α, log β and log (1 − α)(1 − β), shape (*, 1) each."""
    birth, death = theta.double()[..., :1], theta.double()[..., 1:]
    growth = (birth - death) * interval
    safe = torch.where(growth.abs() > 1e-8, growth, 1.0)
    phi = interval * torch.where(growth.abs() > 1e-8, torch.expm1(safe) / safe, 1 + growth / 2)
    denominator = torch.log1p(birth * phi)
    survived = torch.log1p((birth - death) * phi)  # 1 − α = (1 + (λ − μ) φ) / (1 + λ φ), and 1 + (λ − μ) φ = e^growth
    return (death * phi).log() - denominator, (birth * phi).log() - denominator, survived - 2 * denominator


def _log_transition(log_alpha: Tensor, log_beta: Tensor, log_both: Tensor, m: Tensor, n: Tensor) -> Tensor:
    """Return log Pr(n | m), shape (rows,), for logarithms (rows, 1), and populations (rows, 1) or (1,)."""
    k = torch.arange(1, max(1, int(torch.minimum(m, n).max())) + 1, dtype=torch.float64, device=m.device)
    ways = _log_binomial(m, k) + _log_binomial(n - 1, k - 1)
    ways = torch.where(k <= torch.minimum(m, n), ways, -torch.inf)  # (rows, K) or (K,)
    terms = ways + k * log_both + _power(log_alpha, m - k) + _power(log_beta, n - k)
    extinct = _power(log_alpha, m)[..., 0]
    impossible = ((n < 0) | (n != n.round()))[..., 0]
    return torch.where(impossible, -torch.inf, torch.where(n[..., 0] == 0, extinct, terms.logsumexp(-1)))


def _power(log_base: Tensor, exponent: Tensor) -> Tensor:
    """Return exponent × log base, with 0 (the logarithm of 1) where the exponent is 0 or negative."""
    return torch.where(exponent > 0, exponent * log_base, 0.0)


def _log_binomial(n: Tensor, k: Tensor) -> Tensor:
    """Return the logarithm of the binomial coefficient, n over k; the value is arbitrary where k exceeds n."""
    return torch.lgamma(n + 1) - torch.lgamma(k + 1) - torch.lgamma(n - k + 1)


def _check(start: int, length: int, interval: float) -> None:
    """Raise :class:`UsageError` for options that are not positive or let the population grow too large."""
    if min(start, length) < 1 or not interval > 0:
        raise UsageError(f"birth_death needs positive options, got start={start}, length={length}, interval={interval}")
    if start * math.exp(min(length * interval, 100)) > MAX_MEAN_POPULATION:
        raise UsageError(
            f"birth_death with start={start}, length={length}, interval={interval} would reach populations of "
            f"{start} exp({length * interval:g}), beyond {MAX_MEAN_POPULATION:g}; choose smaller ones"
        )
