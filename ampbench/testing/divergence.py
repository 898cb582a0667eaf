"""Conformance of a divergence: the properties on which the engine relies."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

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
from ampbench.testing.expect import SEED_ADVICE, expect, expect_equal, expect_tensor, gradients, left_alone

Sides = Callable[[Tensor], tuple[Tuples, Tuples]]
"""Draws tuples of p, and of q with a parameter."""

SLOPE = 0.8
"""Slope of the variable in the first component of its context, in :meth:`DivergenceConformance.related`."""


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

    def related(self, slope: Tensor) -> tuple[Tuples, Tuples]:
        """Top-down samples N(0.8 c, 0.6²) and two particles N(slope c, 0.6²), with c the first component of N(0, I)."""
        densities = _RelatedDensities(slope)
        context = torch.randn(self.rows, 2)
        p = Tuples(SLOPE * context[:, :1] + densities.deviation * torch.randn(self.rows, 1), context, densities)
        noise = densities.deviation * torch.randn(2, self.rows, 1)
        q = Tuples(slope * context[:, :1] + noise, context.expand(2, -1, -1), densities)
        return p, q

    def test_losses_are_finite_scalars(self) -> None:
        """Both losses are finite scalars, on tuples with and without a particle dimension."""
        with seeded(0):
            divergence, (p, q) = self.make(), self.sides(torch.zeros(()))
            adversary = divergence.adversary(3)
            for loss in (divergence.adversary_loss, divergence.family_loss):
                expect_tensor(
                    loss(adversary, p, q), f"the value of {loss.__name__}", (), loss, "take the mean over all tuples"
                )

    def test_inputs_are_left_alone(self) -> None:
        """Neither loss changes the tuples that it is given."""
        with seeded(0):
            divergence, (p, q) = self.make(), self.sides(torch.zeros(()))
            adversary = divergence.adversary(3)
            q = Tuples(q.variable, q.context.clone(), q.densities)
            values = {"p.variable": p.variable, "p.context": p.context}
            values |= {"q.variable": q.variable, "q.context": q.context}
            for loss in (divergence.adversary_loss, divergence.family_loss):
                with left_alone(values, loss):
                    loss(adversary, p, q)

    def test_same_seed_same_losses(self) -> None:
        """Losses follow from the seed, the adversary and the tuples."""
        losses: dict[str, list[Tensor]] = {}
        divergence = self.make()
        for _ in range(2):
            with seeded(0):
                p, q = self.sides(torch.ones(()))
                adversary = divergence.adversary(3)
                for loss in (divergence.adversary_loss, divergence.family_loss):
                    losses.setdefault(loss.__name__, []).append(loss(adversary, p, q).detach())
        for name, (first, again) in losses.items():
            expect_equal(first, again, f"the value of {name}", getattr(divergence, name), SEED_ADVICE)

    def test_every_adversary_weight_gets_a_gradient(self) -> None:
        """The adversary's loss reaches every one of its parameters."""
        with seeded(0):
            divergence, (p, q) = self.make(), self.sides(torch.ones(()))
            adversary = divergence.adversary(3)
            if weights := list(adversary.named_parameters()):
                loss = divergence.adversary_loss(adversary, p, q)
                gradients(loss, weights, "the adversary's loss", divergence.adversary_loss)

    def test_families_descend_towards_p(self) -> None:
        """With a trained adversary, a positive shift of q has a positive slope, a negative one a negative slope."""
        for value in (1.0, -1.0):
            self.check_descent(self.sides, value, value, f"q = N({value:g}, 1), where p = N(0, 1)")

    def test_families_descend_towards_the_relation_to_the_context(self) -> None:
        """With a trained adversary, q with the right marginals, but another relation to the context, moves to p's."""
        what = f"q = N({-SLOPE} c, 0.36), where p = N({SLOPE} c, 0.36) with c in the context"
        self.check_descent(self.related, -SLOPE, -1.0, what)

    def check_descent(self, sides: Sides, value: float, sign: float, what: str) -> None:
        """Check that the loss of the families has a slope of this sign in the parameter of q."""
        with seeded(1):
            parameter = torch.tensor(value, requires_grad=True)
            divergence = self.make()
            adversary = divergence.adversary(3)
            self.train(divergence, adversary, parameter.detach(), sides)
            at = divergence.family_loss
            loss = at(adversary, *sides(parameter))
            (slope,) = gradients(loss, [("the samples of q", parameter)], "the loss of the families", at)
        wanted = f"a slope {'above' if sign > 0 else 'below'} 0, so that descent leads towards p"
        if not slope:
            advice = "it does not see this difference between p and q: use variable and context of both chains"
        else:
            advice = "check the sign of the loss, and that the adversary learns what family_loss takes from it"
        expect(slope * sign > 0, f"for {what}, the loss has the slope {float(slope):.3g}", wanted, at, advice)

    def test_log_ratio(self) -> None:
        """A divergence with a log-ratio estimates it, on the tuples of both chains, to a third of its spread."""
        divergence = self.make()
        if not isinstance(divergence, HasLogRatio):
            return
        with seeded(1):
            shift = torch.ones(())
            adversary = divergence.adversary(3)
            self.train(divergence, adversary, shift, self.sides)
            for side in self.sides(shift):
                exact = shift / 2 - side.variable[..., 0]
                at = divergence.log_ratio
                estimate = expect_tensor(at(adversary, side).detach(), "the log-ratio", exact.shape, at)
                error = float((estimate - exact).square().mean()) ** 0.5
                expect(
                    error < 1 / 3,
                    f"for q = N(1, 1) and p = N(0, 1), the estimate of log p − log q has a root-mean-square error of "
                    f"{error:.2g}",
                    "less than 0.33, a third of the spread of log p − log q",
                    at,
                    "check its sign, and that the adversary's loss has log p − log q as its minimum; otherwise the "
                    "divergence is no HasLogRatio",
                )

    def train(self, divergence: Divergence, adversary: torch.nn.Module, value: Tensor, sides: Sides) -> None:
        """Train the adversary on new samples."""
        weights = list(adversary.parameters())
        if not weights:
            return
        optimiser = torch.optim.Adam(weights, 1e-3)
        for _ in range(200):
            optimiser.zero_grad()
            divergence.adversary_loss(adversary, *sides(value)).backward()
            optimiser.step()


class _ShiftedDensities(Densities):
    """The densities of :meth:`DivergenceConformance.sides`: q is N(shift, 1), and the context ignores the variable."""

    def __init__(self, shift: Tensor) -> None:
        self.shift = shift

    def family(self, tuples: Tuples) -> Tensor:
        return Normal(self.shift, 1.0).log_prob(tuples.variable).sum(-1)

    def likelihood(self, tuples: Tuples) -> Tensor:
        return Normal(0.0, 1.0).log_prob(tuples.context).sum(-1)


class _RelatedDensities(Densities):
    """The densities of :meth:`DivergenceConformance.related`; the likelihood is that of c given the variable."""

    deviation = (1 - SLOPE**2) ** 0.5

    def __init__(self, slope: Tensor) -> None:
        self.slope = slope

    def family(self, tuples: Tuples) -> Tensor:
        mean = self.slope * tuples.context[..., :1]
        return Normal(mean, self.deviation).log_prob(tuples.variable).sum(-1)

    def likelihood(self, tuples: Tuples) -> Tensor:
        related = Normal(SLOPE * tuples.variable[..., 0], self.deviation).log_prob(tuples.context[..., 0])
        return related + Normal(0.0, 1.0).log_prob(tuples.context[..., 1])
