r"""Location, scale and correlation of samples against a reference, and their differences under the null hypothesis.

All moments are of winsorised samples: values beyond the 2.5 % and 97.5 % quantiles of their own set are replaced by
these quantiles, parameter by parameter, so that a heavy tail is not taken for a wide distribution. Mean, standard
deviation and correlation matrix are :math:`m, s, C` for the samples and :math:`m', s', C'` for the reference:

- shift: the largest :math:`|m_d - m'_d| / s'_d`;
- width: the largest and the smallest :math:`s_d / s'_d`;
- correlation: :math:`\sqrt{\lambda}`, with :math:`\lambda` the eigenvalue of :math:`C'^{-1} C` farthest from 1 on a
  logarithmic scale. This is the factor by which the samples are too wide, or too narrow, in the linear combination of
  parameters with the largest misfit, once the width of each parameter has been matched.

The null distribution of these statistics is estimated by drawing both sets from the reference, with replacement. The
maximum over parameters has approximately a Gumbel distribution, with a mean and a standard deviation that fall as
:math:`\sqrt{1/n + 1/m}`; its quantile follows from mean and standard deviation.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

WINSORISED_SHARE = 0.025
"""The share of samples on each side that is winsorised."""

DRAWS = 40
"""Number of pairs of sets drawn from the reference; the standard deviation of a maximum then has an error of 12 %."""

MAX_SET_SIZE = 2_500
"""The largest size of a set drawn from the reference; the quantiles of larger sets are scaled."""

MIN_WIDTH_RATIO = 1e-9
"""Lower bound of ratios of standard deviations, so that their logarithms are finite."""


@dataclass(frozen=True)
class Moments:
    """Winsorised mean (D,), standard deviation (D,) and covariance (D, D)."""

    mean: Array
    sd: Array
    covariance: Array

    @property
    def whiten(self) -> Array:
        """The matrix W (D, D) such that the winsorised covariance of ``points @ W.T`` is the identity.

        Raises:
            numpy.linalg.LinAlgError: the covariance is singular.
        """
        return np.linalg.inv(np.linalg.cholesky(self.covariance))

    @property
    def correlation(self) -> Array:
        """The correlation matrix (D, D)."""
        return self.covariance / np.outer(self.sd, self.sd)


def moments(points: Array) -> Moments:
    """Return the winsorised moments of points (n, D)."""
    low, high = np.quantile(points, (WINSORISED_SHARE, 1 - WINSORISED_SHARE), axis=0)
    covariance = np.cov(np.clip(points, low, high).T).reshape(points.shape[1], -1)
    return Moments(np.clip(points, low, high).mean(0), np.sqrt(np.diag(covariance)), covariance)


def shifts(samples: Moments, reference: Moments) -> Array:
    """Return the differences of the means in reference standard deviations, shape (D,)."""
    return (samples.mean - reference.mean) / reference.sd


def widths(samples: Moments, reference: Moments) -> Array:
    """Return the logarithms of the ratios of the standard deviations, shape (D,)."""
    return np.log(np.maximum(samples.sd / reference.sd, MIN_WIDTH_RATIO))


def combination(samples: Moments, reference: Moments) -> tuple[float, Array]:
    """Return the combination of parameters with the largest misfit of width.

    Returns:
        The logarithm of the ratio of standard deviations, and the combination's direction (D,) of unit length.

    Raises:
        numpy.linalg.LinAlgError: the correlation of the reference is singular.
    """
    whiten = np.linalg.inv(np.linalg.cholesky(reference.correlation))
    values, vectors = np.linalg.eigh(whiten @ samples.correlation @ whiten.T)
    factors = np.log(np.maximum(values, MIN_WIDTH_RATIO**2)) / 2
    worst = int(np.abs(factors).argmax())
    direction = whiten.T @ vectors[:, worst]
    return float(factors[worst]), direction / np.linalg.norm(direction)


def location(samples: Moments, reference: Moments) -> list[float]:
    """Return the largest absolute shift."""
    return [float(np.abs(shifts(samples, reference)).max())]


def form(samples: Moments, reference: Moments) -> list[float]:
    """Return the largest absolute logarithms of the ratio of widths, of a parameter and of a combination."""
    joint = abs(combination(samples, reference)[0]) if len(samples.sd) > 1 else 0.0
    return [float(np.abs(widths(samples, reference)).max()), joint]


def by_chance(
    reference: Array,
    n: int,
    share: float,
    generator: np.random.Generator,
    statistics: Callable[[Moments, Moments], list[float]],
) -> list[float]:
    """Return the upper quantiles of statistics under the null hypothesis that both sets have one distribution.

    Arguments:
        reference: shape (m, D).
        n: number of samples that are compared with the reference.
        share: the upper tail probability of the quantiles.
        generator: random numbers for drawing sets.
        statistics: a function of the moments of two sets: :func:`location` or :func:`form`.
    """
    m = len(reference)
    sizes = min(n, MAX_SET_SIZE), min(m, MAX_SET_SIZE)
    found = [
        statistics(*(moments(reference[generator.integers(m, size=size)]) for size in sizes)) for _ in range(DRAWS)
    ]
    gumbel = np.sqrt(6) / np.pi * (-np.log(-np.log1p(-share)) - np.euler_gamma)
    scale = np.sqrt((1 / n + 1 / m) / (1 / sizes[0] + 1 / sizes[1]))
    quantiles = (np.mean(found, axis=0) + gumbel * np.std(found, axis=0, ddof=1)) * scale
    return [float(each) for each in quantiles]
