r"""Stochastic volatility: daily returns of the S&P 500, whose log variance is an unknown autoregression.

.. math::
    m &\sim \mathcal C(0, 5), \qquad \varphi = 2 b - 1, \quad b \sim \mathrm{Beta}(20, 1.5), \qquad
    \sigma \sim \mathcal C^+(0, 2) \\
    h_1 &\sim \mathcal N\Bigl(m, \frac{\sigma^2}{1 - \varphi^2}\Bigr), \qquad
    h_t \sim \mathcal N\bigl(m + \varphi (h_{t-1} - m),\; \sigma^2\bigr) \\
    y_t &\sim \mathcal N(0, e^{c(h_t)}), \qquad c(h) = \min(\max(h, -150), 150)

:math:`\mathcal C` is the Cauchy, :math:`\mathcal C^+` the half-Cauchy distribution. The series has 100 days. This is
the model of the inference gym, except for the bounds of the log variance: the prior has heavy tails, and without
bounds float32 could not hold one in twenty series. 7% of the prior's series reach them; no posterior of a numbered
observation comes near them.

Observation 1 is the real series, with unknown parameters: log returns from 3 February to 24 June 2020, minus their
mean. The other numbered observations are simulated. Their posteriors are known by stored samples: 2,000 draws of each,
thinned from four chains of the no-U-turn sampler (``tests/tasks/reference_nuts.py``; ``info.json``, beside the draws,
has the versions, the seeds and the convergence diagnostics).

References:
    Kim, Shephard, Chib 1998, *Stochastic volatility: likelihood inference and comparison with ARCH models*,
    doi:10.1111/1467-937X.00050 (the model).
    Sountsov, Radul and contributors 2020, *Inference gym*, version 0.0.5, Apache License 2.0, class
    ``VectorizedStochasticVolatilityLogSP500Small`` (the priors, and the closing prices of the index ^GSPC, which its
    authors retrieved from Yahoo Finance).
    Hoffman, Gelman 2014, *The no-U-turn sampler*, arXiv:1111.4246.
"""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor
from torch.distributions import (
    AffineTransform,
    Beta,
    Cauchy,
    Distribution,
    HalfCauchy,
    Independent,
    Normal,
    TransformedDistribution,
    constraints,
)

from ampbench.graph import Chain, Graph, Node, density, previous, simulator
from ampbench.interfaces import Observation
from ampbench_tasks.structured import Stored

CLOSING_PRICES = (
    *(3225.52, 3248.92, 3297.59, 3334.69, 3345.78, 3327.71, 3352.09, 3357.75, 3379.45, 3373.94, 3380.16, 3370.29),
    *(3386.15, 3373.23, 3337.75, 3225.89, 3128.21, 3116.39, 2978.76, 2954.22, 3090.23, 3003.37, 3130.12, 3023.94),
    *(2972.37, 2746.56, 2882.23, 2741.38, 2480.64, 2711.02, 2386.13, 2529.19, 2398.10, 2409.39, 2304.92, 2237.40),
    *(2447.33, 2475.56, 2630.07, 2541.47, 2626.65, 2584.59, 2470.50, 2526.90, 2488.65, 2663.68, 2659.41, 2749.98),
    *(2789.82, 2761.63, 2846.06, 2783.36, 2799.55, 2874.56, 2823.16, 2736.56, 2799.31, 2797.80, 2836.74, 2878.48),
    *(2863.39, 2939.51, 2912.43, 2830.71, 2842.74, 2868.44, 2848.42, 2881.19, 2929.80, 2930.19, 2870.12, 2820.00),
    *(2852.50, 2863.70, 2953.91, 2922.94, 2971.61, 2948.51, 2955.45, 2991.77, 3036.13, 3029.73, 3044.31, 3055.73),
    *(3080.82, 3122.87, 3112.35, 3193.93, 3232.39, 3207.18, 3190.14, 3002.10, 3041.31, 3066.59, 3124.74, 3113.49),
    *(3115.34, 3097.74, 3117.86, 3131.29, 3050.33),
)
"""Closing prices of the S&P 500 from 31 January to 24 June 2020, in US dollars."""
DAYS = 100
M_SCALE = 5.0
PHI_CONCENTRATIONS = (20.0, 1.5)
SIGMA_SCALE = 2.0
MAX_LOG_VARIANCE = 150.0
"""Bound of the absolute log variance of a return."""


