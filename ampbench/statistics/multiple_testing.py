r"""Multiple testing: Holm's procedure.

Of m hypotheses with ordered p-values :math:`p_{(1)} \le \dots \le p_{(m)}` the adjusted p-values are

.. math:: \tilde p_{(k)} = \min\bigl(1, \max_{j \le k} (m - j + 1)\, p_{(j)}\bigr)

Rejecting where :math:`\tilde p \le \alpha` bounds the probability of any false rejection by :math:`\alpha`.

References:
    Holm 1979, *A simple sequentially rejective multiple test procedure*, https://www.jstor.org/stable/4615733
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from ampbench.statistics.crossed_effects import Array


def holm(p_values: Sequence[float]) -> Array:
    """Return Holm's adjusted p-values, to be compared with the family-wise error rate; NaN stays NaN, uncounted.

    Example:
        >>> holm([0.01, 0.04, 0.03]).tolist()
        [0.03, 0.06, 0.06]
    """
    p = np.asarray(p_values, dtype=float)
    adjusted = np.full_like(p, math.nan)
    order = np.argsort(p)[: np.count_nonzero(~np.isnan(p))]  # NaN is sorted to the end
    steps = p[order] * np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1)
    return adjusted
