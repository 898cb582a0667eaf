r"""Whole numbers as continuous values, so that flows can learn their distribution: uniform dequantisation.

A whole number x becomes :math:`y = g(x + \varepsilon)`, with ε uniform on [0, 1) and

.. math:: g(t) = \operatorname{sgn}(t)\, \bigl(\sqrt{1 + |t|} - 1\bigr),

whose slope gives counts about the same spread whatever their mean: a Poisson variable has a variance near ¼ after it.
With a density of y, the probability of x is

.. math:: \hat P(x) = \mathbb E_\varepsilon\; \hat p\bigl(g(x + \varepsilon)\bigr) \prod_d g'(x_d + \varepsilon_d),

estimated at few quasi-random ε.

References:
    Theis, van den Oord, Bethge 2016, *A note on the evaluation of generative models*, arXiv:1511.01844, section 3.1.
    Anscombe 1948, *The transformation of Poisson, binomial and negative-binomial data*, doi:10.1093/biomet/35.3-4.246.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor
from torch.distributions import constraints
from torch.quasirandom import SobolEngine

from ampbench.graph import Graph
from ampbench.graph.coordinates import is_code, is_partly_discrete

POINTS = 8
"""Values of ε at which the probability of a value is estimated."""


def is_whole(support: constraints.Constraint) -> bool:
    """Return whether the values of a support are whole numbers, other than bits and one-hot vectors."""
    return support.is_discrete and not (is_code(support) or is_partly_discrete(support))


def continuous(graph: Graph, name: str) -> Graph:
    """Return the graph in which a variable has the values y of its whole numbers."""
    support = constraints.independent(_interval(graph[name].support), 1)
    return Graph(*(replace(node, support=support) if node.name == name else node for node in graph.nodes))


def dequantised(values: Tensor) -> Tensor:
    """Return y, shape (*, D), of whole numbers, with new noise."""
    return _transformed(values + torch.rand_like(values))


def quantised(y: Tensor) -> Tensor:
    """Return the whole numbers of y.

    Example:
        >>> x = torch.tensor([[-3.0, 0.0, 1.0, 250.0]])
        >>> bool((quantised(dequantised(x)) == x).all())
        True
    """
    return (y.sign() * ((1 + y.abs()).square() - 1)).floor()


def points_within(values: Tensor) -> tuple[Tensor, Tensor]:
    """Return y at :data:`POINTS` values of ε, shape (P, *, D), and the sums of the logarithms of g′, shape (P, *)."""
    noise = SobolEngine(values.shape[-1], scramble=True, seed=0).draw(POINTS).to(values)
    inside = values + noise.reshape(POINTS, *[1] * (values.ndim - 1), values.shape[-1])
    log_slope = -(2 * (1 + inside.abs()).sqrt()).log()
    return _transformed(inside), log_slope.sum(-1)


def _interval(support: constraints.Constraint) -> constraints.Constraint:
    """Return the values of y."""
    base = getattr(support, "base_constraint", support)
    low, high = getattr(base, "lower_bound", None), getattr(base, "upper_bound", None)
    least = None if low is None else float(_transformed(torch.tensor(float(low))))
    most = None if high is None else float(_transformed(torch.tensor(float(high) + 1)))
    if least is None:
        return constraints.real if most is None else constraints.less_than(most)
    return constraints.greater_than(least) if most is None else constraints.interval(least, most)


def _transformed(t: Tensor) -> Tensor:
    return t.sign() * ((1 + t.abs()).sqrt() - 1)
