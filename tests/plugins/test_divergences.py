"""Conformance of the built-in divergences, and their closed forms on Gaussians."""

from __future__ import annotations

import math

import pytest
import torch
from scipy import integrate, stats
from torch import Tensor, nn

from ampbench.errors import UsageError
from ampbench.seeding import seeded
from ampbench.testing import DivergenceConformance
from ampbench.tuples import Tuples
from ampbench_divergences.jsd import JSD
from ampbench_divergences.kl import KL
from ampbench_divergences.mmd import MMD

ROWS = 400_000
SHIFT, SCALE = 0.7, 0.8


class TestJSD(DivergenceConformance):
    def make(self) -> JSD:
        return JSD(width=32, depth=1)


class TestSaturatingJSD(DivergenceConformance):
    def make(self) -> JSD:
        return JSD(saturating=True, width=32, depth=1)


class TestKL(DivergenceConformance):
    def make(self) -> KL:
        return KL(width=32, depth=1)


class TestMMD(DivergenceConformance):
    def make(self) -> MMD:
        return MMD()


class LogRatio(nn.Module):
    """The optimal adversary of p = N(0, 1) and q = N(SHIFT, SCALE²)."""

    def forward(self, tuples: Tuples) -> Tensor:
        x = tuples.variable.squeeze(-1)
        return torch.distributions.Normal(0, 1).log_prob(x) - torch.distributions.Normal(SHIFT, SCALE).log_prob(x)


def sides(shift: Tensor, scale: Tensor, rows: int = ROWS) -> tuple[Tuples, Tuples]:
    empty = torch.zeros(rows, 0)
    return Tuples(torch.randn(rows, 1), empty), Tuples(shift + scale * torch.randn(rows, 1), empty)


def quadrature(integrand: object) -> float:
    return integrate.quad(lambda x: integrand(stats.norm.pdf(x), stats.norm.pdf(x, SHIFT, SCALE)), -8, 8)[0]


def exact_jsd() -> float:
    return quadrature(lambda p, q: 0.5 * p * math.log(2 * p / (p + q)) + 0.5 * q * math.log(2 * q / (p + q)))


def test_optimal_adversary_gives_the_jensen_shannon_divergence() -> None:
    """Eq. 5: the adversary's loss is 2 log 2 − 2 JSD at the optimum."""
    with seeded(0):
        p, q = sides(torch.tensor(SHIFT), torch.tensor(SCALE))
        loss = JSD().adversary_loss(LogRatio(), p, q)
    assert math.log(2) - float(loss) / 2 == pytest.approx(exact_jsd(), rel=0.02)


def test_optimal_adversary_gives_the_reverse_kl_and_its_gradient() -> None:
    """Eq. 9; the score term of the gradient vanishes at the optimum, so that the path gradient is exact."""
    shift, scale = torch.tensor(SHIFT, requires_grad=True), torch.tensor(SCALE, requires_grad=True)
    with seeded(0):
        loss = KL().family_loss(LogRatio(), *sides(shift, scale))
    slopes = torch.autograd.grad(loss, [shift, scale])
    exact = -math.log(SCALE) + (SCALE**2 + SHIFT**2) / 2 - 0.5
    assert loss.item() == pytest.approx(exact, rel=0.02)
    assert slopes[0].item() == pytest.approx(SHIFT, rel=0.05)
    assert slopes[1].item() == pytest.approx(SCALE - 1 / SCALE, rel=0.05)


