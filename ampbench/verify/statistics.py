r"""Tests that are accurate at small p-values: a verdict at :math:`10^{-6}` must not depend on a tail approximation.

Shares are compared by Fisher's exact test, distributions by the Kolmogorov-Smirnov test, which ties make conservative.

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

ROUNDING_TOLERANCE = 1e-6
"""Relative distance within which a value equals a cut point: golden statistics are written with seven digits."""
MAX_TIE_SHARE = 0.9
"""Rank tests are not applied to a component that takes one value in a larger share of rows than this."""
MAX_VARIANCE_SHARE = 0.05
"""A mean is not tested if one value contributes more than this share of the sum of squares: it is not near normal."""


def shares(golden: Summary, samples: Tensor) -> Array:
    """Compare samples (n, L) with a golden summary: Fisher's exact p-values, (4, L); see :meth:`Summary.z_scores`."""
    cuts = golden.cuts
    slack = ROUNDING_TOLERANCE * cuts.abs()  # an atom at a cut point may have been rounded to either side of it
    return np.maximum(_fisher(golden, Summary.of(samples, cuts)), _fisher(golden, Summary.of(samples, cuts + slack)))


def _fisher(first: Summary, second: Summary) -> Array:
    """Return the two-sided p-values of equal shares in two summaries with equal cut points, (4, L)."""
    one, other = (
        np.rint(each.n * np.concatenate([each.below.numpy(), each.pairs.numpy()[None]])) for each in (first, second)
    )
    counts = stats.hypergeom(first.n + second.n, one + other, second.n)
    two_sided: Array = np.minimum(1.0, 2 * np.minimum(counts.cdf(other), counts.sf(other - 1)))
    return two_sided


def two_sample(first: Tensor, second: Tensor) -> list[float]:
    """Return the Kolmogorov-Smirnov p-value of each column of two samples (n, K) and (m, K)."""
    columns = zip(first.T.numpy(), second.T.numpy(), strict=True)
    return [float(stats.ks_2samp(one, other, method="asymp").pvalue) for one, other in columns]


def neighbours(values: Tensor) -> list[float]:
    """Test whether consecutive rows of (n, K) are independent, by rank correlations of values and of their deviations.

    Returns:
        The p-values, two for each column that is not nearly constant.
    """
    return [_lag_one(ranks) for column in values.T.numpy() for ranks in _ranks(column)]


def groups(values: Tensor) -> list[float]:
    """Test whether groups (B, n, K) have one distribution, by Kruskal-Wallis tests of values and of their deviations.

    Returns:
        The p-values, two for each component that is not nearly constant.
    """
    number = len(values)
    columns = values.flatten(0, 1).T.numpy()
    return [_kruskal(ranks.reshape(number, -1)) for column in columns for ranks in _ranks(column)]


def _ranks(column: Array) -> list[Array]:
    """Return the ranks of a column and their distances to the middle rank; empty if the column is nearly constant."""
    if np.unique(column, return_counts=True)[1].max() > MAX_TIE_SHARE * len(column):
        return []
    ranks = stats.rankdata(column)
    return [ranks, np.abs(ranks - ranks.mean())]


def _kruskal(ranks: Array) -> float:
    """Return the Kruskal-Wallis p-value of ranks (B, n): the spread of the group means is chi-square, B - 1 dof."""
    spread = ranks.var(ddof=1)
    if spread == 0:
        return 1.0
    score = ranks.shape[1] * float(((ranks.mean(1) - ranks.mean()) ** 2).sum()) / spread
    return float(stats.chi2.sf(score, len(ranks) - 1))


def _lag_one(ranks: Array) -> float:
    """Return the p-value of no correlation between consecutive ranks (n,)."""
    first, second = ranks[:-1] - ranks.mean(), ranks[1:] - ranks.mean()
    variance = ranks.var() * len(first)
    return normal(float(first @ second / variance * np.sqrt(len(first)))) if variance > 0 else 1.0


def zero_mean(values: Array) -> float:
    """Return the p-value of a zero mean of values (n,); 1 if a single value dominates, so that no test is possible."""
    squares = values**2
    total = float(squares.sum())
    if total == 0 or squares.max() > MAX_VARIANCE_SHARE * total:
        return 1.0
    return normal(float(values.mean() / (values.std() / np.sqrt(len(values)))))


def hoeffding(difference: float, n: int) -> float:
    """Return a bound on the p-value of a difference of two means of n values each, all between -1 and 1."""
    return float(min(1.0, 2 * np.exp(-n * difference**2 / 4)))


def normal(z: float) -> float:
    """Return the two-sided p-value of a standard normal score."""
    return float(2 * stats.norm.sf(abs(z)))
