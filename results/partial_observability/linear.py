r"""Linear-Gaussian models: their law in closed form, and maximum likelihood from rows with holes.

Every variable is linear in independent standard normal innovations ε, :math:`x = \mu + L \epsilon`, and a child has

.. math:: \mu_x = W \mu_{\mathrm{pa}} + b, \qquad L_x = W L_{\mathrm{pa}} + \mathrm{diag}(\sigma)\, I_x,

where I_x picks the innovations of x itself. So any set of variables is :math:`\mathcal N(\mu, L L^\top)`.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from rows import Rows
from torch import Tensor, nn
from torch.distributions import Distribution, Independent, MultivariateNormal, Normal

from ampbench.graph import Graph, Node, density, join
from ampbench.graph.rows import groups


class Linear(nn.Module):
    """The conditional N(W pa + b, diag σ²)."""

    def __init__(self, parents: int, features: int) -> None:
        super().__init__()
        self.mean = nn.Linear(parents, features)
        self.log_scale = nn.Parameter(torch.zeros(features))

    def forward(self, parent: Tensor) -> Distribution:
        """Return the Gaussian, with batch shape (n,)."""
        return Independent(Normal(self.mean(parent), self.log_scale.exp()), 1)


def standard(name: str, size: int) -> Node:
    """A variable with a standard normal prior."""
    return density(name, Independent(Normal(torch.zeros(size), torch.ones(size)), 1))


def law(graph: Graph, names: Sequence[str]) -> MultivariateNormal:
    """Return the law of the named variables, joined; the graph has standard roots and linear children."""
    own = torch.eye(sum(node.size or 0 for node in graph.nodes)).split([node.size or 0 for node in graph.nodes])
    mean, loading = {}, {}
    for node, innovations in zip(graph.nodes, own, strict=True):
        mean[node.name], loading[node.name] = torch.zeros(len(innovations)), innovations
        if isinstance(module := node.conditional, Linear):
            (parent,) = node.parents
            mean[node.name] = module.mean(mean[parent])
            loading[node.name] = module.mean.weight @ loading[parent] + module.log_scale.exp()[:, None] * innovations
    joined = torch.cat([loading[name] for name in names])
    return MultivariateNormal(torch.cat([mean[name] for name in names]), joined @ joined.T)


def maximise_likelihood(graph: Graph, data: Rows) -> None:
    """Fit the linear conditionals, in place, to all rows: log p(what a row holds), summed, by L-BFGS."""
    theta = nn.ModuleList(node.conditional for node in graph.nodes if isinstance(node.conditional, Linear))
    parts = [(names, join(rows, names)) for held, rows in groups(graph, data).items() if (names := graph.check(held))]
    optimiser = torch.optim.LBFGS(theta.parameters(), max_iter=500, line_search_fn="strong_wolfe")
    count = sum(len(rows) for _, rows in parts)

    def loss() -> Tensor:
        optimiser.zero_grad()
        total = -torch.stack([law(graph, names).log_prob(rows).sum() for names, rows in parts]).sum() / count
        total.backward()
        return total

    optimiser.step(loss)
