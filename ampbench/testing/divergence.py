"""Conformance of a divergence: the properties on which the engine relies."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor
from torch.distributions import Normal

from ampbench.interfaces import (
    Divergence,
    HasLogRatio,
    Tuples,
)
from ampbench.interfaces.tuples import Densities
from ampbench.seeding import seeded


class DivergenceConformance(ABC):
    """The properties of a divergence on which the engine relies."""

    rows = 512

    @abstractmethod
    def make(self) -> Divergence:
        """Make the divergence under test."""

    def sides(self, shift: Tensor) -> tuple[Tuples, Tuples]:
        """Top-down samples N(0, 1), and two particles of bottom-up samples N(shift, 1), with a shared context."""
        densities = _ShiftedDensities(shift)
        context = torch.randn(self.rows, 2)
        p = Tuples(torch.randn(self.rows, 1), context, densities)
        q = Tuples(torch.randn(2, self.rows, 1) + shift, context.expand(2, -1, -1), densities)
        return p, q

    def test_losses_are_finite_scalars(self) -> None:
        """Both losses are finite, on tuples with and without a particle dimension."""
        with seeded(0):
            divergence, (p, q) = self.make(), self.sides(torch.zeros(()))
            adversary = divergence.adversary(3)
            for loss in (divergence.adversary_loss(adversary, p, q), divergence.family_loss(adversary, p, q)):
                assert loss.shape == ()
                assert torch.isfinite(loss)

    def test_every_adversary_weight_gets_a_gradient(self) -> None:
        """The adversary's loss reaches every one of its parameters."""
        with seeded(0):
            divergence, (p, q) = self.make(), self.sides(torch.ones(()))
            adversary = divergence.adversary(3)
            weights = list(adversary.parameters())
            if weights:
                gradients = torch.autograd.grad(divergence.adversary_loss(adversary, p, q), weights)
                assert all(torch.isfinite(gradient).all() for gradient in gradients)

    def test_families_descend_towards_p(self) -> None:
        """With a trained adversary, a positive shift of q has a positive slope, a negative one a negative slope."""
        for value in (1.0, -1.0):
            with seeded(1):
                shift = torch.tensor(value, requires_grad=True)
                divergence = self.make()
                adversary = divergence.adversary(3)
                self.train(divergence, adversary, shift.detach())
                loss = divergence.family_loss(adversary, *self.sides(shift))
                (slope,) = torch.autograd.grad(loss, shift)
                assert slope * value > 0

    def test_log_ratio(self) -> None:
        """A divergence with a log-ratio estimates it, on the tuples of both chains, to a third of its spread."""
        divergence = self.make()
        if not isinstance(divergence, HasLogRatio):
            return
        with seeded(1):
            shift = torch.ones(())
            adversary = divergence.adversary(3)
            self.train(divergence, adversary, shift)
            for side in self.sides(shift):
                estimate, exact = divergence.log_ratio(adversary, side).detach(), shift / 2 - side.variable[..., 0]
                assert estimate.shape == exact.shape
                assert float((estimate - exact).square().mean()) < 1 / 9

    def train(self, divergence: Divergence, adversary: torch.nn.Module, shift: Tensor) -> None:
        """Train the adversary on new samples."""
        weights = list(adversary.parameters())
        if not weights:
            return
        optimiser = torch.optim.Adam(weights, 1e-3)
        for _ in range(200):
            optimiser.zero_grad()
            divergence.adversary_loss(adversary, *self.sides(shift)).backward()
            optimiser.step()


class _ShiftedDensities(Densities):
    """The densities of :meth:`DivergenceConformance.sides`: q is N(shift, 1), and the context ignores the variable."""

    def __init__(self, shift: Tensor) -> None:
        self.shift = shift

    def family(self, tuples: Tuples) -> Tensor:
        return Normal(self.shift, 1.0).log_prob(tuples.variable).sum(-1)

    def likelihood(self, tuples: Tuples) -> Tensor:
        return Normal(0.0, 1.0).log_prob(tuples.context).sum(-1)
