"""Simulators of a single theta, called for the rows of a batch in turn."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ampbench.errors import SimulationError
from ampbench.graph.outputs import read_output


def one_at_a_time(simulate: Callable[..., Any]) -> Callable[..., Tensor]:
    """Return a simulator of batches, made from a simulator of a single theta.

    Arguments:
        simulate: from theta, shape (D,), to x: a number, an array of any shape, or anything else that a row of an
            output may be (:mod:`ampbench.graph.outputs`). A node with several parents passes one vector for each.

    Returns:
        A simulator from theta, shape (n, D), to x, shape (n, L), or (n, …) if a draw has several axes, such as an
        image. It raises :class:`ampbench.errors.SimulationError` if x cannot be read, or has another shape for another
        theta.

    Example:
        >>> simulate = one_at_a_time(lambda theta: [theta.sum(), theta[0] * theta[1]])
        >>> simulate(torch.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]))
        tensor([[ 3.,  2.],
                [ 7., 12.],
                [11., 30.]])
    """

    @functools.wraps(simulate)
    def batched(*parents: Tensor) -> Tensor:
        rows, layouts = [], []
        for each in zip(*parents, strict=True):
            row, layout = read_output("the simulator of a single theta", [simulate(*each)], n=1)
            rows.append(row.clone())  # the next call may overwrite it
            layouts.append(layout)
        if odd := [layout for layout in layouts if layout != layouts[0]]:
            raise SimulationError(
                f"the simulator of a single theta returned draws of {layouts[0]} and of {odd[0]} in one batch; let it "
                "return one layout for every theta"
            )
        return torch.cat(rows).reshape(len(rows), *layouts[0].shape)

    return batched
