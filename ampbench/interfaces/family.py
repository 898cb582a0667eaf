r"""Variational families: builders of conditional samplers q(x | context), one for each factor of the inverse.

A parametric family has a density, :class:`ampbench.interfaces.HasDensity`; a noise-injected family is a network of
context and noise, :math:`x = f(c, \varepsilon),\ \varepsilon \sim p(\varepsilon)` (Karaletsos 2016, eq. 12 and 13).
"""

from __future__ import annotations

from abc import ABC, abstractmethod

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
