"""Graphs: sampling and inversion, as graphs grow."""

from __future__ import annotations

import torch
from torch.distributions import Independent, Normal

from ampbench.graph import Graph, density, inverse, structure

from .common import Brief, gaussian


class Chain(Brief):
    """A Gaussian chain z0 → z1 → … of some length, the last variable observed."""

    params = (5, 20, 80)
    param_names = ("length",)

    def setup(self, length: int) -> None:
        self.graph = gaussian(length, size=1)
        self.observed = [f"z{length - 1}"]

    def time_sample_10000(self, length: int) -> None:
        self.graph.sample(10_000)

    def time_inverse(self, length: int) -> None:
        self.graph.inverse(self.observed)


class StateSpace(Brief):
    """Inversion where contexts grow: a hidden chain, every state observed through noise."""

    params = (10, 50, 200)
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


class Templates(Brief):
    """Graphs with repeated variables: the inverse of the template, which has one size, and that of the flat graph.

    A plate and a chain have 4, 16 or 64 repeats, a binary tree has 7, 31 or 127.
    """

    params = (("plate", "chain", "tree"), (4, 16, 64))
    param_names = ("axis", "repeats")

    def setup(self, axis: str, repeats: int) -> None:
        self.graph = template(axis)
        self.sizes = {axis: repeats.bit_length() - 1 if axis == "tree" else repeats}
        self.flat = self.graph.ground(self.sizes)
        self.observed = [name for name in self.flat.names if name.startswith("x")]

    def time_template_inverse(self, axis: str, repeats: int) -> None:
        from ampbench.graph.template import template_inverse

        template_inverse(self.graph, ["x"])

    def time_flat_inverse(self, axis: str, repeats: int) -> None:
        self.flat.inverse(self.observed)

    def time_ground(self, axis: str, repeats: int) -> None:
        self.graph.ground(self.sizes)


def template(axis: str) -> Graph:
    """Return a graph whose latent z is repeated along an axis, and observed through noise at every repeat."""
    from ampbench.graph import Chain, Plate, Tree, previous

    unit = Independent(Normal(torch.zeros(1), torch.ones(1)), 1)

    def child(parent: torch.Tensor) -> Independent:
        return Independent(Normal(parent, torch.ones_like(parent)), 1)

    if axis == "plate":
        along = [Plate(axis, (2, 64))]
        latents = [density("root", unit), density("z", child, ["root"], along=along, size=1)]
    else:
        along = [Chain(axis, (2, 64)) if axis == "chain" else Tree(axis, (2, 6))]
        latents = [density("z", child, [previous("z")], along=along, first=unit, size=1)]
    return Graph(*latents, density("x", child, ["z"], along=along, size=1))
