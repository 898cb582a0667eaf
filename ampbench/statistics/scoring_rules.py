r"""Scoring rules for held-out simulations that need samples only, as for the selection of checkpoints.

For a held-out simulation (θ*, x) and draws θ, θ′ from q(· | x), the kernel score

.. math:: S_\beta = \mathbb E\,k(\theta, \theta^*) - \tfrac12\, \mathbb E\,k(\theta, \theta'),
          \qquad k(a, b) = \|a - b\|^\beta / \beta

is proper for 0 < β < 2: lower is better, and the exact posterior minimises its expectation. β = 1 is the energy score.
The limit β → 0, with k = log ‖a − b‖, weighs all length scales equally, and so detects errors in fine structure (the
thin crescents of ``two_moons``) to which the energy score is hardly sensitive; checkpoints are selected by this score.

References:
    Gneiting & Raftery 2007, *Strictly proper scoring rules, prediction, and estimation*, section 5.1.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

MIN_DISTANCE = 1e-6
"""Lower bound of distances in logarithms, so that the score of two equal samples is finite."""


def log_score(samples: Tensor, truth: Tensor) -> Tensor:
    """Return the log-distance score (the limit β → 0) of each of B forecasts.

    Arguments:
        samples: M draws from each forecast, shape (M, B, D).
        truth: the true values, shape (B, D).

    Returns:
        The scores, shape (B,).
    """
    return kernel_score(samples, truth, log_distance)


def energy_score(samples: Tensor, truth: Tensor) -> Tensor:
    """Return the energy score (β = 1) of each of B forecasts, (M, B, D), given the truths (B, D): shape (B,)."""
    return kernel_score(samples, truth, lambda a, b: torch.linalg.vector_norm(a - b, dim=-1))


def kernel_score(samples: Tensor, truth: Tensor, kernel: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """Return E k(θ, θ*) − ½ E k(θ, θ′) of each of B forecasts, (M, B, D), given the truths (B, D): shape (B,).

    The kernel maps two tensors (M, B, D), or one of them and the truths, to (M, B).
    """
    accuracy = kernel(samples, truth).mean(0)
    first, second = torch.triu_indices(len(samples), len(samples), offset=1, device=samples.device)
    spread = kernel(samples[first], samples[second]).mean(0)
    return accuracy - spread / 2


def two_sample_score(a: Tensor, b: Tensor) -> Tensor:
    """Return the score E log‖a − b‖ − ½ E log‖a − a′‖ of samples a, (n, D), given data b, (m, D); lower is better."""
    first, second = torch.triu_indices(len(a), len(a), offset=1, device=a.device)
    return torch.cdist(a, b).clamp_min(MIN_DISTANCE).log().mean() - log_distance(a[first], a[second]).mean() / 2


def log_distance(a: Tensor, b: Tensor) -> Tensor:
    """Return log ‖a − b‖ of points (*, D), at least that of :data:`MIN_DISTANCE`: shape (*,)."""
    return torch.linalg.vector_norm(a - b, dim=-1).clamp_min(MIN_DISTANCE).log()
