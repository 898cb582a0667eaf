"""Value and gradient of each divergence between Gaussians, against quadrature, by an optimal or a trained adversary.

p is N(0, 1) and q is N(m, s²) with m = 0.7 and s = 1.2. Expectations are means over quantiles in place of random
samples, so that errors are due to the adversary.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy import integrate, stats
from torch import Tensor, nn
from torch.distributions import Normal

from ampbench.interfaces import Divergence, Tuples
from ampbench.seeding import seeded
from ampbench.statistics.kernels import median_distance, unbiased_mmd2
from ampbench_divergences.f_kl import FKL
from ampbench_divergences.hellinger import Hellinger
from ampbench_divergences.jeffreys import Jeffreys
from ampbench_divergences.jsd import JSD
from ampbench_divergences.kl import KL
from ampbench_divergences.mmd import MMD
from ampbench_divergences.pearson import Pearson
from ampbench_divergences.total_variation import TotalVariation
from ampbench_divergences.wasserstein import Wasserstein

Q = torch.tensor([0.7, 1.2])
"""Mean and scale of q."""

SHAPE = {"width": 32, "depth": 1}

DIVERGENCES = {
    "jsd": JSD(saturating=True, **SHAPE),
    "kl": KL(**SHAPE),
    "f-kl": FKL(**SHAPE),
    "pearson": Pearson(**SHAPE),
    "hellinger": Hellinger(**SHAPE),
    "jeffreys": Jeffreys(**SHAPE),
    "total-variation": TotalVariation(**SHAPE),
    "wasserstein": Wasserstein(lipschitz=100.0, **SHAPE),
}

INTEGRANDS: dict[str, Callable[[float, float], float]] = {
    "jsd": lambda p, q: (p * math.log(2 * p / (p + q)) + q * math.log(2 * q / (p + q))) / 2,
    "kl": lambda p, q: q * math.log(q / p),
    "f-kl": lambda p, q: p * math.log(p / q),
    "pearson": lambda p, q: (p - q) ** 2 / q,
    "hellinger": lambda p, q: (math.sqrt(p) - math.sqrt(q)) ** 2,
    "jeffreys": lambda p, q: (p - q) * math.log(p / q),
    "total-variation": lambda p, q: abs(p - q) / 2,
}


def exact(name: str, mean: float, scale: float) -> float:
    """Return the divergence, by quadrature."""
    if name == "wasserstein":
        return _integral(lambda x: abs(stats.norm.cdf(x) - stats.norm.cdf(x, mean, scale)))
    return _integral(lambda x: INTEGRANDS[name](stats.norm.pdf(x), stats.norm.pdf(x, mean, scale)))


def _integral(function: Callable[[float], float]) -> float:
    return integrate.quad(function, -12, 12, limit=400, points=[-3.5, 0.0, 0.35])[0]


def exact_gradient(name: str) -> np.ndarray:
    """Return the divergence's gradient in mean and scale of q, by central differences."""
    mean, scale, h = *Q.tolist(), 1e-4
    of_mean = exact(name, mean + h, scale) - exact(name, mean - h, scale)
    of_scale = exact(name, mean, scale + h) - exact(name, mean, scale - h)
    return np.array([of_mean, of_scale]) / (2 * h)


