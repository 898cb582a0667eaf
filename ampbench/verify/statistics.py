r"""Tests that hold at small p-values: a verdict at :math:`10^{-6}` must not rest on an approximation in the tail.

Shares are compared by Fisher's exact test, distributions by Kolmogorov and Smirnov's, which ties make conservative.

References:
    Fisher 1922, *On the interpretation of χ² from contingency tables, and the calculation of P*, doi:10.2307/2340521.
    Hodges 1958, *The significance probability of the Smirnov two-sample test*, doi:10.1007/BF02589501.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from torch import Tensor

from ampbench.golden import Law

Array = NDArray[np.float64]

ROUNDING = 1e-6
"""Relative width of what counts as equal to a cut point: golden statistics are written with seven digits."""
COMMONEST = 0.9
"""A component that takes one value more often than this is too discrete for a rank correlation."""
LARGEST = 0.1
"""If one draw carries more than this share of a mean's variance, the mean is not nearly normal."""


def shares(law: Law, samples: Tensor) -> Array:
    """Compare samples (n, L) with a golden law: Fisher's exact p-values, (4, L); see :meth:`Law.z_scores`."""
    slack = ROUNDING * law.cuts.abs()  # an atom at a cut point may have been rounded to either side of it
    return np.maximum(_fisher(law, Law.of(samples, law.cuts)), _fisher(law, Law.of(samples, law.cuts + slack)))


def _fisher(golden: Law, ours: Law) -> Array:
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


def uniform(values: Array) -> list[float]:
    """Test values (n,) for uniformity on (0, 1), and their distance to 1/2, which shows too wide and too narrow."""
    folded = 2 * np.abs(values - 0.5)
    return [float(stats.kstest(each, "uniform", method="exact").pvalue) for each in (values, folded)]


def neighbours(values: Tensor) -> list[float]:
    """Test whether consecutive rows of (n, K) are independent: rank correlation of values and of their deviations."""
    result = []
    for column in values.T.double().numpy():
        if np.unique(column, return_counts=True)[1].max() <= COMMONEST * len(column):
            ranks = stats.rankdata(column)
            for each in (ranks, np.abs(ranks - ranks.mean())):
                result.append(_lag_one(each))
    return result


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


def equal_means(first: Array, second: Array) -> float:
    """Test whether two samples of bounded values, (n,) and (m,), have one mean."""
    variance = first.var() / len(first) + second.var() / len(second)
    return normal(float((first.mean() - second.mean()) / np.sqrt(variance))) if variance > 0 else 1.0


def normal(z: float) -> float:
    """Two-sided p-value of a standard normal score."""
    return float(2 * stats.norm.sf(abs(z)))
