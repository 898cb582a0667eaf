"""Rows of data in which variables may be missing."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from ampbench.errors import UsageError
from ampbench.graph.model import Graph

Rows = Mapping[str, Tensor]
"""One tensor (n, D_i) per variable."""


def groups(graph: Graph, data: Rows) -> dict[frozenset[str], Rows]:
    """Group rows by the set of variables that they have.

    Arguments:
        graph: the model.
        data: one tensor (n, D_i) per variable; a row of NaN is missing.

    Returns:
        By the variables held, the complete rows of these variables. Rows that hold nothing are dropped.

    Raises:
        UsageError: no data, different numbers of rows, a wrong size, values outside the support, or a row of a variable
            that is missing in part.
    """
    if not data:
        raise UsageError(f"no data: give rows of at least one of the variables {', '.join(graph.names)}")
    names = graph.check(data)
    lengths = {name: len(data[name]) for name in names}
    if len(set(lengths.values())) > 1:
        raise UsageError(f"variables have different numbers of rows: {lengths}; fill what is missing with NaN")
    held = torch.stack([_held(graph, name, data[name]) for name in names], dim=1)
    found: dict[frozenset[str], Rows] = {}
    for pattern in held.unique(dim=0):
        present = [name for name, there in zip(names, pattern.tolist(), strict=True) if there]
        if present:
            rows = (held == pattern).all(1)
            found[frozenset(present)] = {name: data[name][rows] for name in present}
    if not found:
        raise UsageError(f"no row of {', '.join(names)} holds a value")
    return found


def _held(graph: Graph, name: str, values: Tensor) -> Tensor:
    """Return which rows have a variable, shape (n,)."""
    node = graph[name]
    if values.ndim != 2 or values.shape[1] != (node.size or values.shape[1]):
        raise UsageError(
            f"data of variable {name!r} have shape {tuple(values.shape)}, expected (n, {node.size or 'D'})"
        )
    missing = values.isnan()
    whole = missing.all(1)
    if partly := (missing.any(1) & ~whole).nonzero().flatten().tolist():
        raise UsageError(
            f"row {partly[0]} of variable {name!r} is missing in part; a variable is there or missing as a whole, "
            "make variables of its parts"
        )
    inside = node.support.check(values[~whole])
    if inside.ndim > 1:  # one answer per component, or one for the whole vector, as for one-hot vectors
        inside = inside.all(1)
    inside = inside & values[~whole].isfinite().all(1)  # torch counts infinity among the real numbers
    if not bool(inside.all()):
        raise UsageError(f"{int((~inside).sum())} rows of variable {name!r} lie outside its support {node.support}")
    return ~whole
