r"""Standard errors of statistics of sample sets: what would other draws have given?

By the bootstrap: draw each set again, with replacement. That is right for smooth functions of means, and wrong for
U-statistics (a point drawn twice is at distance 0 from itself). Those are computed on B disjoint blocks of the sets
instead; the standard deviation of the values, over √B, is their error if it falls as n^(−1/2). Where it falls faster,
as it does where two distributions agree, the answer is too large, by a factor of √B at most.

References:
    Efron & Tibshirani 1993, *An introduction to the bootstrap*, chapter 6.
    Zaremba, Gretton & Blaschko 2013, *B-test: a non-parametric, low variance kernel two-sample test*.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

RESAMPLES = 100
BLOCKS = 10


def bootstrap_error(statistic: Callable[..., Tensor], *sets: Tensor, seed: int) -> float:
    """Return the standard error of ``statistic(*sets)``, a scalar, for sets (n_i, …)."""
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
