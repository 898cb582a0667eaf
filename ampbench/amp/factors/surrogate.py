r"""The surrogate of a model: its black-box factors are replaced by learned ones, and all other factors are kept.

.. math:: \hat p(X) = \prod_{i \text{ known}} p(x_i \mid \mathrm{pa}(x_i))
          \prod_{i \text{ black box}} \hat p(x_i \mid \mathrm{pa}(x_i))

Draws of the surrogate cost no simulation. Its joint density is known if those of the known factors are.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

import torch
from torch import Tensor

from ampbench.amp.factors.conditional import FactorConditional
from ampbench.amp.factors.fitting import LearnedFactor
from ampbench.errors import TrainingError
from ampbench.graph import Graph

MAX_TRIES = 20
"""Draws for each one that is wanted, after which the learned densities count as broken."""


def surrogate(graph: Graph, factors: Iterable[LearnedFactor]) -> Graph:
    """Return the graph with learned factors in the place of its black boxes."""
    learned = {each.factor.variable: FactorConditional(each.density, each.coordinates, each.whole) for each in factors}
    return Graph(
        *(
            replace(node, kind="learned", conditional=learned[node.name]) if node.name in learned else node
            for node in graph.nodes
        )
    )


@torch.no_grad()
def draw_within(model: Graph, simulations: Mapping[str, Tensor], learned: Iterable[str], n: int) -> dict[str, Tensor]:
    """Return n draws of a surrogate, one tensor (n, D_i) per variable.

    A learned density has tails that the simulator does not have, and a single extreme value determines the scales of
    the networks that are trained on the draws. Draws whose learned variables are outside the ranges of the simulations
    are therefore left out.

    Arguments:
        model: the surrogate.
        simulations: one tensor (m, D_i) per variable.
        learned: names of the variables with learned factors.
        n: number of draws.

    Raises:
        TrainingError: fewer than one in :data:`MAX_TRIES` draws is within the ranges.
    """
    ranges = {name: (simulations[name].amin(0), simulations[name].amax(0)) for name in learned}
    kept: list[dict[str, Tensor]] = []
    for _ in range(MAX_TRIES):
        drawn = model.sample(n)
        within = [((drawn[name] >= low) & (drawn[name] <= high)).all(-1) for name, (low, high) in ranges.items()]
        chosen = torch.stack(within).all(0)
        kept.append({name: value[chosen] for name, value in drawn.items()})
        if sum(len(next(iter(each.values()))) for each in kept) >= n:
            return {name: torch.cat([each[name] for each in kept])[:n] for name in simulations}
    raise TrainingError(
        f"fewer than one in {MAX_TRIES} draws of the learned factors of {', '.join(ranges)} are within the ranges of "
        "the simulations; take another family, or method 'amp'"
    )
