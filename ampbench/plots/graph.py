"""Drawings of a model, and of its inverse with its tuples.

Observed variables are shaded. A circle is a variable with a density, a rounded square one of a simulator, and a thick
outline one whose conditional is learned. Boxes are plates, chains and trees; a dashed circle is the variable in the
repeat before. The inverse reads from the evidence, above, to the latents in their sampling order.

References:
    Koller, Friedman 2009, *Probabilistic Graphical Models*, section 6.4, for plates.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ampbench.figures.style import BAND, INK, QUIET, frame, needed, new_figure, shown, styled
from ampbench.graph import Graph
from ampbench.plots.boxes import Placed, label, place
from ampbench.plots.diagram import Diagram, Model, Vertex, describe

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MAX_TUPLES = 24
"""Largest number of tuples that are written below the drawing."""
BENDS = (0.0, 0.18, -0.18, 0.34, -0.34, 0.5, -0.5, 0.7, -0.7)
"""Bends of an edge, of which the first one is taken that meets the fewest other vertices."""
MARGIN, TITLE, BETWEEN, TEXT_LINE = 0.25, 0.35, 0.7, 0.19
"""Margin, height of a title, distance of the two drawings, height of a line of text, in inches."""
SQUARE = {"simulator", "message"}
"""Kinds of vertices that are squares."""
FAINT_KINDS = {"ghost", "message", "covariate"}
"""Kinds of vertices that are no random variables of the model themselves."""
KIND_NAMES = {
    "density": "density",
    "simulator": "simulator",
    "learned": "learned",
    "covariate": "covariate",
    "ghost": "dashed outline: repeat before",
    "message": "message of the evidence",
}
MIN_WIDTH = 5.8
"""Smallest width of a figure, in inches."""


def graph_plot(graph: Graph, observed: Sequence[str], folded: bool | None = None, title: str = "") -> Figure:
    """Return a drawing of a model, and of its inverse with its tuples.

    Arguments:
        graph: the model.
        observed: names of its observed variables.
        folded: whether repeats of a variable are drawn once; see :func:`ampbench.plots.diagram.describe`.
        title: of the figure.

    Raises:
        GraphError: an observed name is no variable.
        UsageError: matplotlib is not installed, or the graph has too many variables.
    """
    return draw_model(describe(graph, observed, folded), title)


@styled
def draw_model(model: Model, title: str = "") -> Figure:
    """Return the drawing of a model that :func:`ampbench.plots.diagram.describe` described."""
    diagrams = [model.model, *([model.inverse] if model.inverse else [])]
    placed = [place(diagram) for diagram in diagrams]
    lines = _tuples(model)
    room = [_bounds(diagram, each) for diagram, each in zip(diagrams, placed, strict=True)]
    widths = [right - left for left, right, _ in room]
    width = max(MIN_WIDTH, sum(widths) + BETWEEN * (len(widths) - 1) + 2 * MARGIN)
    height = max(-low for *_, low in room) + TITLE + MARGIN
    text = TEXT_LINE * len(lines) + (0.1 if lines else 0)
    figure = new_figure(width, height + text)
    axes = figure.subplots()
    axes.set(xlim=(0, width), ylim=(-height - text, 0), aspect="equal")
    axes.axis("off")
    x = (width - sum(widths) - BETWEEN * (len(widths) - 1)) / 2
    for diagram, each, (left, right, _) in zip(diagrams, placed, room, strict=True):
        axes.text(x + (right - left) / 2, -0.05, diagram.title, ha="center", va="top", fontsize=10)
        _draw(axes, diagram, each, x - left, -TITLE)
        x += right - left + BETWEEN
    for i, line in enumerate(lines):
        limit = int(width * 13)
        axes.text(MARGIN, -height - 0.08 - TEXT_LINE * i, shown(line, limit), va="top", fontsize=8.5)
    handles, names = _legend(diagrams)
    return frame(
        figure, shown(title, 90) or "model and inverse", handles, names, [shown(each, 200) for each in model.remarks]
    )


def _tuples(model: Model) -> list[str]:
    if not model.tuples:
        return []
    found = [f"{i}. {text}{' *' if compared else ''}" for i, (text, compared) in enumerate(model.tuples, start=1)]
    more = len(found) - MAX_TUPLES
    told = [*found[:MAX_TUPLES], *([f"… and {more} more"] if more > 0 else [])]
    return ["tuples of the inverse in sampling order (*: with an adversary):", *told]


def _bounds(diagram: Diagram, placed: Placed) -> tuple[float, float, float]:
    """Return the left, right and lower ends of a drawing, with its bent edges."""
    curves = [_curve(placed, a, b, bend) for a, b, bend in _edges(diagram, placed)]
    points = np.concatenate([*curves, [(0.0, 0.0), (placed.width, -placed.height)]])
    return float(points[:, 0].min()), float(points[:, 0].max()), float(points[:, 1].min())


def _edges(diagram: Diagram, placed: Placed) -> list[tuple[str, str, float]]:
    return [
        (parent, child, _bend(placed, parent, child))
        for child, parents in diagram.parents.items()
        for parent in parents
    ]


def _curve(placed: Placed, start: str, end: str, bend: float) -> Any:
    """Return points on the edge, the quadratic Bézier curve that matplotlib calls ``arc3``, shape (19, 2)."""
    (ax, ay), (bx, by) = placed.centres[start], placed.centres[end]
    control = ((ax + bx) / 2 + bend * (by - ay), (ay + by) / 2 - bend * (bx - ax))
    t = np.linspace(0.05, 0.95, 19)[:, None]
    return (1 - t) ** 2 * np.array([ax, ay]) + 2 * t * (1 - t) * np.array(control) + t**2 * np.array([bx, by])


def _bend(placed: Placed, start: str, end: str) -> float:
    """Return the bend of an edge that meets the fewest other vertices."""
    others = [name for name in placed.centres if name not in (start, end)]
    if not others:
        return 0.0
    centres = np.array([placed.centres[name] for name in others])
    halves = np.array([placed.sizes[name] for name in others]) / 2 + 0.05

    def met(bend: float) -> int:
        far = np.abs(_curve(placed, start, end, bend)[:, None] - centres)
        return int((far < halves).all(-1).any(0).sum())

    return min(BENDS, key=met)


def _draw(axes: Axes, diagram: Diagram, placed: Placed, x: float, y: float) -> None:
    patches = needed("matplotlib.patches")
    for box in placed.boxes:
        corner = (box.corner[0] + x, box.corner[1] + y)
        style = "round,pad=0,rounding_size=0.12"
        axes.add_patch(
            patches.FancyBboxPatch(corner, box.width, box.height, boxstyle=style, facecolor="none", edgecolor=QUIET)
        )
        right = corner[0] + box.width - 0.1
        axes.text(right, corner[1] + 0.06, box.caption, ha="right", va="bottom", fontsize=8, color=QUIET)
    centres = {name: (a + x, b + y) for name, (a, b) in placed.centres.items()}
    drawn = {
        vertex.name: _vertex(vertex, centres[vertex.name], placed.sizes[vertex.name]) for vertex in diagram.vertices
    }
    for vertex in diagram.vertices:
        axes.add_patch(drawn[vertex.name])
        text = "\n".join(label(vertex))
        axes.text(*centres[vertex.name], text, ha="center", va="center", fontsize=8, linespacing=0.95, zorder=4)
    for start, end, bend in _edges(diagram, placed):
        axes.add_patch(
            patches.FancyArrowPatch(
                centres[start],
                centres[end],
                connectionstyle=f"arc3,rad={bend}",
                arrowstyle="-|>",
                mutation_scale=9,
                linewidth=0.9,
                linestyle=":" if end in diagram.dotted else "-",
                color=INK,
                patchA=drawn[start],
                patchB=drawn[end],
                shrinkA=0,
                shrinkB=1,
                zorder=2,
            )
        )


def _vertex(vertex: Vertex, centre: tuple[float, float], size: tuple[float, float]) -> Any:
    """Return the patch of a vertex."""
    patches, look = needed("matplotlib.patches"), _look(vertex.kind, vertex.observed)
    (x, y), (width, height) = centre, size
    if vertex.kind not in SQUARE:
        return patches.Ellipse(centre, width, height, zorder=3, **look)
    corner, style = (x - width / 2, y - height / 2), "round,pad=0,rounding_size=0.1"
    return patches.FancyBboxPatch(corner, width, height, boxstyle=style, zorder=3, **look)


def _look(kind: str, observed: bool) -> dict[str, Any]:
    return {
        "facecolor": BAND if observed else "white",
        "edgecolor": QUIET if kind in FAINT_KINDS else INK,
        "linewidth": 2.2 if kind == "learned" else 1.0,
        "linestyle": "--" if kind == "ghost" else "-",
    }


def _legend(diagrams: Sequence[Diagram]) -> tuple[list[Any], list[str]]:
    """Return the handles and texts of a legend of what the diagrams have."""
    lines = needed("matplotlib.lines")
    vertices = [vertex for diagram in diagrams for vertex in diagram.vertices]
    kinds = {vertex.kind for vertex in vertices}
    handles, names = [], []

    def add(name: str, kind: str, observed: bool = False) -> None:
        look = _look(kind, observed)
        handles.append(
            lines.Line2D(
                [],
                [],
                marker="s" if kind in SQUARE else "o",
                linestyle="",
                markersize=9,
                markerfacecolor=look["facecolor"],
                markeredgecolor=look["edgecolor"],
                markeredgewidth=look["linewidth"],
            )
        )
        names.append(name)

    for kind, name in KIND_NAMES.items():
        if kind in kinds:
            add(name, kind, kind in FAINT_KINDS - {"ghost"})
    if any(vertex.observed and vertex.kind not in FAINT_KINDS for vertex in vertices):
        add("shaded: observed", "density", observed=True)
    if any(diagram.dotted for diagram in diagrams):
        handles.append(lines.Line2D([], [], color=INK, linestyle=":", linewidth=0.9))
        names.append("dotted: conditional of the model")
    return handles, names
