"""What divergences without an adversary share: nothing is trained but the families."""

from __future__ import annotations

from abc import ABC

from torch import Tensor, nn

from ampbench.interfaces import Divergence
from ampbench.tuples import Tuples


class WithoutAdversary(Divergence, ABC):
    """A divergence that the families descend alone; a subclass says what."""

    def adversary(self, features: int) -> nn.Module:
        """Return a module without parameters."""
        return nn.Identity()

    def adversary_loss(self, adversary: nn.Module, p: Tuples, q: Tuples) -> Tensor:
        """Return 0: there is nothing to train."""
        return p.joint.new_zeros(())
