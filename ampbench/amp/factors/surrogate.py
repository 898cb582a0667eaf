r"""The surrogate of a model: its black-box factors are replaced by learned ones, and all other factors are kept.

.. math:: \hat p(X) = \prod_{i \text{ known}} p(x_i \mid \mathrm{pa}(x_i))
          \prod_{i \text{ black box}} \hat p(x_i \mid \mathrm{pa}(x_i))

Draws of the surrogate cost no simulation. Its joint density is known if those of the known factors are. Repeated
variables stay repeated.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from ampbench.amp.factors.conditional import FactorConditional
from ampbench.amp.factors.fitting import LearnedFactor
from ampbench.graph import Graph


def surrogate(graph: Graph, factors: Iterable[LearnedFactor]) -> Graph:
    """Return the graph with learned factors in the place of its black boxes."""
    learned = {each.factor.variable: FactorConditional(each) for each in factors}
    return Graph(
        *(
            replace(node, kind="learned", conditional=learned[node.name]) if node.name in learned else node
            for node in graph.nodes
        )
    )


def with_densities(model: Graph) -> Graph:
    """Return a surrogate whose learned factors are fixed, so that training does not change their parameters."""
    return Graph(*(replace(node, kind="density") if node.kind == "learned" else node for node in model.nodes))
