r"""A second sampler: a population of Markov chains that target prior times likelihood.

Chains :math:`u_i` in unconstrained coordinates move along differences of other chains,

.. math:: v_i = u_i + m \odot \gamma\,(u_a - u_b)

with a random mask :math:`m` of coordinates and a random length :math:`\gamma` (with a small probability 1, which jumps
between modes), and moves are accepted by the Metropolis rule. One half of the population moves along differences of the
other half, so that the product of posteriors is exactly invariant for any distribution of the lengths.

Two populations are simulated. The first starts at reference draws: if these are exact, its distribution is the
posterior after any number of moves, and its comparison with fresh reference draws has an exact level. The second starts
at over-dispersed draws (reference draws plus a deviation as large as their mode's spread). Agreement of the two
populations indicates convergence; only if they agree is the second one, after as many moves again, compared with fresh
reference draws too.

References:
    ter Braak 2006, *A Markov Chain Monte Carlo version of the genetic algorithm Differential Evolution*,
    doi:10.1007/s11222-006-8769-1.
    Vrugt et al. 2009, *Accelerating Markov chain Monte Carlo simulation by differential evolution with self-adaptive
    randomized subspace sampling*, doi:10.1515/IJNSNS.2009.10.3.273 (the mask).
    Gelman, Rubin 1992, *Inference from iterative simulation using multiple sequences*, doi:10.1214/ss/1177011136.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Generator, Tensor

from ampbench.verify.balance import LogDensity
from ampbench.verify.finding import Finding, SkipCheck, smallest
from ampbench.verify.proposal import fit
from ampbench.verify.statistics import two_sample
from ampbench.verify.subject import Subject

MOVES_PER_ROUND = 10
"""Moves between two comparisons of the populations."""
MIN_ROUNDS = 8
"""Rounds before the first comparison, so that an inexact start has time to move."""
JUMP_PROBABILITY = 0.1
"""Probability of a move of length 1."""
LENGTH_RANGE_DECADES = 1.5
"""Lengths are log-uniform over this number of decades below the optimum for a Gaussian, 2.38 / √(2 D)."""
AGREEMENT_P_VALUE = 0.05
"""The start counts as forgotten if the corrected p-value of the two populations' comparison exceeds this."""


class Population:
    """Two independent populations of n Markov chains each, with states of shape (2, n, D).

    Arguments:
        log_density: the log density up to a constant, from (m, D) to (m,).
        start: the initial states, shape (2, n, D), n even.
        generator: random numbers of all moves.
    """

    def __init__(self, log_density: LogDensity, start: Tensor, generator: Generator) -> None:
        self.u = start.clone()
        self._log_density = log_density
        self._log_density_at_u = log_density(start.flatten(0, 1)).reshape(start.shape[:2])
        self._generator = generator
        self._accepted = 0.0
        self._proposed = 0

    @property
    def accepted(self) -> float:
        """The share of accepted moves in the first population."""
        return self._accepted / max(1, self._proposed)

    def with_log_density(self) -> tuple[Tensor, Tensor]:
        """Return both populations, (n, D + 1) each: the coordinates, and the log density as the last column."""
        first, second = torch.cat([self.u, self._log_density_at_u[..., None]], dim=2)
        return first, second

    def move(self) -> None:
        """Move one half of each population, then the other half."""
        half = self.u.shape[1] // 2
        for moving, fixed in ((slice(0, half), slice(half, None)), (slice(half, None), slice(0, half))):
            self._move(moving, self.u[:, fixed])

    def _move(self, moving: slice, others: Tensor) -> None:
        current, log_current = self.u[:, moving], self._log_density_at_u[:, moving]
        proposed = current + self._steps(current.shape, others)
        log_proposed = self._log_density(proposed.flatten(0, 1)).reshape(log_current.shape)
        # where the current density is zero (an over-dispersed start), every move is accepted
        change = torch.where(torch.isinf(log_current) & (log_current < 0), torch.inf, log_proposed - log_current)
        accept = torch.rand(log_current.shape, generator=self._generator, dtype=current.dtype).log() < change
        self.u[:, moving] = torch.where(accept[..., None], proposed, current)
        self._log_density_at_u[:, moving] = torch.where(accept, log_proposed, log_current)
        self._accepted += float(accept[0].double().sum())
        self._proposed += accept.shape[1]

    def _steps(self, shape: torch.Size, others: Tensor) -> Tensor:
        """Return proposed steps of the given shape, along differences of other chains (2, n, D)."""
        populations, n, dim = shape
        generator, dtype = self._generator, others.dtype
        pairs = torch.randint(others.shape[1], (2, populations, n), generator=generator)
        rows = torch.arange(populations)[:, None]
        difference = others[rows, pairs[0]] - others[rows, pairs[1]]
        kept = torch.rand(shape, generator=generator, dtype=dtype) < self._share(dim, populations, n)
        changed = kept.sum(-1, keepdim=True).clamp(min=1)
        decades = LENGTH_RANGE_DECADES * torch.rand(populations, n, 1, generator=generator, dtype=dtype)
        length = 2.38 / (2 * changed).sqrt() * 10**-decades
        jump = torch.rand(populations, n, 1, generator=generator, dtype=dtype) < JUMP_PROBABILITY
        return torch.where(jump, 1.0, length) * torch.where(kept | jump, difference, 0.0)

    def _share(self, dim: int, populations: int, n: int) -> Tensor:
        """Return each chain's probability that a coordinate moves, log-uniform between 1 / D and 1."""
        exponent = torch.rand(populations, n, 1, generator=self._generator)
        return dim**-exponent


