"""The particles that scores without an adversary compare pairwise."""

from __future__ import annotations

from torch import Tensor

from ampbench.errors import UsageError
from ampbench.interfaces import Tuples


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
