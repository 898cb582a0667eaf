r"""Standard errors of statistics of sample sets.

The bootstrap draws each set again, with replacement. It is valid for smooth functions of means, but not for
U-statistics (a point drawn twice is at distance 0 from itself). U-statistics are computed on B disjoint blocks of the
sets instead; the standard deviation of their values, divided by √B, is the standard error if errors fall as n^(−1/2).
If they fall faster, as they do where two distributions agree, it is too large, by a factor of √B at most.

References:
    Efron & Tibshirani 1993, *An introduction to the bootstrap*, chapter 6.
    Zaremba, Gretton & Blaschko 2013, *B-test: a non-parametric, low variance kernel two-sample test*.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

RESAMPLES = 100
"""Number of bootstrap resamples."""
BLOCKS = 10
"""B, the number of blocks, unless a set has fewer than two points for each."""


def bootstrap_error(statistic: Callable[..., Tensor], *sets: Tensor, seed: int) -> float:
    """Return the bootstrap standard error of ``statistic(*sets)``, a scalar, for sets (n_i, …)."""
    stream = torch.Generator().manual_seed(seed)
    values = [
        statistic(*(each[torch.randint(len(each), (len(each),), generator=stream)] for each in sets))
        for _ in range(RESAMPLES)
    ]
    return float(torch.stack(values).std())


def block_error(statistic: Callable[..., Tensor], *sets: Tensor) -> float:
    """Return the standard error of the U-statistic ``statistic(*sets)``, a scalar, for sets (n_i, …), all n_i ≥ 4."""
    blocks = min(BLOCKS, *(len(each) // 2 for each in sets))
    values = [statistic(*parts) for parts in zip(*(each.tensor_split(blocks) for each in sets), strict=True)]
    return float(torch.stack(values).std()) / blocks**0.5
