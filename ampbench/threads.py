"""CPU threads: a limit for torch and the linear algebra below numpy, because small networks are slower with many.

With as many threads as cores, two busy processes make each other's threads wait: measured on two cores, a fit that
takes 17 s with one thread takes 271 s with two beside another busy process.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from threadpoolctl import threadpool_limits

from ampbench.counts import MAX_PARALLEL, whole
from ampbench.errors import UsageError


@contextmanager
def limited_threads(threads: int) -> Iterator[None]:
    """Let torch and the linear algebra libraries use so many CPU threads inside the block; restore them after it.

    Raises:
        UsageError: less than one thread, more than 1024, or no whole number.

    Example:
        >>> before = torch.get_num_threads()
        >>> with limited_threads(1):
        ...     torch.get_num_threads()
        1
        >>> torch.get_num_threads() == before
        True
    """
    threads = whole("threads", threads)
    if not 1 <= threads <= MAX_PARALLEL:
        raise UsageError(f"threads={threads} is impossible: 1 or more, and at most {MAX_PARALLEL}")
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        with threadpool_limits(threads):
            yield
    finally:
        torch.set_num_threads(before)
