r"""The densities that are known at a site: those of the families, and likelihood factors of the model.

Eq. 10 of Karaletsos 2016 needs the likelihood at a tuple {z} ∪ c. It is known,

.. math:: \log p(c \mid z) = \sum_{x_j \in c} \log p(x_j \mid \mathrm{pa}(x_j))

up to a constant in z, if every variable of the context has a density whose parents all lie in the tuple, and no root of
the context is an ancestor of z. (The density of another root, such as a known cause of a common effect, does not depend
on z.) The densities are evaluated at decoded network coordinates; the Jacobian of the coordinates of c is constant and
left out.

The likelihood has no learned conditional of an inferred variable, p_θ(z_j | pa(z_j)). The parameters θ of such a
conditional are trained by its log-density at the inferred values, up to a constant.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import networkx as nx
import torch
from torch import Tensor
from torch.distributions import Distribution

from ampbench.amp.chains import BottomUp
from ampbench.amp.sites import Site
from ampbench.errors import UsageError
from ampbench.graph import Factor, Graph, Node, split
from ampbench.graph.coordinates import Coordinates
from ampbench.interfaces import Tuples
from ampbench.interfaces.tuples import Densities


@dataclass(frozen=True)
class KnownLikelihood:
    """The function from coordinates (*, D_i) of a site's variables to log p(context | variables), shape (*,).

    Where the likelihood is unknown, a call raises a :class:`UsageError` that names the factor and the reason.
    """

    graph: Graph
    coordinates: Mapping[str, Coordinates]
    site: Site

    @cached_property
    def device(self) -> torch.device:
        """The device of the densities."""
        if fault := unknown_likelihood(self.graph, self.site):
            raise UsageError(
                f"the likelihood at tuple {self.site} is unknown: {fault}; take a divergence that needs none"
            )
        return _device(self.graph, self.site.context)

    def __call__(self, values: Mapping[str, Tensor]) -> Tensor:
        """Return the log-likelihood, shape (*,)."""
        place, first = self.device, next(iter(values.values()))
        decoded = {
            name: self.coordinates[name].decode(value.to(place)).flatten(0, -2) for name, value in values.items()
        }
        return self.graph.log_prob(decoded, self.site.context).to(first).reshape(first.shape[:-1])


@dataclass(frozen=True)
class LearnedPrior:
    """The function from coordinates (*, D_i) to the log-density of a site's learned variables, shape (*,).

    It is a sum of log-densities. The sum has the variables with a density whose parents all lie in the tuple.
    """

    graph: Graph
    coordinates: Mapping[str, Coordinates]
    site: Site

    @cached_property
    def nodes(self) -> Sequence[Node]:
        """The variables with a density."""
        inside = {*self.site.variables, *self.site.context}
        nodes = [self.graph[name] for name in self.site.variables]
        return [node for node in nodes if node.kind == "learned" and inside.issuperset(node.parents)]

    def __call__(self, values: Mapping[str, Tensor]) -> Tensor:
        """Return the log-density, shape (*,)."""
        first = next(iter(values.values()))
        total = first.new_zeros(first.shape[:-1])
        for node in self.nodes:
            device, names = _device(self.graph, [node.name]), (node.name, *node.parents)
            value, *parents = (self.coordinates[name].decode(values[name].to(device)).flatten(0, -2) for name in names)
            assert isinstance(node.conditional, torch.nn.Module)
            distribution = node.conditional(*parents) if parents else node.conditional(len(value))
            if isinstance(distribution, Distribution):
                total = total + distribution.log_prob(value).to(first).reshape(total.shape)
        return total


def _device(graph: Graph, names: Iterable[str]) -> torch.device:
    """Return the device of the densities: that of a learned conditional's parameters, or else the CPU."""
    modules = [graph[name].conditional for name in names]
    parameters = [each for module in modules if isinstance(module, torch.nn.Module) for each in module.parameters()]
    return parameters[0].device if parameters else torch.device("cpu")


def unknown_likelihood(graph: Graph, site: Site) -> str:
    """Return why the likelihood at a site is unknown; "" if it is known."""
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
    """The densities of a site: those of its families, and those of the model that are known.

    Arguments:
        bottom_up: the families.
        factors: the inverse factors of the site's variables.
        site: the tuple of variables.
        log_likelihood: maps values of the site's variables to log p(context | variables), or raises an error if the
            likelihood is unknown; see :class:`KnownLikelihood`.
        log_prior: maps values of the site's variables to the log-density of its learned variables; see
            :class:`LearnedPrior`.
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
        joined = torch.cat([tuples.variable, tuples.context], dim=-1)
        return split(joined, {name: self.bottom_up.sizes[name] for name in names})