def test_saturating_form_has_the_gradient_of_the_jensen_shannon_divergence() -> None:
    """Eq. 6, against a finite difference of the quadrature."""
    shift = torch.tensor(SHIFT, requires_grad=True)
    with seeded(0):
        loss = JSD(saturating=True).family_loss(LogRatio(), *sides(shift, torch.tensor(SCALE)))
    (slope,) = torch.autograd.grad(loss, shift)
    h = 1e-3
    nearby = [
        integrate.quad(
            lambda x, m=SHIFT + step: sum(
                0.5 * a * math.log(2 * a / (a + b))
                for a, b in (
                    (stats.norm.pdf(x), stats.norm.pdf(x, m, SCALE)),
                    (stats.norm.pdf(x, m, SCALE), stats.norm.pdf(x)),
                )
            ),
            -8,
            8,
        )[0]
        for step in (h, -h)
    ]
    assert slope.item() == pytest.approx((nearby[0] - nearby[1]) / (2 * h), rel=0.05)


def test_forms_of_the_jensen_shannon_loss_share_their_fixed_point() -> None:
    """Where the adversary can hardly tell the sides apart, both forms have the same slope."""

    class Linear(nn.Module):
        def forward(self, tuples: Tuples) -> Tensor:
            return 1e-3 * tuples.variable.squeeze(-1)

    slopes = []
    for saturating in (False, True):
        shift = torch.tensor(0.0, requires_grad=True)
        with seeded(0):
            loss = JSD(saturating).family_loss(Linear(), *sides(shift, torch.tensor(1.0), 1000))
        slopes.append(torch.autograd.grad(loss, shift)[0].item())
    assert slopes[0] == pytest.approx(slopes[1], rel=0.01)
    assert slopes[0] < 0


def test_mmd_of_gaussians() -> None:
    """For N(0, 1), N(m, 1) and kernel width ℓ it is 2 c (1 − exp(−m² / (2 (ℓ² + 2)))), c = ℓ / √(ℓ² + 2)."""
    from ampbench.kernels import unbiased_mmd2

    width, shift = 0.9, 1.2
    constant = width / math.sqrt(width**2 + 2)
    exact = 2 * constant * (1 - math.exp(-(shift**2) / (2 * (width**2 + 2))))
    with seeded(0):
        estimate = unbiased_mmd2(
            torch.randn(5000, 1), torch.randn(5000, 1) + shift, [torch.tensor(width)], paired=False
        )
    assert estimate.item() == pytest.approx(exact, rel=0.03)


def test_mmd_is_unbiased_when_evidence_is_shared() -> None:
    """x and y share a component; leaving the pairs out keeps the estimate centred at 0."""
    from ampbench.kernels import unbiased_mmd2

    values = []
    with seeded(0):
        for _ in range(300):
            evidence = torch.randn(20, 1)
            x, y = (torch.cat([torch.randn(20, 1), evidence], 1) for _ in range(2))
            values.append(unbiased_mmd2(x, y, [torch.tensor(1.0)], paired=True))
    estimates = torch.stack(values)
    assert abs(estimates.mean()) < 4 * estimates.std() / 300**0.5


def test_mmd_needs_a_bandwidth() -> None:
    with pytest.raises(UsageError, match="at least one bandwidth, got 0"):
        MMD(bandwidths=0)


def test_a_trained_adversary_estimates_the_divergences() -> None:
    """The adversary that jsd builds, trained on Gaussian samples, comes close to the exact values."""
    with seeded(0):
        divergence = JSD(width=32, depth=1)
        adversary = divergence.adversary(1)
        optimiser = torch.optim.Adam(adversary.parameters(), 3e-3)
        for step in range(600):
            optimiser.param_groups[0]["lr"] = 3e-3 * (1 - step / 600)
            loss = divergence.adversary_loss(adversary, *sides(torch.tensor(SHIFT), torch.tensor(SCALE), 2000))
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        p, q = sides(torch.tensor(SHIFT), torch.tensor(SCALE), 100_000)
        jsd = math.log(2) - divergence.adversary_loss(adversary, p, q).item() / 2
        kl = KL().family_loss(adversary, p, q).item()
    assert jsd == pytest.approx(exact_jsd(), rel=0.05)
    assert kl == pytest.approx(-math.log(SCALE) + (SCALE**2 + SHIFT**2) / 2 - 0.5, rel=0.05)
