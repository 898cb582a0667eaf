"""Divergences that use the context, on a conjugate Gaussian model whose inverse is known in closed form.

z is N(0, 1), x given z is N(z, 0.36), and q(z | x) is N(a x + b, s²). The posterior is N(c x, τ²).
"""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Normal
from torch.nn.functional import softplus

from ampbench.errors import UsageError
from ampbench.interfaces import Divergence, Tuples
from ampbench.interfaces.tuples import Densities
from ampbench.seeding import seeded
from ampbench_divergences.blend import Blend, Pair
from ampbench_divergences.energy import Energy
from ampbench_divergences.forward_kl import ForwardKL
from ampbench_divergences.kl_likelihood import KLLikelihood, WithLikelihood
from ampbench_divergences.kl_ratio import KLRatio, Ratios
from ampbench_divergences.riesz import Riesz, subsets

NOISE = 0.6
X_VARIANCE = 1 + NOISE**2
C, TAU = 1 / X_VARIANCE, NOISE / X_VARIANCE**0.5
Q = torch.tensor([0.6, 0.4, 0.6])
"""a, b, s."""

POSTERIOR = torch.tensor([C, 0.0, TAU])


class GaussianDensities(Densities):
    """The densities of the model and of q."""

    def __init__(self, parameters: Tensor) -> None:
        self.a, self.b, self.s = parameters

    def family(self, tuples: Tuples) -> Tensor:
        return Normal(self.a * tuples.context + self.b, self.s).log_prob(tuples.variable).squeeze(-1)

    def likelihood(self, tuples: Tuples) -> Tensor:
        return Normal(tuples.variable, NOISE).log_prob(tuples.context).squeeze(-1)


class LatentRatio(nn.Module):
    """d_z = log p(z) − log q(z | x) for given a, b, s."""

    def __init__(self, parameters: Tensor) -> None:
        super().__init__()
        self.densities = GaussianDensities(parameters)

    def forward(self, tuples: Tuples) -> Tensor:
        return Normal(0, 1).log_prob(tuples.variable).squeeze(-1) - self.densities.family(tuples)


class EvidenceRatio(nn.Module):
    """d_x = log p(x | z) − log p(x)."""

    def forward(self, tuples: Tuples) -> Tensor:
        return GaussianDensities(Q).likelihood(tuples) - Normal(0, X_VARIANCE**0.5).log_prob(tuples.context).squeeze(-1)


def chains(parameters: Tensor, rows: int, particles: int = 1, even: bool = False) -> tuple[Tuples, Tuples]:
    """Return p and q, from random points, or from a scrambled Sobol sequence if ``even``."""
    noise = torch.randn(rows, 2 + particles)
    if even:
        points = torch.quasirandom.SobolEngine(2 + particles, scramble=True, seed=0).draw(rows).double()
        noise = torch.special.ndtri(points.clamp(1e-9, 1 - 1e-9)).float()
    densities = GaussianDensities(parameters)
    z, x = noise[:, :1], noise[:, :1] + NOISE * noise[:, 1:2]
    drawn = densities.a * x + densities.b + densities.s * noise[:, 2:].T[..., None]  # (L, B, 1)
    return Tuples(z, x, densities), Tuples(drawn, x.expand_as(drawn), densities)


def squared_bias(parameters: Tensor) -> Tensor:
    """Return the mean squared distance between the means of q and of the posterior."""
    a, b, _ = parameters
    return (a - C) ** 2 * X_VARIANCE + b**2


def reverse_kl(parameters: Tensor) -> Tensor:
    s = parameters[2]
    return torch.log(TAU / s) + (s**2 + squared_bias(parameters)) / (2 * TAU**2) - 0.5


def entropy(variance: float) -> float:
    return 0.5 * math.log(2 * math.pi * math.e * variance)


