r"""Kalman filter and backward sampling for scalar states, for many parameter values at once.

.. math::
    z_1 \sim \mathcal N(m_0, p_0), \qquad z_t \sim \mathcal N(a z_{t-1}, q), \qquad x_t \sim \mathcal N(z_t, r)

with variances :math:`p_0, q, r`. With the predicted mean and variance :math:`\mu_t, v_t` of :math:`z_t` (at first
:math:`m_0, p_0`), filtering gives

.. math::
    \bar m_t = \mu_t + \frac{v_t}{v_t + r} (x_t - \mu_t), \qquad \bar p_t = \frac{v_t\, r}{v_t + r}, \qquad
    \mu_{t+1} = a \bar m_t, \qquad v_{t+1} = a^2 \bar p_t + q

and the likelihood :math:`\log p(x) = \sum_t \log \mathcal N(x_t; \mu_t, v_t + r)`. Backwards, beginning with
:math:`z_T \sim \mathcal N(\bar m_T, \bar p_T)`,

.. math::
    z_t \mid z_{t+1} \sim \mathcal N\Bigl(\bar m_t + \frac{a \bar p_t}{v_{t+1}} (z_{t+1} - \mu_{t+1}),\;
    \frac{\bar p_t\, q}{v_{t+1}}\Bigr)

No step subtracts variances, so that they are positive for all positive :math:`p_0, r` and non-negative q. Time is
linear in T, and the only loop is that over t.

References:
    Kalman 1960, *A new approach to linear filtering and prediction problems*, doi:10.1115/1.3662552.
    Frühwirth-Schnatter 1994, *Data augmentation and dynamic linear models*,
    doi:10.1111/j.1467-9892.1994.tb00184.x (backward sampling).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Generator, Tensor


@dataclass(frozen=True, eq=False)
class Chain:
    """Scalar states with m values of the parameters, float64.

    Attributes:
        mean: m_0.
        variance: p_0, positive.
        factor: a, shape (m,) or ().
        step: q, the variance of a step, shape (m,), not negative.
        noise: r, the variance of an observation, shape (m,), positive.
    """

    mean: float
    variance: float
    factor: Tensor
    step: Tensor
    noise: Tensor

    def log_likelihood(self, x: Tensor) -> Tensor:
        """Return log p(x), shape (m,), for x (T,)."""
        total = torch.zeros_like(self.noise)
        for reading, (mean, variance, _, _) in zip(x.double(), self._filter(x), strict=True):
            spread = variance + self.noise
            total -= spread.log() + (reading - mean) ** 2 / spread
        return (total - len(x) * math.log(2 * math.pi)) / 2

    def sample(self, x: Tensor, generator: Generator) -> Tensor:
        """Draw the states given x (T,), once for each value of the parameters, shape (m, T)."""
        ahead, spread, means, variances = zip(*self._filter(x), strict=True)
        noise = torch.randn(len(x), len(self.noise), dtype=torch.float64, generator=generator)
        states = [means[-1] + variances[-1].sqrt() * noise[-1]]
        for t in range(len(x) - 2, -1, -1):
            gain = self.factor * variances[t] / spread[t + 1]
            deviation = (variances[t] * self.step / spread[t + 1]).sqrt()
            states.append(means[t] + gain * (states[-1] - ahead[t + 1]) + deviation * noise[t])
        return torch.stack(states[::-1], dim=1)

    def _filter(self, x: Tensor) -> Iterator[tuple[Tensor, Tensor, Tensor, Tensor]]:
        """Yield the predicted mean and variance of z_t, and the filtered ones, each (m,), for each t."""
        ahead, spread = torch.full_like(self.noise, self.mean), torch.full_like(self.noise, self.variance)
        for reading in x.double():
            share = spread / (spread + self.noise)
            mean, variance = ahead + share * (reading - ahead), share * self.noise
            yield ahead, spread, mean, variance
            ahead, spread = self.factor * mean, self.factor**2 * variance + self.step
