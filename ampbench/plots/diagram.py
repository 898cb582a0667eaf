"""Diagrams: what a drawing of a model or of its inverse shows, without positions.

A variable that is repeated stands once, in the box of its axes. A link to the repeat before, along a chain or a tree,
is one from a ghost of the variable. The inverse of repeated variables reads evidence of many repeats as a message; a
square in the box stands for it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ampbench.amp.sites import sites
from ampbench.errors import GraphError, UsageError
from ampbench.graph import Graph
from ampbench.graph.axes import Axis, Previous, Tree
from ampbench.graph.factorization import Factor
from ampbench.graph.node import Design
from ampbench.graph.template import TemplateFactor, template_inverse

MAX_VARIABLES = 60
"""Largest number of variables of a drawing."""
FOLD_ABOVE = 12
"""Number of variables above which repeats of a variable are folded into one."""


@dataclass(frozen=True)
class Vertex:
    """A vertex of a drawing.

    Attributes:
        name: unique in the diagram.
        label: what it shows, one text for each line.
        kind: ``density``, ``simulator``, ``learned``, ``covariate``, ``ghost`` or ``message``.
        observed: whether it is shaded.
        cell: the axes of its box, the outer ones first.
    """

    name: str
    label: tuple[str, ...]
    kind: str
    observed: bool = False
    cell: tuple[Axis, ...] = ()


@dataclass(frozen=True)
class Diagram:
    """A directed graph to draw.

    Attributes:
        title: what it is.
        vertices: in a topological order.
        parents: of each vertex, by name.
        dotted: names of variables whose edges are dotted: factors that are the model's own.
        sizes: by the name of an axis, its size where it is known.
    """

    title: str
    vertices: tuple[Vertex, ...]
    parents: Mapping[str, tuple[str, ...]]
    dotted: frozenset[str] = frozenset()
    sizes: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Model:
    """A model as it is drawn.

    Attributes:
        model: the diagram of the model.
        inverse: the diagram of its inverse; None if there is none.
        tuples: texts of the inverse factors in sampling order, and whether an adversary compares the chains at each.
        remarks: what the drawing leaves out.
    """

    model: Diagram
    inverse: Diagram | None
    tuples: tuple[tuple[str, bool], ...]
    remarks: tuple[str, ...]


def describe(graph: Graph, observed: Sequence[str], folded: bool | None = None) -> Model:
    """Return what a drawing of a model shows.

    Arguments:
        graph: the model.
        observed: names of its observed variables.
        folded: whether repeats of a variable are folded into one; None to fold them in graphs of more than
            :data:`FOLD_ABOVE` variables.

    Raises:
        GraphError: an observed name is no variable, or ``folded`` is asked for, but some repeats alone are observed.
        UsageError: there are too many variables, or none is repeated and ``folded`` is asked for.
    """
    observed = graph.check(observed)
    sizes: Mapping[str, int] = {axis.name: axis.bounds[0] for axis in graph.axes if len(set(axis.bounds)) == 1}
    remarks: list[str] = []
    repetition = graph.repetition
    if folded and repetition is None and not graph.axes:
        raise UsageError("this graph does not say which variables are repeats of one another, so that none is folded")
    if repetition is not None and folded is not False and (folded or len(graph.nodes) > FOLD_ABOVE):
        try:
            seen, told = repetition.observed(observed), f"{len(graph.nodes)} variables, of which repeats are drawn once"
            graph, observed, sizes = repetition.template, seen, repetition.sizes
        except GraphError as error:
            if folded:
                raise
            told = f"repeats are drawn one by one: {error}"
        remarks.append(told)
    if len(graph.nodes) > MAX_VARIABLES:
        raise UsageError(
            f"the graph has {len(graph.nodes)} variables, and at most {MAX_VARIABLES} are drawn; draw some of them "
            "with their ancestors (--only NAME,…), or write repeated variables along axes (docs/structure.md)"
        )
    shaded = {*observed, *graph.covariates}
    model = _model(graph, shaded, sizes)
    if not set(graph.names) - shaded or not observed:
        return Model(model, None, (), (*remarks, "no inverse: no variable is observed, or all are"))
    try:
        inverse, tuples = (_template if graph.axes else _flat)(graph, observed, model)
    except GraphError as error:
        return Model(model, None, (), (*remarks, f"no inverse: {error}"))
    return Model(model, inverse, tuples, tuple(remarks))


def _model(graph: Graph, shaded: set[str], sizes: Mapping[str, int]) -> Diagram:
    ghosts = {str(parent): parent for node in graph.nodes for parent in node.parents if isinstance(parent, Previous)}
    vertices = [_ghost(graph, name) for name in ghosts]
    vertices += [
        Vertex(
            node.name,
            (node.name,),
            "covariate" if isinstance(node.conditional, Design) else node.kind,
            node.name in shaded,
            node.along,
        )
        for node in graph.nodes
    ]
    parents: dict[str, tuple[str, ...]] = {_ghost_name(name): () for name in ghosts}
    parents |= {node.name: tuple(_linked(parent) for parent in node.parents) for node in graph.nodes}
    return Diagram("model p", tuple(vertices), parents, sizes=sizes)


def _linked(parent: str) -> str:
    return _ghost_name(parent) if isinstance(parent, Previous) else parent


def _ghost_name(name: str) -> str:
    return f"{name}\0before"  # no variable of a graph can be meant by it


def _ghost(graph: Graph, name: str) -> Vertex:
    cell = graph[name].along
    where = "parent" if isinstance(cell[-1], Tree) else "previous"
    return Vertex(_ghost_name(name), (name, where), "ghost", cell=cell)


def _flat(graph: Graph, observed: Sequence[str], model: Diagram) -> tuple[Diagram, tuple[tuple[str, bool], ...]]:
    """Return the inverse of a graph without axes, and its tuples."""
    factors = graph.inverse(observed)
    compared = {frozenset((*site.variables, *site.context)) for site in sites(factors, observed, "local")}
    by_name = {vertex.name: vertex for vertex in model.vertices}
    parents: dict[str, tuple[str, ...]] = dict.fromkeys(observed, ())
    parents |= {factor.variable: tuple(factor.context) for factor in factors}
    barren = frozenset(factor.variable for factor in factors if factor.barren)
    diagram = Diagram("inverse q", tuple(by_name[name] for name in parents), parents, barren)
    return diagram, tuple((_text(factor), not factor.barren and factor.scope in compared) for factor in factors)


def _text(factor: Factor) -> str:
    return f"{factor}{', as in the model' if factor.barren else ''}"


def _template(graph: Graph, observed: Sequence[str], model: Diagram) -> tuple[Diagram, tuple[tuple[str, bool], ...]]:
    """Return the inverse of a graph with axes, and its tuples; a message stands for the evidence of a cell."""
    factors = template_inverse(graph, observed)
    vertices = {vertex.name: vertex for vertex in model.vertices}
    inferred = [factor for factor in factors if not factor.barren]
    cells = dict.fromkeys(factor.cell for factor in inferred)
    vertices |= {_message(cell): Vertex(_message(cell), ("evidence",), "message", True, cell) for cell in cells}
    before = dict.fromkeys(name for factor in factors for name in factor.separator if isinstance(name, Previous))
    vertices |= {_ghost_name(name): _ghost(graph, name) for name in before}
    found: dict[str, tuple[str, ...]] = {}
    for factor in factors:
        found[factor.variable] = tuple(dict.fromkeys((*found.get(factor.variable, ()), *_context(graph, factor))))
    given = dict.fromkeys(name for context in found.values() for name in context if name not in found)
    parents = {**dict.fromkeys(given, ()), **found}
    diagram = Diagram(
        "inverse q",
        tuple(vertices[name] for name in parents),
        parents,
        frozenset(factor.variable for factor in factors if factor.barren),
        model.sizes,
    )
    return diagram, tuple((str(factor), not factor.barren) for factor in factors)


def _message(cell: tuple[Axis, ...]) -> str:
    return "\0".join(("", *(axis.name for axis in cell), "evidence"))


def _context(graph: Graph, factor: TemplateFactor) -> tuple[str, ...]:
    if factor.barren:
        return tuple(_linked(parent) for parent in graph[factor.variable].parents)
    return (*map(_linked, factor.separator), *factor.outer, _message(factor.cell))
