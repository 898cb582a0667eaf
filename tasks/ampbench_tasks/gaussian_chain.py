r"""Linear-Gaussian chains of any length: Kalman filter, smoother, and backward sampling, in time linear in T.

.. math::
    z_1 \sim \mathcal N(0, P_1), \qquad z_{t+1} \sim \mathcal N(A_t z_t, Q_t), \qquad x_t \sim \mathcal N(H z_t, R)

where some times have no observation. With the predicted mean and covariance :math:`\mu_t, V_t` of :math:`z_t` (at first
0 and :math:`P_1`), :math:`K = V_t H^\top (H V_t H^\top + R)^{-1}`, and K = 0 at a time without an observation, the
filter gives

.. math::
    m_t = \mu_t + K (x_t - H \mu_t), \qquad P_t = (I - K H) V_t (I - K H)^\top + K R K^\top, \qquad
    \mu_{t+1} = A_t m_t, \qquad V_{t+1} = A_t P_t A_t^\top + Q_t

and with :math:`G_t = P_t A_t^\top V_{t+1}^{-1}` the states are, backwards,

.. math::
    z_t \mid z_{t+1} \sim \mathcal N(m_t + G_t (z_{t+1} - \mu_{t+1}),\; C_t), \qquad
    C_t = (I - G_t A_t) P_t (I - G_t A_t)^\top + G_t Q_t G_t^\top

:math:`P_t` and :math:`C_t` are sums of positive terms (Joseph's form), and so remain positive definite in floating
point. The moments of the smoother of Rauch, Tung and Striebel follow from the same recursion,

.. math::
    s_t = m_t + G_t (s_{t+1} - \mu_{t+1}), \qquad S_t = C_t + G_t S_{t+1} G_t^\top, \qquad
    \operatorname{cov}(z_t, z_{t+1} \mid x) = G_t S_{t+1}

The covariances do not depend on x. All computations are in float64.

References:
    Rauch, Tung, Striebel 1965, *Maximum likelihood estimates of linear dynamic systems*, doi:10.2514/3.3166.
    Bucy, Joseph 1968, *Filtering for Stochastic Processes with Applications to Guidance*, chapter 16.
    Carter, Kohn 1994, *On Gibbs sampling for state space models*, doi:10.1093/biomet/81.3.541.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Generator, Tensor


@dataclass(frozen=True)
class Smoothed:
    """Moments of the states given all observations, float64.

    Attributes:
        means: shape (T, d).
        covariances: of each state, shape (T, d, d).
        lags: covariances of each state with the next one, shape (T − 1, d, d).
    """

    means: Tensor
    covariances: Tensor
    lags: Tensor


@dataclass(frozen=True, eq=False)
class GaussianChain:
    """A linear-Gaussian chain with T states of d components, and observations of k components.

    Attributes:
        first: P_1, shape (d, d), positive definite.
        transitions: A, shape (T − 1, d, d).
        steps: Q, shape (T − 1, d, d), positive definite.
        reading: H, shape (k, d).
        noise: R, shape (k, k), positive definite.
        times: indices of the states with an observation, from 0, in ascending order.
    """

    first: Tensor
    transitions: Tensor
    steps: Tensor
    reading: Tensor
    noise: Tensor
    times: tuple[int, ...]

    @cached_property
    def _gains(self) -> tuple[Tensor, Tensor]:
        """The gains K, shape (T, d, k), and the filtered covariances P, shape (T, d, d)."""
        identity = torch.eye(len(self.first), dtype=torch.float64)
        none = self.first.new_zeros(len(self.first), len(self.noise))
        observed, predicted = set(self.times), self.first
        gains, filtered = [], []
        for t in range(len(self.transitions) + 1):
            cross = predicted @ self.reading.T
            gain = torch.linalg.solve(self.reading @ cross + self.noise, cross, left=False) if t in observed else none
            rest = identity - gain @ self.reading
            gains.append(gain)
            filtered.append(rest @ predicted @ rest.T + gain @ self.noise @ gain.T)
            if t < len(self.transitions):
                predicted = self.transitions[t] @ filtered[-1] @ self.transitions[t].T + self.steps[t]
        return torch.stack(gains), torch.stack(filtered)

    @cached_property
    def _backward(self) -> tuple[Tensor, Tensor]:
        """The gains G, shape (T − 1, d, d), and the covariances C, shape (T, d, d), the last of which is P_T."""
        _, filtered = self._gains
        a, before = self.transitions, filtered[:-1]
        gains = torch.linalg.solve(a @ before @ a.mT + self.steps, before @ a.mT, left=False)
        rest = torch.eye(len(self.first), dtype=torch.float64) - gains @ a
        given = rest @ before @ rest.mT + gains @ self.steps @ gains.mT
        return gains, torch.cat([given, filtered[-1:]])

    def _offsets(self, x: Tensor) -> Tensor:
        """Return m_t − G_t μ_{t+1} for all t, shape (T, d); the last one is m_T."""
        gains, _ = self._gains
        readings = dict(zip(self.times, x.double().reshape(len(self.times), -1), strict=True))
        ahead, means = torch.zeros_like(self.first[0]), []
        for t in range(len(gains)):
            seen = t in readings
            means.append(ahead + gains[t] @ (readings[t] - self.reading @ ahead) if seen else ahead)
            if t < len(self.transitions):
                ahead = self.transitions[t] @ means[-1]
        filtered = torch.stack(means)
        backward, _ = self._backward
        return torch.cat(
            [filtered[:-1] - (backward @ self.transitions @ filtered[:-1, :, None])[..., 0], filtered[-1:]]
        )

    def smooth(self, x: Tensor) -> Smoothed:
        """Return the moments of the states given x, shape (len(times) × k,)."""
        gains, given = self._backward
        offsets = self._offsets(x)
        means, covariances = [offsets[-1]], [given[-1]]
        for t in range(len(gains) - 1, -1, -1):
            means.append(offsets[t] + gains[t] @ means[-1])
            covariances.append(given[t] + gains[t] @ covariances[-1] @ gains[t].T)
        smoothed = torch.stack(covariances[::-1])
        return Smoothed(torch.stack(means[::-1]), smoothed, gains @ smoothed[1:])

    def sample(self, x: Tensor, n: int, seed: int) -> Tensor:
        """Draw the states n times given x, shape (len(times) × k,); shape (n, T d), float32."""
        gains, given = self._backward
        offsets, roots = self._offsets(x), torch.linalg.cholesky(given)
        generator = Generator().manual_seed(seed)
        states = torch.empty(n, len(given), len(self.first))
        state = torch.zeros(n, len(self.first), dtype=torch.float64)
        for t in range(len(given) - 1, -1, -1):
            noise = torch.randn(n, len(self.first), dtype=torch.float64, generator=generator)
            kept = state @ gains[t].T if t < len(gains) else 0.0
            state = offsets[t] + kept + noise @ roots[t].T
            states[:, t] = state
        return states.flatten(1)
