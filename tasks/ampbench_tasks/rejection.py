"""Exact sampling from a truncated distribution."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ampbench.errors import SimulationError

MAX_BATCHES = 1000
"""Largest number of batches; if they contain too few accepted draws, the sampler gives up."""


def truncated(draw: Callable[[int], Tensor], inside: Callable[[Tensor], Tensor], n: int) -> Tensor:
    """Draw n times from proposals inside a region.

    Arguments:
        draw: returns m proposals, shape (m, D).
        inside: marks the proposals to keep, shape (m,).
        n: number of draws wanted.

    Raises:
        SimulationError: too few proposals are inside; the observation is practically impossible.
    """
    kept: list[Tensor] = []
    count = 0
    for _ in range(MAX_BATCHES):
        proposals = draw(max(n, 1000))
        kept.append(proposals[inside(proposals)])
        count += len(kept[-1])
        if count >= n:
            return torch.cat(kept)[:n]
    raise SimulationError(
        "the exact posterior cannot be sampled: the observation is practically impossible under the prior"
    )
