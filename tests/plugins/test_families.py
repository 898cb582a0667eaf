from __future__ import annotations

import math
from collections.abc import Callable
from itertools import product

import pytest
import torch
from torch import Tensor
from torch.distributions import Bernoulli as Coin
from torch.distributions import Categorical as Choice
from torch.distributions import Distribution, Independent, MixtureSameFamily, MultivariateNormal, Normal

from ampbench.errors import UsageError
from ampbench.interfaces import Conditional, Family, HasDensity
from ampbench.registry import Registry
from ampbench.seeding import seeded
from ampbench.testing import DiscreteFamilyConformance, FamilyConformance
from ampbench_families.bernoulli import Bernoulli
from ampbench_families.categorical import Categorical
from ampbench_families.embedded import Embedded
from ampbench_families.flow import Flow
from ampbench_families.gaussian import Gaussian
from ampbench_families.implicit import Implicit
from ampbench_families.maf import MaskedAutoregressive
from ampbench_families.mixture import Mixture
from ampbench_families.pathwise import pathwise


class TestImplicit(FamilyConformance):
    def make(self) -> Implicit:
        return Implicit(width=32, depth=1)


class TestInjected(FamilyConformance):
    def make(self) -> Implicit:
        return Implicit(width=32, depth=2, injected=True)


class TestLearnedFeatures(FamilyConformance):
    def make(self) -> Implicit:
        return Implicit(width=32, depth=1, features=8, dropout=0.2)


class TestTransformedContext(FamilyConformance):
    def make(self) -> Implicit:
        return Implicit(width=32, depth=1, features=8, asinh=True)


class TestGaussian(FamilyConformance):
    def make(self) -> Gaussian:
        return Gaussian(width=32, depth=1)


class TestDiagonal(FamilyConformance):
    def make(self) -> Gaussian:
        return Gaussian(covariance="diagonal", width=32, depth=1)


class TestMixture(FamilyConformance):
    def make(self) -> Mixture:
        return Mixture(width=32, depth=1)


class TestFlow(FamilyConformance):
    def make(self) -> Flow:
        return Flow(width=32, depth=1)


class TestMaskedAutoregressive(FamilyConformance):
    def make(self) -> MaskedAutoregressive:
        return MaskedAutoregressive(width=32, depth=1)


class TestCoupling(FamilyConformance):
    def make(self) -> Flow:
        return Flow(width=32, depth=1, coupling=True)


class TestSeries(FamilyConformance):
    def make(self) -> Embedded:
        return Embedded(Gaussian(width=32, depth=1), features=4, width=4)


class TestBernoulli(DiscreteFamilyConformance):
    def make(self) -> Bernoulli:
        return Bernoulli(width=32, depth=1)

    def values(self, features: int) -> Tensor:
        return torch.tensor(list(product((0.0, 1.0), repeat=features)))


class TestCategorical(DiscreteFamilyConformance):
    def make(self) -> Categorical:
        return Categorical(width=32, depth=1)

    def values(self, features: int) -> Tensor:
        return torch.eye(features)


def test_gaussian_has_a_full_covariance() -> None:
    with seeded(0):
        fitted = Gaussian(width=32, depth=1)(3, 2).distribution(torch.randn(1, 2))
    covariance = fitted.covariance_matrix[0]
    assert bool((covariance[~torch.eye(3, dtype=torch.bool)].abs() > 1e-6).all())


def test_implicit_samples_fill_all_dimensions() -> None:
    """By default the noise has more components than the variable, so that samples have full rank."""
    with seeded(0):
        samples = Implicit(width=64, depth=1)(20, 1)(torch.zeros(500, 1))
    assert torch.linalg.matrix_rank(samples - samples.mean(0)) == 20


@pytest.mark.parametrize("block", [0, 1])
def test_noise_enters_every_block(block: int) -> None:
    with seeded(0):
        conditional = Implicit(width=32, depth=2, injected=True)(1, 2)
        with torch.no_grad():
            conditional.network.first.weight[:, 2:] = 0  # noise among the inputs
            conditional.injections[1 - block].weight.zero_()
        assert float(conditional(torch.zeros(100, 2)).detach().std()) > 0


@pytest.mark.parametrize("copied", [False, True])
def test_particles_share_a_dropout_mask(copied: bool) -> None:
    """In training, dropout differs between items of evidence, but not between particles; in sampling there is none."""
    with seeded(0):
        embed = Implicit(width=16, features=8, dropout=0.5)(2, 3).embed
        context = torch.ones(50, 3).expand(4, 50, 3)
        seen = embed(context.clone() if copied else context)
        calm = embed.eval()(context)
    assert seen.shape == (4, 50, 11)
    assert torch.allclose(seen, seen[:1].expand_as(seen))
    assert float((seen[0] - seen[0, 0]).detach().abs().max()) > 0.01
    assert torch.allclose(calm, calm[0, 0].expand_as(calm))


