"""Coordinates in the states of posteriors: location, scale and roundness of every variable, and gaps of some."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch

from ampbench.errors import UsageError
from ampbench.graph import Graph
from ampbench.graph.coordinates import Coordinates
from ampbench.graph.gaps import GappedCoordinates
from ampbench.interfaces import state as states
from ampbench.interfaces.state import State


def parts_of(coordinates: Mapping[str, Coordinates]) -> dict[str, State]:
    """Return the parts of a state from which :func:`from_parts` builds the coordinates again."""
    return {
        "location": {name: each.location for name, each in coordinates.items()},
        "scale": {name: each.scale for name, each in coordinates.items()},
        "whole": {name: torch.tensor(each.whole) for name, each in coordinates.items()},
        "gaps": {name: each.seen for name, each in coordinates.items() if isinstance(each, GappedCoordinates)},
    }


def from_parts(parts: Mapping[str, State], graph: Graph, names: Iterable[str] | None = None) -> dict[str, Coordinates]:
    """Return the coordinates of a state, of all variables or the named ones.

    Raises:
        UsageError: the state belongs to another model.
    """
    states.check_names("", parts["location"], graph.names if names is None else names)
    found: dict[str, Coordinates] = {}
    for name, location in parts["location"].items():
        node, numbers = graph[name], (location, parts["scale"][name], bool(parts["whole"][name]))
        seen = parts.get("gaps", {}).get(name)
        if node.gaps != (seen is not None):
            raise UsageError(
                f"variable {name!r} has {'no ' if seen is None else ''}gaps in the state, but "
                f"{'' if node.gaps else 'no '}gaps in the model; give the model that it was made with: gaps="
                f"{seen is not None}"
            )
        if seen is None:
            found[name] = Coordinates.at(*numbers, node.support)
        else:
            found[name] = GappedCoordinates.restored(*numbers, node.support, seen)
        states.check_size(name, found[name].features, node.size)
    return found
