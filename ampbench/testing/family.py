"""Conformance of a family: the properties on which the engine relies."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor

from ampbench.interfaces import (
    Conditional,
    Family,
    HasDensity,
)
from ampbench.seeding import seeded


class FamilyConformance(ABC):
    """The properties of a family on which the engine relies; see also :class:`DiscreteFamilyConformance`."""

    @abstractmethod
    def make(self) -> Family:
        """Make the family under test."""

    def conditional(self, features: int, context: int) -> Conditional:
        """Build a conditional as it is after training, with parameters that follow from the seed 0."""
        with seeded(0):
            return self.make()(features, context).eval()

    def test_shapes(self) -> None:
        """(*, C) becomes (*, features), also without context; a density has shape (*,)."""
        for features, context, batch in ((1, 0, (7,)), (3, 2, (5,)), (2, 4, (6, 5)), (2, 0, (6, 5))):
            conditional = self.conditional(features, context)
            contexts = torch.zeros(*batch, context)
            samples = conditional(contexts)
            assert samples.shape == (*batch, features)
            if isinstance(conditional, HasDensity):
                assert conditional.log_prob(samples, contexts).shape == batch

    def test_every_weight_gets_a_gradient(self) -> None:
        """Samples are reparametrised: they depend on every parameter."""
        with seeded(0):
            conditional = self.conditional(2, 3)
            loss = conditional(torch.randn(64, 3)).square().mean()
            gradients = torch.autograd.grad(loss, list(conditional.parameters()))
            assert all(torch.isfinite(gradient).all() for gradient in gradients)
            assert all(bool(gradient.any()) for gradient in gradients)

    def test_seed_and_noise(self) -> None:
        """Samples with one seed are equal; samples with one context differ."""
        conditional = self.conditional(2, 3)
        with seeded(1):
            first = conditional(torch.ones(20, 3))
        with seeded(1):
            again = conditional(torch.ones(20, 3))
        assert torch.equal(first, again)
        assert bool((first.std(0) > 0).all())

    def test_density_belongs_to_the_samples(self) -> None:
        """Where there is a density, it integrates to 1 and has the samples' mean and variance."""
        conditional = self.conditional(1, 2)
        if not isinstance(conditional, HasDensity):
            return
        samples, points, cell = self.samples_and_grid(conditional, 1, 4001)
        mass = conditional.log_prob(points, torch.ones(len(points), 2)).detach().double().exp() * cell
        assert abs(float(mass.sum()) - 1) < 1e-3
        centre = samples.mean()
        for power in (1, 2):
            drawn = (samples - centre) ** power
            expected = float((mass * (points[:, 0] - centre) ** power).sum())
            assert abs(float(drawn.mean()) - expected) < 5 * float(drawn.std()) / len(drawn) ** 0.5

    def test_gradient_of_the_density(self) -> None:
        """Where there is a density, its score at the samples is finite and has mean zero, along random directions."""
        conditional = self.conditional(2, 2)
        if not isinstance(conditional, HasDensity):
            return
        with seeded(1):
            context = torch.ones(400, 2)
            slopes = torch.stack(
                [
                    self.slopes(conditional, conditional.log_prob(conditional(context).detach(), context).mean())
                    for _ in range(50)
                ]
            )
        assert bool(torch.isfinite(slopes).all())
        assert bool((slopes.std(0) > 0).all())
        assert bool((slopes.mean(0).abs() < 5 * slopes.std(0) / 50**0.5).all())

    def test_gradient_through_the_samples(self) -> None:
        """Where there is a density q, samples carry the gradient of E[f(x)] = ∫ f q, along random directions."""
        conditional = self.conditional(2, 2)
        if not isinstance(conditional, HasDensity):
            return

        def loss(x: Tensor) -> Tensor:
            return x[..., 0].sin() + x[..., 0] * x[..., 1] + x[..., 1].square()

        _, points, cell = self.samples_and_grid(conditional, 2, 301)
        mass = conditional.log_prob(points, torch.ones(len(points), 2)).exp() * cell
        assert abs(float(mass.detach().sum()) - 1) < 1e-3
        exact = self.slopes(conditional, (mass * loss(points)).sum())
        with seeded(1):
            slopes = torch.stack(
                [self.slopes(conditional, loss(conditional(torch.ones(1000, 2))).mean()) for _ in range(50)]
            )
        assert bool(((slopes.mean(0) - exact).abs() < 5 * slopes.std(0) / 50**0.5).all())

    def samples_and_grid(self, conditional: Conditional, features: int, each: int) -> tuple[Tensor, Tensor, float]:
        """Samples given a context of ones, a grid (each^features, features) that covers them, and its cells' size."""
        with seeded(1):
            samples = conditional(torch.ones(20_000, 2)).detach()
        axis = torch.linspace(-1, 1, each)
        spread = 8 * samples.std(0)
        points = torch.cartesian_prod(*[axis] * features).reshape(-1, features) * spread + samples.mean(0)
        return samples[:, 0], points, float(((axis[1] - axis[0]) * spread).prod())

    def slopes(self, conditional: Conditional, value: Tensor) -> Tensor:
        """Slopes of a value along three random directions of the conditional's parameters, the same at every call."""
        weights = list(conditional.parameters())
        gradients = torch.autograd.grad(value, weights, allow_unused=True)
        generator = torch.Generator().manual_seed(0)
        total = torch.zeros(3)
        for weight, gradient in zip(weights, gradients, strict=True):
            direction = torch.randn(3, *weight.shape, generator=generator)
            if gradient is not None:
                total = total + (direction * gradient).flatten(1).sum(1)
        return total


class DiscreteFamilyConformance(FamilyConformance):
    """The properties of a family of discrete values on which the engine relies; its gradients may be biased."""

    @abstractmethod
    def values(self, features: int) -> Tensor:
        """All values that a variable with so many components can take, shape (m, features)."""

    def test_density_belongs_to_the_samples(self) -> None:
        """Samples are possible values to the last bit; probabilities sum to 1 and are the samples' frequencies."""
        conditional = self.conditional(3, 2)
        assert isinstance(conditional, HasDensity)
        values = self.values(3)
        with seeded(1):
            samples = conditional(torch.ones(20_000, 2)).detach()
        equal = (samples[:, None] == values).all(-1)
        assert bool(equal.any(1).all())
        probability = conditional.log_prob(values, torch.ones(len(values), 2)).exp().detach()
        assert abs(float(probability.sum()) - 1) < 1e-5
        error = (probability * (1 - probability) / len(samples)).sqrt()
        assert bool(((equal.float().mean(0) - probability).abs() < 5 * error).all())

    def test_gradient_through_the_samples(self) -> None:
        """Relaxed gradients are biased; but where one value is always better, they lead towards it."""
        conditional = self.conditional(3, 2)
        context = torch.ones(2000, 2)
        for best in self.values(3):
            with seeded(1):
                loss = (conditional(context) - best).square().sum(-1).mean()
            weights = list(conditional.parameters())
            gradients = torch.autograd.grad(loss, weights)
            likelier = torch.autograd.grad(self.log_probability(conditional, best), weights)
            assert sum(float((a * b).sum()) for a, b in zip(gradients, likelier, strict=True)) < 0

    def log_probability(self, conditional: Conditional, value: Tensor) -> Tensor:
        """The log-probability of a value given a context of ones."""
        assert isinstance(conditional, HasDensity)
        return conditional.log_prob(value[None], torch.ones(1, 2)).sum()