class Optimal(nn.Module):
    """The optimal adversary of a divergence."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name

    def forward(self, tuples: Tuples) -> Tensor:
        x, (mean, scale) = tuples.joint.squeeze(-1), Q
        if self.name == "wasserstein":
            return -(x - mean / (1 - scale)).abs()  # slope ±1, and the distribution functions cross at m / (1 − s)
        ratio = Normal(0, 1).log_prob(x) - Normal(mean, scale).log_prob(x)
        return 100 * ratio if self.name == "total-variation" else ratio  # a step is the limit


def quantiles(parameters: Tensor, rows: int = 400_000) -> tuple[Tuples, Tuples]:
    """Return p and q at quantiles of equally spaced levels."""
    levels = (torch.arange(rows, dtype=torch.float64) + 0.5) / rows
    return _sides(parameters, torch.special.ndtri(levels).float(), torch.special.ndtri(levels).float())


def samples(parameters: Tensor, rows: int) -> tuple[Tuples, Tuples]:
    return _sides(parameters, torch.randn(rows), torch.randn(rows))


def _sides(parameters: Tensor, of_p: Tensor, of_q: Tensor) -> tuple[Tuples, Tuples]:
    empty = torch.zeros(len(of_p), 0)
    return Tuples(of_p[:, None], empty), Tuples((parameters[0] + parameters[1] * of_q)[:, None], empty)


def check(name: str, adversary: nn.Module) -> None:
    """Check the value within 2 %, and the gradient within 5 % of the norm of the exact gradient."""
    parameters = Q.clone().requires_grad_(True)
    loss = DIVERGENCES[name].family_loss(adversary, *quantiles(parameters))
    (gradient,) = torch.autograd.grad(loss, parameters)
    value = loss.item() + (math.log(2) if name == "jsd" else 0)  # eq. 5 leaves a constant out
    wanted = exact_gradient(name)
    error = np.linalg.norm(gradient.numpy() - wanted) / np.linalg.norm(wanted)
    print(f"{name}: value {value / exact(name, *Q.tolist()) - 1:+.2%}, gradient {error:.2%}")
    assert value == pytest.approx(exact(name, *Q.tolist()), rel=0.02)
    assert error < 0.05


@pytest.mark.parametrize("name", DIVERGENCES)
def test_optimal_adversary(name: str) -> None:
    check(name, Optimal(name))


@pytest.mark.parametrize("name", DIVERGENCES)
def test_trained_adversary(name: str) -> None:
    with seeded(0):
        check(name, trained(DIVERGENCES[name]))


def trained(divergence: Divergence, steps: int = 300, rows: int = 2000) -> nn.Module:
    """Train the divergence's own adversary on fresh samples."""
    adversary = divergence.adversary(1)
    adam = torch.optim.Adam(adversary.parameters(), 5e-3)
    decay = torch.optim.lr_scheduler.CosineAnnealingLR(adam, steps)
    for _ in range(steps):
        adam.zero_grad()
        divergence.adversary_loss(adversary, *samples(Q, rows)).backward()
        adam.step()
        decay.step()
    return adversary


def test_adversaries_descend_minus_the_divergence() -> None:
    """At the optimum: 2 log 2 − 2 JSD for the classifier of eq. 7, and minus the divergence for the f-GAN bounds."""
    p, q = quantiles(Q)
    of_classifier = DIVERGENCES["kl"].adversary_loss(Optimal("kl"), p, q).item()
    assert math.log(2) - of_classifier / 2 == pytest.approx(exact("jsd", *Q.tolist()), rel=0.02)
    for name in ("f-kl", "pearson", "hellinger", "jeffreys", "total-variation", "wasserstein"):
        loss = DIVERGENCES[name].adversary_loss(Optimal(name), p, q).item()
        assert -loss == pytest.approx(exact(name, *Q.tolist()), rel=0.02)


def test_wasserstein_of_equal_covariances_is_the_distance_of_the_means() -> None:
    class Falling(nn.Module):
        def forward(self, tuples: Tuples) -> Tensor:
            return -tuples.joint.squeeze(-1)

    parameters = torch.tensor([0.7, 1.0], requires_grad=True)
    loss = Wasserstein().family_loss(Falling(), *quantiles(parameters))
    (gradient,) = torch.autograd.grad(loss, parameters)
    assert loss.item() == pytest.approx(0.7, rel=0.02)
    assert gradient.numpy() == pytest.approx([1.0, 0.0], abs=0.05)


@pytest.mark.parametrize(("slope", "excess"), [(0.6, 0.0), (1.3, 0.09)])
def test_wasserstein_penalises_slopes(slope: float, excess: float) -> None:
    """The slope is the norm over all components of variable and context; particles share their context."""

    class Plane(nn.Module):
        def forward(self, tuples: Tuples) -> Tensor:
            return tuples.joint @ (slope * torch.tensor([2.0, -1.0, 2.0]) / 3)

    context = torch.randn(50, 1)
    p, q = Tuples(torch.randn(50, 2), context), Tuples(torch.randn(4, 50, 2), context.expand(4, 50, 1))
    assert Wasserstein().excess(Plane(), p, q).item() == pytest.approx(excess, abs=1e-5)


