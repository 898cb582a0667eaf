"""The engine: the time of training steps, and the error that a small budget leaves."""

from __future__ import annotations

import torch
from torch.distributions import Independent, Normal

from ampbench.amp import AMP
from ampbench.graph import Graph, Simulator, density, simulator
from ampbench.interfaces import fit
from ampbench.registry import load
from ampbench.seeding import seeded


def _source(budget: int) -> Simulator:
    prior = Independent(Normal(torch.zeros(2), torch.ones(2)), 1)
    graph = Graph(density("theta", prior), simulator("x", lambda t: t + torch.randn_like(t), ["theta"]))
    return Simulator(graph, ["x"], budget, seed=0)


class Steps:
    """Fifty steps of Algorithm 1, networks of the default size."""

    params = ("jsd", "kl", "mmd")
    param_names = ("divergence",)

    def setup(self, divergence: str) -> None:
        torch.set_num_threads(1)
        self.method: AMP = load().build("methods", f"amp:divergence={divergence},steps=50")

    def time_fit_50_steps(self, divergence: str) -> None:
        fit(self.method, _source(1000))


class Accuracy:
    """Error of the posterior standard deviation on a conjugate Gaussian, where it is known to be √½."""

    timeout = 300
    unit = "absolute error"

    def track_standard_deviation_error(self) -> float:
        torch.set_num_threads(1)
        posterior = fit(load().build("methods", "amp:steps=500"), _source(2000))
        with seeded(0):
            samples = posterior.sample(torch.zeros(2), 10_000)
        return float((samples.std(0) - 0.5**0.5).abs().mean())
