r"""The two chains: the bottom-up chain of the families, and the top-down chain of a model with learned conditionals.

.. math:: q(X_L \mid X_O) = \prod_i q_\phi(x_i \mid \tilde{\mathrm{pa}}(x_i)), \qquad
          p(X) = \prod_i p_\theta(x_i \mid \mathrm{pa}(x_i))

with observed variables O, latent variables L, and the contexts :math:`\tilde{\mathrm{pa}}` of the inverse.
"""

from __future__ import annotations

import copy
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Generic, Protocol, TypeVar

import torch
from torch import Tensor, nn

from ampbench.amp.sites import Site
from ampbench.errors import UsageError
from ampbench.graph import Factor, Graph, join
from ampbench.graph.coordinates import Coordinates
from ampbench.interfaces import Conditional, Family, HasDensity
from ampbench.interfaces.family import KnowsArrangement, Part


class Chain(Protocol):
    """A sampler of latents given evidence: :class:`BottomUp`, or its draws resampled."""

    def __call__(self, evidence: Mapping[str, Tensor], particles: int) -> dict[str, Tensor]:
        """Infer all latents from evidence, (B, D_i) per variable: (particles, B, D_i) per variable."""

    def through(self, factors: Iterable[Factor], given: Mapping[str, Tensor], particles: int) -> dict[str, Tensor]:
        """Sample some factors in turn, given the values (B, D_i) of other variables."""


Key = TypeVar("Key")
"""The inverse factors of a chain."""


class Conditionals(nn.Module, Generic[Key]):
    """The conditionals of a bottom-up chain, one for each inverse factor.

    Attributes:
        factors: the factors; a subclass sets them, and the conditionals in their order.
    """

    factors: tuple[Key, ...]
    conditionals: nn.ModuleList

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("_anchor", torch.empty(0), persistent=False)

    @property
    def device(self) -> torch.device:
        """The device of the parameters."""
        anchor: Tensor = self._anchor  # type: ignore[assignment]
        return anchor.device

    @cached_property
    def _places(self) -> dict[Key, int]:
        return {factor: place for place, factor in enumerate(self.factors)}

    def conditional(self, factor: Key) -> nn.Module:
        """Return the conditional of a factor."""
        return self.conditionals[self._places[factor]]

    def density(self, factor: Key) -> HasDensity:
        """Return the conditional of a factor, which has a density.

        Raises:
            UsageError: the family has none.
        """
        conditional = self.conditional(factor)
        if not isinstance(conditional, HasDensity):
            raise UsageError(
                f"the family of {factor} has no density, but its divergence needs one; "
                "take a family with a density, such as gaussian, mixture or flow"
            )
        return conditional


class BottomUp(Conditionals[Factor]):
    """The bottom-up chains: one conditional per inverse factor; chains with equal factors share the conditional.

    Arguments:
        chains: inverse factorizations in sampling order, by the set of variables that they start from. They have no
            barren factors: those need no family.
        sizes: number of coordinates of each variable.
        families: by variable, the family that builds the conditionals of its factors.
        gaps: the variables whose coordinates are values and their mask.
    """

    def __init__(
        self,
        chains: Mapping[frozenset[str], Sequence[Factor]],
        sizes: Mapping[str, int],
        families: Mapping[str, Family],
        gaps: Container[str] = (),
    ) -> None:
        super().__init__()
        self.sizes = dict(sizes)
        self.chains = {evidence: tuple(factors) for evidence, factors in chains.items()}
        self.factors = tuple(dict.fromkeys(factor for factors in self.chains.values() for factor in factors))
        self.contexts = {factor: sum(sizes[name] for name in factor.context) for factor in self.factors}
        self.gaps = gaps
        self.conditionals = nn.ModuleList(self._built(families[factor.variable], factor) for factor in self.factors)

    def parts(self, context: Iterable[str]) -> list[Part]:
        """Return the parts of a context, one for each of its variables."""
        return [Part(self.sizes[name], name in self.gaps) for name in context]

    def _built(self, family: Family, factor: Factor) -> Conditional:
        if isinstance(family, KnowsArrangement) and any(name in self.gaps for name in factor.context):
            return family.with_masks(self.sizes[factor.variable], self.parts(factor.context))
        return family(self.sizes[factor.variable], self.contexts[factor])

    def forward(self, evidence: Mapping[str, Tensor], particles: int) -> dict[str, Tensor]:
        """Infer all latents from evidence.

        Arguments:
            evidence: one tensor (B, D_i) per variable; one of the chains starts from these variables.
            particles: L, number of samples for each item of evidence.

        Returns:
            The evidence and the inferred latents, each of shape (L, B, D_i).
        """
        return self.through(self.chains[frozenset(evidence)], evidence, particles)

    def through(self, factors: Iterable[Factor], given: Mapping[str, Tensor], particles: int) -> dict[str, Tensor]:
        """Sample some factors in turn, given the values (B, D_i) of other variables; see :meth:`forward`."""
        values = {name: value.expand(particles, *value.shape) for name, value in given.items()}
        for factor in factors:
            if given.keys() >= set(factor.context):  # expanded, not copied: a family may use that rows are equal
                context = join(given, factor.context)
                context = context.expand(particles, *context.shape)
            else:
                context = join(values, factor.context)
            values[factor.variable] = self.conditional(factor)(context)
        return values

    def features(self, site: Site) -> int:
        """Return the number of coordinates of the tuple at a site."""
        return sum(self.sizes[name] for name in (*site.variables, *site.context))

    def log_prob(self, values: Mapping[str, Tensor], factors: Iterable[Factor]) -> Tensor:
        """Return the sum of log q(x_i | pã(x_i)) over some factors, shape (*,), for values (*, D_i).

        Raises:
            UsageError: the family of one of the factors has no density.
        """
        total = torch.zeros((), device=self.device)
        for factor in factors:
            total = total + self.density(factor).log_prob(values[factor.variable], join(values, factor.context))
        return total


class TopDown(nn.Module):
    """The top-down chain, in network coordinates.

    Arguments:
        graph: the model.
        coordinates: network coordinates of every variable.
        theta: the learned conditionals, by name.
        device: the device of the samples.
    """

    def __init__(
        self, graph: Graph, coordinates: Mapping[str, Coordinates], theta: nn.ModuleDict, device: torch.device
    ) -> None:
        super().__init__()
        self.graph = with_conditionals(graph, theta)
        self.coordinates = coordinates
        self.theta = theta
        self.device = device

    def __deepcopy__(self, memo: dict[int, object]) -> TopDown:
        """Copy the learned conditionals; graph and coordinates are shared, since they do not change."""
        return TopDown(self.graph, self.coordinates, copy.deepcopy(self.theta, memo), self.device)

    def forward(self, n: int) -> dict[str, Tensor]:
        """Draw n samples of all variables, (n, D_i) each."""
        values = self.graph.complete(n, {}, self.device)
        return {name: self.coordinates[name].encode(value) for name, value in values.items()}

    def below(self, given: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return given variables, (n, D_i) each, with draws of all other variables from the model."""
        known = {name: self.coordinates[name].decode(value) for name, value in given.items()}
        values = self.graph.complete(len(next(iter(known.values()))), known, self.device)
        return {**{name: self.coordinates[name].encode(value) for name, value in values.items()}, **given}


def with_conditionals(graph: Graph, theta: nn.ModuleDict) -> Graph:
    """Return the graph with its learned conditionals replaced by those of the same name in ``theta``."""
    return Graph(*(replace(node, conditional=theta[node.name]) if node.name in theta else node for node in graph.nodes))
