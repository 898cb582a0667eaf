"""Conformance of the built-in divergences, and their errors; test_divergences_*.py test their values."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from ampbench.errors import UsageError
from ampbench.interfaces import Divergence, Tuples
from ampbench.networks import gradient_penalty, loss_and_penalty
from ampbench.registry import Registry
from ampbench.seeding import seeded
from ampbench.testing import DivergenceConformance
from ampbench_divergences.blend import Blend
from ampbench_divergences.energy import Energy
from ampbench_divergences.f_divergence import FDivergence
from ampbench_divergences.f_kl import FKL
from ampbench_divergences.forward_kl import ForwardKL
from ampbench_divergences.hellinger import Hellinger
from ampbench_divergences.jeffreys import Jeffreys
from ampbench_divergences.jsd import JSD
from ampbench_divergences.kl import KL
from ampbench_divergences.kl_likelihood import KLLikelihood
from ampbench_divergences.kl_ratio import KLRatio
from ampbench_divergences.mmd import MMD
from ampbench_divergences.pearson import Pearson
from ampbench_divergences.riesz import Riesz
from ampbench_divergences.total_variation import TotalVariation
from ampbench_divergences.wasserstein import Wasserstein

F_DIVERGENCES = [FKL, Pearson, Hellinger, Jeffreys, TotalVariation]

FACTORIES = {
    "jsd": lambda: JSD(width=32, depth=1),
    "jsd saturating": lambda: JSD(saturating=True, width=32, depth=1),
    "kl": lambda: KL(width=32, depth=1),
    "kl-likelihood": lambda: KLLikelihood(width=32, depth=1),
    "kl-ratio": lambda: KLRatio(width=32, depth=1),
    "kl-ratio paper": lambda: KLRatio(form="paper", width=32, depth=1),
    "blend": lambda: Blend(KLLikelihood(width=32, depth=1), KLRatio(width=32, depth=1)),
    "blend with no adversary": lambda: Blend(MMD(), ForwardKL(), weight=0.3),
    "mmd": lambda: MMD(),
    "mmd features": lambda: MMD(features=3, width=32, depth=1),
    "f-kl": lambda: FKL(width=32, depth=1),
    "pearson": lambda: Pearson(width=32, depth=1),
    "hellinger": lambda: Hellinger(width=32, depth=1),
    "jeffreys": lambda: Jeffreys(width=32, depth=1),
    "total-variation": lambda: TotalVariation(width=32, depth=1),
    "wasserstein": lambda: Wasserstein(width=32, depth=1),
    "energy": lambda: Energy(),
    "energy rough": lambda: Energy(beta=0.5),
    "riesz": lambda: Riesz(),
    "forward-kl": lambda: ForwardKL(),
}


@pytest.mark.parametrize("name", FACTORIES)
class TestConformance(DivergenceConformance):
    @pytest.fixture(autouse=True)
    def _choose(self, name: str) -> None:
        self.name = name
        self.rows = 64 if name == "mmd features" else 256  # its cost is quadratic

    def make(self) -> Divergence:
        return FACTORIES[self.name]()

    def test_gradient_penalty(self) -> None:
        """The engine's penalty accepts the outputs of each adversary, and has a gradient in its weights."""
        with seeded(0):
            adversary = self.make().adversary(3)
            penalty = gradient_penalty(adversary, *self.sides(torch.zeros(())))
        assert penalty.shape == ()
        assert bool(penalty > 0) == bool(list(adversary.parameters()))
        if penalty > 0:
            weights = torch.autograd.grad(penalty, list(adversary.parameters()), allow_unused=True)
            assert any(bool(weight.any()) for weight in weights if weight is not None)

    def test_loss_and_penalty_from_one_pass(self) -> None:
        """The values and gradients of two passes."""
        divergence = self.make()
        with seeded(0):
            adversary, (p, q) = divergence.adversary(3), self.sides(torch.zeros(()))
        weights = list(adversary.parameters())
        found = []
        for one_pass in (True, False):
            with seeded(1):
                if one_pass:
                    loss, penalty = loss_and_penalty(divergence.adversary_loss, adversary, p, q)
                else:
                    loss = divergence.adversary_loss(adversary, p, q)
                    penalty = gradient_penalty(adversary, p, q)
            slopes = torch.autograd.grad(loss + penalty, weights, allow_unused=True) if weights else ()
            found.append([loss, penalty, *(slope for slope in slopes if slope is not None)])
        for once, twice in zip(*found, strict=True):
            torch.testing.assert_close(once, twice)


def test_every_registered_divergence_is_tested(registry: Registry) -> None:
    built_in = {n for n, entry in registry.entries("divergences").items() if entry.plugin.name != "le_cam"}
    assert built_in == {name.partition(" ")[0] for name in FACTORIES}


