r"""Rejection of draws outside supports that no bijection describes, such as the region of a restricted prior.

Coordinates keep draws inside the support whose bijection they use, :attr:`ampbench.graph.supports.Restricted.whole`.
Draws of the families outside of the restricted part are rejected, so that the posterior is

.. math:: q(\theta \mid x, \theta \in A) \propto q(\theta \mid x)\, 1_A(\theta).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor

from ampbench.errors import SamplingError
from ampbench.graph import Graph
from ampbench.graph.supports import reaches_outside

MAX_TRIES = 10_000
"""Draws for each accepted one, after which sampling ends with an error."""


def restricted(graph: Graph, names: Iterable[str]) -> tuple[str, ...]:
    """Return which of these variables have a support that no bijection describes."""
    return tuple(name for name in names if reaches_outside(graph[name].support))


def draw_inside(
    draw: Callable[[int], dict[str, Tensor]], graph: Graph, names: Iterable[str], n: int
) -> dict[str, Tensor]:
    """Return n draws of variables, (n, D_i) each, of which the named ones are inside their supports.

    Arguments:
        draw: returns a number of draws.
        graph: the model.
        names: see :func:`restricted`.
        n: number of draws.

    Raises:
        SamplingError: less than one in :data:`MAX_TRIES` draws is inside.
    """
    kept: list[dict[str, Tensor]] = []
    accepted = tried = 0
    while accepted < n or not kept:
        values = draw(n)
        inside = torch.stack([graph[name].support.check(values[name]) for name in names]).all(0)
        kept.append({name: value[inside] for name, value in values.items()})
        accepted, tried = accepted + int(inside.sum()), tried + n
        if tried >= MAX_TRIES * max(1, accepted):
            raise SamplingError(
                f"{accepted} of {tried} draws of the families are in the support of {', '.join(names)}; the "
                "observation is probably far from what the prior predicts: compare it with simulations from the prior"
            )
    return {name: torch.cat([each[name] for each in kept])[:n] for name in kept[0]}
