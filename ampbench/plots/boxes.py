"""Positions of the vertices and boxes of a diagram, in inches: a box for each plate, chain or tree.

Boxes of inner axes are inside those of outer ones. The variables of outer axes stand above the boxes, since they are
parents of what is inside and never children.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ampbench.figures.style import shown
from ampbench.graph.axes import Axis, Chain, Tree
from ampbench.plots.diagram import Diagram, Vertex
from ampbench.plots.layout import Point, layers, positions

MAX_NAME = 22
"""Longest name of a variable, in characters, that is shown in full."""
HEIGHT, GAP, LAYER = 0.46, 0.3, 0.95
"""Height of a vertex, smallest distance of two vertices of a layer, distance of two layers."""
CHARACTER = 0.082
"""Width of a character."""
PADDING, CAPTION = 0.2, 0.24
"""Distance of a box to what is inside, and height of its caption."""
FLAT_ABOVE = 6
"""Number of layers above which a graph that is higher than wide is drawn from left to right."""


@dataclass(frozen=True)
class Box:
    """A box: centre of the left lower corner, width, height, and caption."""

    corner: Point
    width: float
    height: float
    caption: str


@dataclass(frozen=True)
class Placed:
    """A diagram with positions; y runs from 0 downwards.

    Attributes:
        centres: of the vertices, by name.
        sizes: width and height of the vertices, by name.
        boxes: the outer ones first.
        width, height: of everything.
    """

    centres: Mapping[str, Point]
    sizes: Mapping[str, Point]
    boxes: tuple[Box, ...]
    width: float
    height: float


def label(vertex: Vertex) -> list[str]:
    """Return the lines of a vertex, as they are shown."""
    return [shown(text, MAX_NAME) for text in vertex.label]


def place(diagram: Diagram) -> Placed:
    """Return the positions of a diagram."""
    return _block(diagram, ())


def _size(vertex: Vertex) -> Point:
    longest = max(map(len, label(vertex)))
    return max(HEIGHT, 0.2 + CHARACTER * longest), HEIGHT if vertex.kind != "message" else 0.3


def _block(diagram: Diagram, cell: tuple[Axis, ...]) -> Placed:
    """Place the variables of a cell, and the boxes inside it side by side below them."""
    own = [vertex for vertex in diagram.vertices if vertex.cell == cell]
    inner = dict.fromkeys(
        vertex.cell[: len(cell) + 1]
        for vertex in diagram.vertices
        if len(vertex.cell) > len(cell) and vertex.cell[: len(cell)] == cell
    )
    top = _own(diagram, own, alone=not inner and not cell)
    blocks = [_boxed(diagram, each) for each in inner]
    width = sum(block.width for block in blocks) + GAP * max(0, len(blocks) - 1)
    whole = max(top.width, width)
    centres = {name: (x + (whole - top.width) / 2, y) for name, (x, y) in top.centres.items()}
    sizes, boxes = dict(top.sizes), []
    x, y, low = (whole - width) / 2, -(top.height + (GAP + 0.12 if own else 0)), top.height
    for block in blocks:
        centres |= {name: (a + x, b + y) for name, (a, b) in block.centres.items()}
        sizes |= block.sizes
        boxes += [
            Box((box.corner[0] + x, box.corner[1] + y), box.width, box.height, box.caption) for box in block.boxes
        ]
        x, low = x + block.width + GAP, max(low, block.height - y)
    return Placed(centres, sizes, tuple(boxes), whole, low)


def _own(diagram: Diagram, own: list[Vertex], alone: bool) -> Placed:
    if not own:
        return Placed({}, {}, (), 0.0, 0.0)
    names = {vertex.name for vertex in own}
    sizes = {vertex.name: _size(vertex) for vertex in own}
    parents = {vertex.name: [name for name in diagram.parents[vertex.name] if name in names] for vertex in own}
    level = layers(parents)
    depth, widest = max(level.values()) + 1, max(list(level.values()).count(i) for i in level.values())
    if alone and depth > FLAT_ABOVE and depth > 1.5 * widest:
        centres = _turned(
            parents, {vertex.name for vertex in own if vertex.observed}, max(width for width, _ in sizes.values())
        )
    else:
        found = positions(parents, {name: size[0] for name, size in sizes.items()}, GAP, LAYER)
        centres = {name: (x, y - HEIGHT / 2) for name, (x, y) in found.items()}
    right = max(x + sizes[name][0] / 2 for name, (x, _) in centres.items())
    return Placed(centres, sizes, (), right, max(HEIGHT / 2 - y for _, y in centres.values()))


def _turned(parents: Mapping[str, list[str]], observed: set[str], broad: float) -> dict[str, Point]:
    """Return positions from left to right; observations of a chain lie below it."""
    inner = {name for above in parents.values() for name in above}
    ends = {name for name in observed if name not in inner and len(parents[name]) == 1}
    trunk = {name: above for name, above in parents.items() if name not in ends}
    level = layers(trunk)
    if not trunk or len(set(level.values())) < len(trunk):
        turned = positions(parents, dict.fromkeys(parents, HEIGHT), GAP + 0.15, broad + GAP)
        return {name: (broad / 2 - y, -x) for name, (x, y) in turned.items()}
    centres = {name: (broad / 2 + i * (broad + GAP), -HEIGHT / 2) for name, i in level.items()}
    below = dict.fromkeys(trunk, 0)
    for name in parents:
        if name in ends:
            (above,) = parents[name]
            below[above] += 1
            centres[name] = (centres[above][0], -HEIGHT / 2 - 0.85 * LAYER * below[above])
    return centres


def _boxed(diagram: Diagram, cell: tuple[Axis, ...]) -> Placed:
    inside = _block(diagram, cell)
    caption = _caption(cell[-1], diagram.sizes)
    width = max(inside.width, CHARACTER * len(caption)) + 2 * PADDING
    height = inside.height + PADDING + CAPTION
    shift = (width - inside.width) / 2
    centres = {name: (x + shift, y - PADDING) for name, (x, y) in inside.centres.items()}
    moved = [
        Box((box.corner[0] + shift, box.corner[1] - PADDING), box.width, box.height, box.caption)
        for box in inside.boxes
    ]
    return Placed(centres, inside.sizes, (Box((0.0, -height), width, height, caption), *moved), width, height)


def _caption(axis: Axis, sizes: Mapping[str, int]) -> str:
    """Return the caption of a box, such as ``school: 3 to 100`` or ``time = 1, …, 50``."""
    name = shown(axis.name, MAX_NAME)
    low, high = axis.bounds
    size = f"{sizes[axis.name]}" if axis.name in sizes else f"{low} to {high}" if low < high else f"{low}"
    if isinstance(axis, Tree):
        return f"{name}: tree of depth {size}, {axis.branching} children each"
    return f"{name} = 1, …, {size}" if isinstance(axis, Chain) else f"{name}: {size}"
