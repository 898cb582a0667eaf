r"""Ordinary differential equations, batched: the classical Runge-Kutta method with a fixed step.

.. math::
    y_{m+1} = y_m + \tfrac h6 (k_1 + 2 k_2 + 2 k_3 + k_4), \qquad
    k_1 = f(y_m),\; k_2 = f(y_m + \tfrac h2 k_1),\; k_3 = f(y_m + \tfrac h2 k_2),\; k_4 = f(y_m + h k_3)

The global error is :math:`O(h^4)`. One step size for the whole batch keeps 10,000 solutions in a few hundred tensor
operations on any device; the tasks choose it so that the error is far below their observation noise, and a test
compares with an adaptive solver of order 8. ``docs/decisions/0006-ode-solver.md`` says why not a library.

References:
    Hairer, Nørsett, Wanner 1993, *Solving ordinary differential equations I*, section II.1.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def rk4(field: Callable[[Tensor], Tensor], start: Tensor, interval: float, intervals: int, substeps: int) -> Tensor:
    """Solve y' = f(y) and save equally spaced points.

    Arguments:
        field: f, from states (n, d) to derivatives (n, d).
        start: y at time 0, shape (n, d).
        interval: time between saved points.
        intervals: number of saved points after the start.
        substeps: Runge-Kutta steps between saved points.

    Returns:
        Shape (n, intervals + 1, d), the start included.
    """
    h = interval / substeps
    state, saved = start, [start]
    for _ in range(intervals):
        for _ in range(substeps):
            k1 = field(state)
            k2 = field(state + h / 2 * k1)
            k3 = field(state + h / 2 * k2)
            k4 = field(state + h * k3)
            state = state + h / 6 * (k1 + 2 * (k2 + k3) + k4)
        saved.append(state)
    return torch.stack(saved, dim=1)
