r"""Tests that hold at small p-values: a verdict at :math:`10^{-6}` must not rest on an approximation in the tail.

Shares are compared by Fisher's exact test, distributions by Kolmogorov and Smirnov's, which ties make conservative.

References:
    Fisher 1922, *On the interpretation of χ² from contingency tables, and the calculation of P*, doi:10.2307/2340521.
    Kruskal, Wallis 1952, *Use of ranks in one-criterion variance analysis*, doi:10.1080/01621459.1952.10483441.
    Hoeffding 1963, *Probability inequalities for sums of bounded random variables*,
    doi:10.1080/01621459.1963.10500830.
    Hodges 1958, *The significance probability of the Smirnov two-sample test*, doi:10.1007/BF02589501.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from torch import Tensor

from ampbench.interfaces.golden import Summary

Array = NDArray[np.float64]

ROUNDING = 1e-6
"""Relative width of what counts as equal to a cut point: golden statistics are written with seven digits."""
COMMONEST = 0.9
"""A component that takes one value more often than this is too discrete for a rank correlation."""
LARGEST = 0.05
"""If one draw carries more than this share of a mean's variance, the mean is not nearly normal."""


def shares(law: Summary, samples: Tensor) -> Array:
    """Compare samples (n, L) with a golden law: Fisher's exact p-values, (4, L); see :meth:`Summary.z_scores`."""
    slack = ROUNDING * law.cuts.abs()  # an atom at a cut point may have been rounded to either side of it
    return np.maximum(_fisher(law, Summary.of(samples, law.cuts)), _fisher(law, Summary.of(samples, law.cuts + slack)))


def _fisher(golden: Summary, ours: Summary) -> Array:
    mine, theirs = (
        np.rint(law.n * np.concatenate([law.below.numpy(), law.pairs.numpy()[None]])) for law in (golden, ours)
    )
    law = stats.hypergeom(golden.n + ours.n, mine + theirs, ours.n)
    both: Array = np.minimum(1.0, 2 * np.minimum(law.cdf(theirs), law.sf(theirs - 1)))
    return both


def two_sample(first: Tensor, second: Tensor) -> list[float]:
    """Compare two samples (n, K) and (m, K), column by column: Kolmogorov-Smirnov p-values."""
    columns = zip(first.T.numpy(), second.T.numpy(), strict=True)
    return [float(stats.ks_2samp(one, other, method="asymp").pvalue) for one, other in columns]


def neighbours(values: Tensor) -> list[float]:
    """Test whether consecutive rows of (n, K) are independent: rank correlation of values and of their deviations."""
    return [_lag_one(ranks) for column in values.T.numpy() for ranks in _ranks(column)]


def groups(values: Tensor) -> list[float]:
    """Test whether groups (B, n, K) have one law: Kruskal and Wallis's test of values and of their deviations."""
    number = len(values)
    columns = values.flatten(0, 1).T.numpy()
    return [_kruskal(ranks.reshape(number, -1)) for column in columns for ranks in _ranks(column)]


def _ranks(column: Array) -> list[Array]:
    """The ranks of a column, and their distances to the middle; nothing of a column that hardly varies."""
    if np.unique(column, return_counts=True)[1].max() > COMMONEST * len(column):
        return []
    ranks = stats.rankdata(column)
    return [ranks, np.abs(ranks - ranks.mean())]


def _kruskal(ranks: Array) -> float:
    """The p-value of ranks (B, n): the spread of group means, chi-square with B - 1 degrees of freedom."""
    spread = ranks.var(ddof=1)
    if spread == 0:
        return 1.0
    score = ranks.shape[1] * float(((ranks.mean(1) - ranks.mean()) ** 2).sum()) / spread
    return float(stats.chi2.sf(score, len(ranks) - 1))


def _lag_one(ranks: Array) -> float:
    first, second = ranks[:-1] - ranks.mean(), ranks[1:] - ranks.mean()
    variance = ranks.var() * len(first)
    return normal(float(first @ second / variance * np.sqrt(len(first)))) if variance > 0 else 1.0


def zero_mean(values: Array) -> float:
    """Test whether values (n,) have mean zero; 1 where a few values dominate and nothing can be said."""
    squares = values**2
    total = float(squares.sum())
    if total == 0 or squares.max() > LARGEST * total:
        return 1.0
    return normal(float(values.mean() / (values.std() / np.sqrt(len(values)))))


def hoeffding(difference: float, n: int) -> float:
    """Bound the p-value of a difference between two means of n values each, all between -1 and 1."""
    return float(min(1.0, 2 * np.exp(-n * difference**2 / 4)))


def normal(z: float) -> float:
    """Two-sided p-value of a standard normal score."""
    return float(2 * stats.norm.sf(abs(z)))
