r"""Variational families: builders of conditional samplers q(x | context), one for each factor of the inverse.

A parametric family has a density, :class:`ampbench.interfaces.HasDensity`; a noise-injected family is a network of
context and noise, :math:`x = f(c, \varepsilon),\ \varepsilon \sim p(\varepsilon)` (Karaletsos 2016, eq. 12 and 13).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor, nn


class Conditional(nn.Module, ABC):
    """A conditional sampler q(x | context), with x in R^features.

    The engine maps variables to unconstrained, standardised coordinates, so that families need not respect supports.
    """

    @abstractmethod
    def forward(self, context: Tensor) -> Tensor:
        """Draw one reparametrised sample per context: ``(*, C)`` to ``(*, features)``."""


class Family(ABC):
    """A builder of conditionals: ``family(features, context)`` returns a new q(x | context) with its own parameters."""

    @abstractmethod
    def __call__(self, features: int, context: int) -> Conditional:
        """Build q(x | context) for x of ``features`` components and a context of ``context`` components, 0 or more."""


@dataclass(frozen=True)
class Part:
    """A variable of a context.

    Attributes:
        size: the number of its coordinates.
        masked: whether the second half of the coordinates is the mask of the first half: 1 for a value, 0 for a gap.
    """

    size: int
    masked: bool


class KnowsArrangement(ABC):
    """Ability of a family: it knows how the components of evidence are arranged, and reads masks of gaps as such.

    Families without this ability read masks like other components.
    """

    @abstractmethod
    def with_masks(self, features: int, context: Sequence[Part]) -> Conditional:
        """Build q(x | context) for a context of these variables, of which at least one has a mask."""

    @abstractmethod
    def reading(self, context: Sequence[Part]) -> tuple[nn.Module, int] | None:
        """Return a new network through which adversaries read such a context, and its number of outputs.

        None: adversaries read the context as it is.
        """

    @abstractmethod
    def alike(self, components: int) -> Tensor | None:
        """Return which components of evidence are distributed alike, as a number for each, shape (components,).

        The engine gives them one location and scale. None: each component has its own.
        """
