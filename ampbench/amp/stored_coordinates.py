"""Coordinates in the states of posteriors: location, scale and roundness of every variable."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from ampbench.graph import Graph
from ampbench.graph.coordinates import Coordinates
from ampbench.interfaces import state as states
from ampbench.interfaces.state import State


def parts_of(coordinates: Mapping[str, Coordinates]) -> dict[str, State]:
    """Return the parts of a state from which :func:`from_parts` builds the coordinates again."""
    return {
        "location": {name: each.location for name, each in coordinates.items()},
        "scale": {name: each.scale for name, each in coordinates.items()},
        "whole": {name: torch.tensor(each.whole) for name, each in coordinates.items()},
    }


def from_parts(parts: Mapping[str, State], graph: Graph) -> dict[str, Coordinates]:
    """Return the coordinates of a state; raises :class:`UsageError` if the state belongs to another model."""
    states.check_names("", parts["location"], graph.names)
    found = {
        name: Coordinates.at(location, parts["scale"][name], bool(parts["whole"][name]), graph[name].support)
        for name, location in parts["location"].items()
    }
    for name, each in found.items():
        states.check_size(name, each.features, graph[name].size)
    return found