def cross_entropy(parameters: Tensor) -> Tensor:
    """−E_p[log q(z | x)]."""
    s = parameters[2]
    return torch.log(s) + (TAU**2 + squared_bias(parameters)) / (2 * s**2) + 0.5 * math.log(2 * math.pi)


def energy_score(parameters: Tensor) -> Tensor:
    """E|z − z*| − ½ E|z − z′|, from the mean of a folded Gaussian."""
    _, b, s = parameters
    sigma = (squared_bias(parameters) - b**2 + s**2 + TAU**2).sqrt()
    distance = sigma * math.sqrt(2 / math.pi) * torch.exp(-(b**2) / (2 * sigma**2))
    return distance + b * torch.erf(b / (sigma * math.sqrt(2))) - s / math.sqrt(math.pi)


def power_score(beta: float, softening: float) -> Callable[[Tensor], Tensor]:
    """E k(z, z*) − ½ E k(z, z′) for k(d) = (d² + s²)^(β/2), by the trapezoidal rule over the Gaussian distances d."""
    grid = torch.linspace(-9, 9, 20001)

    def expected(mean: Tensor, variance: Tensor) -> Tensor:
        kernel = ((mean + variance.sqrt() * grid).square() + softening**2) ** (beta / 2)
        return torch.trapezoid(kernel * Normal(0, 1).log_prob(grid).exp(), grid)

    def score(parameters: Tensor) -> Tensor:
        _, b, s = parameters
        return expected(b, squared_bias(parameters) - b**2 + s**2 + TAU**2) - expected(0 * b, 2 * s**2) / 2

    return score


def paper_form(parameters: Tensor) -> Tensor:
    """−E_q[log D_x] − E_q[d_z] with the adversaries held at their optimum, by Gauss-Hermite quadrature."""
    import numpy as np

    nodes, weights = (torch.tensor(array).float() for array in np.polynomial.hermite_e.hermegauss(60))
    x, noise = X_VARIANCE**0.5 * nodes[:, None], nodes[None, :]
    a, b, s = parameters
    x, z = torch.broadcast_tensors(x, a * x + b + s * noise)
    q = Tuples(z[..., None], x[..., None])
    integrand = softplus(-EvidenceRatio()(q)) - LatentRatio(parameters.detach())(q)
    return (weights[:, None] * weights * integrand).sum() / (2 * math.pi)


CASES = {
    "kl-likelihood": (KLLikelihood(width=32, depth=1), lambda at: reverse_kl(at) + entropy(X_VARIANCE)),
    "kl-ratio": (KLRatio(width=32, depth=1), reverse_kl),
    "kl-ratio paper": (KLRatio(form="paper", width=32, depth=1), paper_form),
    "blend": (
        Blend(KLLikelihood(width=32, depth=1), KLRatio(width=32, depth=1), weight=0.3),
        lambda at: reverse_kl(at) + 0.3 * entropy(X_VARIANCE),
    ),
    "forward-kl": (ForwardKL(), cross_entropy),
    "energy": (Energy(), energy_score),
    "energy rough": (Energy(beta=0.5), power_score(0.5, 1e-6)),
    "riesz": (Riesz(), lambda at: power_score(0.6, 0.01)(at) / 0.6),
    "riesz soft": (Riesz(margin=0.3, softening=0.5), lambda at: power_score(0.8, 0.5)(at) / 0.8),
}


def optimal(divergence: Divergence, parameters: Tensor) -> nn.Module:
    """The optimal adversary at given parameters of q."""
    latent = LatentRatio(parameters)
    known, learned = WithLikelihood(latent), Ratios(EvidenceRatio(), latent)
    if isinstance(divergence, Blend):
        return Pair(known, learned)
    return learned if isinstance(divergence, KLRatio) else known


