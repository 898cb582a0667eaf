r"""The surrogate of a model: its black-box factors are replaced by learned ones, and all other factors are kept.

.. math:: \hat p(X) = \prod_{i \text{ known}} p(x_i \mid \mathrm{pa}(x_i))
          \prod_{i \text{ black box}} \hat p(x_i \mid \mathrm{pa}(x_i))

Draws of the surrogate cost no simulation. Every factor of it has a density, if that of the known ones is known.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from ampbench.amp.factors.conditional import FactorConditional
from ampbench.amp.factors.fitting import LearnedFactor
from ampbench.graph import Graph
from ampbench.graph.coordinates import Coordinates


def surrogate(graph: Graph, factors: Iterable[LearnedFactor], coordinates: Mapping[str, Coordinates]) -> Graph:
    """Return the graph with learned factors in the place of its black boxes."""
    learned = {
        each.factor.variable: FactorConditional(
            each.conditional, coordinates, each.factor.variable, each.factor.context
        )
        for each in factors
    }
    return Graph(
        *(
            replace(node, kind="learned", conditional=learned[node.name]) if node.name in learned else node
            for node in graph.nodes
        )
    )
