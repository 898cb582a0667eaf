r"""The surrogate of a model: its black-box factors are replaced by learned ones, and all other factors are kept.

.. math:: \hat p(X) = \prod_{i \text{ known}} p(x_i \mid \mathrm{pa}(x_i))
          \prod_{i \text{ black box}} \hat p(x_i \mid \mathrm{pa}(x_i))

Draws of the surrogate cost no simulation. Its joint density is known if those of all known factors are.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

import torch
from torch import Tensor

from ampbench.amp.factors.conditional import FactorConditional
from ampbench.amp.factors.fitting import LearnedFactor
from ampbench.graph import Graph

TRIES = 20
"""Draws per wanted one, at most."""


def surrogate(graph: Graph, factors: Iterable[LearnedFactor]) -> Graph:
    """Return the graph with learned factors in the place of its black boxes."""
    learned = {
        each.factor.variable: FactorConditional(
            each.density.conditional(each.factor), each.coordinates, each.factor.variable, each.factor.context
        )
        for each in factors
    }
    return Graph(
        *(
            replace(node, kind="learned", conditional=learned[node.name]) if node.name in learned else node
            for node in graph.nodes
        )
    )


@torch.no_grad()
def draw_within(model: Graph, simulations: Mapping[str, Tensor], n: int) -> dict[str, Tensor]:
    """Return about n draws of a surrogate, whose values lie within the ranges of the simulations.

    A learned density has tails that the simulator does not have. A single extreme value would determine the scales of
    the networks that are trained on the draws.
    """
    kept: list[dict[str, Tensor]] = []
    bounds = {name: (value.amin(0), value.amax(0)) for name, value in simulations.items()}
    found = 0
    for _ in range(TRIES):
        drawn = model.sample(n)
        inside = torch.stack([((v >= bounds[k][0]) & (v <= bounds[k][1])).all(-1) for k, v in drawn.items()]).all(0)
        kept.append({name: value[inside] for name, value in drawn.items()})
        found += int(inside.sum())
        if found >= n:
            break
    return {name: torch.cat([each[name] for each in kept])[:n] for name in simulations}
