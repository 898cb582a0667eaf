"""The Python interface, as short as the command line."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.distributions import Distribution

from ampbench import registry
from ampbench.graph import Graph, density, simulator
from ampbench.interfaces import Method, Posterior, Progress, silent
from ampbench.seeding import derive, seeded
from ampbench.simulator import Simulator


def infer(
    prior: Distribution,
    simulate: Callable[..., Any],
    *,
    budget: int,
    method: str = "amp",
    seed: int = 0,
    device: str = "cpu",
    progress: Progress = silent,
) -> Posterior:
    """Infer the parameters of your own simulator.

    Arguments:
        prior: distribution of theta, with event shape (D,).
        simulate: from theta, shape (n, D), to x, shape (n, L); a torch tensor or numpy array. It need not be
            differentiable.
        budget: how many simulations may be run.
        method: a method's spec, such as ``amp:divergence=jsd,family=implicit`` or ``npe``.
        seed: same seed, same posterior.
        device: any torch device, for training.
        progress: called with (steps done, steps in all).

    Returns:
        An amortised posterior: ``posterior.sample(x, n)`` for any observation x of shape (L,).

    Example:
        >>> from torch.distributions import Independent, Normal
        >>> prior = Independent(Normal(torch.zeros(1), torch.ones(1)), 1)
        >>> posterior = infer(prior, lambda t: t + torch.randn_like(t), budget=200, method="amp:steps=20")
        >>> posterior.sample(torch.tensor([0.5]), 3).shape
        torch.Size([3, 1])
    """
    graph = Graph(density("theta", prior), simulator("x", simulate, ["theta"]))
    return infer_graph(graph, ["x"], budget=budget, method=method, seed=seed, device=device, progress=progress)


def infer_graph(
    graph: Graph,
    observed: list[str],
    *,
    budget: int,
    method: str = "amp",
    seed: int = 0,
    device: str = "cpu",
    progress: Progress = silent,
) -> Posterior:
    """Infer the latent variables of any directed graphical model from the observed ones; see :func:`infer`."""
    built: Method = registry.load().build("methods", method)
    return fit(built, Simulator(graph, observed, budget, seed), device, progress)


def fit(method: Method, source: Simulator, device: str = "cpu", progress: Progress = silent) -> Posterior:
    """Fit a method that you made yourself; all randomness follows from the simulator's seed."""
    with seeded(derive(source.seed, "fit")):
        return method.fit(source, torch.device(device), progress)
