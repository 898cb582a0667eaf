r"""Families with an embedding network for the context: for evidence that is a series, an image, or a set of trials.

.. math:: q(x \mid \tilde{\mathrm{pa}}) = q_\phi\bigl(x \mid e_\psi(\tilde{\mathrm{pa}})\bigr)

The embedding network e is trained together with the family; its weights ψ are part of φ. In a spec::

    amp:family=embedded(family=flow,kind=series)

Of a variable with gaps (:mod:`ampbench.graph.gaps`), the embedding network reads the mask as well. It then reads this
variable alone; the other variables of a context go to the family as they are.

References:
    Radev et al. 2020, *BayesFlow*, arXiv:2003.06281.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, final

import torch
from torch import Tensor, nn

from ampbench.interfaces import Conditional, Default, Family, HasDensity
from ampbench.interfaces.family import KnowsArrangement, Part
from ampbench.networks import build_embedding
from ampbench.networks.embedding import Kind, alike
from ampbench.options import at_least


@final
class Embedded(Family, KnowsArrangement):
    """Build conditionals of another family, given features of the context that an embedding network learns.

    Without gaps, the network reads the whole context of a factor as one series, image or set. In a graph with several
    factors, choose this family only for the factors with such a context.

    Arguments:
        family: the family whose context is the features; it may come from any plugin.
        kind: ``series``: evenly sampled values; ``image``: a square of pixels; ``set``: independent trials.
        features: number of features.
        channels: number of channels of the series or the image, one after another in the context; for a set, number of
            entries of each trial, which stand together, one trial after another.
        width: number of convolution filters, or of units of each hidden layer for a set.
    """

    def __init__(
        self,
        family: Annotated[Family, Default("implicit")],
        kind: Kind = "series",
        features: int = 32,
        channels: int = 1,
        width: int = 32,
    ) -> None:
        at_least(self, features=(features, 1), channels=(channels, 1), width=(width, 1))
        self.family = family
        self.kind: Kind = kind
        self.features = features
        self.channels = channels
        self.width = width

    def __call__(self, features: int, context: int) -> Conditional:
        """Build q(x | context); for an empty context, return the family's conditional without an embedding network.

        Raises:
            UsageError: the size of the context does not fit the kind with these channels.
        """
        if context == 0:
            return self.family(features, 0)
        return self._embedded(features, self._embedding(context, False), self.features)

    def with_masks(self, features: int, context: Sequence[Part]) -> Conditional:
        """Build q(x | context), with an embedding network for every variable with a mask; see :meth:`__call__`."""
        read = [self._embedding(part.size // 2, True) if part.masked else nn.Identity() for part in context]
        inner = sum(self.features if part.masked else part.size for part in context)
        return self._embedded(features, _Parts(read, [part.size for part in context]), inner)

    def alike(self, components: int) -> Tensor | None:
        """Return the entries of a set's components; None for series and images."""
        return alike(self.kind, components, self.channels)

    def _embedding(self, components: int, masked: bool) -> nn.Module:
        return build_embedding(self.kind, components, self.features, self.channels, self.width, masked)

    def _embedded(self, features: int, embedding: nn.Module, inner: int) -> Conditional:
        conditional = self.family(features, inner)
        if isinstance(conditional, HasDensity):
            return _WithDensity(embedding, conditional)
        return _Embedded(embedding, conditional)


class _Parts(nn.Module):
    """A network for each part of a context, whose outputs are joined."""

    def __init__(self, networks: Sequence[nn.Module], sizes: Sequence[int]) -> None:
        super().__init__()
        self.networks = nn.ModuleList(networks)
        self.sizes = list(sizes)

    def forward(self, context: Tensor) -> Tensor:
        parts = context.split(self.sizes, dim=-1)
        return torch.cat([network(part) for network, part in zip(self.networks, parts, strict=True)], dim=-1)


class _Embedded(Conditional):
    def __init__(self, embedding: nn.Module, inner: Conditional) -> None:
        super().__init__()
        self.embedding = embedding
        self.inner = inner

    def forward(self, context: Tensor) -> Tensor:
        return self.inner(self.embedding(context))


class _WithDensity(_Embedded, HasDensity):
    def log_prob(self, value: Tensor, context: Tensor) -> Tensor:
        assert isinstance(self.inner, HasDensity)
        return self.inner.log_prob(value, self.embedding(context))