def test_wasserstein_slope_exceeds_one_as_documented() -> None:
    """W₁ / (2λ) for λ = 10, on equal covariances, where the best potential is a line."""
    divergence = Wasserstein(lipschitz=10.0)
    slope = torch.tensor(1.0 + 0.7 / 20, requires_grad=True)

    class Line(nn.Module):
        def forward(self, tuples: Tuples) -> Tensor:
            return -slope * tuples.joint.squeeze(-1)

    with seeded(0):
        loss = divergence.adversary_loss(Line(), *quantiles(torch.tensor([0.7, 1.0]), 10_000))
    (gradient,) = torch.autograd.grad(loss, slope)
    assert gradient.item() == pytest.approx(0.0, abs=1e-3)


class Scaled(nn.Module):
    """A feature map that is a multiplication."""

    def forward(self, tuples: Tuples) -> Tensor:
        return 1.5 * tuples.variable


@pytest.mark.parametrize("features", [0, 1])
def test_mmd_of_gaussians(features: int) -> None:
    """Closed form: E k = ℓ / √(ℓ² + v) exp(−m² / (2 (ℓ² + v))) for two Gaussians whose variances sum to v."""
    divergence = MMD(bandwidths=1, features=features)
    adversary, factor = (Scaled(), 1.5) if features else (divergence.adversary(1), 1.0)
    parameters = Q.clone().requires_grad_(True)
    p, q = quantiles(parameters, 4000)
    loss = divergence.family_loss(adversary, p, q)
    wanted = _closed_mmd(
        factor * parameters, factor, width=1.0 if features else float(median_distance(p.joint, q.joint, 128))
    )
    gradient, exact = (torch.autograd.grad(value, parameters)[0] for value in (loss, wanted))
    assert loss.item() == pytest.approx(wanted.item(), rel=0.02)
    assert (gradient - exact).norm() < 0.05 * exact.norm()


def _closed_mmd(q: Tensor, scale: float, width: float) -> Tensor:
    def kernel(mean: Tensor, variance: Tensor) -> Tensor:
        total = width**2 + variance
        return width / total.sqrt() * torch.exp(-(mean**2) / (2 * total))

    mean, variance = q[0], q[1] ** 2
    own = kernel(torch.zeros(()), torch.tensor(2 * scale**2)) + kernel(torch.zeros(()), 2 * variance)
    return own - 2 * kernel(mean, scale**2 + variance)


def test_mmd_is_unbiased_when_evidence_is_shared() -> None:
    """x and y share a component; without the pairs (x[i], y[i]) the estimate has expectation 0."""
    values = []
    with seeded(0):
        for _ in range(300):
            evidence = torch.randn(20, 1)
            x, y = (torch.cat([torch.randn(20, 1), evidence], 1) for _ in range(2))
            values.append(unbiased_mmd2(x, y, [torch.tensor(1.0)], paired=True))
    estimates = torch.stack(values)
    assert abs(estimates.mean()) < 4 * estimates.std() / 300**0.5


def test_learned_features_detect_small_differences() -> None:
    """Training raises MMD² for a component of 0 or 0.1 under p and 0.1 under q, and another component of scale 1."""
    divergence = MMD(features=2, width=32, depth=1)
    marked, empty = torch.full((200, 1), 0.1), torch.zeros(200, 0)
    some = marked * torch.tensor([0.0, 1.0]).repeat(100)[:, None]

    def draw() -> tuple[Tuples, Tuples]:
        return tuple(Tuples(torch.cat([torch.randn(200, 1), mark], 1), empty) for mark in (some, marked))

    with seeded(0):
        adversary = divergence.adversary(2)
        adam = torch.optim.Adam(adversary.parameters(), 3e-3)
        before = divergence.family_loss(adversary, *draw())
        for _ in range(100):
            adam.zero_grad()
            divergence.adversary_loss(adversary, *draw()).backward()
            adam.step()
        after = divergence.family_loss(adversary, *draw())
    assert before < 0.01
    assert after > 0.1
