r"""A second sampler: a population of Markov chains from prior and likelihood alone.

Chains :math:`u_i` in unconstrained coordinates move along differences of other chains,

.. math:: v_i = u_i + m \odot \gamma\,(u_a - u_b)

with a random mask :math:`m` of coordinates and a random length :math:`\gamma` (now and then 1, which jumps between
modes), and are accepted by Metropolis's rule. One half of the population moves along differences of the other half, so
that the product of posteriors stays invariant, exactly, whatever the lengths.

Two populations run side by side. One starts at reference draws: if they are exact, its law is the posterior after any
number of moves, and a comparison with fresh reference draws is a test at an exact level. The other starts at
over-dispersed draws (pushed away by their mode's own spread) and shows when the start is forgotten; only then, and
after as many moves again, is it compared as well.

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

MOVES = 10
"""Moves of a round, between two comparisons of the populations."""
FEWEST = 8
"""Rounds before the first comparison: an inexact start must have time to move."""
JUMPS = 0.1
"""Share of moves with the length 1."""
DECADES = 1.5
"""Lengths reach so many decades below the optimum for a Gaussian, 2.38 / √(2 D)."""
FORGOTTEN = 0.05
"""The start is forgotten once the two populations differ by no more than this p-value."""


class Population:
    """Chains (2, n, D): the first population started at draws, the second beside them.

    Arguments:
        log_density: from (m, D) to (m,), up to a constant.
        start: shape (2, n, D), n even.
        generator: of all moves.
    """

    def __init__(self, log_density: LogDensity, start: Tensor, generator: Generator) -> None:
        self.u = start.clone()
        self._log_density = log_density
        self._at_u = log_density(start.flatten(0, 1)).reshape(start.shape[:2])
        self._generator = generator
        self._accepted = 0.0
        self._proposed = 0

    @property
    def accepted(self) -> float:
        """Share of accepted moves."""
        return self._accepted / max(1, self._proposed)

    def with_log_density(self) -> tuple[Tensor, Tensor]:
        """Both populations, (n, D + 1) each: the coordinates, and the log density beside them."""
        first, second = torch.cat([self.u, self._at_u[..., None]], dim=2)
        return first, second

    def move(self) -> None:
        """Move one half of each population, then the other half."""
        half = self.u.shape[1] // 2
        for moving, fixed in ((slice(0, half), slice(half, None)), (slice(half, None), slice(0, half))):
            self._move(moving, self.u[:, fixed])

    def _move(self, moving: slice, others: Tensor) -> None:
        here, at_here = self.u[:, moving], self._at_u[:, moving]
        there = here + self._steps(here.shape, others)
        at_there = self._log_density(there.flatten(0, 1)).reshape(at_here.shape)
        # where both are impossible (an over-dispersed start) the chain walks on
        change = torch.where(torch.isinf(at_here) & (at_here < 0), torch.inf, at_there - at_here)
        accept = torch.rand(at_here.shape, generator=self._generator, dtype=here.dtype).log() < change
        self.u[:, moving] = torch.where(accept[..., None], there, here)
        self._at_u[:, moving] = torch.where(accept, at_there, at_here)
        self._accepted += float(accept[0].double().sum())
        self._proposed += accept.shape[1]

    def _steps(self, shape: torch.Size, others: Tensor) -> Tensor:
        populations, n, dim = shape
        generator, dtype = self._generator, others.dtype
        pairs = torch.randint(others.shape[1], (2, populations, n), generator=generator)
        rows = torch.arange(populations)[:, None]
        difference = others[rows, pairs[0]] - others[rows, pairs[1]]
        kept = torch.rand(shape, generator=generator, dtype=dtype) < self._share(dim, populations, n)
        changed = kept.sum(-1, keepdim=True).clamp(min=1)
        decades = DECADES * torch.rand(populations, n, 1, generator=generator, dtype=dtype)
        length = 2.38 / (2 * changed).sqrt() * 10**-decades
        jump = torch.rand(populations, n, 1, generator=generator, dtype=dtype) < JUMPS
        return torch.where(jump, 1.0, length) * torch.where(kept | jump, difference, 0.0)

    def _share(self, dim: int, populations: int, n: int) -> Tensor:
        """The probability of a coordinate to move, drawn for every chain between 1 / D and 1."""
        exponent = torch.rand(populations, n, 1, generator=self._generator)
        return dim**-exponent


def population(subject: Subject) -> Iterator[Finding]:
    """Compare the reference with the second sampler at a numbered and at a fresh observation."""
    _ = subject.likelihood
    if subject.noisy:
        raise SkipCheck("the likelihood is an estimate; importance sampling judges it")
    for place, observation in subject.judged(1):
        yield from _judge(subject, place, observation.x)


def _judge(subject: Subject, place: str, x: Tensor) -> Iterator[Finding]:
    chains = subject.effort.chains
    u = subject.unconstrained.encode(subject.draws(place, x).double())
    fresh = u[2 * chains :]

    def log_density(v: Tensor) -> Tensor:
        return subject.log_posterior(v, x)

    generator = Generator().manual_seed(subject.derive("population", place))
    start = torch.stack([u[:chains], _overdispersed(u[chains : 2 * chains], fresh, generator)])
    both = Population(log_density, start, generator)
    rounds = _run(both, subject.effort.rounds)
    target = torch.cat([fresh, log_density(fresh)[:, None]], dim=1)
    first, second = both.with_log_density()
    said = f"{place}, {chains} chains, {rounds * MOVES} moves, {both.accepted:.0%} accepted"
    yield smallest("second sampler", _tests(first, target), f"{said}, from draws")
    if rounds < subject.effort.rounds and _forgotten(both):
        yield smallest("second sampler", _tests(second, target), f"{said}, over-dispersed")
    else:
        yield Finding("second sampler", f"{said}: over-dispersed start not forgotten, no verdict", None, "skipped")


def _run(both: Population, most: int) -> int:
    """Move until the populations agree, and then as long again; return the number of rounds, at most ``most``."""
    rounds, wanted = 0, most
    while rounds < wanted:
        for _ in range(MOVES):
            both.move()
        rounds += 1
        if wanted == most and FEWEST <= rounds < most / 2 and _forgotten(both):
            wanted = 2 * rounds
    return rounds


def _forgotten(both: Population) -> bool:
    """Whether the two populations agree in every coordinate and in the log density."""
    pvalues = two_sample(*both.with_log_density())
    return min(pvalues) * len(pvalues) > FORGOTTEN


def _overdispersed(u: Tensor, fresh: Tensor, generator: Generator) -> Tensor:
    """Add to each draw the deviation that its own mode would have: twice the variance within every mode."""
    modes = fit(fresh, generator.initial_seed())
    return u + modes.noise(modes.nearest(u), generator)


def _tests(chains: Tensor, fresh: Tensor) -> list[tuple[str, float]]:
    """Compare every coordinate, the log density (the last column), and sums and differences of neighbours."""
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
