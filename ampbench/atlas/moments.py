r"""Location, scale and correlation of samples against a reference, and how far two references would differ.

All moments are of winsorised samples: what lies beyond the 2.5 % and 97.5 % quantiles of its own set is moved there,
parameter by parameter, so that a heavy tail is not taken for a wide distribution. Mean, standard deviation and
correlation matrix are :math:`m, s, C` for the samples and :math:`m', s', C'` for the reference:

- shift: the largest :math:`|m_d - m'_d| / s'_d`;
- width: the largest and the smallest :math:`s_d / s'_d`;
- correlation: :math:`\sqrt{\lambda}`, with :math:`\lambda` the eigenvalue of :math:`C'^{-1} C` farthest from 1 on a
  logarithmic scale: by what factor the samples are too wide, or too narrow, in that combination of parameters which
  differs the most, when the width of each parameter is right.

How large these are if nothing is wrong is seen by drawing both sets from the reference, with replacement. The maximum
over parameters is a random variable near Gumbel's, with a mean and a standard deviation that fall as
:math:`\sqrt{1/n + 1/m}`; its quantile follows from both.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

CUT = 0.025
"""The share of samples on each side that is moved inward."""

DRAWS = 40
"""Pairs of sets that are drawn from the reference; the standard deviation of a maximum is then known to about 12 %."""

SIZE = 2_500
"""The largest set that is drawn; for larger ones the noise is scaled."""

LEAST = 1e-9
"""The smallest width, in reference standard deviations, that has a logarithm."""


@dataclass(frozen=True)
class Moments:
    """Winsorised mean (D,), standard deviation (D,) and covariance (D, D)."""

    mean: Array
    sd: Array
    covariance: Array

    @property
    def whiten(self) -> Array:
        """The matrix W (D, D) that makes the covariance of ``points @ W.T`` the identity, apart from the tails.

        Raises:
            numpy.linalg.LinAlgError: the covariance is singular.
        """
        return np.linalg.inv(np.linalg.cholesky(self.covariance))

    @property
    def correlation(self) -> Array:
        """The correlation matrix (D, D)."""
        return self.covariance / np.outer(self.sd, self.sd)


def moments(points: Array) -> Moments:
    """Return the moments of points (n, D)."""
    low, high = np.quantile(points, (CUT, 1 - CUT), axis=0)
    covariance = np.cov(np.clip(points, low, high).T).reshape(points.shape[1], -1)
    return Moments(np.clip(points, low, high).mean(0), np.sqrt(np.diag(covariance)), covariance)


def shifts(samples: Moments, reference: Moments) -> Array:
    """Return the differences of the means in reference standard deviations, shape (D,)."""
    return (samples.mean - reference.mean) / reference.sd


def widths(samples: Moments, reference: Moments) -> Array:
    """Return the logarithms of the ratios of the standard deviations, shape (D,)."""
    return np.log(np.maximum(samples.sd / reference.sd, LEAST))


def combination(samples: Moments, reference: Moments) -> tuple[float, Array]:
    """Return the logarithm of the factor by which the widest misfit is off, and its direction (D,) of unit length.

    Raises:
        numpy.linalg.LinAlgError: the correlation of the reference is singular.
    """
    whiten = np.linalg.inv(np.linalg.cholesky(reference.correlation))
    values, vectors = np.linalg.eigh(whiten @ samples.correlation @ whiten.T)
    factors = np.log(np.maximum(values, LEAST**2)) / 2
    worst = int(np.abs(factors).argmax())
    direction = whiten.T @ vectors[:, worst]
    return float(factors[worst]), direction / np.linalg.norm(direction)


def location(samples: Moments, reference: Moments) -> list[float]:
    """Return the largest shift."""
    return [float(np.abs(shifts(samples, reference)).max())]


def form(samples: Moments, reference: Moments) -> list[float]:
    """Return the logarithms of the largest width, either way, and of the largest factor of a combination."""
    joint = abs(combination(samples, reference)[0]) if len(samples.sd) > 1 else 0.0
    return [float(np.abs(widths(samples, reference)).max()), joint]


def by_chance(
    reference: Array,
    n: int,
    share: float,
    generator: np.random.Generator,
    statistics: Callable[[Moments, Moments], list[float]],
) -> list[float]:
    """Return what statistics exceed in a share of cases if both sets come from one distribution.

    Arguments:
        reference: shape (m, D).
        n: number of samples that are compared with it.
        share: that share.
        generator: for drawing sets.
        statistics: from the moments of two sets: :func:`location` or :func:`form`.
    """
    m = len(reference)
    sizes = min(n, SIZE), min(m, SIZE)
    found = [
        statistics(*(moments(reference[generator.integers(m, size=size)]) for size in sizes)) for _ in range(DRAWS)
    ]
    gumbel = np.sqrt(6) / np.pi * (-np.log(-np.log1p(-share)) - np.euler_gamma)
    scale = np.sqrt((1 / n + 1 / m) / (1 / sizes[0] + 1 / sizes[1]))
    quantiles = (np.mean(found, axis=0) + gumbel * np.std(found, axis=0, ddof=1)) * scale
    return [float(each) for each in quantiles]
