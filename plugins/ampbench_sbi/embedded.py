r"""Methods of sbi with an embedding network: for observations that are a series, an image, or a set of trials.

.. math:: q(\theta \mid x) = q_\phi\bigl(\theta \mid e_\psi(x)\bigr)

The embedding network e is trained together with the network of the method. In a spec::

    embedded:method=npe(density_estimator=maf),kind=set

The networks are those of the family ``embedded`` (:mod:`ampbench.networks.embedding`).

References:
    Radev et al. 2020, *BayesFlow: learning complex stochastic models with invertible neural networks*,
    arXiv:2003.06281.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, final

from ampbench.errors import UsageError
from ampbench.interfaces import Default, Method
from ampbench.networks import Arrangement
from ampbench.networks.embedding import Kind
from ampbench.options import at_least
from ampbench_sbi.amortised import Amortised, Recipe


@final
class Embedded(Amortised):
    """A method of sbi whose network reads learned features of the observation.

    Arguments:
        method: ``npe``, ``fmpe``, ``npse``, ``nre`` or ``nre-c``, with their options.
        kind: ``series``: evenly sampled values; ``image``: a square of pixels; ``set``: independent trials.
        features: number of features.
        channels: number of channels of the series or the image, one after another; for a set, number of entries of each
            trial, which stand together, one trial after another.
        width: number of convolution filters, or of units of each hidden layer for a set.

    Raises:
        UsageError: the method has no place for an embedding network.
    """

    def __init__(
        self,
        method: Annotated[Method, Default("npe")],
        kind: Kind = "series",
        features: int = 32,
        channels: int = 1,
        width: int = 32,
    ) -> None:
        at_least(self, features=(features, 1), channels=(channels, 1), width=(width, 1))
        if not isinstance(method, Amortised) or method.recipe.reader is None or method.recipe.arrangement:
            raise UsageError(
                f"method {type(method).__name__} has no place for an embedding network; take npe, fmpe, npse, nre or "
                "nre-c, or for amp the family: amp:family=embedded(family=flow,kind=set)"
            )
        self.method = method
        self.drop_bias, self.code_bias = method.drop_bias, method.code_bias
        self.arrangement = Arrangement(kind, features, channels, width)

    @property
    def recipe(self) -> Recipe:
        """The specification of the method, with an embedding network."""
        return replace(self.method.recipe, method="embedded", arrangement=self.arrangement)