def check(name: str, adversary: nn.Module) -> None:
    """Check the value within 2 %, and the gradient within 5 % of the norm of the exact gradient."""
    divergence, exact = CASES[name]
    parameters = Q.clone().requires_grad_(True)
    p, q = chains(parameters, 2**17, particles=2, even=True)
    loss, wanted = divergence.family_loss(adversary, p, q), exact(parameters)
    (gradient,), (slope,) = (torch.autograd.grad(value, parameters) for value in (loss, wanted))
    error = (gradient - slope).norm() / slope.norm()
    print(f"{name}: value {loss.item() / wanted.item() - 1:+.2%}, gradient {error:.2%}")
    assert loss.item() == pytest.approx(wanted.item(), rel=0.02)
    assert error < 0.05


@pytest.mark.parametrize("name", CASES)
def test_optimal_adversary(name: str) -> None:
    check(name, optimal(CASES[name][0], Q))


def test_trained_adversary_with_a_known_likelihood() -> None:
    with seeded(0):
        check("kl-likelihood", trained(CASES["kl-likelihood"][0], steps=300, rows=2000))


@pytest.mark.slow
def test_trained_adversaries_with_a_learned_ratio() -> None:
    """Both forms train equal adversaries. Where q is far from p, d_x is inaccurate, because p has few samples there.

    With a = 0.5 and s = 0.8 instead, the value is 5 % and the gradient 9 % off after the same training.
    """
    with seeded(0):
        adversary = trained(CASES["kl-ratio"][0], steps=1500, rows=8000)
    check("kl-ratio", adversary)
    check("kl-ratio paper", adversary)


def test_the_adversaries_of_a_blend_are_trained_in_full() -> None:
    """The adversary's loss is the sum of both, whatever the weight."""
    first, second = KLLikelihood(width=8, depth=1), KLRatio(width=8, depth=1)
    blend, sides = Blend(first, second, weight=0.3), chains(Q, 100)
    adversary = blend.adversary(2)
    both = first.adversary_loss(adversary.first, *sides) + second.adversary_loss(adversary.second, *sides)
    assert blend.adversary_loss(adversary, *sides).item() == pytest.approx(both.item())


def trained(divergence: Divergence, steps: int, rows: int) -> nn.Module:
    """Train the divergence's own adversary on fresh samples."""
    adversary = divergence.adversary(2)
    adam = torch.optim.Adam(adversary.parameters(), 5e-3)
    decay = torch.optim.lr_scheduler.CosineAnnealingLR(adam, steps)
    for _ in range(steps):
        adam.zero_grad()
        divergence.adversary_loss(adversary, *chains(Q, rows)).backward()
        adam.step()
        decay.step()
    return adversary


def gradient_at_the_posterior(divergence: Divergence) -> Tensor:
    parameters = POSTERIOR.clone().requires_grad_(True)
    loss = divergence.family_loss(optimal(divergence, POSTERIOR), *chains(parameters, 2**16, 2, even=True))
    return torch.autograd.grad(loss, parameters)[0]


@pytest.mark.parametrize("name", ["kl-likelihood", "kl-ratio", "blend", "forward-kl", "energy"])
def test_the_posterior_is_a_fixed_point(name: str) -> None:
    assert gradient_at_the_posterior(CASES[name][0]).abs().max() < 0.01


def test_the_fixed_point_of_the_papers_form_is_wider() -> None:
    """At the posterior, the gradient increases the width, and moves means towards the prior mean."""
    a, _, s = gradient_at_the_posterior(KLRatio(form="paper")).tolist()
    assert s < -0.1
    assert a > 0.1


def test_the_adversary_is_the_log_ratio_of_the_tuple() -> None:
    """d_x + d_z = log p(z | x) − log q(z | x), on which the engine's penalty acts, is 0 at the posterior."""
    _, q = chains(POSTERIOR, 1000)
    assert Ratios(EvidenceRatio(), LatentRatio(POSTERIOR))(q).abs().max() < 1e-4
    up_to_the_evidence = (
        WithLikelihood(LatentRatio(POSTERIOR))(q) - Normal(0, X_VARIANCE**0.5).log_prob(q.context)[..., 0]
    )
    assert up_to_the_evidence.abs().max() < 1e-4