def test_specs(registry: Registry) -> None:
    blend = registry.build("divergences", "blend:first=(jsd),second=mmd(features=4),weight=0.3")
    assert (type(blend.first), blend.second.features, blend.weight) == (JSD, 4, 0.3)
    default = registry.resolve("divergences", "blend")
    assert dict(default.options)["first"].startswith("kl-likelihood")
    assert registry.build("divergences", "kl-ratio:form=paper").form == "paper"
    with pytest.raises(UsageError, match="'form' of divergence 'kl-ratio' cannot be 'papers'"):
        registry.build("divergences", "kl-ratio:form=papers")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: MMD(bandwidths=0), "bandwidths of at least 1, got bandwidths=0"),
        (lambda: MMD(features=-1), "features of at least 0, got features=-1"),
        (lambda: FKL(limit=0), "FKL needs limit above 0 and finite, got limit=0"),
        (lambda: Wasserstein(lipschitz=0), "Wasserstein needs lipschitz above 0 and finite, got lipschitz=0"),
        (lambda: KL(width=0), "KL needs width of at least 1, got width=0"),
        (lambda: Energy(beta=2), "0 < beta < 2, got beta=2"),
        (lambda: Riesz(margin=0), "Riesz needs margin above 0 and below 1, got margin=0"),
        (lambda: Blend(JSD(), KL(), weight=1.5), "between 0 and 1, got 1.5"),
    ],
)
def test_impossible_options(make: object, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        make()


@pytest.mark.parametrize("divergence", [Energy(), Riesz()])
@pytest.mark.parametrize("shape", [(8, 1), (1, 8, 1)])
def test_scores_need_two_particles(divergence: Divergence, shape: tuple[int, ...]) -> None:
    p, q = Tuples(torch.zeros(8, 1), torch.zeros(8, 2)), Tuples(torch.zeros(shape), torch.zeros(*shape[:-1], 2))
    with pytest.raises(UsageError, match=r"at least 2 particles per item of evidence, got 1; set particles=2"):
        divergence.family_loss(nn.Identity(), p, q)


@pytest.mark.parametrize("divergence", [ForwardKL(), KLLikelihood(width=8, depth=1)])
def test_unknown_densities(divergence: Divergence) -> None:
    """If a divergence needs an unknown density, the error of the tuples is raised."""
    tuples = Tuples(torch.zeros(8, 1), torch.zeros(8, 2))
    with pytest.raises(UsageError, match="cannot be evaluated"):
        divergence.family_loss(divergence.adversary(3), tuples, tuples)


@pytest.mark.parametrize("make", F_DIVERGENCES)
def test_adversaries_of_f_divergences_are_limited(make: type[FDivergence]) -> None:
    """For large outputs of the network, log-ratios stay within the limit, and have a gradient."""
    divergence = make(width=8, depth=1, limit=5.0)
    adversary = divergence.adversary(1)
    nn.init.constant_(adversary.adversary.network.last.bias, 8.0)
    tuples = Tuples(torch.zeros(4, 1), torch.zeros(4, 0))
    assert bool((adversary(tuples) > 4).all())
    assert bool((adversary(tuples) < 5).all())
    loss = divergence.adversary_loss(adversary, tuples, tuples)
    (slope,) = torch.autograd.grad(loss, adversary.adversary.network.last.bias)
    assert torch.isfinite(loss)
    assert slope > 0 or make is TotalVariation  # its two terms cancel for equal tuples of p and q


@pytest.mark.parametrize("make", F_DIVERGENCES)
def test_no_divergence_between_equal_sides(make: type[FDivergence]) -> None:
    """For p = q, the bound is 0 at log-ratio 0, and at most 0 at any other constant."""
    divergence = make()
    for level in (-2.0, -0.3, 0.0, 0.3, 2.0):
        d = torch.tensor(level)
        bound = (divergence.output(d) - divergence.conjugate(d)).item()
        assert bound == 0 if level == 0 else bound <= 0


def test_penalty_of_several_outputs_is_the_sum_of_theirs() -> None:
    """For linear features h(t) = W t, the penalty of each chain is half the squared norm of W."""

    class Linear(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.tensor([[1.0, 0.5], [-2.0, 1.0], [0.3, 0.0]]))

        def forward(self, tuples: Tuples) -> Tensor:
            return tuples.joint @ self.weight.T

    features = Linear()
    side = Tuples(torch.zeros(40_000, 1), torch.zeros(40_000, 1))
    with seeded(0):
        penalty = gradient_penalty(features, side, side)
    assert penalty.item() == pytest.approx(features.weight.square().sum().item(), rel=0.02)


def test_forms_of_the_jensen_shannon_loss_share_their_fixed_point() -> None:
    """For a nearly constant adversary, both forms have equal gradients in q and in p."""

    class Linear(nn.Module):
        def forward(self, tuples: Tuples) -> Tensor:
            return 1e-3 * tuples.variable.squeeze(-1)

    slopes = []
    for saturating in (False, True):
        of_p, of_q = torch.zeros(2, requires_grad=True)
        with seeded(0):
            empty = torch.zeros(1000, 0)
            p, q = (Tuples(shift + torch.randn(1000, 1), empty) for shift in (of_p, of_q))
            loss = JSD(saturating).family_loss(Linear(), p, q)
        slopes.append(torch.stack(torch.autograd.grad(loss, [of_p, of_q])))
    assert torch.allclose(slopes[0], slopes[1], rtol=0.01)
    assert slopes[0][1] < 0 < slopes[0][0]
