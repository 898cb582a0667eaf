r"""Importance sampling: a test of the reference against prior times likelihood.

A proposal :math:`q` is fitted to half of the reference draws (:mod:`ampbench.verify.proposal`) and mixed with a share
of the prior, which covers posterior mass that the draws lack. It is then fitted again, to the draws and to a resample
of the first importance sample. Fresh draws from it, with weights
:math:`w = p(x \mid \theta)\, p(\theta) / q(\theta)`, give estimates

.. math:: \hat s = \sum_i w_i\, 1[u_i \le c] \Big/ \sum_i w_i

of the posterior probabilities below cut points :math:`c`, which are compared with those of the other half of the
reference draws. No verdict is given if the effective sample size :math:`(\sum w)^2 / \sum w^2` is too small. A
likelihood that is an unbiased estimate serves as well.

References:
    Owen 2013, *Monte Carlo theory, methods and examples*, chapter 9, https://artowen.su.domains/mc/.
    Hesterberg 1995, *Weighted average importance sampling and defensive mixture distributions*,
    doi:10.1080/00401706.1995.10484303.
    Tran, Scharth, Pitt, Kohn 2013, *Importance sampling squared*, arXiv:1309.3339.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Generator, Tensor

from ampbench.interfaces import Observation
from ampbench.verify.finding import Finding, smallest
from ampbench.verify.proposal import Proposal, fit
from ampbench.verify.statistics import normal
from ampbench.verify.subject import Subject

PRIOR_SHARE = 0.1
"""Weight of the prior in the proposal."""
MIN_EFFECTIVE_SIZE = 1000
"""A smaller effective sample size gives no verdict."""
MAX_WEIGHT = 0.01
"""A largest normalised weight above this gives no verdict."""
CUT_LEVELS = (0.05, 0.25, 0.5, 0.75, 0.95)
"""Levels of the quantiles that serve as cut points."""
PROPOSALS_PER_EFFECTIVE_DRAW = 8
"""If the effort allows fewer than 8,000 proposals, one effective draw per this number of proposals suffices."""


@dataclass(frozen=True)
class Weighted:
    """A weighted sample: u (n, D′), and weights (n,) that sum to 1."""

    u: Tensor
    weights: Tensor

    @property
    def effective(self) -> float:
        """The effective sample size."""
        return float(1 / self.weights.square().sum())


def importance(subject: Subject) -> Iterator[Finding]:
    """Compare the reference with importance sampling at every observation of :meth:`Subject.judged`."""
    _ = subject.likelihood
    for where, observation in subject.judged():
        u = subject.unconstrained.encode(subject.draws(where, observation.x).double())
        yield _compare(subject, where, observation, u)


def _compare(subject: Subject, where: str, observation: Observation, u: Tensor) -> Finding:
    half = len(u) // 2
    seed = subject.derive("importance", where)
    found = sample(subject, observation.x, u[:half], seed)
    share = found.effective / len(found.u)
    remark = f"{where}, ESS {share:.0%} of {len(found.u)}"
    if (
        found.effective < min(MIN_EFFECTIVE_SIZE, subject.effort.proposals / PROPOSALS_PER_EFFECTIVE_DRAW)
        or found.weights.max() > MAX_WEIGHT
    ):
        return Finding("importance", f"{remark}: too few effective draws for a verdict", None, "skipped")
    return smallest("importance", _tests(found, u[:half], u[half:]), remark)


def sample(subject: Subject, x: Tensor, draws: Tensor, seed: int) -> Weighted:
    """Draw from the posterior of an observation (L,) by importance sampling around draws (n, D′)."""
    generator = Generator().manual_seed(seed)
    first = _weighted(subject, x, fit(draws, seed), subject.effort.proposals // 2, generator)
    again = torch.multinomial(first.weights, len(draws), replacement=True, generator=generator)
    # with a tiny effective sample size, the resample would only repeat a few points
    joined = torch.cat([draws, first.u[again]]) if first.effective > 20 else draws
    spread = joined + 1e-6 * joined.std(0) * torch.randn(joined.shape, generator=generator, dtype=joined.dtype)
    some = torch.randperm(len(spread), generator=generator)[: len(draws)]
    return _weighted(subject, x, fit(spread[some], seed), subject.effort.proposals, generator)


def _weighted(subject: Subject, x: Tensor, proposal: Proposal, n: int, generator: Generator) -> Weighted:
    from_prior = int(PRIOR_SHARE * n)
    prior = subject.prior(from_prior, "importance", n)
    u = torch.cat([subject.unconstrained.encode(prior.double()), proposal.sample(n - from_prior, generator)])
    theta, jacobian = subject.unconstrained.decode(u)
    parts = torch.stack([subject.log_prior(theta) + jacobian, proposal.log_prob(u)])
    shares = torch.tensor([PRIOR_SHARE, 1 - PRIOR_SHARE], dtype=u.dtype).log()[:, None]
    log_weights = subject.log_posterior(u, x) - torch.logsumexp(parts + shares, dim=0)
    return Weighted(u, torch.softmax(log_weights, 0))


def _tests(found: Weighted, fitted: Tensor, rest: Tensor) -> list[tuple[str, float]]:
    """Compare weighted shares with the shares of those reference draws to which the proposal was not fitted."""
    tested = []
    middle = torch.quantile(fitted, 0.5, dim=0)
    for i in range(rest.shape[1]):
        for level, cut in zip(CUT_LEVELS, torch.quantile(fitted[:, i], torch.tensor(CUT_LEVELS).double()), strict=True):
            tested.append((f"{level:.0%} cut of u({i})", _equal(found, found.u[:, i] <= cut, rest[:, i] <= cut)))
    for i in range(rest.shape[1]):
        j = (i + 1) % rest.shape[1]
        both = [(u[:, i] <= middle[i]) & (u[:, j] <= middle[j]) for u in (found.u, rest)]
        tested.append((f"u({i}) with u({j})", _equal(found, *both)))
    return tested


def _equal(found: Weighted, inside: Tensor, drawn: Tensor) -> float:
    share = float((found.weights * inside).sum())
    variance = float((found.weights.square() * (inside.double() - share).square()).sum())
    other = float(drawn.double().mean())
    variance += other * (1 - other) / len(drawn)
    return normal((share - other) / np.sqrt(variance)) if variance > 0 else 1.0
