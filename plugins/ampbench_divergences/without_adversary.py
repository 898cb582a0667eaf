"""What divergences without an adversary share: nothing is trained but the families."""

from __future__ import annotations

from abc import ABC

from torch import Tensor, nn

from ampbench.errors import UsageError
from ampbench.interfaces import Divergence, Tuples


class WithoutAdversary(Divergence, ABC):
    """A divergence that the families descend alone; a subclass says what."""

    def adversary(self, features: int) -> nn.Module:
        """Return a module without parameters."""
        return nn.Identity()

    def adversary_loss(self, adversary: nn.Module, p: Tuples, q: Tuples) -> Tensor:
        """Return 0: there is nothing to train."""
        return p.joint.new_zeros(())


def several(divergence: str, p: Tuples, q: Tuples) -> Tensor:
    """Return the particles of q, (L, B, D), for a score that compares them with each other and with p, (B, D).

    Raises:
        UsageError: there is a single particle per item of evidence.
    """
    particles = q.joint
    number = len(particles) if particles.ndim > p.joint.ndim else 1
    if number < 2:
        raise UsageError(
            f"divergence {divergence!r} needs at least 2 particles per item of evidence, got {number}; set particles=2"
        )
    return particles
