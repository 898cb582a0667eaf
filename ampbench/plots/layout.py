r"""Layered drawings of directed acyclic graphs: positions of vertices, without routes of edges.

The method of Sugiyama: a vertex lies one layer below its lowest parent, and one without parents just above its highest
child; vertices of a layer are sorted by the mean place of their neighbours, which lowers the number of crossings; and
the coordinates in a layer are the closest ones, in least squares, to the means of the neighbours among those that keep
the distances, a problem of isotonic regression.

References:
    Sugiyama, Tagawa, Toda 1981, *Methods for visual understanding of hierarchical system structures*,
    doi:10.1109/TSMC.1981.4308636.
    Healy, Nikolov 2013, *Hierarchical drawing algorithms*, Handbook of Graph Drawing and Visualization, chapter 13.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise

import numpy as np
from scipy.optimize import isotonic_regression

Parents = Mapping[str, Sequence[str]]
Point = tuple[float, float]
Orders = list[list[str]]

SWEEPS = 12
"""Number of passes, down and up in turn, that sort and place the layers."""


def layers(parents: Parents) -> dict[str, int]:
    """Return the layer of each vertex: the length of the longest path that ends there; roots just above their children.

    Arguments:
        parents: of each vertex, in a topological order.

    Example:
        >>> layers({"a": [], "b": ["a"], "c": [], "d": ["b", "c"]})
        {'a': 0, 'b': 1, 'c': 1, 'd': 2}
    """
    found: dict[str, int] = {}
    for name, above in parents.items():
        found[name] = max((found[each] + 1 for each in above), default=0)
    children = _children(parents)
    for name, above in parents.items():
        if not above and children[name]:
            found[name] = min(found[child] for child in children[name]) - 1
    return found


def positions(parents: Parents, widths: Mapping[str, float], gap: float, height: float) -> dict[str, Point]:
    """Return the centre of each vertex, the first layer at y = 0 and others below it, x from 0 on.

    Arguments:
        parents: of each vertex, in a topological order.
        widths: of each vertex.
        gap: smallest distance of two vertices of a layer.
        height: distance of two layers.
    """
    level = layers(parents)
    rows: Orders = [[] for _ in range(max(level.values()) + 1)]
    for name in parents:
        rows[level[name]].append(name)
    rows = _sorted(rows, parents)
    x = _placed(rows, parents, widths, gap)
    left = min(x[name] - widths[name] / 2 for name in x)
    return {name: (x[name] - left, -height * level[name]) for name in parents}


def crossings(rows: Orders, parents: Parents) -> int:
    """Return the number of pairs of edges between the layers that cross.

    Example:
        >>> crossings([["a", "b"], ["c", "d"]], {"a": [], "b": [], "c": ["b"], "d": ["a"]})
        1
    """
    place = {name: i for row in rows for i, name in enumerate(row)}
    level = {name: i for i, row in enumerate(rows) for name in row}
    edges = [(level[a], level[b], place[a], place[b]) for b, above in parents.items() for a in above]
    return sum(
        one[:2] == other[:2] and (one[2] - other[2]) * (one[3] - other[3]) < 0
        for i, one in enumerate(edges)
        for other in edges[:i]
    )


def _children(parents: Parents) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {name: [] for name in parents}
    for child, above in parents.items():
        for name in above:
            found[name].append(child)
    return found


def _passes(rows: Orders, parents: Parents) -> list[tuple[list[str], Mapping[str, Sequence[str]]]]:
    """Return the layers in the order of the passes, each with the neighbours by which it is sorted or placed."""
    down = [(row, parents) for row in rows[1:]]
    up = [(row, _children(parents)) for row in reversed(rows[:-1])]
    return [*down, *up]


def _sorted(rows: Orders, parents: Parents) -> Orders:
    """Return the layers in the orders with the fewest crossings that the passes find."""
    best, fewest = [list(row) for row in rows], crossings(rows, parents)
    for _ in range(SWEEPS):
        for row, neighbours in _passes(rows, parents):
            place = {name: (i + 0.5) / len(each) for each in rows for i, name in enumerate(each)}
            row.sort(key=_mean_of(place, neighbours))
        if (count := crossings(rows, parents)) < fewest:
            best, fewest = [list(row) for row in rows], count
    return best


def _mean_of(place: Mapping[str, float], neighbours: Mapping[str, Sequence[str]]) -> Callable[[str], float]:
    """Return a function from a vertex to the mean place of its neighbours; without neighbours, to its own."""

    def mean(name: str) -> float:
        around = [place[each] for each in neighbours[name]]
        return sum(around) / len(around) if around else place[name]

    return mean


def _placed(rows: Orders, parents: Parents, widths: Mapping[str, float], gap: float) -> dict[str, float]:
    x: dict[str, float] = {}
    starts = {id(row): _starts(row, widths, gap) for row in rows}
    for row in rows:
        start = starts[id(row)]
        x |= dict(zip(row, start - start.mean(), strict=True))
    for _ in range(SWEEPS):
        for row, neighbours in _passes(rows, parents):
            start = starts[id(row)]
            wanted = np.array([_mean_of(x, neighbours)(name) for name in row])
            x |= dict(zip(row, (isotonic_regression(wanted - start).x + start).tolist(), strict=True))
    return x


def _starts(row: Sequence[str], widths: Mapping[str, float], gap: float) -> np.ndarray:
    """Return the closest coordinates that keep the distances, the first one at 0."""
    steps = [(widths[a] + widths[b]) / 2 + gap for a, b in pairwise(row)]
    return np.concatenate([[0.0], np.cumsum(steps)])
