"""Families of conditional samplers q(x | context), the factors of the inverse.

The engine moves variables to unconstrained, standardised coordinates, so that a family need not know supports.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor, nn


class Conditional(nn.Module, ABC):
    """A conditional sampler q(x | context) on the real line to the power of ``features``.

    The engine moves variables to unconstrained, standardised coordinates, so that a family need not know supports.
    """

    @abstractmethod
    def forward(self, context: Tensor) -> Tensor:
        """Draw one reparametrised sample per context: ``(*, C)`` to ``(*, features)``."""


class Family(ABC):
    """Builds conditionals: ``family(features, context)`` returns a fresh q(x | context) with its own parameters φ."""

    @abstractmethod
    def __call__(self, features: int, context: int) -> Conditional:
        """Build q for a variable of ``features`` components given ``context`` components (which may be 0)."""
