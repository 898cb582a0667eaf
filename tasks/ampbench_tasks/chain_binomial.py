r"""The chain-binomial epidemic of Reed and Frost in one town, partly reported, with its exact likelihood.

Generations :math:`t = 1, \dots, 20` in a town of 200 people, with :math:`I_0 = 2` and :math:`S_0 = 198`:

.. math::
    I_t \sim \mathrm{Bin}\bigl(S_{t-1},\, 1 - (1 - p)^{I_{t-1}}\bigr), \qquad S_t = S_{t-1} - I_t, \qquad
    y_t \sim \mathrm{Bin}(I_t, \tfrac12)

:math:`y_t` reports the infections of generation t; the two first cases, :math:`I_0`, are not reported.

**Likelihood.** With :math:`\alpha_t(s, i) = p(y_1, \dots, y_t, S_t = s, I_t = i)` the forward algorithm is exact:

.. math::
    \alpha_{t+1}(s - k, k) = \mathrm{Bin}(y_{t+1}; k, \tfrac12) \sum_{i \ge 1} \alpha_t(s, i)\,
    \mathrm{Bin}\bigl(k; s, 1 - (1 - p)^i\bigr), \qquad k \ge 1

With :math:`\rho = -\log(1 - p)` and :math:`v_i = \log(e^{\rho i} - 1)` the transition probability is
:math:`\binom s k e^{-\rho i s} e^{k v_i}`, so that the sum over i is one matrix product for all s together; all its
terms are positive. Where the factors would overflow the sum is computed directly. An epidemic that ends contributes its
probability if no report follows.

Only states that the reports permit are visited: i with :math:`\binom i y 2^{-i}` at least :math:`10^{-16}` times its
maximum over i, and likewise the total of all infections given the total of all reports. This changes the likelihood
only at rates where it is below :math:`e^{-50}` times its maximum.

References:
    Abbey 1952, *An examination of the Reed-Frost theory of epidemics*, Human Biology 24, 201-233.
    Bailey 1975, *The Mathematical Theory of Infectious Diseases*, second edition, chapter 14.
    Rabiner 1989, *A tutorial on hidden Markov models*, doi:10.1109/5.18626 (the forward algorithm).
"""

from __future__ import annotations

import math
from functools import cache
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import pad, softplus

FIRST_CASES, SUSCEPTIBLE = 2, 198
GENERATIONS = 20
REPORTED_SHARE = 0.5
MIN_WEIGHT_SHARE = 1e-16
"""Smallest weight of a number of infections given the reports, as a share of the largest; smaller ones are left out."""
CHUNK_SIZE = 8
"""Number of epidemics whose states are visited together; they are sorted, so that their states are similar."""

BLOCK_SIZE = 96
"""Number of values of k in one matrix product, which bounds its exponents."""
MAX_EXPONENT = 300.0
"""Largest exponent of a factor of the transition probability; beyond it the probability is computed as a whole."""


class Window(NamedTuple):
    """Ranges of the states of a generation, ends included: infected people, and susceptible people."""

    infected: tuple[int, int]
    susceptible: tuple[int, int]


def simulate(logit_p: Tensor) -> Tensor:
    """Draw the reports of one epidemic per row, shape (n, 20), given the logit of p, (n, 1)."""
    rate = softplus(logit_p.double())[:, 0]  # −log(1 − p)
    infected = torch.full_like(rate, FIRST_CASES)
    susceptible = torch.full_like(rate, SUSCEPTIBLE)
    reports = []
    for _ in range(GENERATIONS):
        infected = torch.binomial(susceptible, -torch.expm1(-rate * infected))
        susceptible = susceptible - infected
        reports.append(torch.binomial(infected, torch.full_like(rate, REPORTED_SHARE)))
    return torch.stack(reports, dim=1).float()


def log_likelihood(logit_p: float, y: Tensor) -> Tensor:
    """Return log p(y | p), shape (m,), float64, for one logit of p and reports y (m, 20), of whole numbers."""
    rows, place = y.long().unique(dim=0, return_inverse=True)
    generation = (rows @ torch.arange(GENERATIONS)) / rows.sum(1).clamp(min=1)  # the mean one of the reports
    order = generation.argsort(stable=True)
    parts = [_forward(logit_p, rows[chunk]) for chunk in order.split(CHUNK_SIZE)]
    return torch.empty(len(rows), dtype=torch.float64).index_copy(0, order, torch.cat(parts))[place]


def _forward(logit_p: float, y: Tensor) -> Tensor:
    """Return log p(y | p), shape (m,), for reports (m, 20) of whole numbers."""
    rate = float(softplus(torch.tensor(logit_p, dtype=torch.float64)))
    silent = y.flip(1).cumsum(1).flip(1) == 0  # no report from generation t on, (m, 20)
    alive = torch.ones(len(y), 1, 1, dtype=torch.float64)  # (m, susceptible, infected)
    log_scale = torch.zeros(len(y), dtype=torch.float64)
    result = torch.full_like(log_scale, -torch.inf)
    now = Window((FIRST_CASES, FIRST_CASES), (SUSCEPTIBLE, SUSCEPTIBLE))
    for t, then in enumerate(_windows(y)):
        ended = log_scale + _ended(alive, now, rate).log()
        result = torch.where(silent[:, t], torch.logaddexp(result, ended), result)
        alive = _shifted(_infections(alive, now, then, rate), now, then) * _report(y[:, t], then)[:, None]
        total = alive.sum((1, 2))
        alive = alive / total.clamp(min=torch.finfo(total.dtype).tiny)[:, None, None]
        log_scale, now = log_scale + total.log(), then
    return torch.logaddexp(result, log_scale)


