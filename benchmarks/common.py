"""Functions that the benchmarks share: measurements of time, and fits.

Only documented names are imported, and young ones inside functions, so that old commits can be measured too.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import time

import torch
from torch.distributions import Independent, Normal

from ampbench.graph import Graph, Simulator, density
from ampbench.interfaces import Method, Posterior, Task, fit
from ampbench.registry import load


class Brief:
    """Times of the processor, which depend less on other processes than times of the clock.

    Up to thirty calls each within two seconds: asv calls no difference between two sets of five significant.
    """

    timer = staticmethod(time.process_time)
    rounds = 1
    repeat = (2, 30, 2.0)
    warmup_time = 0.0
    timeout = 300


def children() -> float:
    """Return the processor time of all finished child processes, in seconds."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def python(*arguments: str) -> None:
    """Run the interpreter of this environment, and wait."""
    subprocess.run([sys.executable, *arguments], check=True, capture_output=True)


def gaussian(length: int = 2, size: int = 2) -> Graph:
    """Return a chain z0 → z1 → … of known densities, with unit variances and a number of components each."""
    root = Independent(Normal(torch.zeros(size), torch.ones(size)), 1)
    return Graph(density("z0", root), *(density(f"z{i}", _child, [f"z{i - 1}"]) for i in range(1, length)))


def _child(parent: torch.Tensor) -> Independent:
    return Independent(Normal(parent, torch.ones_like(parent)), 1)


def method(spec: str) -> Method:
    """Build a method."""
    return load().build("methods", spec)


def task(spec: str) -> Task:
    """Build a task."""
    return load().build("tasks", spec)


def fitted(spec: str, name: str, budget: int, seed: int = 0) -> Posterior:
    """Fit a method to simulations of a task."""
    model = task(name)
    return fit(method(spec), Simulator(model.graph, model.observed, budget, seed))


def step(spec: str, source: Simulator) -> float:
    """Return the mean processor time of a training step, in milliseconds, from all steps of a fit but the first.

    A mean over a multiple of eight steps: gradient penalties may be part of every eighth step only.
    """
    ends: list[float] = []
    fit(method(spec), source, progress=lambda done, total: ends.append(time.process_time()))
    return 1000 * (ends[-1] - ends[0]) / (len(ends) - 1)