@final
class StochasticVolatility(Stored):
    """Stochastic volatility, stored samples: latents m, phi, sigma, h_1 … h_100, observed y_1 … y_100."""

    folder = "stochastic_volatility"
    version = "1"
    source = "Kim et al. 1998; priors and data of the inference gym"

    def __init__(self) -> None:
        super().__init__()
        states = [density(f"h_{t}", step, [f"h_{t - 1}", "m", "phi", "sigma"], size=1) for t in range(2, DAYS + 1)]
        returns = [simulator(f"y_{t}", measure, [f"h_{t}"], size=1) for t in range(1, DAYS + 1)]
        first = density("h_1", stationary, ["m", "phi", "sigma"], size=1)
        self._graph = Graph(*_roots(), first, *states, *returns).repeating(template(DAYS), {"day": DAYS})
        self.observed = tuple(f"y_{t}" for t in range(1, DAYS + 1))

    @property
    def graph(self) -> Graph:
        """The graph h_1 → … → h_100, h_t → y_t, with (m, phi, sigma) → h_t."""
        return self._graph

    def example(self, number: int) -> Observation:
        """Return the real series as number 1, with unknown parameters, or else a simulation."""
        if number > 1:
            return self.observation(number)
        return Observation(log_returns().float(), torch.full((3 + DAYS,), torch.nan), seed=-1)

    def log_likelihood(self, theta: Tensor, x: Tensor) -> Tensor:
        """Return log p(x | theta), shape (*,), float64."""
        return Normal(0, deviation(theta.double()[..., 3:])).log_prob(x.double()).sum(-1)


def template(days: int | tuple[int, int]) -> Graph:
    """Return the graph with the axis ``day`` in place of single days: latents m, phi, sigma and h, observed y.

    Arguments:
        days: the number of days, or the smallest and the largest one.
    """
    day = [Chain("day", days)]
    return Graph(
        *_roots(),
        density("h", step, [previous("h"), "m", "phi", "sigma"], size=1, along=day, first=stationary),
        simulator("y", measure, ["h"], size=1, along=day),
    )


def log_returns() -> Tensor:
    """Return the logarithms of the ratios of consecutive closing prices minus their mean, shape (100,), float64."""
    returns = torch.tensor(CLOSING_PRICES, dtype=torch.float64).log().diff()
    return returns - returns.mean()


def stationary(m: Tensor, phi: Tensor, sigma: Tensor) -> Distribution:
    """Return p(h_1 | m, φ, σ) for parameters of shape (n, 1)."""
    share = ((1 - phi) * (1 + phi)).clamp(min=torch.finfo(phi.dtype).eps)  # φ may be rounded to 1
    return _gaussian(m, sigma / share.sqrt())


def step(h: Tensor, m: Tensor, phi: Tensor, sigma: Tensor) -> Distribution:
    """Return p(h_t | h_{t−1}, m, φ, σ) for a state and parameters of shape (n, 1)."""
    return _gaussian(m + phi * (h - m), sigma)


def deviation(h: Tensor) -> Tensor:
    """Return the standard deviation of a return, from its log variance within the bounds."""
    return (h.clamp(-MAX_LOG_VARIANCE, MAX_LOG_VARIANCE) / 2).exp()


def measure(h: Tensor) -> Tensor:
    """Draw y_t given h_t (n, 1), shape (n, 1)."""
    return deviation(h) * torch.randn_like(h)


def _gaussian(mean: Tensor, scale: Tensor) -> Distribution:
    """Return a Gaussian; σ = 0, which may occur in float32, gives a point mass."""
    return Independent(Normal(mean, scale.clamp(min=torch.finfo(scale.dtype).tiny)), 1)


def _roots() -> list[Node]:
    one, interval = torch.ones(1), constraints.independent(constraints.interval(-1, 1), 1)
    share = Beta(PHI_CONCENTRATIONS[0] * one, PHI_CONCENTRATIONS[1] * one)
    persistence = Independent(TransformedDistribution(share, AffineTransform(-1, 2)), 1)
    return [
        density("m", Independent(Cauchy(0 * one, M_SCALE * one), 1)),
        density("phi", persistence, support=interval),
        density("sigma", Independent(HalfCauchy(SIGMA_SCALE * one), 1)),
    ]
