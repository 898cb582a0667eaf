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
from ampbench.testing.expect import SEED_ADVICE, expect, expect_equal, expect_tensor, gradients, left_alone


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
        """(*, C) becomes finite (*, features), also without context; a density has shape (*,)."""
        for features, context, batch in ((1, 0, (7,)), (3, 2, (5,)), (2, 4, (6, 5)), (2, 0, (6, 5))):
            conditional = self.conditional(features, context)
            contexts = torch.zeros(*batch, context)
            given = f"for {features} features and contexts of shape {tuple(contexts.shape)}"
            samples = conditional(contexts)
            at = conditional.forward
            expect_tensor(samples, f"the sample {given}", (*batch, features), at)
            if isinstance(conditional, HasDensity):
                found = conditional.log_prob(samples, contexts)
                advice = "sum the log-density over the features, the last axis"
                expect_tensor(found, f"the log-density {given}", batch, conditional.log_prob, advice)

    def test_every_weight_gets_a_gradient(self) -> None:
        """Samples are reparametrised: they depend on every parameter."""
        with seeded(0):
            conditional = self.conditional(2, 3)
            loss = conditional(torch.randn(64, 3)).square().mean()
            weights = list(conditional.named_parameters())
            at = conditional.forward
            expect(weights, "the conditional has no parameters", "parameters that training can fit", at)
            for (name, _), gradient in zip(weights, gradients(loss, weights, "a sample", at), strict=True):
                expect(
                    bool(gradient.any()),
                    f"the gradient of a sample in the parameter {name} is 0",
                    "a gradient in each of them",
                    at,
                    "draw x = f(context, noise) (rsample, not sample), and start no last layer at 0",
                )

    def test_seed_and_noise(self) -> None:
        """Samples with one seed are equal; samples with one context differ."""
        conditional = self.conditional(2, 3)
        at = conditional.forward
        with seeded(1):
            first = conditional(torch.ones(20, 3))
        with seeded(1):
            again = conditional(torch.ones(20, 3))
        expect_equal(first, again, "a sample with one seed", at, SEED_ADVICE)
        for component, values in enumerate(first.detach().T.tolist()):
            expect(
                len(set(values)) > 1,
                f"component {component} of 20 samples given one context is always {values[0]:.3g}",
                "another value for each row",
                at,
                "draw noise of the shape of the sample, and let every component depend on it",
            )

    def test_samples_depend_on_the_context(self) -> None:
        """With one seed, samples given two contexts differ; the contexts are not changed."""
        conditional = self.conditional(2, 3)
        at = conditional.forward
        drawn = []
        for context in (torch.zeros(200, 3), torch.full((200, 3), 3.0)):
            with seeded(1), left_alone({"context": context}, at):
                drawn.append(conditional(context).detach())
        expect(
            not torch.equal(*drawn),
            "200 samples given a context of zeros, and given a context of threes, are equal",
            "samples of q(x | context), which depend on the context",
            at,
            "give the context to the network",
        )

    def test_density_belongs_to_the_samples(self) -> None:
        """Where there is a density, it integrates to 1 and has the samples' mean and variance."""
        conditional = self.conditional(1, 2)
        if not isinstance(conditional, HasDensity):
            return
        at = conditional.log_prob
        samples, points, cell = self.samples_and_grid(conditional, 1, 4001)
        context = torch.ones(len(points), 2)
        with left_alone({"value": points, "context": context}, at):
            density = expect_tensor(at(points, context), "the log-density on a grid", (len(points),), at)
        mass = density.detach().double().exp() * cell
        expect_mass(float(mass.sum()), 1e-3, at)
        centre = samples.mean()
        for power, moment in ((1, "mean"), (2, "variance")):
            drawn = (samples - centre) ** power
            expected = float((mass * (points[:, 0] - centre) ** power).sum())
            error = float(drawn.std()) / len(drawn) ** 0.5
            expect(
                abs(float(drawn.mean()) - expected) < 5 * error,
                f"the {moment} of 20,000 samples is {float(drawn.mean()) + (power == 1) * float(centre):.4g}",
                f"{expected + (power == 1) * float(centre):.4g}, as of the density, within {5 * error:.2g}",
                at,
                "forward must draw from the density that log_prob evaluates: compare location and scale of both",
            )

    def test_gradient_of_the_density(self) -> None:
        """Where there is a density, its score at the samples is finite and has mean zero, along random directions."""
        conditional = self.conditional(2, 2)
        if not isinstance(conditional, HasDensity):
            return
        at = conditional.log_prob
        with seeded(1):
            context = torch.ones(400, 2)
            slopes = torch.stack(
                [
                    self.slopes(conditional, conditional.log_prob(conditional(context).detach(), context).mean(), at)
                    for _ in range(50)
                ]
            )
        expect_tensor(slopes, "the score along random directions", slopes.shape, at)
        error = slopes.std(0) / 50**0.5
        expect(
            bool((slopes.std(0) > 0).all()),
            "the score of the density does not depend on the samples",
            "a gradient of log q in the parameters",
            at,
            "look for detach() or torch.no_grad() in log_prob",
        )
        expect(
            bool((slopes.mean(0).abs() < 5 * error).all()),
            f"the mean of the score is {_listed(slopes.mean(0))} along three random directions",
            f"0 within {_listed(5 * error)}, as of every density at its own samples",
            at,
            "look for detach() on a part of the parameters, or a normalising constant that is missing",
        )

    def test_gradient_through_the_samples(self) -> None:
        """Where there is a density q, samples carry the gradient of E[f(x)] = ∫ f q, along random directions."""
        conditional = self.conditional(2, 2)
        if not isinstance(conditional, HasDensity):
            return

        def loss(x: Tensor) -> Tensor:
            return x[..., 0].sin() + x[..., 0] * x[..., 1] + x[..., 1].square()

        _, points, cell = self.samples_and_grid(conditional, 2, 301)
        mass = conditional.log_prob(points, torch.ones(len(points), 2)).exp() * cell
        expect_mass(float(mass.detach().sum()), 1e-3, conditional.log_prob)
        exact = self.slopes(conditional, (mass * loss(points)).sum(), conditional.log_prob)
        at = conditional.forward
        with seeded(1):
            slopes = torch.stack(
                [self.slopes(conditional, loss(conditional(torch.ones(1000, 2))).mean(), at) for _ in range(50)]
            )
        error = slopes.std(0) / 50**0.5
        expect(
            bool(((slopes.mean(0) - exact).abs() < 5 * error).all()),
            f"the gradient of E[f(x)] through samples is {_listed(slopes.mean(0))} along three random directions",
            f"{_listed(exact)}, as computed by the density, within {_listed(5 * error)}",
            at,
            "every parameter must reach the sample by x = f(context, noise): look for sample() instead of rsample(), "
            "and for detach() on a part of the parameters",
        )

    def samples_and_grid(self, conditional: Conditional, features: int, each: int) -> tuple[Tensor, Tensor, float]:
        """Samples given a context of ones, a grid (each^features, features) that covers them, and its cells' size."""
        with seeded(1):
            samples = conditional(torch.ones(20_000, 2)).detach()
        axis = torch.linspace(-1, 1, each)
        spread = 8 * samples.std(0)
        points = torch.cartesian_prod(*[axis] * features).reshape(-1, features) * spread + samples.mean(0)
        return samples[:, 0], points, float(((axis[1] - axis[0]) * spread).prod())

    def slopes(self, conditional: Conditional, value: Tensor, at: object) -> Tensor:
        """Slopes of a value along three random directions of the conditional's parameters, the same at every call."""
        expect(value.requires_grad, "it has no gradient in any parameter", "a differentiable function of them", at)
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
        expect(isinstance(conditional, HasDensity), "the conditional has no density", "probabilities: HasDensity")
        assert isinstance(conditional, HasDensity)
        values = self.values(3)
        with seeded(1):
            samples = conditional(torch.ones(20_000, 2)).detach()
        equal = (samples[:, None] == values).all(-1)
        impossible = samples[~equal.any(1)][:1].tolist()
        expect(not impossible, f"{impossible} is a sample", "one of the possible values", conditional.forward)
        at = conditional.log_prob
        probability = at(values, torch.ones(len(values), 2)).exp().detach()
        expect_mass(float(probability.sum()), 1e-5, at)
        error = (probability * (1 - probability) / len(samples)).sqrt()
        expect(
            bool(((equal.float().mean(0) - probability).abs() < 5 * error).all()),
            f"the values have the frequencies {_listed(equal.float().mean(0))} among 20,000 samples",
            f"their probabilities {_listed(probability)}",
            at,
            "forward must draw from the probabilities that log_prob evaluates",
        )

    def test_gradient_through_the_samples(self) -> None:
        """Relaxed gradients are biased; but where one value is always better, they lead towards it."""
        conditional = self.conditional(3, 2)
        context = torch.ones(2000, 2)
        weights = list(conditional.named_parameters())
        for best in self.values(3):
            with seeded(1):
                loss = (conditional(context) - best).square().sum(-1).mean()
            through = gradients(loss, weights, "a sample", conditional.forward)
            likelier = torch.autograd.grad(self.log_probability(conditional, best), list(conditional.parameters()))
            slope = sum(float((a * b).sum()) for a, b in zip(through, likelier, strict=True))
            expect(
                slope < 0,
                f"making {best.tolist()} likelier changes the squared distance to it with the slope {slope:.3g}",
                "a slope below 0",
                conditional.forward,
                "check the sign of the relaxed gradient",
            )

    def log_probability(self, conditional: Conditional, value: Tensor) -> Tensor:
        """The log-probability of a value given a context of ones."""
        assert isinstance(conditional, HasDensity)
        return conditional.log_prob(value[None], torch.ones(1, 2)).sum()


def expect_mass(mass: float, tolerance: float, at: object) -> None:
    """Expect that a density integrates to 1, or that probabilities sum to 1."""
    expect(
        abs(mass - 1) < tolerance,
        f"the density integrates to {mass:.4g}",
        f"1 within {tolerance:g}",
        at,
        "look for a normalising constant, or a log-determinant, that is missing or counted twice",
    )


def _listed(values: Tensor) -> str:
    return "(" + ", ".join(f"{value:.3g}" for value in values.flatten()[:8].tolist()) + ")"
