r"""Ordinary differential equations, batched: the classical Runge-Kutta method with a fixed step; tasks that solve them.

.. math::
    y_{m+1} = y_m + \tfrac h6 (k_1 + 2 k_2 + 2 k_3 + k_4), \qquad
    k_1 = f(y_m),\; k_2 = f(y_m + \tfrac h2 k_1),\; k_3 = f(y_m + \tfrac h2 k_2),\; k_4 = f(y_m + h k_3)

The global error is :math:`O(h^4)`. One step size for the whole batch keeps 10,000 solutions in a few hundred tensor
operations on any device; the tasks choose it so that the error is far below their observation noise, and a test
compares with an adaptive solver of order 8. ``docs/decisions/0006-ode-solver.md`` explains why no library is used.

References:
    Hairer, Nørsett, Wanner 1993, *Solving ordinary differential equations I*, section II.1.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import ClassVar, final

import torch
from torch import Tensor
from torch.distributions import Distribution

from ampbench_tasks.classic import Classic
from ampbench_tasks.importance import posterior_draws


def rk4(field: Callable[[Tensor], Tensor], start: Tensor, interval: float, intervals: int, substeps: int) -> Tensor:
    """Solve y' = f(y), and return the solution at equally spaced times.

    Arguments:
        field: f, from states (n, d) to derivatives (n, d).
        start: y at time 0, shape (n, d).
        interval: time between returned points.
        intervals: number of returned points after the start.
        substeps: Runge-Kutta steps between returned points.

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


class DifferentialEquationTask(Classic):
    """A classic task whose simulator and likelihood solve an ordinary differential equation.

    Attributes:
        substeps: Runge-Kutta steps between two observation times.
        coarse_substeps: number of these steps for the approximate likelihood to which the proposal of the reference is
            adapted.
    """

    algorithm = "adaptive importance sampling with weighted acceptance"
    substeps: ClassVar[int]
    coarse_substeps: ClassVar[int]

    @property
    @abstractmethod
    def prior(self) -> Distribution:
        """The prior distribution of theta."""

    @abstractmethod
    def solved_log_likelihood(self, theta: Tensor, x: Tensor, substeps: int) -> Tensor:
        """Return log p(x | theta) for the solution with this number of steps, up to a function of x."""

    @final
    def log_likelihood(self, theta: Tensor, x: Tensor) -> Tensor:
        """Return log p(x | theta), up to a function of x, for the solution with ``substeps`` steps."""
        return self.solved_log_likelihood(theta, x, self.substeps)

    @final
    def reference(self, observation: Tensor, n: int, seed: int) -> Tensor:
        """Draw exactly from the posterior by importance sampling, shape (n, D)."""
        x = self.check_observation(observation).double()
        return posterior_draws(
            self.prior,
            lambda theta: self.log_likelihood(theta, x),
            n,
            seed,
            rough=lambda theta: self.solved_log_likelihood(theta, x, self.coarse_substeps),
        )
