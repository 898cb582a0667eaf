r"""Likelihood factors of the model that are known: what eq. 10 of Karaletsos 2016 needs at a tuple.

At a tuple {z} ∪ c the model says

.. math:: \log p(c \mid z) = \sum_{x_j \in c} \log p(x_j \mid \mathrm{pa}(x_j))

if every variable of the context has a density whose parents all lie in the tuple, and no root of the context has a
descendant in z (one beside z, such as a known cause of a common effect, is as likely whatever z is). It is evaluated at
network coordinates, decoded; the Jacobian of the context's own coordinates is a constant and left out.

A learned conditional among the inferred variables, p_θ(z_j | pa(z_j)), is no part of this likelihood; θ learns it from
its own log-density at what was inferred, up to the same constant.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import networkx as nx
import torch
from torch import Tensor
from torch.distributions import Distribution

from ampbench.amp.chains import BottomUp
from ampbench.amp.sites import Site
from ampbench.errors import UsageError
from ampbench.graph import Factor, Graph, split
from ampbench.graph.coordinates import Coordinates
from ampbench.interfaces import Tuples
from ampbench.interfaces.tuples import Densities


def known_likelihood(
    graph: Graph, coordinates: Mapping[str, Coordinates], site: Site
) -> Callable[[Mapping[str, Tensor]], Tensor]:
    """Return the function from coordinates (*, D_i) of a site's variables to log p(context | variables), shape (*,).

    Where the likelihood is unknown, that function raises a :class:`UsageError` that names the factor to blame.
    """
    fault = _fault(graph, site)
    home = _home(graph, site.context)

    def log_likelihood(values: Mapping[str, Tensor]) -> Tensor:
        if fault:
            raise UsageError(f"the likelihood at tuple {site} is unknown: {fault}; take a divergence that needs none")
        first = next(iter(values.values()))
        decoded = {name: coordinates[name].decode(value.to(home)).flatten(0, -2) for name, value in values.items()}
        return graph.log_prob(decoded, site.context).to(first).reshape(first.shape[:-1])

    return log_likelihood


def learned_prior(
    graph: Graph, coordinates: Mapping[str, Coordinates], site: Site
) -> Callable[[Mapping[str, Tensor]], Tensor]:
    """Return the function from coordinates (*, D_i) to the log-density of a site's learned variables, shape (*,).

    It sums those that have a density and whose parents lie in the tuple.
    """
    inside = {*site.variables, *site.context}
    nodes = [graph[name] for name in site.variables]
    nodes = [node for node in nodes if node.kind == "learned" and inside.issuperset(node.parents)]

    def log_prior(values: Mapping[str, Tensor]) -> Tensor:
        first = next(iter(values.values()))
        total = first.new_zeros(first.shape[:-1])
        for node in nodes:
            home, names = _home(graph, [node.name]), (node.name, *node.parents)
            value, *parents = (coordinates[name].decode(values[name].to(home)).flatten(0, -2) for name in names)
            assert isinstance(node.conditional, torch.nn.Module)
            law = node.conditional(*parents) if parents else node.conditional(len(value))
            if isinstance(law, Distribution):
                total = total + law.log_prob(value).to(first).reshape(total.shape)
        return total

    return log_prior


def _home(graph: Graph, names: Iterable[str]) -> torch.device:
    """Where the densities are evaluated: with the parameters of a learned conditional, or else on the CPU."""
    modules = [graph[name].conditional for name in names]
    parameters = [each for module in modules if isinstance(module, torch.nn.Module) for each in module.parameters()]
    return parameters[0].device if parameters else torch.device("cpu")


def _fault(graph: Graph, site: Site) -> str:
    inside = {*site.variables, *site.context}
    for name in site.context:
        node = graph[name]
        if node.kind == "simulator":
            return f"{name} is a simulator"
        if outside := [parent for parent in node.parents if parent not in inside]:
            return f"{name} depends on {outside[0]}, which is outside the tuple"
        if not node.parents and (below := sorted(nx.descendants(graph.dag, name) & {*site.variables})):
            return f"{name} is a root, an ancestor of {', '.join(below)}"
    return ""


class SiteDensities(Densities):
    """The densities of a site: of its families, and of the model where it has one.

    Arguments:
        bottom_up: the families.
        factors: those that are judged at the site.
        site: whose tuples are looked at.
        log_likelihood: from values of the site's variables to log p(context | variables), or to the error that says why
            there is none.
        log_prior: from the same values to the log-density of the learned ones among the variables.
    """

    def __init__(
        self,
        bottom_up: BottomUp,
        factors: Sequence[Factor],
        site: Site,
        log_likelihood: Callable[[Mapping[str, Tensor]], Tensor],
        log_prior: Callable[[Mapping[str, Tensor]], Tensor],
    ) -> None:
        self.bottom_up = bottom_up
        self.factors = factors
        self.site = site
        self.log_likelihood = log_likelihood
        self.log_prior = log_prior

    def family(self, tuples: Tuples) -> Tensor:
        """Return log q(variable | context), shape (*,)."""
        return self.bottom_up.log_prob(self._values(tuples), self.factors)

    def likelihood(self, tuples: Tuples) -> Tensor:
        """Return log p(context | variable), shape (*,)."""
        return self.log_likelihood(self._values(tuples))

    def prior(self, tuples: Tuples) -> Tensor:
        """Return the log-density of the learned variables, shape (*,)."""
        return self.log_prior(self._values(tuples))

    def _values(self, tuples: Tuples) -> dict[str, Tensor]:
        names = (*self.site.variables, *self.site.context)
        return split(tuples.joint, {name: self.bottom_up.sizes[name] for name in names})
