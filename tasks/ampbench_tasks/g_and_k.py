r"""g-and-k: a distribution that is defined by its quantile function.

.. math::
    \theta &= (A, B, g, k) \sim \mathcal U(0, 10)^4 \\
    Q(z) &= A + B \Bigl(1 + c \tanh \frac{g z}{2}\Bigr) (1 + z^2)^k z, \qquad c = 0.8

x holds ``draws`` (by default 50) independent draws Q(z), z ~ N(0, 1), in ascending order.

Q increases, so that the density of a draw is :math:`\phi(z) / Q'(z)` at :math:`z = Q^{-1}(x)`, and that of the
sorted draws is n! times the product. The inverse is found numerically: with :math:`s = \pm 1` the sign of x − A,
:math:`r = |x - A| / B` and :math:`z = s e^y`,

.. math:: f(y) = y + k \ln(1 + e^{2y}) + \ln\bigl(1 + s c \tanh(g e^y / 2)\bigr) - \ln r = 0

is solved by Newton's method, safeguarded by bisection: f increases, and is nearly linear at both ends. The root is
bracketed through 0 ≤ ln(1 + e^{2y}) ≤ ln 2 + 2 max(y, 0) and through the limits of tanh.

The reference is drawn in the coordinates :math:`\theta = 10\, \Phi(u)`, where the prior is standard normal. Where A is
near its bound the posterior is a curved ridge that narrows towards the corner of the box. In these coordinates the
density decreases there like a Gaussian, in logits only like an exponential, and a mixture fitted in logits does not
cover the end of the ridge.

References:
    Rayner & MacGillivray 2002, *Numerical maximum likelihood estimation for the g-and-k and generalized g-and-h
    distributions*, doi:10.1023/A:1013120305780.
    Allingham, King, Mengersen 2009, *Bayesian estimation of quantile distributions*, doi:10.1007/s11222-008-9083-x.
    Fearnhead & Prangle 2012, *Constructing summary statistics for ABC*, arXiv:1004.1112, section 4.1 (the prior).
"""

from __future__ import annotations

import math
from functools import cached_property
from typing import final

import torch
from torch import Tensor
from torch.distributions import Distribution, Independent, Normal, Uniform
from torch.special import ndtr

from ampbench.errors import UsageError
from ampbench.graph import Graph, density, simulator
from ampbench.interfaces import HasGolden, HasLikelihood, HasReference, Task
from ampbench.interfaces.golden import Golden
from ampbench_tasks import packaged
from ampbench_tasks.importance import posterior_draws

DRAWS = 50
SKEW_FACTOR = 0.8
"""c, the factor of the skewness term."""
BOUND = 10.0
NEWTON_STEPS = 5
"""Number of steps of Newton's method without safeguard, which solve nearly every equation."""
MAX_BISECTIONS = 100
"""Largest number of safeguarded steps for the remaining equations."""
COMPONENTS = 16
"""Largest number of mixture components of the proposal; a curved ridge needs more than the default."""
MAX_RESIDUAL = 1e-9
"""Largest |f(y)| of a solution; it equals the relative error of x − A."""


@final
class GAndK(Task, HasReference, HasLikelihood, HasGolden):
    """g-and-k: theta of size 4, x of size ``draws``.

    Raises:
        UsageError: there are no draws.
    """

    version = "1"
    source = "Allingham et al. 2009; Fearnhead & Prangle 2012, section 4.1"
    algorithm = "adaptive importance sampling with weighted acceptance"

    def __init__(self, draws: int = DRAWS) -> None:
        if draws < 1:
            raise UsageError(f"g_and_k needs at least one draw, got draws={draws}")
        self.draws = draws

    @cached_property
    def prior(self) -> Distribution:
        """The prior, uniform on the box."""
        return Independent(Uniform(torch.zeros(4), BOUND * torch.ones(4)), 1)

    @cached_property
    def graph(self) -> Graph:
        """The graph theta → x."""
        return Graph(density("theta", self.prior), simulator("x", self.simulate, ["theta"], size=self.draws))

    def simulate(self, theta: Tensor) -> Tensor:
        """Draw x given theta (n, 4), shape (n, draws)."""
        z = torch.randn(len(theta), self.draws, dtype=theta.dtype, device=theta.device)
        return quantile(theta, z.sort(1).values)

    def log_likelihood(self, theta: Tensor, x: Tensor) -> Tensor:
        """Return log p(x | theta) by numerical inversion of the quantile function, with the factor n!."""
        return math.lgamma(x.shape[-1] + 1) + log_density(theta, x).sum(-1)

    def reference(self, observation: Tensor, n: int, seed: int) -> Tensor:
        """Draw exactly from the posterior by importance sampling, shape (n, 4)."""
        x = self.check_observation(observation).double()
        scores = Independent(Normal(torch.zeros(4), torch.ones(4)), 1)

        def log_likelihood(u: Tensor) -> Tensor:
            return log_density(BOUND * ndtr(u), x).sum(-1)

        return BOUND * ndtr(posterior_draws(scores, log_likelihood, n, seed, components=COMPONENTS))

    def golden(self) -> Golden:
        """Return the statistics of an independent implementation in numpy.

        Raises:
            UsageError: an option differs from its default.
        """
        return packaged.golden_of_defaults("g_and_k", {"draws": self.draws}, {"draws": DRAWS})


