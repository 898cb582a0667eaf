r"""Inference on scores of a few seeds and observations, by crossed random effects: intervals, tests and ranks.

A method's score with seed s on observation o is modelled with crossed random effects,

.. math:: y_{so} = \mu + a_s + b_o + c_{so}, \qquad a_s \sim (0, \sigma^2_\text{seed}), \;
          b_o \sim (0, \sigma^2_\text{obs}), \; c_{so} \sim (0, \sigma^2_\text{rest}).

All observations of a seed share its fit, and so its effect a_s: scores of ten observations of one fit are not
independent. The rest c includes the metric's own noise. With S seeds and O observations, the mean squares between
seeds, between observations and of the residuals have the expectations

.. math:: M_S = O \sigma^2_\text{seed} + \sigma^2_\text{rest}, \quad
          M_O = S \sigma^2_\text{obs} + \sigma^2_\text{rest}, \quad M_E = \sigma^2_\text{rest},

so that :math:`(M_S + M_O - M_E) / (S O)` is an unbiased estimate of :math:`\operatorname{Var} \bar y`. The confidence
interval for μ is the mean ± the root of this estimate times Student's t quantile at Satterthwaite's degrees of freedom.
These degrees of freedom are themselves estimated, and too large in the tails that Holm's method uses: five equal
methods with three seeds, compared in all pairs, gave a family-wise error of 0.11 instead of 0.05. Therefore p-values
use the smallest possible degrees of freedom, those of the effect with the fewest levels; with three seeds these are 2,
and only large differences are significant.

The percentiles of a hierarchical bootstrap, a common alternative, are not used: of two or three seeds, drawn with
replacement, one is often drawn twice, and the intervals cover too rarely for any number of resamples
(``tests/statistics/test_crossed_effects.py`` measures it). A residual bootstrap with effects shrunk and reflated to the
estimated components (Carpenter et al. 2003) has the variance above as its limit, so that resampling is unnecessary.

For mean ranks, resampling is used. Seeds and observations are drawn with replacement; tasks get random weights, uniform
on the simplex. One weight belongs to an additional, unseen task, on which the rank is the best possible one for the
lower end of the interval and the worst possible one for the upper end (Gaffke 2005). With tasks drawn with replacement
instead, a method that is last on eight of eight tasks would get an interval of width zero. With the unseen task, the
interval is that of Clopper and Pearson: 8 of 8 is compatible with exceptions on 37 % of tasks. For a method that is
last on 95 % of tasks, with eight tasks, intervals by replacement covered the mean rank in 40 % of cases, those with
Dirichlet weights in over 99 % (``tests/statistics/test_crossed_effects.py``). The cost: for methods whose rank varies
between tasks, intervals are wider by a fifth to a third, and cover 0.99.

With S = 1 there is no M_S. The interval is then that of this one fit on further observations, and a difference is one
of two fits, not of two methods.

References:
    Satterthwaite 1946, *An approximate distribution of estimates of variance components*, Biometrics Bulletin 2(6).
    Searle, Casella & McCulloch 1992, *Variance Components*, chapter 4.
    Owen 2007, *The pigeonhole bootstrap*, Annals of Applied Statistics 1(2), arXiv:0712.1111.
    Carpenter, Goldstein & Rasbash 2003, *A novel bootstrap procedure for assessing the relationship between class size
    and achievement*, Applied Statistics 52(4).
    Holm 1979, *A simple sequentially rejective multiple test procedure*, Scandinavian Journal of Statistics 6(2).
    Gaffke 2005, *Three test statistics for a nonparametric one-sided hypothesis on the mean of a nonnegative variable*,
    Mathematical Methods of Statistics 14(4).
    Learned-Miller & Thomas 2019, *A new confidence interval for the mean of a bounded random variable*,
    arXiv:1905.06208.
    Clopper & Pearson 1934, *The use of confidence or fiducial limits illustrated in the case of the binomial*,
    Biometrika 26(4).
    Demšar 2006, *Statistical comparisons of classifiers over multiple data sets*, JMLR 7.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.special import stdtr, stdtrit

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Estimate:
    """A mean with its standard error.

    Attributes:
        mean: the mean over seeds and observations; NaN if there are no scores.
        se: the standard error of the mean; NaN if it cannot be estimated.
        dof: Satterthwaite's degrees of freedom; infinite if ``se`` is the metric's own standard error.
        min_dof: the smallest possible degrees of freedom.
    """

    mean: float
    se: float
    dof: float
    min_dof: float

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """Return the two-sided confidence interval; NaN if ``se`` is NaN."""
        half = self.se * float(stdtrit(self.dof, (1 + level) / 2))
        return self.mean - half, self.mean + half

    def p_value(self) -> float:
        """Return the two-sided p-value of a mean of 0, with ``min_dof`` degrees of freedom; NaN if ``se`` is NaN."""
        if self.se == 0:
            return 1.0 if self.mean == 0 else 0.0
        return float(2 * stdtr(self.min_dof, -abs(self.mean) / self.se))


@dataclass(frozen=True)
class Noise:
    """Standard deviations of single scores by source of variation; NaN where a source cannot be separated.

    Attributes:
        seed: standard deviation between fits, for one observation.
        observation: standard deviation between observations, for one fit.
        rest: standard deviation of the interaction of fit and observation, without the metric's noise.
        metric: standard error of a single value of the metric.
    """

    seed: float
    observation: float
    rest: float
    metric: float


def estimate(scores: ArrayLike, metric_error: float = math.nan) -> Estimate:
    """Estimate the mean of a method's scores, or of paired differences of two methods.

    Arguments:
        scores: shape (seeds, observations), complete; see :func:`complete`.
        metric_error: standard error of a single score, used only if there is one score.

    Returns:
        The mean. With several seeds and observations it estimates the method's mean; with one seed, the mean of this
        fit over observations; with one observation, the method's mean on this observation; with a single score, the
        mean of repeated measurements of this score.
    """
    values = _matrix(scores)
    if values.size == 0:
        return Estimate(math.nan, math.nan, math.nan, math.nan)
    mean, n = float(values.mean()), values.size
    if n == 1:
        return Estimate(mean, metric_error, math.inf, math.inf)
    s, o = values.shape
    if 1 in (s, o):
        return Estimate(mean, float(values.std(ddof=1)) / n**0.5, n - 1, n - 1)
    return _estimate(s, o, mean, *map(float, _mean_squares(values)))


def estimates(several: Array) -> list[Estimate]:
    """Return what :func:`estimate` returns for each of several arrays of scores, shape (*, seeds, observations)."""
    s, o = several.shape[1:]
    if s < 2 or o < 2:
        return [estimate(scores) for scores in several]
    found = several.mean((1, 2)), *_mean_squares(several)
    return [_estimate(s, o, *parts) for parts in zip(*(part.tolist() for part in found), strict=True)]


def _estimate(s: int, o: int, mean: float, seed: float, observation: float, rest: float) -> Estimate:
    """Return the estimate from the mean and the mean squares of s seeds and o observations, both at least two."""
    n, total = s * o, seed + observation - rest
    # a negative component counts as zero: the variance is at least that of each of the two designs with one effect
    variance = max(total, seed, observation)
    least = min(s, o) - 1
    if variance == 0:
        return Estimate(mean, 0.0, least, least)
    spread = seed**2 / (s - 1) + observation**2 / (o - 1) + rest**2 / ((s - 1) * (o - 1))
    return Estimate(mean, (variance / n) ** 0.5, max(variance**2 / spread, least), least)


def noise(scores: ArrayLike, metric_error: float = math.nan) -> Noise:
    """Estimate the components of the variance of a method's scores.

    Arguments:
        scores: shape (seeds, observations), complete.
        metric_error: root mean square of the standard errors of single scores; NaN if unknown.

    Returns:
        Estimates by the method of moments, 0 where the estimate is negative. With one seed, ``seed`` and ``rest`` are
        NaN, and ``observation`` includes the rest; with one observation, ``observation`` and ``rest`` are NaN, and
        ``seed`` includes the rest. If the metric's error is unknown, it is part of ``rest``.
    """
    values = _matrix(scores)
    known = 0.0 if math.isnan(metric_error) else metric_error**2
    if values.size < 2:
        return Noise(math.nan, math.nan, math.nan, metric_error)
    s, o = values.shape
    if s == 1:
        return Noise(math.nan, _root(values.var(ddof=1) - known), math.nan, metric_error)
    if o == 1:
        return Noise(_root(values.var(ddof=1) - known), math.nan, math.nan, metric_error)
    seed, observation, rest = map(float, _mean_squares(values))
    return Noise(_root((seed - rest) / o), _root((observation - rest) / s), _root(rest - known), metric_error)


def complete(scores: pd.DataFrame) -> pd.DataFrame:
    """Return a part without missing values of a table of seeds (rows) by observations (columns).

    The row or column with the largest share of missing values is removed until no value is missing.
    """
    while np.isnan(scores.to_numpy()).any():
        missing = scores.isna()
        rows, columns = missing.mean(axis=1), missing.mean(axis=0)
        scores = (
            scores.drop(index=rows.idxmax()) if rows.max() > columns.max() else scores.drop(columns=columns.idxmax())
        )
    return scores


def mean_ranks(
    tasks: Sequence[Array], level: float = 0.95, resamples: int = 2000, seed: int = 0
) -> tuple[Array, Array, Array]:
    """Rank methods by their mean score on each task, 1 for the lowest, and average over tasks.

    Arguments:
        tasks: for each task the scores, shape (seeds, observations, methods), complete.
        level: confidence level of the intervals.
        resamples: number of resamples of the tasks' weights and, on each task, of seeds and observations, which are
            common to all methods, so that scores stay paired.
        seed: seed of the resamples.

    Returns:
        The mean ranks and the lower and upper ends of their intervals, each of shape (methods,). Ties share a rank.
        The intervals are for the mean over the population of tasks from which these were drawn.
    """
    draw = np.random.default_rng(seed)
    ranks = np.mean([_ranked(scores.mean((0, 1))) for scores in tasks], axis=0)
    drawn = np.stack([_resampled_ranks(scores, resamples, draw) for scores in tasks], axis=1)  # (B, T, K)
    weights = draw.dirichlet(np.ones(len(tasks) + 1), size=resamples)  # (B, T + 1), the unseen task last
    seen, unseen = np.einsum("bt,btk->bk", weights[:, :-1], drawn), weights[:, -1:]
    low = np.quantile(seen + unseen, (1 - level) / 2, axis=0)
    high = np.quantile(seen + unseen * len(ranks), (1 + level) / 2, axis=0)
    return ranks, np.clip(low, 1, ranks), np.clip(high, ranks, len(ranks))


def _resampled_ranks(scores: Array, resamples: int, draw: np.random.Generator) -> Array:
    """Return the ranks of the methods in resamples of seeds and observations, shape (B, K)."""
    s, o, _ = scores.shape
    of_seeds = draw.multinomial(s, np.full(s, 1 / s), size=resamples)
    of_observations = draw.multinomial(o, np.full(o, 1 / o), size=resamples)
    means = np.einsum("bs,bo,sok->bk", of_seeds, of_observations, scores, optimize=True) / (s * o)
    # rounding lets equal methods tie in spite of the order of summation
    return _ranked(means.round(12))


def _ranked(values: Array) -> Array:
    """Return the ranks along the last axis, 1 for the lowest; equal values share their mean rank."""
    each = np.moveaxis(values, -1, 0)[..., None]
    lower, equal = (np.stack([compared(values, one).sum(-1) for one in each], -1) for compared in (np.less, np.equal))
    return np.asarray(lower + (equal + 1) / 2, dtype=float)


def _mean_squares(values: Array) -> tuple[Array, Array, Array]:
    """Return the mean squares between seeds, between observations, and of the residuals, each of shape (*,)."""
    s, o = values.shape[-2:]
    both = (-2, -1)
    rows, columns = values.mean(-1, keepdims=True), values.mean(-2, keepdims=True)
    residuals = values - rows - columns + values.mean(both, keepdims=True)
    return (
        o * rows.var(both, ddof=1),
        s * columns.var(both, ddof=1),
        (residuals**2).sum(both) / ((s - 1) * (o - 1)),
    )


def _matrix(scores: ArrayLike) -> Array:
    """Return scores as a matrix of floats, which must hold no NaN."""
    values = np.asarray(scores, dtype=float)
    assert values.ndim == 2, values.shape
    assert not np.isnan(values).any(), "take the complete part first"
    return values


def _root(variance: float) -> float:
    """Return the root of a variance estimate, 0 if the estimate is negative."""
    return max(float(variance), 0.0) ** 0.5