@pytest.mark.parametrize("features", [0, 8])
def test_asinh_only_transforms_the_context(features: int) -> None:
    def drawn(context: Tensor, asinh: bool) -> Tensor:
        with seeded(0):
            return Implicit(width=16, features=features, asinh=asinh)(2, 3)(context)

    context = torch.linspace(-50, 50, 60).reshape(20, 3)
    bent = torch.asinh(2 * context) / math.sqrt(2)
    assert torch.equal(drawn(context, asinh=True), drawn(bent, asinh=False))
    assert not torch.allclose(drawn(context, asinh=True), drawn(context, asinh=False))
    many = context.expand(4, 20, 3)
    assert torch.equal(drawn(many, asinh=True), drawn(many.clone(), asinh=True))


def mixed(log_weight: Tensor, mean: Tensor, scale: Tensor) -> MixtureSameFamily:
    return MixtureSameFamily(Choice(logits=log_weight), Independent(Normal(mean, scale), 1))


def test_mixture_gradient_is_exact_for_every_parameter() -> None:
    """E[x y²] of two components has the gradient Σ_k ∂(w_k μ_k0 (μ_k1² + σ_k1²))."""
    logits = torch.tensor([0.3, -0.4], requires_grad=True)
    mean = torch.tensor([[-1.0, 0.5], [1.2, -0.3]], requires_grad=True)
    scale = torch.tensor([[0.6, 1.0], [0.9, 0.7]], requires_grad=True)
    parameters = [logits, mean, scale]
    expectation = (logits.softmax(0) * mean[:, 0] * (mean[:, 1].square() + scale[:, 1].square())).sum()
    exact = torch.autograd.grad(expectation, parameters)
    with seeded(0):
        drawn = mixed(*(parameter.detach() for parameter in parameters)).sample((400_000,))
    x, y = pathwise(drawn, logits.log_softmax(0), mean, scale).unbind(-1)
    estimate = torch.autograd.grad((x * y.square()).mean(), parameters)
    for mine, true in zip(estimate, exact, strict=True):
        assert torch.allclose(mine, true, rtol=0.05, atol=0.01)


def test_mixture_gradient_in_the_far_tails() -> None:
    """Where Φ rounds to 1, the gradient is as exact as in the lower tail."""
    slopes = []
    for sign in (1.0, -1.0):
        logits = torch.zeros(2, requires_grad=True)
        mean = sign * torch.tensor([[0.0], [1.0]])
        moved = pathwise(sign * torch.tensor([7.0]), logits.log_softmax(0), mean, torch.ones(2, 1))
        slopes.append(sign * torch.autograd.grad(moved.sum(), logits)[0])
    assert float(slopes[0][1]) > 0.01
    assert torch.allclose(slopes[0], slopes[1], rtol=1e-4)