def test_no_gradient_through_an_inferred_context() -> None:
    """z₂ | z₁ in a chain: if q(z₂ | z₁) is exact, the loss has no gradient in q(z₁), for any q(z₁) (kl-likelihood)."""
    shift = torch.tensor(0.8, requires_grad=True)
    densities = GaussianDensities(POSTERIOR)
    inner = shift + torch.randn(1, 20_000, 1)
    drawn = C * inner + TAU * torch.randn(1, 20_000, 1)
    loss = KLLikelihood().family_loss(
        WithLikelihood(LatentRatio(POSTERIOR)),
        Tuples(torch.randn(20_000, 1), inner[0].detach()),
        Tuples(drawn, inner, densities),
    )
    (slope,) = torch.autograd.grad(loss, shift)
    assert slope.abs() < 0.01


def test_prior_draws_are_paired_with_contexts_of_other_rows() -> None:
    """Each z of the prior is paired with the context of another row of q, in every particle."""
    seen = []

    class Spy(nn.Module):
        def forward(self, tuples: Tuples) -> Tensor:
            seen.append(tuples)
            return tuples.joint.sum(-1)

    p = Tuples(torch.arange(4.0)[:, None], torch.arange(4.0)[:, None])
    q = Tuples(torch.randn(2, 4, 1), torch.stack([torch.arange(4.0), torch.arange(4.0) + 10])[..., None])
    KLLikelihood().adversary_loss(WithLikelihood(Spy()), p, q)
    prior = seen[0]
    assert prior.variable.squeeze(-1).tolist() == [[0, 1, 2, 3]] * 2
    assert prior.context.squeeze(-1).tolist() == [[3, 0, 1, 2], [13, 10, 11, 12]]


def test_energy_compares_inferred_contexts_and_variables_jointly() -> None:
    """If particles differ in their context, distances are between whole tuples."""
    p = Tuples(torch.zeros(1, 1), torch.zeros(1, 1))
    q = Tuples(torch.tensor([[[3.0]], [[0.0]]]), torch.tensor([[[4.0]], [[0.0]]]))
    assert Energy().family_loss(nn.Identity(), p, q).item() == pytest.approx(5 / 2 - 5 / 2, abs=1e-5)


def test_riesz_ignores_evidence_and_mixes_marginals() -> None:
    """Only inferred components count: one, at distance 3, with a hundred components of shared context."""
    p = Tuples(torch.zeros(4, 1), torch.ones(4, 100))
    q = Tuples(torch.full((2, 4, 1), 3.0), torch.ones(2, 4, 100))
    assert Riesz(softening=1e-6).family_loss(nn.Identity(), p, q).item() == pytest.approx(3**0.6 / 0.6, rel=1e-3)
    exact = Tuples(p.variable.expand(2, -1, -1), q.context)
    assert torch.isfinite(Riesz().family_loss(nn.Identity(), p, exact)), "no component differs"
    chosen = subsets(4000, 3, torch.device("cpu"))
    assert bool((chosen[::2] == 1).all())
    sizes, counts = chosen[1::2].sum(1).unique(return_counts=True)
    assert sizes.tolist() == [1, 2, 3]
    assert torch.allclose(counts / 2000, torch.full((3,), 1 / 3), atol=0.05)
    assert torch.allclose(chosen[1::2].mean(0), torch.full((3,), 2 / 3), atol=0.05)


def test_a_blend_passes_errors_on() -> None:
    p, q = (Tuples(side.variable, side.context) for side in chains(Q, 8, 2))
    blend = Blend(KLLikelihood(width=8, depth=1), KLRatio(width=8, depth=1))
    with pytest.raises(UsageError, match="likelihood cannot be evaluated"):
        blend.family_loss(blend.adversary(2), p, q)
