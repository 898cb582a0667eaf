"""Graphs: sampling and inversion."""

from __future__ import annotations

import torch
from torch.distributions import Independent, Normal

from ampbench.graph import Graph, density, inverse, structure


def _child(parent: torch.Tensor) -> Independent:
    return Independent(Normal(parent, 1.0), 1)


class Chain:
    """A Gaussian chain z0 -> z1 -> … of some length, the last variable observed."""

    params = (5, 20)
    param_names = ("length",)

    def setup(self, length: int) -> None:
        root = Independent(Normal(torch.zeros(1), torch.ones(1)), 1)
        children = [density(f"z{i}", _child, [f"z{i - 1}"]) for i in range(1, length)]
        self.graph = Graph(density("z0", root), *children)
        self.observed = [f"z{length - 1}"]

    def time_sample_10000(self, length: int) -> None:
        self.graph.sample(10_000)

    def time_inverse(self, length: int) -> None:
        self.graph.inverse(self.observed)


class StateSpace:
    """Inversion where contexts grow: a hidden chain, every state observed through noise."""

    params = (10, 50)
    param_names = ("length",)

    def setup(self, length: int) -> None:
        parents: dict[str, list[str]] = {}
        for t in range(length):
            parents[f"z{t}"] = [f"z{t - 1}"] if t else []
            parents[f"x{t}"] = [f"z{t}"]
        self.dag = structure(parents)
        self.observed = [name for name in parents if name.startswith("x")]

    def time_inverse(self, length: int) -> None:
        inverse(self.dag, self.observed)
