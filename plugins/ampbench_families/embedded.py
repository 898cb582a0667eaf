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

from torch import Tensor, nn

from ampbench.interfaces import Conditional, Default, Family, HasDensity
from ampbench.interfaces.family import KnowsArrangement, Part
from ampbench.networks import Arrangement
from ampbench.networks.embedding import Kind
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
        self.arrangement = Arrangement(kind, features, channels, width)

    def __call__(self, features: int, context: int) -> Conditional:
        """Build q(x | context); for an empty context, return the family's conditional without an embedding network.

        Raises:
            UsageError: the size of the context does not fit the kind with these channels.
        """
        if context == 0:
            return self.family(features, 0)
        return self.with_masks(features, [Part(context, masked=False)])

    def with_masks(self, features: int, context: Sequence[Part]) -> Conditional:
        """Build q(x | context), with an embedding network for every variable with a mask; see :meth:`__call__`."""
        embedding = self.arrangement.embedding(context)
        inner = self.family(features, self.arrangement.outputs(context))
        return _WithDensity(embedding, inner) if isinstance(inner, HasDensity) else _Embedded(embedding, inner)

    def reading(self, context: Sequence[Part]) -> tuple[nn.Module, int] | None:
        """Return another embedding network for adversaries; None for series and images without gaps, or nothing."""
        if not context or (self.arrangement.kind != "set" and not any(part.masked for part in context)):
            return None
        return self.arrangement.embedding(context), self.arrangement.outputs(context)

    def alike(self, components: int) -> Tensor | None:
        """Return the entries of a set's components; None for series and images."""
        return self.arrangement.alike(components)


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
