"""Groups of different sizes: covariates have no value where a repeat does not exist, nor have variables below them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from ampbench.graph.axes import shape
from ampbench.graph.node import Design, Node


def covered(node: Node, sizes: Mapping[str, int]) -> Tensor:
    """Return which repeats covariates of these sizes leave to the variable, as booleans of shape (R_1, …)."""
    there = torch.ones(shape(node.along, sizes), dtype=torch.bool)
    for each in node.ragged:
        known = _known(each)
        if known.shape == shape(each.along, sizes):
            there &= known.reshape(*known.shape, *(1,) * (there.ndim - known.ndim))
    return there


def with_ragged(nodes: Sequence[Node]) -> tuple[Node, ...]:
    """Return nodes in topological order, of which those below covariates with gaps know these."""
    found: dict[str, Node] = {}
    for node in nodes:
        above = [each for name in node.parents if name in found for each in found[name].ragged]
        if isinstance(node.conditional, Design) and not bool(_known(node).all()):
            above.append(replace(node, ragged=()))
        ragged = tuple({each.name: each for each in above}.values())
        found[node.name] = replace(node, ragged=ragged) if ragged or node.ragged else node
    return tuple(found.values())


def _known(node: Node) -> Tensor:
    assert isinstance(node.conditional, Design)
    return node.conditional.known