def quantile(theta: Tensor, z: Tensor) -> Tensor:
    """Return Q(z), shape (*, L), for theta (*, 4) and standard normal scores z (*, L)."""
    a, b, g, k = theta[..., None].unbind(-2)  # (*, 1) each
    return a + b * (1 + SKEW_FACTOR * torch.tanh(g * z / 2)) * (1 + z**2) ** k * z


def log_density(theta: Tensor, x: Tensor) -> Tensor:
    """Return the log-density of each draw, shape (*, L), for theta (*, 4) and x (*, L), broadcast."""
    a, b, g, k = theta.double()[..., None].unbind(-2)  # (*, 1) each
    distance = x.double() - a
    sign = torch.where(distance < 0, -1.0, 1.0).double()
    log_r = (distance.abs() / b).clamp(min=1e-300).log()
    y = _root(log_r, sign, g.expand_as(log_r), k.expand_as(log_r))
    value, slope = _residual(y, log_r, sign, g, k)
    log_slope = b.log() + log_r + value + slope.log() - y  # Q' = B r e^f f' / |z|
    return -torch.exp(2 * y) / 2 - math.log(2 * math.pi) / 2 - log_slope


def _residual(y: Tensor, log_r: Tensor, sign: Tensor, g: Tensor, k: Tensor) -> tuple[Tensor, Tensor]:
    """Return f(y) and f'(y)."""
    z = y.exp()
    square = z * z
    scaled = g * z / 2
    bounded = torch.tanh(scaled)
    skew = sign * SKEW_FACTOR * bounded
    value = y + k * torch.log1p(square) + torch.log1p(skew) - log_r
    bend = sign * SKEW_FACTOR * (1 - bounded * bounded) * scaled / (1 + skew)
    return value, 1 + 2 * k * square / (1 + square) + bend


def _root(log_r: Tensor, sign: Tensor, g: Tensor, k: Tensor) -> Tensor:
    """Return the solution y of f(y) = 0; all arguments and y have the same shape (*, L)."""
    high = log_r - math.log(1 - SKEW_FACTOR) * (sign < 0)
    low = log_r - math.log(1 + SKEW_FACTOR) * (sign > 0) - k * math.log(2)
    low = torch.where(low > 0, low / (1 + 2 * k), low)
    y = torch.where(high > 0, high / (1 + 2 * k), high).clamp(low, high)
    for _ in range(NEWTON_STEPS):
        value, slope = _residual(y, log_r, sign, g, k)
        y = (y - value / slope).clamp(low, high)
    value, _ = _residual(y, log_r, sign, g, k)
    rest = value.abs() > MAX_RESIDUAL
    y[rest] = _bracketed(*(each[rest] for each in (y, low, high, log_r, sign, g, k)))
    return y


def _bracketed(y: Tensor, low: Tensor, high: Tensor, log_r: Tensor, sign: Tensor, g: Tensor, k: Tensor) -> Tensor:
    """Return the solutions of f(y) = 0 by Newton's method, safeguarded by bisection between ``low`` and ``high``."""
    for _ in range(MAX_BISECTIONS):
        value, slope = _residual(y, log_r, sign, g, k)
        if bool((value.abs() <= MAX_RESIDUAL).all()):
            break
        low, high = torch.where(value < 0, y, low), torch.where(value > 0, y, high)
        step = y - value / slope
        y = torch.where((step > low) & (step < high), step, (low + high) / 2)
    return y