def _ended(alive: Tensor, now: Window, rate: float) -> Tensor:
    """Return the probability that nobody is infected next, shape (m,)."""
    s, i = _range(now.susceptible), _range(now.infected)
    return (alive * (-rate * s[:, None] * i).exp()).sum((1, 2))


def _infections(alive: Tensor, now: Window, then: Window, rate: float) -> Tensor:
    """Return the probabilities of s people susceptible, of whom k are infected next, shape (m, S, K)."""
    s, i = _range(now.susceptible), _range(now.infected)
    return torch.cat([_block(alive, s[:, None], i, k, rate) for k in _range(then.infected).split(BLOCK_SIZE)], dim=2)


def _block(alive: Tensor, s: Tensor, i: Tensor, k: Tensor, rate: float) -> Tensor:
    """Return these probabilities for some numbers k, shape (m, S, K), given s (S, 1), i (I,) and k (K,)."""
    ways = _log_binomials()[s.long(), k.long()]  # (S, K)
    v = (-torch.expm1(-rate * i)).log() + rate * i
    middle, around = k[len(k) // 2], v[len(v) // 2]  # both keep the exponents small
    power = torch.outer(v - around, k - middle)  # (I, K)
    if float(power.abs().max()) > MAX_EXPONENT:
        escape = (s - k).clamp(min=0)[:, None]
        transition = ways[:, None] + k * (v - rate * i)[:, None] - rate * i[:, None] * escape  # (S, I, K)
        return torch.einsum("msi,sik->msk", alive, transition.exp())
    left = middle * v - rate * i * s  # (S, I)
    top = left.max(1, keepdim=True).values
    return (alive * (left - top).exp()) @ power.exp() * (ways + top + around * (k - middle)).exp()


def _shifted(joint: Tensor, now: Window, then: Window) -> Tensor:
    """Return the tensor (m, S′, K) whose element (s − k, k) is the element (s, k) of a tensor (m, S, K)."""
    width, (low, high) = joint.shape[2], then.susceptible
    first = low + then.infected[0] - now.susceptible[0]  # row of the element (low, 0)
    last = high + then.infected[1] - now.susceptible[0]  # row of the element (high, width − 1)
    before = max(0, -first)
    padded = pad(joint, (0, 0, before, max(0, last + 1 - joint.shape[1]))).contiguous()
    size, strides = (len(joint), high - low + 1, width), (padded.stride(0), width, width + 1)
    return padded.as_strided(size, strides, (first + before) * width)


def _report(y: Tensor, then: Window) -> Tensor:
    """Return the probability of reports y (m,) for each number of infections, shape (m, K)."""
    k = _range(then.infected)
    return (_log_binomials()[k.long(), y[:, None]] - k * math.log(2)).exp()


def _windows(y: Tensor) -> list[Window]:
    """Return the states of epidemics that last, for each generation, which reports (m, 20) permit."""
    largest, smallest = _most_infections(), torch.maximum(y, torch.ones_like(y))
    low, high = smallest.min(0).values, largest[y.max(0).values]
    gone_low = smallest.cumsum(1).min(0).values
    gone_high = torch.minimum(high.cumsum(0), largest[y.cumsum(1).max(0).values.clamp(max=SUSCEPTIBLE)])
    windows = []
    for a, b, c, d in zip(*(each.tolist() for each in (low, high, gone_low, gone_high)), strict=True):
        most = max(SUSCEPTIBLE - c, 0)
        windows.append(Window((a, max(a, b)), (min(max(SUSCEPTIBLE - d, 0), most), most)))
    return windows


def _range(ends: tuple[int, int]) -> Tensor:
    return torch.arange(ends[0], ends[1] + 1, dtype=torch.float64)


@cache
def _log_binomials() -> Tensor:
    """Return the logarithms of the binomial coefficients, n over k, for n and k up to 198; minus infinity if k > n."""
    n, k = _range((0, SUSCEPTIBLE))[:, None], _range((0, SUSCEPTIBLE))
    value = torch.lgamma(n + 1) - torch.lgamma(k + 1) - torch.lgamma((n - k).clamp(min=0) + 1)
    return torch.where(k <= n, value, -torch.inf)


@cache
def _most_infections() -> Tensor:
    """Return the largest number of infections for each number of reports, shape (199,)."""
    weight = _log_binomials() - _range((0, SUSCEPTIBLE))[:, None] * math.log(2)  # (infections, reports)
    enough = weight >= weight.max(0).values + math.log(MIN_WEIGHT_SHARE)
    return SUSCEPTIBLE - enough.flip(0).long().argmax(0)
