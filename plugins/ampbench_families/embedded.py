r"""Any family behind an embedding network: for evidence that is a series or an image.

.. math:: q(x \mid \tilde{\mathrm{pa}}) = q_\phi\bigl(x \mid e_\psi(\tilde{\mathrm{pa}})\bigr)

The embedding is trained together with the family, as part of φ. In a spec::

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
    """Build a family's conditionals behind embedding networks.

    The whole context of a factor is taken for the series or the image; in a graph with several factors, give this
    family only to those for which it is.

    Arguments:
        family: the family that gets the features; it may come from any plugin.
        kind: ``series``: evenly sampled values; ``image``: a square of pixels.
        features: how many features the family gets.
        channels: of the series or the image, one after another in the context.
        width: convolution filters.
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
        """Build q(x | context); without a context there is nothing to embed, and the family's own conditional is built.

        Raises:
            UsageError: the context is no series or image of these channels.
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
