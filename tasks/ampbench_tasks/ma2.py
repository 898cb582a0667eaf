r"""MA(2): a moving average of order two, with a uniform prior on the triangle of identifiability.

.. math::
    x_t = e_t + \theta_1 e_{t-1} + \theta_2 e_{t-2}, \qquad e_t \sim \mathcal N(0, 1), \qquad
    \theta \sim \mathcal U\{-1 < \theta_2 < 1,\; |\theta_1| < 1 + \theta_2\}

x has ``length`` values, 50 by default. It is Gaussian with a covariance of bandwidth two:

.. math:: \gamma_0 = 1 + \theta_1^2 + \theta_2^2, \quad \gamma_1 = \theta_1 (1 + \theta_2), \quad \gamma_2 = \theta_2

so that the likelihood follows from the Cholesky factor, which has three non-zero entries per row: with
:math:`\ell_{t,t-2} = \gamma_2 / d_{t-2}`, :math:`\ell_{t,t-1} = (\gamma_1 - \ell_{t,t-2}\, \ell_{t-1,t-2}) / d_{t-1}`
and :math:`d_t^2 = \gamma_0 - \ell_{t,t-1}^2 - \ell_{t,t-2}^2`, the innovations are
:math:`z_t = (x_t - \ell_{t,t-1} z_{t-1} - \ell_{t,t-2} z_{t-2}) / d_t`.

References:
    Marin, Pudlo, Robert, Ryder 2012, *Approximate Bayesian computational methods*, arXiv:1101.0955, section 2.
    Brockwell & Davis 1991, *Time series: theory and methods*, section 5.2 (innovations), doi:10.1007/978-1-4419-0320-4.
"""

from __future__ import annotations

import math
from functools import cached_property
from typing import final

import torch
from torch import Tensor
from torch.distributions import Distribution, constraints

from ampbench.errors import UsageError
from ampbench.graph import Graph, density, simulator
from ampbench.interfaces import HasGolden, HasLikelihood, HasReference, Task
from ampbench.interfaces.golden import Golden
from ampbench_tasks import packaged
from ampbench_tasks.importance import posterior_draws

LENGTH = 50


@final
class MA2(Task, HasReference, HasLikelihood, HasGolden):
    """MA(2): theta of size 2, x of size ``length``.

    Raises:
        UsageError: the length is below 3.
    """

    version = "1"
    source = "Marin et al. 2012, section 2"
    algorithm = "adaptive importance sampling with weighted acceptance"

    def __init__(self, length: int = LENGTH) -> None:
        if length < 3:
            raise UsageError(f"ma2 needs a length of at least 3, got length={length}")
        self.length = length

    @cached_property
    def graph(self) -> Graph:
        """The graph theta → x."""
        return Graph(density("theta", Triangle()), simulator("x", self.simulate, ["theta"], size=self.length))

    def simulate(self, theta: Tensor) -> Tensor:
        """Draw x given theta (n, 2), shape (n, length)."""
        noise = torch.randn(len(theta), self.length + 2, dtype=theta.dtype, device=theta.device)
        return noise[:, 2:] + theta[:, :1] * noise[:, 1:-1] + theta[:, 1:] * noise[:, :-2]

    def log_likelihood(self, theta: Tensor, x: Tensor) -> Tensor:
        """Return the Gaussian log-density of x, computed from the innovations."""
        return log_likelihood(theta, x)

    def reference(self, observation: Tensor, n: int, seed: int) -> Tensor:
        """Draw exactly from the posterior by importance sampling, shape (n, 2)."""
        x = self.check_observation(observation).double()
        return posterior_draws(Triangle(), lambda theta: log_likelihood(theta, x), n, seed)

    def golden(self) -> Golden:
        """Return the statistics of an independent implementation in numpy.

        Raises:
            UsageError: an option differs from its default.
        """
        return packaged.golden_of_defaults("ma2", {"length": self.length}, {"length": LENGTH})


class Triangle(Distribution):
    """Uniform on the triangle with corners (−2, 1), (2, 1) and (0, −1).

    The attribute ``support`` is the bounding box, which has unconstrained coordinates; in the box but outside the
    triangle the density is 0.
    """

    arg_constraints: dict[str, constraints.Constraint] = {}  # noqa: RUF012 — torch reads it from the class
    support = constraints.independent(constraints.interval(torch.tensor([-2.0, -1.0]), torch.tensor([2.0, 1.0])), 1)

    def __init__(self) -> None:
        super().__init__(event_shape=torch.Size([2]))

    def sample(self, sample_shape: torch.Size | list[int] | tuple[int, ...] = ()) -> Tensor:
        """Draw theta, shape (*sample_shape, 2); the width of the triangle grows as 1 + theta_2."""
        across, along = torch.rand(2, *sample_shape)
        width = 2 * (1 - along).sqrt()  # never 0, so that theta_2 > -1
        return torch.stack([(2 * across - 1) * width, width - 1], dim=-1)

    def log_prob(self, value: Tensor) -> Tensor:
        """Return minus the logarithm of the area, 4, inside the triangle, minus infinity outside; shape (*,)."""
        first, second = value.unbind(-1)
        inside = (first.abs() <= 1 + second) & (second <= 1)
        return torch.where(inside, -math.log(4), -torch.inf).to(value.dtype)


def log_likelihood(theta: Tensor, x: Tensor) -> Tensor:
    """Return log p(x | theta), shape (*,), for theta (*, 2) and x (*, L), broadcast."""
    first, second = theta.double().unbind(-1)
    gamma = 1 + first**2 + second**2, first * (1 + second), second
    zero, one = torch.zeros_like(first), torch.ones_like(first)
    (d, before), near, z, z_before = (one, one), zero, zero, zero
    total = zero
    for t, value in enumerate(x.double().unbind(-1)):
        far = gamma[2] / before if t >= 2 else zero
        near = (gamma[1] - far * near) / d if t >= 1 else zero
        before, d = d, (gamma[0] - near**2 - far**2).sqrt()
        z_before, z = z, (value - near * z - far * z_before) / d
        total = total - d.log() - z**2 / 2 - math.log(2 * math.pi) / 2
    return total
