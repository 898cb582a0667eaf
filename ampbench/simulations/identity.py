"""The identity of simulations: what can be seen of the run that a folder of batches belongs to.

Seed, size of a batch, variables, some draws of the prior, and the names of the simulators' functions must agree. A hash
of a function's source shows that it was edited. What neither shows: changes of functions that a simulator calls, of
values that it closes over, of files that it reads, and of libraries.
"""

from __future__ import annotations

import functools
import hashlib
import inspect
from collections.abc import Callable
from typing import Any

from ampbench.graph import Graph, Node
from ampbench.graph.node import Design
from ampbench.seeding import seeded

DRAWS = 4
"""Draws of the prior that are compared."""


def identity(graph: Graph, seed: int, size: int) -> dict[str, Any]:
    """Return the identity of the simulations of a run, for JSON.

    Arguments:
        graph: the model.
        seed: of the run.
        size: of a batch.
    """
    simulators = {node.name: node.conditional for node in graph.nodes if _simulates(node)}
    sources = {name: _source(function) for name, function in simulators.items()}
    return {
        "seed": seed,
        "batch": size,
        "variables": list(graph.names),
        "prior": _draws(graph),
        "simulator": {name: _name(function) for name, function in simulators.items()},
        "source": {name: source for name, source in sources.items() if source},
    }


def _simulates(node: Node) -> bool:
    return node.kind == "simulator" and not isinstance(node.conditional, Design)


def roots(graph: Graph) -> list[str]:
    """Return the variables that are drawn from densities and have no other ancestors; none is repeated."""
    found: list[str] = []
    for node in graph.nodes:
        if node.kind == "density" and not node.along and set(node.parents) <= set(found):
            found.append(node.name)
    return found


def _draws(graph: Graph) -> dict[str, list[list[float]]]:
    names = [name for name in roots(graph) if not graph[name].parents]
    if not names:
        return {}
    with seeded(0):
        drawn = graph.ancestral(names).sample(DRAWS)
    return {name: drawn[name].tolist() for name in names}


def _original(function: Any) -> Any:
    """Return the function that wrappers and partial applications call."""
    while isinstance(function, functools.partial) or hasattr(function, "__wrapped__"):
        function = function.func if isinstance(function, functools.partial) else function.__wrapped__
    return function


def _name(function: Any) -> str:
    original = _original(function)
    return str(getattr(original, "__qualname__", type(original).__qualname__))


def _source(function: Callable[..., Any] | Any) -> str:
    """Return a hash of the source code of a function or of the class of an object; "" if there is none."""
    original = _original(function)
    try:
        text = inspect.getsource(original if hasattr(original, "__qualname__") else type(original))
    except (OSError, TypeError):  # typed at a prompt, or compiled
        return ""
    return hashlib.sha256(text.encode()).hexdigest()[:16]
