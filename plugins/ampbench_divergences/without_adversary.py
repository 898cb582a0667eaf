"""Base class of divergences without an adversary: only the families are trained."""

from __future__ import annotations

from abc import ABC

from torch import Tensor, nn

from ampbench.errors import UsageError
from ampbench.interfaces import Divergence, Tuples


class WithoutAdversary(Divergence, ABC):
    """A divergence without a trained adversary; a subclass defines the families' loss."""

    def adversary(self, features: int) -> nn.Module:
        """Return a module without parameters."""
        return nn.Identity()

    def adversary_loss(self, adversary: nn.Module, p: Tuples, q: Tuples) -> Tensor:
        """Return 0: there are no parameters to train."""
        return p.joint.new_zeros(())


def multiple_particles(divergence: str, p: Tuples, q: Tuples) -> Tensor:
    """Return the particles of q, (L, B, D) with L ≥ 2, for a score that compares them pairwise and with p, (B, D).

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
