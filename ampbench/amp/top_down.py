"""The top-down chain of a model with learned conditionals."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor, nn

from ampbench.graph import Graph
from ampbench.graph.coordinates import Coordinates


class TopDown(nn.Module):
    """The top-down chain, in network coordinates.

    Arguments:
        graph: the model.
        coordinates: of every variable.
        theta: by name, the learned conditionals.
        device: where samples go.
    """

    def __init__(
        self, graph: Graph, coordinates: Mapping[str, Coordinates], theta: nn.ModuleDict, device: torch.device
    ) -> None:
        super().__init__()
        self.graph = with_conditionals(graph, theta)
        self.coordinates = coordinates
        self.theta = theta
        self.device = device

    def __deepcopy__(self, memo: dict[int, object]) -> TopDown:
        """Copy the parameters, and put them into the same graph; coordinates are frozen."""
        return TopDown(self.graph, self.coordinates, copy.deepcopy(self.theta, memo), self.device)

    def forward(self, n: int) -> dict[str, Tensor]:
        """Draw n samples of all variables, (n, D_i) each."""
        values = self.graph.complete(n, {}, self.device)
        return {name: self.coordinates[name].encode(value) for name, value in values.items()}

    def below(self, given: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Complete given variables, (n, D_i) each, with draws of all others from the model."""
        known = {name: self.coordinates[name].decode(value) for name, value in given.items()}
        values = self.graph.complete(len(next(iter(known.values()))), known, self.device)
        return {**{name: self.coordinates[name].encode(value) for name, value in values.items()}, **given}


def with_conditionals(graph: Graph, theta: nn.ModuleDict) -> Graph:
    """Return the graph with other modules in the place of its learned conditionals."""
    return Graph(*(replace(node, conditional=theta[node.name]) if node.name in theta else node for node in graph.nodes))
