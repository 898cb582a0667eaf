"""The identity of simulations: what can be seen of the run that a folder of batches belongs to.

Seed, size of a batch, variables, some draws of the prior, and the simulators must agree: the names of their functions,
with the numbers and texts that are bound to them, as ``partial(simulate, noise=0.1)`` or a closure does, or the command
of a program. A hash of a function's source shows that it was edited. What none of them shows: changes of functions that
a simulator calls, of global variables, of arrays that are bound to it, of files that it reads, and of libraries.
"""

from __future__ import annotations

import functools
import hashlib
import inspect
import shlex
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from ampbench.graph import Graph, Node
from ampbench.graph.external import External
from ampbench.graph.node import Design
from ampbench.seeding import seeded

SCALARS = (bool, int, float, str)
"""Types of values that a name shows."""
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
    """Return what identifies a simulator in a message: its name, and the numbers and texts that are bound to it."""
    original = _original(function)
    if isinstance(original, External):
        return shlex.join(original.command)
    name = str(getattr(original, "__qualname__", type(original).__qualname__))
    bound = ", ".join(f"{key}={value!r}" for key, value in _bound(function).items() if isinstance(value, SCALARS))
    return f"{name}({bound})" if bound else name


def _bound(function: Any) -> dict[str, Any]:
    """Return the values that partial applications and closures bind to a function, by name or number."""
    found: dict[str, Any] = {}
    while True:
        if isinstance(function, functools.partial):
            found |= {str(number): value for number, value in enumerate(function.args)} | function.keywords
            function = function.func
            continue
        if inspect.isfunction(function):
            with suppress(ValueError):  # a variable that has no value yet
                found |= inspect.getclosurevars(function).nonlocals
        if not hasattr(function, "__wrapped__"):
            return dict(sorted(found.items()))
        function = function.__wrapped__


def _source(function: Callable[..., Any] | Any) -> str:
    """Return a hash of the source code of a function or of the class of an object; "" if there is none."""
    original = _original(function)
    try:
        text = inspect.getsource(original if hasattr(original, "__qualname__") else type(original))
    except (OSError, TypeError):  # typed at a prompt, or compiled
        return ""
    return hashlib.sha256(text.encode()).hexdigest()[:16]