def trained(
    family: Family, context: int, draw: Callable[[Tensor], Tensor], steps: int, rate: float = 3e-3
) -> Conditional:
    """Return a conditional trained by forward KL on pairs (x ~ draw(context), context ~ N(0, 1))."""
    contexts = torch.randn(50_000, context)
    values = draw(contexts)
    conditional = family(values.shape[1], context)
    assert isinstance(conditional, HasDensity)
    adam = torch.optim.Adam(conditional.parameters(), rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(adam, steps)
    for _ in range(steps):
        rows = torch.randint(len(values), (512,))
        adam.zero_grad()
        (-conditional.log_prob(values[rows], contexts[rows]).mean()).backward()
        adam.step()
        schedule.step()
    return conditional.eval()


@torch.no_grad()
def divergence(conditional: Conditional, distribution: Callable[[Tensor], Distribution], context: int = 1) -> float:
    """Return KL(p‖q), estimated on fresh pairs."""
    contexts = torch.randn(20_000, context)
    p = distribution(contexts)
    values = p.sample()
    assert isinstance(conditional, HasDensity)
    return float((p.log_prob(values) - conditional.log_prob(values, contexts)).mean())


def correlated(context: Tensor) -> MultivariateNormal:
    """Return a Gaussian with a mean that depends on the context, and a correlation of 0.8."""
    mean = torch.cat([context, -0.5 * context], dim=-1)
    return MultivariateNormal(mean, torch.tensor([[1.0, 0.4], [0.4, 0.25]]))


def test_gaussian_recovers_a_correlation() -> None:
    with seeded(0):
        conditional = trained(Gaussian(width=32, depth=1), 1, lambda c: correlated(c).sample(), 600)
        assert divergence(conditional, correlated) < 0.01
        fitted = conditional.distribution(torch.tensor([[0.5]]))
    variance, covariance, other = fitted.covariance_matrix[0].flatten()[[0, 1, 3]].tolist()
    assert covariance / (variance * other) ** 0.5 == pytest.approx(0.8, abs=0.03)
    assert torch.allclose(fitted.mean, torch.tensor([[0.5, -0.25]]), atol=0.05)


def test_diagonal_gaussian_recovers_the_marginals() -> None:
    """The minimiser of KL(p‖q) without correlations has p's marginals, at a divergence of −½ log(1 − 0.8²)."""
    with seeded(0):
        diagonal = Gaussian(covariance="diagonal", width=32, depth=1)
        conditional = trained(diagonal, 1, lambda c: correlated(c).sample(), 600)
        assert divergence(conditional, correlated) == pytest.approx(0.511, abs=0.02)
        fitted = conditional.distribution(torch.tensor([[0.5]]))
    assert torch.allclose(fitted.variance, torch.tensor([[1.0, 0.25]]), rtol=0.08)


def bimodal(context: Tensor) -> MixtureSameFamily:
    """Return a distribution with two narrow modes, whose weights depend on the context."""
    logits = torch.cat([torch.zeros_like(context), 2 * context], dim=-1)
    mean = torch.tensor([[-2.0, 0.0], [2.0, 1.0]]).expand(*context.shape[:-1], 2, 2)
    return mixed(logits, mean, torch.full((2, 2), 0.3).expand_as(mean))


def test_mixture_recovers_two_modes() -> None:
    with seeded(0):
        conditional = trained(Mixture(components=4, width=32, depth=1), 1, lambda c: bimodal(c).sample(), 800)
        assert divergence(conditional, bimodal) < 0.01
        right = conditional(torch.full((20_000, 1), 0.5))[:, 0] > 0
    assert float(right.float().mean()) == pytest.approx(0.731, abs=0.03)  # σ(2 × 0.5)


class Banana(Distribution):
    """x_1 = N(0, 1), x_2 = x_1² / 2 + c + N(0, 0.3²)."""

    arg_constraints: dict[str, object] = {}  # noqa: RUF012

    def __init__(self, context: Tensor) -> None:
        super().__init__(context.shape[:-1], torch.Size([2]), validate_args=False)
        self.context = context[..., 0]

    def sample(self, shape: torch.Size = torch.Size()) -> Tensor:  # noqa: B008
        first = torch.randn_like(self.context)
        return torch.stack([first, first.square() / 2 + self.context + 0.3 * torch.randn_like(first)], dim=-1)

    def log_prob(self, value: Tensor) -> Tensor:
        first, second = value.unbind(-1)
        return Normal(0.0, 1.0).log_prob(first) + Normal(first.square() / 2 + self.context, 0.3).log_prob(second)


def test_flow_recovers_a_curved_posterior() -> None:
    with seeded(0):
        conditional = trained(Flow(width=32), 1, lambda c: Banana(c).sample(), 400)
        assert divergence(conditional, Banana) < 0.03
        x, y = conditional(torch.ones(20_000, 1)).detach().unbind(-1)
        assert float((y - x.square() / 2).mean()) == pytest.approx(1, abs=0.05)


def wide(context: Tensor) -> Independent:
    """Return a distribution with much mass outside of [-5, 5], the interval on which splines act."""
    return Independent(Normal(6 * context, 3.0), 1)


def test_flow_reaches_beyond_its_splines() -> None:
    with seeded(0):
        conditional = trained(Flow(transforms=1, width=32), 1, lambda c: wide(c).sample(), 300)
        assert divergence(conditional, wide) < 0.01
        samples = conditional(torch.ones(20_000, 1)).detach()
        assert float((samples > 9).float().mean()) == pytest.approx(0.1587, abs=0.02)
        assert bool(torch.isfinite(conditional.log_prob(torch.tensor([[-60.0], [60.0]]), torch.ones(2, 1))).all())


def test_flow_inverts_itself_in_the_tails() -> None:
    """Samples of z outside [-5, 5], where the splines are the identity, have a Gaussian's density and gradient."""
    with seeded(0):
        conditional = Flow(width=32)(2, 1).eval()
        location, scale = conditional.frame(conditional.embed(torch.zeros(1, 1)))
        z = torch.tensor([[7.0, -8.0], [-6.0, 20.0]], requires_grad=True)
        log_prob = conditional.log_prob(location + scale * z, torch.zeros(2, 1)) + scale.log().sum()
    (slope,) = torch.autograd.grad(log_prob.sum(), z)
    assert torch.allclose(log_prob, Independent(Normal(torch.zeros(2), 1.0), 1).log_prob(z), rtol=1e-4)
    assert torch.allclose(slope, -z, rtol=1e-3)


def coin(context: Tensor) -> Independent:
    return Independent(Coin(logits=torch.cat([2 * context - 1, -context], dim=-1)), 1)


def test_bernoulli_recovers_logits() -> None:
    with seeded(0):
        conditional = trained(Bernoulli(width=32, depth=1), 1, lambda c: coin(c).sample(), 600)
        context = torch.tensor([[-1.0], [0.0], [1.0]])
        exact = torch.cat([2 * context - 1, -context], dim=-1)
    assert torch.allclose(conditional.logits(context), exact, atol=0.2)


def test_categorical_recovers_logits() -> None:
    def exact_logits(context: Tensor) -> Tensor:
        return torch.cat([context, torch.zeros_like(context), -context], dim=-1)

    with seeded(0):
        categorical = Categorical(width=32, depth=1)
        draw = lambda c: torch.eye(3)[Choice(logits=exact_logits(c)).sample()]  # noqa: E731
        conditional = trained(categorical, 1, draw, 600)
        context = torch.tensor([[-1.0], [0.0], [1.0]])
    assert torch.allclose(conditional.logits(context).softmax(-1), exact_logits(context).softmax(-1), atol=0.03)


def test_straight_through_bias_is_as_documented() -> None:
    """For one bit at p = ½ and a linear loss: 0.67, 0.86, 0.99 of the gradient ¼ at τ = 1, ½, ⅒."""
    for temperature, share in ((1.0, 0.667), (0.5, 0.858), (0.1, 0.992)):
        with seeded(0):
            conditional = Bernoulli(temperature, width=8, depth=1)(1, 0)
            with torch.no_grad():
                for weight in conditional.parameters():
                    weight.zero_()
            (slope,) = torch.autograd.grad(conditional(torch.zeros(200_000, 0)).mean(), [conditional.logits.last.bias])
        assert float(slope) / 0.25 == pytest.approx(share, abs=0.02)


def peak(context: Tensor, shape: tuple[int, ...], channel: int) -> Tensor:
    """Return noisy evidence of two channels, (n, C), with a peak in one channel at the position ``context``."""
    axes = torch.meshgrid(*[torch.linspace(-2, 2, side) for side in shape], indexing="ij")
    distance = sum((axis - context[:, i].reshape(-1, *[1] * len(shape))).square() for i, axis in enumerate(axes))
    both = 0.1 * torch.randn(len(context), 2, *shape)
    both[:, channel] += torch.exp(-4 * torch.as_tensor(distance))
    return both.flatten(1)


@pytest.mark.parametrize(("kind", "shape"), [("series", (40,)), ("image", (12, 12))], ids=["series", "image"])
def test_embedding_finds_where_the_evidence_peaks(kind: str, shape: tuple[int, ...]) -> None:
    with seeded(0):
        position = 1.5 * (2 * torch.rand(4000, len(shape)) - 1)
        evidence = peak(position, shape, channel=1)
        family = Embedded(Gaussian(width=32, depth=1), kind, features=8, channels=2, width=8)
        conditional = family(len(shape), evidence.shape[1])
        adam = torch.optim.Adam(conditional.parameters(), 3e-3)
        for _ in range(250):
            rows = torch.randint(3500, (128,))
            adam.zero_grad()
            (-conditional.log_prob(position[rows], evidence[rows]).mean()).backward()
            adam.step()
        error = conditional(evidence[3500:]).detach() - position[3500:]
    assert float(error.square().mean().sqrt()) < 0.25  # 0.87 for the prior


def test_embedding_works_in_a_spec_with_any_family(registry: Registry) -> None:
    family = registry.build("families", "embedded:family=flow(transforms=2),kind=image,features=4,width=4")
    assert isinstance(family(2, 49), HasDensity)
    assert not isinstance(registry.build("families", "embedded")(2, 30), HasDensity)
    with pytest.raises(UsageError, match="50 is no square number"):
        family(2, 50)
    with pytest.raises(UsageError, match="change channels"):
        registry.build("families", "embedded:channels=3")(2, 50)


@pytest.mark.parametrize(
    ("spec", "culprit"),
    [
        ("mixture:components=0", "components=0"),
        ("flow:transforms=0", "transforms=0"),
        ("flow:bins=1", "Flow needs bins of at least 2, got bins=1"),
        ("flow:dropout=1.5", r"at least 0 and below 1, got dropout=1\.5"),
        ("implicit:width=0", "Implicit needs width of at least 1, got width=0"),
        ("implicit:dropout=1", "Implicit needs dropout of at least 0 and below 1, got dropout=1"),
        ("embedded:channels=0", "channels=0"),
        ("bernoulli:temperature=0", "Bernoulli needs temperature above 0 and finite, got temperature=0"),
        ("categorical:temperature=-1", "Categorical needs temperature above 0 and finite, got temperature=-1"),
        ("gaussian:covariance=banded", "covariance"),
    ],
)
def test_impossible_options_are_refused(registry: Registry, spec: str, culprit: str) -> None:
    with pytest.raises(UsageError, match=culprit):
        registry.build("families", spec)
