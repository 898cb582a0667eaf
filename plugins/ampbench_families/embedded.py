r"""Families with an embedding network for the context: for evidence that is a series or an image.

.. math:: q(x \mid \tilde{\mathrm{pa}}) = q_\phi\bigl(x \mid e_\psi(\tilde{\mathrm{pa}})\bigr)

The embedding network e is trained together with the family; its weights ψ are part of φ. In a spec::

    amp:family=embedded(family=flow,kind=series)

References:
    Radev et al. 2020, *BayesFlow*, arXiv:2003.06281.
"""

from __future__ import annotations

from typing import Annotated, final

from torch import Tensor

from ampbench.interfaces import Conditional, Default, Family, HasDensity
from ampbench.networks import Embedding
from ampbench.networks.embedding import Kind
from ampbench.options import at_least


@final
class Embedded(Family):
    """Build conditionals of another family, given features of the context that an embedding network learns.

    The network reads the whole context of a factor as one series or image. In a graph with several factors, choose
    this family only for the factors with such a context.

    Arguments:
        family: the family whose context is the features; it may come from any plugin.
        kind: ``series``: evenly sampled values; ``image``: a square of pixels.
        features: number of features.
        channels: number of channels of the series or the image, one after another in the context.
        width: number of convolution filters.
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
            UsageError: the size of the context does not fit a series or an image with these channels.
        """
        if context == 0:
            return self.family(features, 0)
        embedding = Embedding(self.kind, context, self.features, self.channels, self.width)
        inner = self.family(features, self.features)
        return _WithDensity(embedding, inner) if isinstance(inner, HasDensity) else _Embedded(embedding, inner)


class _Embedded(Conditional):
    def __init__(self, embedding: Embedding, inner: Conditional) -> None:
        super().__init__()
        self.embedding = embedding
        self.inner = inner

    def forward(self, context: Tensor) -> Tensor:
        return self.inner(self.embedding(context))


class _WithDensity(_Embedded, HasDensity):
    def log_prob(self, value: Tensor, context: Tensor) -> Tensor:
        assert isinstance(self.inner, HasDensity)
        return self.inner.log_prob(value, self.embedding(context))
