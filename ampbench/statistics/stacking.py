r"""Stacking: a mixture of posteriors whose weights have the best proper score of held-out simulations.

Of K posteriors :math:`q_k` and held-out simulations :math:`(\theta_n, x_n)`, the weights are, with known densities,

.. math:: w^* = \arg\max_{w} \sum_n \log \sum_k w_k\, q_k(\theta_n \mid x_n),

over weights that are not negative and sum to one: a concave problem, which expectation-maximisation solves. With draws
only, a kernel score (:mod:`ampbench.statistics.scoring_rules`) takes the place of the logarithmic one. With means over
the simulations, :math:`a_k = \mathbb E\,k(\theta_k, \theta^*)` and :math:`B_{kl} = \mathbb E\,k(\theta_k, \theta_l)`,

.. math:: w^* = \arg\min_{w} \; w^\top a - \tfrac12\, w^\top B\, w,

which is convex for the kernel of the log-distance score. The mixture has a better score of these simulations than each
posterior alone. A posterior that is nearly right, and far too low at a few simulations, keeps most of the weight.

References:
    Yao, Vehtari, Simpson, Gelman 2018, *Using stacking to average Bayesian predictive distributions*, arXiv:1704.02030.
    Yao, Régaldo-Saint Blancard, Domke 2023, *Simulation-based stacking*, arXiv:2310.17009.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ampbench.statistics.scoring_rules import log_distance

ITERATIONS = 1000
"""Of expectation-maximisation."""


def stack_densities(log_densities: Tensor) -> Tensor:
    """Return the weights, shape (K,), of posteriors with these log-densities at N held-out simulations, shape (N, K).

    Simulations at which every density is zero have no influence.

    Example:
        >>> stack_densities(torch.tensor([[0.0, -9.0], [0.0, -9.0], [-9.0, 0.0]])).round(decimals=2)
        tensor([0.6700, 0.3300], dtype=torch.float64)
    """
    possible = log_densities.double()[log_densities.isfinite().any(1)]
    weights = log_densities.new_full((log_densities.shape[1],), 1 / log_densities.shape[1], dtype=torch.float64)
    for _ in range(ITERATIONS if len(possible) else 0):
        weights = torch.softmax(possible + weights.log(), dim=1).mean(0)
    return weights


def stack_kernels(accuracy: Tensor, spread: Tensor) -> Tensor:
    """Return the weights, shape (K,), of posteriors with these means of a kernel, see :func:`kernel_means`."""
    from scipy.optimize import minimize

    a, b = accuracy.double().numpy(), spread.double().numpy()
    found = minimize(
        lambda w: w @ a - w @ b @ w / 2,
        np.full(len(a), 1 / len(a)),
        jac=lambda w: a - b @ w,
        bounds=[(0, 1)] * len(a),
        constraints={"type": "eq", "fun": lambda w: w.sum() - 1, "jac": np.ones_like},
        method="SLSQP",
    )
    weights = torch.as_tensor(found.x).clamp_min(0)
    return weights / weights.sum()


def kernel_means(samples: Tensor, truth: Tensor) -> tuple[Tensor, Tensor]:
    """Return a, shape (K,), and B, shape (K, K), of the log-distance score.

    Arguments:
        samples: M draws of each posterior given each simulation, shape (K, M, N, D), in units that make distances
            meaningful.
        truth: the parameters of the simulations, shape (N, D).
    """
    first, second = torch.triu_indices(samples.shape[1], samples.shape[1], offset=1, device=samples.device)
    spread = torch.stack([log_distance(one[first], samples[:, second]).mean((1, 2)) for one in samples])
    return log_distance(samples, truth).mean((1, 2)), (spread + spread.T) / 2
