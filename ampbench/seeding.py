"""Seeding of all random number generators that a simulator or a network may use."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

from ampbench.counts import plain, whole


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed torch (every device), numpy's global generator and ``random`` inside the block; restore them after it.

    Example:
        >>> with seeded(1):
        ...     first = torch.rand(2)
        >>> with seeded(1):
        ...     again = torch.rand(2)
        >>> bool((first == again).all())
        True

    Raises:
        UsageError: the seed is no whole number.
    """
    seed = whole("seed", seed)
    kept = random.getstate(), np.random.get_state()
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        np.random.seed(seed % 2**32)
        random.seed(seed)
        try:
            yield
        finally:
            random.setstate(kept[0])
            np.random.set_state(kept[1])


def derive(seed: int, *purpose: object) -> int:
    """Return a seed for one purpose, so that no two parts of a run share a random stream.

    Example:
        >>> derive(0, "fit") == derive(0, "fit"), derive(0, "fit") == derive(0, "sample", 3)
        (True, False)

    Raises:
        UsageError: the seed is no whole number; see :func:`ampbench.counts.whole`.
    """
    digest = hashlib.sha256(repr((whole("seed", seed), *map(plain, purpose))).encode()).digest()
    return int.from_bytes(digest[:7], "big")
