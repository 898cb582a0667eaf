r"""Mean ranks of methods over tasks of which some lack a score, with intervals and tests.

On task t, :math:`w_{ijt}` is 1 if method j has a lower mean than method i over the seeds and observations that both
have, 1/2 if the means are equal, 0 otherwise. The mean rank of method i,

.. math:: r_i = 1 + \sum_{j \ne i} \bar w_{ij}, \qquad
          \bar w_{ij} = \frac{1}{|T_{ij}|} \sum_{t \in T_{ij}} w_{ijt},

averages each pair over the tasks :math:`T_{ij}` on which both have a score. If no score is missing, r is the ordinary
mean rank. A pair without a common task counts as 1/2, and adds 1 to the width of the interval.

Intervals are those of :func:`ampbench.statistics.crossed_effects.mean_ranks`, pair by pair: seeds and observations are
drawn with replacement, tasks have Dirichlet weights, and an unseen task is won or lost.

Two methods are told apart by a permutation test. If no task favoured a method, the ranks on each task could be
exchanged among the methods that have a score on it. The differences :math:`|r_i - r_j|`, in units of their standard
deviation under these permutations, are compared with the largest difference of any pair, so that the probability of
calling any two of several equal methods different is bounded by the level. If no score is missing, and for many tasks,
this is the critical difference :math:`q_\alpha \sqrt{K(K + 1) / (6T)}` of Nemenyi's test; with two methods it is the
sign test.

References:
    Demšar 2006, *Statistical comparisons of classifiers over multiple data sets*, JMLR 7.
    Westfall & Young 1993, *Resampling-Based Multiple Testing*, chapter 2.
    Gaffke 2005, *Three test statistics for a nonparametric one-sided hypothesis on the mean of a nonnegative variable*,
    Mathematical Methods of Statistics 14(4).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ampbench.statistics.crossed_effects import Array

Mask = NDArray[np.bool_]

MAX_VALUES = 2**22
"""Largest number of values of an array of resamples: 32 MiB in float64."""
TOLERANCE = 1e-9
"""Relative difference below which two sums are equal in spite of rounding."""


@dataclass(frozen=True)
class MeanRanks:
    """Mean ranks of K methods, 1 for the lowest scores.

    Attributes:
        rank: the mean ranks, shape (K,).
        low, high: the ends of their intervals, shape (K,).
        p: p-values of the differences of all pairs, adjusted for their number, shape (K, K); 1 on the diagonal, NaN
            for pairs without a common task.
    """

    rank: Array
    low: Array
    high: Array
    p: Array


def partial_mean_ranks(
    tasks: Sequence[Array], level: float = 0.95, resamples: int = 2000, permutations: int = 5000, seed: int = 0
) -> MeanRanks:
    """Rank methods over tasks, where NaN stands for a missing score.

    Arguments:
        tasks: for each task the scores, shape (seeds, observations, K); at least one task.
        level: confidence level of the intervals.
        resamples: number of resamples of tasks' weights, seeds and observations.
        permutations: number of permutations of the ranks on each task.
        seed: seed of resamples and permutations.
    """
    draw = np.random.default_rng(seed)
    pairs = [_pairs(scores) for scores in tasks]
    wins = [
        _wins(scores, np.ones((1, scores.shape[0] * scores.shape[1])))[0] * pair
        for scores, pair in zip(tasks, pairs, strict=True)
    ]
    known = np.sum(pairs, axis=0, dtype=float)
    rank = _mean_ranks(np.sum(wins, axis=0), known)
    ends = [_resampled(tasks, pairs, size, draw) for size in _blocks(resamples, len(rank))]
    low, high = (np.concatenate(each) for each in zip(*ends, strict=True))
    return MeanRanks(
        rank,
        np.clip(np.quantile(low, (1 - level) / 2, axis=0), 1, rank),
        np.clip(np.quantile(high, (1 + level) / 2, axis=0), rank, len(rank)),
        _p_values(wins, pairs, rank, known, permutations, draw),
    )


def _pairs(scores: Array) -> Mask:
    """Return which pairs of methods have a common score, shape (K, K)."""
    k = scores.shape[-1]
    there = ~np.isnan(scores.reshape(-1, k))
    return (there.astype(float).T @ there > 0) & ~np.eye(k, dtype=bool)


def _wins(scores: Array, weights: Array) -> Array:
    """Return w, shape (B, K, K), for B weights (B, seeds × observations); of pairs without a common score 1/2."""
    k = scores.shape[-1]
    flat = scores.reshape(-1, k)
    there = ~np.isnan(flat)
    if there.all():
        sums = weights @ flat
        mine, other = sums[:, :, None], sums[:, None, :]
    else:
        common = np.where(there, flat, 0.0)[:, :, None] * there[:, None, :]  # the scores of i where j has one, too
        mine = (weights @ common.reshape(-1, k * k)).reshape(-1, k, k)
        other = mine.transpose(0, 2, 1)
    return _beaten(mine, other, TOLERANCE * (np.abs(mine) + np.abs(other))) / 2


def _mean_ranks(wins: Array, weight: Array) -> Array:
    """Return r, shape (*, K), from sums of w over tasks and the sums of the tasks' weights, both (*, K, K)."""
    k = wins.shape[-1]
    shares = np.divide(wins, weight, out=np.full(wins.shape, 0.5), where=weight > 0)
    shares[..., range(k), range(k)] = 0
    return 1 + shares.sum(-1)


