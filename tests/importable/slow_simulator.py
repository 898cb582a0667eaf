"""A simulator that notes each of its calls in a file, and may be slow or faulty; child processes import it."""

from __future__ import annotations

import os
import time
from pathlib import Path

import torch
from torch import Tensor
from torch.distributions import Independent, Uniform

prior = Independent(Uniform(torch.zeros(2), torch.ones(2)), 1)


def simulate(theta: Tensor) -> Tensor:
    """Gaussian noise around theta; the environment says where to count calls, and how long one takes."""
    if counter := os.environ.get("SLOW_SIMULATOR_CALLS"):
        with Path(counter).open("a") as file:
            file.write("x")
    time.sleep(float(os.environ.get("SLOW_SIMULATOR_SECONDS", "0")))
    return theta + 0.1 * torch.randn_like(theta)


def faulty(theta: Tensor, fault: str) -> Tensor:
    """Raise, hang or end the process, for a batch with a large parameter."""
    if bool((theta[:, 0] > 0.97).any()):
        if fault == "raise":
            raise ValueError("no convergence")
        if fault == "exit":
            os._exit(3)
        time.sleep(600)
    return simulate(theta)
