"""Densities of posteriors that are made anew for every observation."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def by_observation(log_prob: Callable[[Tensor, Tensor], Tensor], theta: Tensor, x: Tensor) -> Tensor:
    """Return log q(theta_i | x_i), shape (n,), on the CPU, asking once for each different observation.

    Arguments:
        log_prob: from parameters (m, D) and one observation (L,) to m values.
        theta: shape (n, D).
        x: shape (n, L).
    """
    observations, which = torch.unique(x, dim=0, return_inverse=True)
    density = torch.empty(len(theta))
    for number, observation in enumerate(observations):
        density[which == number] = log_prob(theta[which == number], observation).detach().cpu()
    return density
