r"""Maximum mean discrepancy with a sum of Gaussian kernels.

.. math:: \mathrm{MMD}^2(p, q) = \mathbb E\,k(t, t') + \mathbb E\,k(s, s') - 2\,\mathbb E\,k(t, s), \qquad
          k(a, b) = \frac1H \sum_h \exp\!\left(-\frac{\|a - b\|^2}{2 \ell_h^2}\right)

with t, t′ from p and s, s′ from q. The estimate is unbiased, because the diagonals are left out.

References:
    Gretton et al. 2012, *A kernel two-sample test*, JMLR 13, lemma 6.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

PAIRS_PER_BLOCK = 2**19
"""Number of pairs whose kernel values are in memory at once: 2 MiB in float32."""
MIN_DISTANCE = 1e-12
"""Least median distance, where half of all pairs of points or more coincide."""


def median_distance(x: Tensor, y: Tensor, most: int) -> Tensor:
    """Return the median distance, a scalar, between points of the pooled samples (n, D) and (m, D).

    The pooled samples are reduced to about ``most`` points.
    """
    pooled = torch.cat([x, y]).detach()
    return torch.pdist(pooled[:: max(1, len(pooled) // most)]).median().clamp_min(MIN_DISTANCE)


def unbiased_mmd2(x: Tensor, y: Tensor, bandwidths: Sequence[Tensor], paired: bool) -> Tensor:
    """Return the unbiased estimate of MMD², a scalar that may be slightly negative.

    Arguments:
        x: samples of p, shape (n, D).
        y: samples of q, shape (m, D).
        bandwidths: the bandwidths ℓ_h.
        paired: whether x[i] and y[i] depend on each other (they share evidence); such pairs are then left out.
    """
    within = _mean_kernel(x, x, bandwidths, True) + _mean_kernel(y, y, bandwidths, True)
    return within - 2 * _mean_kernel(x, y, bandwidths, paired)


def _mean_kernel(a: Tensor, b: Tensor, bandwidths: Sequence[Tensor], off_diagonal: bool) -> Tensor:
    """Return the mean of k over all pairs, computed by blocks of rows that fit the processor's cache."""
    total, rows = a.new_zeros(()), max(1, PAIRS_PER_BLOCK // len(b))
    for block in a.split(rows):
        total = total + _kernel(_squared(block, b), bandwidths).sum()
    if not off_diagonal:
        return total / (len(a) * len(b))
    diagonal = _kernel((a - b).square().sum(-1), bandwidths).sum()
    return (total - diagonal) / (len(a) * (len(a) - 1))


def _kernel(squared: Tensor, bandwidths: Sequence[Tensor]) -> Tensor:
    first, *others = (torch.exp(squared / (-2 * width**2)) for width in bandwidths)
    return sum(others, first) / len(bandwidths)


def _squared(a: Tensor, b: Tensor) -> Tensor:
    """Return squared distances by the product formula: differentiable at zero, where ``torch.cdist`` is not."""
    return (a.square().sum(1)[:, None] + b.square().sum(1)[None] - 2 * a @ b.T).clamp_min(0)