def _resampled(
    tasks: Sequence[Array], pairs: Sequence[Mask], size: int, draw: np.random.Generator
) -> tuple[Array, Array]:
    """Return resamples of the mean ranks if the unseen task is won, and if it is lost, each of shape (B, K)."""
    masses = draw.standard_exponential((size, len(tasks) + 1))  # Dirichlet weights before their normalisation
    k = tasks[0].shape[-1]
    unseen = np.broadcast_to(masses[:, -1, None, None], (size, k, k))
    wins, weight = np.zeros((size, k, k)), unseen.copy()
    for mass, scores, pair in zip(masses.T[:, :, None, None], tasks, pairs, strict=False):
        known = mass * pair
        weight += known
        wins += known * _wins(scores, _cell_weights(scores.shape, size, draw))
    return _mean_ranks(wins, weight), _mean_ranks(wins + unseen, weight)


def _cell_weights(shape: tuple[int, ...], size: int, draw: np.random.Generator) -> Array:
    """Return how often each cell is in resamples of seeds and of observations, shape (B, seeds × observations)."""
    s, o, _ = shape
    of_seeds = draw.multinomial(s, np.full(s, 1 / s), size=size)
    of_observations = draw.multinomial(o, np.full(o, 1 / o), size=size)
    return (of_seeds[:, :, None] * of_observations[:, None, :]).reshape(size, -1).astype(float)


def _p_values(
    wins: Sequence[Array],
    pairs: Sequence[Mask],
    rank: Array,
    known: Array,
    permutations: int,
    draw: np.random.Generator,
) -> Array:
    """Return the adjusted p-values of all pairs, shape (K, K)."""
    variance = sum((_variance(pair / np.maximum(known, 1)) for pair in pairs), np.zeros(known.shape))
    tested = (known > 0) & (variance > 0)
    unit = np.sqrt(np.where(tested, variance, 1))
    seen = np.abs(rank[:, None] - rank) / unit
    exceeded = np.zeros(known.shape)
    for size in _blocks(permutations, len(rank)):
        largest = np.where(tested, np.abs(_permuted(wins, pairs, known, size, draw)) / unit, 0).max((1, 2))
        exceeded += (largest[:, None, None] >= seen * (1 - TOLERANCE)).sum(0)
    p = np.where(tested, (1 + exceeded) / (1 + permutations), np.where(known > 0, 1.0, np.nan))
    return np.where(np.eye(len(rank), dtype=bool), 1.0, p)


def _variance(shares: Array) -> Array:
    """Return the variance of r_i − r_j under permutations of one task's ranks, (K, K).

    The shares, (K, K), are the weights of the task in the averages w̄. If the ranks are permuted, w has the variance
    1/4; two of them with one method in common have the covariance ± 1/12.
    """
    total = shares.sum(1)
    own = (shares**2).sum(1) / 6 + total**2 / 12
    beside = shares * (total[None, :] - shares)
    common = (shares @ shares.T - beside - beside.T) / 12 - shares**2 / 4
    return own[:, None] + own[None, :] - 2 * common


def _permuted(
    wins: Sequence[Array], pairs: Sequence[Mask], known: Array, size: int, draw: np.random.Generator
) -> Array:
    """Return differences of mean ranks, shape (B, K, K), with the ranks of each task permuted."""
    k = len(known)
    twice = np.zeros((size, k, k), np.int32)  # the wins, doubled: halves as whole numbers
    for won, pair in zip(wins, pairs, strict=True):
        there = pair.any(1)
        ranks = np.zeros((size, k), np.int32)
        ranks[:, there] = 2 * draw.permuted(np.tile(1 + won[there].sum(1), (size, 1)), axis=1)
        twice += _beaten(ranks[:, :, None], ranks[:, None, :]) * pair
    means = _mean_ranks(twice / 2, known)
    return means[:, :, None] - means[:, None, :]


def _beaten(mine: NDArray[Any], other: NDArray[Any], margin: Array | int = 0) -> NDArray[np.int8]:
    """Return 2 where the first is larger by more than a margin, 1 where both are equal within it, 0 elsewhere."""
    difference = mine - other
    return (difference > margin).view(np.int8) + (difference >= -margin).view(np.int8)


def _blocks(total: int, methods: int) -> Iterator[int]:
    """Split a number of resamples so that an array (resamples, K, K) has at most MAX_VALUES values."""
    most = max(1, MAX_VALUES // methods**2)
    for start in range(0, total, most):
        yield min(most, total - start)