def population(subject: Subject) -> Iterator[Finding]:
    """Compare the reference with the second sampler at a numbered observation and at a fresh one."""
    _ = subject.likelihood
    if subject.noisy:
        raise SkipCheck("the likelihood is an estimate; importance sampling judges it")
    for where, observation in subject.judged(1):
        yield from _judge(subject, where, observation.x)


def _judge(subject: Subject, where: str, x: Tensor) -> Iterator[Finding]:
    chains = subject.effort.chains
    u = subject.unconstrained.encode(subject.draws(where, x).double())
    fresh = u[2 * chains :]

    def log_density(v: Tensor) -> Tensor:
        return subject.log_posterior(v, x)

    generator = Generator().manual_seed(subject.derive("population", where))
    start = torch.stack([u[:chains], _overdispersed(u[chains : 2 * chains], fresh, generator)])
    populations = Population(log_density, start, generator)
    rounds = _run(populations, subject.effort.rounds)
    target = torch.cat([fresh, log_density(fresh)[:, None]], dim=1)
    first, second = populations.with_log_density()
    remark = f"{where}, {chains} chains, {rounds * MOVES_PER_ROUND} moves, {populations.accepted:.0%} accepted"
    yield smallest("second sampler", _tests(first, target), f"{remark}, from draws")
    if rounds < subject.effort.rounds and _forgotten(populations):
        yield smallest("second sampler", _tests(second, target), f"{remark}, over-dispersed")
    else:
        yield Finding("second sampler", f"{remark}: over-dispersed start not forgotten, no verdict", None, "skipped")


def _run(populations: Population, most: int) -> int:
    """Move until the populations agree, then as many rounds again; return the number of rounds, at most ``most``."""
    rounds, wanted = 0, most
    while rounds < wanted:
        for _ in range(MOVES_PER_ROUND):
            populations.move()
        rounds += 1
        if wanted == most and MIN_ROUNDS <= rounds < most / 2 and _forgotten(populations):
            wanted = 2 * rounds
    return rounds


def _forgotten(populations: Population) -> bool:
    """Return whether the two populations agree in every coordinate and in the log density."""
    pvalues = two_sample(*populations.with_log_density())
    return min(pvalues) * len(pvalues) > AGREEMENT_P_VALUE


def _overdispersed(u: Tensor, fresh: Tensor, generator: Generator) -> Tensor:
    """Return draws plus random deviations of their own mode's covariance: twice the variance within every mode."""
    modes = fit(fresh, generator.initial_seed())
    return u + modes.noise(modes.nearest(u), generator)


def _tests(chains: Tensor, fresh: Tensor) -> list[tuple[str, float]]:
    """Compare every coordinate, the log density (the last column), and sums and differences of neighbours.

    Returns:
        The name and the p-value of each statistic.
    """
    names = [f"u({i})" for i in range(fresh.shape[1] - 1)]
    tested = list(zip([*names, "log density"], two_sample(chains, fresh), strict=True))
    chains, fresh = chains[:, :-1], fresh[:, :-1]
    centre, spread = fresh.mean(0), fresh.std(0).clamp(min=1e-12)
    z, w = (chains - centre) / spread, (fresh - centre) / spread
    if z.shape[1] > 1:
        for sign, symbol in ((1, "+"), (-1, "-")):
            rolled = (z + sign * z.roll(-1, 1)) / math.sqrt(2), (w + sign * w.roll(-1, 1)) / math.sqrt(2)
            tested += [(f"{name} {symbol} the next", p) for name, p in zip(names, two_sample(*rolled), strict=True)]
    return tested
