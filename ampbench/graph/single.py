"""Simulators of a single theta, called for the rows of a batch in turn."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ampbench.errors import SimulationError


def one_at_a_time(simulate: Callable[..., Any]) -> Callable[..., Tensor]:
    """Return a simulator of batches, made from a simulator of a single theta.

    Arguments:
        simulate: from theta, shape (D,), to x: a number, or an array of L numbers in all. A node with several parents
            passes one vector for each.

    Returns:
        A simulator from theta, shape (n, D), to x, shape (n, L). It raises :class:`ampbench.errors.SimulationError` if
        x is no array of numbers, or has another size for another theta.

    Example:
        >>> simulate = one_at_a_time(lambda theta: [theta.sum(), theta[0] * theta[1]])
        >>> simulate(torch.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]))
        tensor([[ 3.,  2.],
                [ 7., 12.],
                [11., 30.]])
    """

    @functools.wraps(simulate)
    def batched(*parents: Tensor) -> Tensor:
        rows = [_vector(simulate(*each)) for each in zip(*parents, strict=True)]
        if len(sizes := {len(row) for row in rows}) > 1:
            raise SimulationError(
                f"the simulator of a single theta returned {' and '.join(map(str, sorted(sizes)))} numbers in one "
                "batch; let it return as many for every theta"
            )
        return torch.stack(rows)

    return batched


def _vector(value: Any) -> Tensor:
    try:
        return torch.as_tensor(value).clone().flatten()  # the next call may overwrite it
    except (TypeError, ValueError, RuntimeError) as error:
        raise SimulationError(
            f"the simulator of a single theta returned {type(value).__name__}, not a number or an array of numbers"
        ) from error
