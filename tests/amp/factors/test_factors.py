"""Learned factors against known densities, their use by the inverse, and what is left aside."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.distributions import Independent, Normal, constraints

from ampbench import registry
from ampbench.amp.factors import LearnedFactors
from ampbench.amp.factors.fitting import black_boxes, learn_factor
from ampbench.amp.factors.method import Served
from ampbench.amp.factors.posterior import DRAWS, FactorPosterior, Stacking, posterior_of
from ampbench.amp.factors.reweighting import Reweighting, effective_share
from ampbench.amp.factors.stack import reweighting_of
from ampbench.amp.factors.surrogate import surrogate, with_densities
from ampbench.amp.method import AMP
from ampbench.amp.posterior import AMPDensity, AMPPosterior
from ampbench.amp.refinement import CANDIDATES_PER_DRAW
from ampbench.errors import FitWarning, UsageError
from ampbench.graph import Graph, Simulator, density, simulator
from ampbench.interfaces import Family, HasDensity, fit, rebuild, silent
from ampbench.seeding import seeded
from ampbench.testing import MethodConformance
from ampbench_families.bernoulli import Bernoulli
from ampbench_families.flow import Flow
from ampbench_families.gaussian import Gaussian
from ampbench_families.implicit import Implicit
from ampbench_families.maf import MaskedAutoregressive
from ampbench_families.mixture import Mixture

PRIOR = Independent(Normal(torch.zeros(2), torch.ones(2)), 1)
CPU = torch.device("cpu")
NOISE = 0.5
SMALL = Gaussian(width=32, depth=1)


def noisy(theta: Tensor) -> Tensor:
    return 2 * theta + NOISE * torch.randn_like(theta)


def linear() -> Graph:
    """theta ~ N(0, I), x ~ N(2 theta, 0.25 I): the posterior is N(8 x / 17, I / 17)."""
    return Graph(density("theta", PRIOR), simulator("x", noisy, ["theta"], size=2))


def known() -> Graph:
    """The model :func:`linear`, with its density."""
    return Graph(
        density("theta", PRIOR), density("x", lambda theta: Independent(Normal(2 * theta, NOISE), 1), ["theta"])
    )


def amp(family: object = SMALL, steps: int = 300) -> AMP:
    divergence = registry.load().build("divergences", "forward-kl")
    return AMP(divergence, family, steps=steps)  # type: ignore[arg-type]


def learned(**options: object) -> LearnedFactors:
    given: dict[str, object] = {"amp": amp(), "factors": SMALL, "draws": 2000}
    return LearnedFactors(**(given | options))  # type: ignore[arg-type]


def settings(steps: int = 300) -> object:
    return amp(steps=steps).settings


class TestLearnedFactors(MethodConformance):
    least = 10

    def make(self) -> LearnedFactors:
        return learned(amp=amp(steps=20), draws=200)


@pytest.mark.parametrize("family", [SMALL, MaskedAutoregressive(transforms=2, width=16)])
def test_a_factor_is_near_the_true_density(family: Family) -> None:
    """The held-out Kullback-Leibler divergence, which is known here, is small."""
    graph = linear()
    with seeded(0):
        values = Simulator(graph, ["x"], 2000, seed=0).sample(2000)
        (factor,) = black_boxes(graph)
        found = learn_factor(factor, graph, values, {"": family}, settings(500), CPU, silent)  # type: ignore[arg-type]
        model = surrogate(graph, [found])
        fresh = Simulator(graph, ["x"], 2000, seed=1).sample(2000)
        truth = Normal(2 * fresh["theta"], NOISE).log_prob(fresh["x"]).sum(1)
        gap = truth - model.log_prob(fresh, ["x"])
    assert float(gap.mean()) + 3 * float(gap.std()) / 2000**0.5 >= 0
    assert float(gap.mean()) < 0.1


def test_the_family_with_the_best_held_out_density_is_kept() -> None:
    """The noise has two modes, which a Gaussian does not have."""
    graph = Graph(
        density("theta", PRIOR),
        simulator("x", lambda t: t + torch.randint_like(t, 2) * 4 - 2 + 0.1 * torch.randn_like(t), ["theta"], size=2),
    )
    posterior = fit(
        learned(amp=amp(steps=300), alternatives={"mixture": Mixture(components=4, width=32, depth=1)}),
        Simulator(graph, ["x"], 1000, seed=0),
    )
    assert isinstance(posterior, FactorPosterior)
    (factor,) = posterior.factors
    assert factor.label == "mixture"
    assert factor.scores["mixture"] < factor.scores["factors"] - 0.3


def test_draws_of_the_surrogate_are_those_of_the_simulator() -> None:
    graph = linear()
    with seeded(0):
        values = Simulator(graph, ["x"], 2000, seed=0).sample(2000)
        (factor,) = black_boxes(graph)
        found = learn_factor(factor, graph, values, {"": SMALL}, settings(500), CPU, silent)  # type: ignore[arg-type]
        drawn = surrogate(graph, [found]).sample(5000)
    assert drawn["x"].shape == (5000, 2)
    assert bool((drawn["x"] >= values["x"].amin(0)).all() and (drawn["x"] <= values["x"].amax(0)).all())
    noise = drawn["x"] - 2 * drawn["theta"]
    assert noise.std(0).tolist() == pytest.approx([NOISE, NOISE], rel=0.1)
    assert drawn["theta"].std(0).tolist() == pytest.approx([1, 1], rel=0.1)


def test_draws_are_within_the_limits_and_the_prior_is_kept() -> None:
    """Limits that leave out most draws change the values of x, and no value of theta."""
    graph = linear()
    with seeded(0):
        values = Simulator(graph, ["x"], 500, seed=0).sample(500)
        (factor,) = black_boxes(graph)
        found = learn_factor(factor, graph, values, {"": SMALL}, settings(500), CPU, silent)  # type: ignore[arg-type]
        narrow = replace(found, limits=(torch.full((2,), -0.5), torch.full((2,), 0.5)))
        drawn = surrogate(graph, [narrow]).sample(2000)
    assert float(drawn["x"].abs().max()) <= 0.5
    assert drawn["theta"].std(0).tolist() == pytest.approx([1, 1], rel=0.1)
    inside = ((drawn["theta"].abs() < 0.2).all(1)).nonzero()[:, 0]
    assert float((drawn["x"][inside].abs() == 0.5).float().mean()) < 0.05, "new draws, where there are some inside"


def test_a_factor_sees_its_own_parents_only() -> None:
    """Two black boxes of a graph are learned apart."""
    graph = Graph(
        density("z", PRIOR),
        simulator("a", noisy, ["z"], size=2),
        simulator("b", lambda a: a.sum(1, keepdim=True) + torch.randn(len(a), 1), ["a"], size=1),
    )
    posterior = fit(learned(amp=amp(steps=20)), Simulator(graph, ["b"], 300, seed=0))
    assert isinstance(posterior, FactorPosterior)
    assert [str(each.factor) for each in posterior.factors] == ["(a | z)", "(b | a)"]
    assert [set(each.coordinates) for each in posterior.factors] == [{"a", "z"}, {"a", "b"}]
    with seeded(0):
        assert posterior.sample(torch.tensor([0.5]), 5).shape == (5, 4)
    assert posterior.diagnose()["tuple"].tolist()[-2:] == ["(a | z)", "(b | a)"]


def test_weights_correct_a_poor_proposal() -> None:
    """With the exact density in the place of the surrogate, draws of a hasty inverse become draws of the posterior."""
    graph = linear()
    with seeded(0):
        proposal = fit(amp(Gaussian(width=8, depth=0), steps=300), Simulator(graph, ["x"], 1000, seed=0))
    assert isinstance(proposal, AMPDensity)
    weights = Reweighting([proposal], known(), {"theta": 2}, {"x": 2})
    x = torch.tensor([1.0, -2.0])
    mean, sd = 8 * x / 17, 17**-0.5
    with seeded(0):
        before, after = proposal.sample(x, 4000), weights.sample(x, 4000)
        share = effective_share(weights.log_weights(proposal.sample(x, 4000), x.expand(4000, 2)))
        theta = mean + sd * torch.randn(400, 2)
        estimated = weights.log_prob(theta, x.expand(400, 2))
    drawn = (before, after)
    error = [float(((each.mean(0) - mean) / sd).abs().max() + (each.std(0) / sd - 1).abs().max()) for each in drawn]
    assert error[0] > 1, "the proposal is poor"
    assert error[1] < 0.15
    assert 1 / CANDIDATES_PER_DRAW < share < 0.3, "there are enough candidates, and not many more"
    truth = Normal(mean, sd).log_prob(theta).sum(1)
    assert float((estimated - truth).mean()) == pytest.approx(0, abs=0.1), "the evidence is that of 256 draws"


def test_the_mixture_has_the_best_score() -> None:
    posterior = fit(learned(amp=amp(steps=20)), Simulator(linear(), ["x"], 200, seed=0))
    assert isinstance(posterior, FactorPosterior)
    stacking = posterior.stacking
    assert set(stacking.scores) == {"simulations", "draws", "resampled", "stacked"}
    assert min(stacking.scores, key=lambda label: stacking.scores[label]) == "stacked"
    assert sum(stacking.weights.values()) == pytest.approx(1)
    assert set(stacking.weights) <= {"simulations", "draws", "resampled"}


def mixture(weights: dict[str, float]) -> FactorPosterior:
    """Return a mixture of two short trainings, with these weights."""
    method = learned(amp=amp(steps=20))
    source = Simulator(linear(), ["x"], 200, seed=0)
    first, second = fit(method.amp, source.renewed(1)), fit(method.amp, source.renewed(2))
    assert isinstance(first, AMPPosterior)
    assert isinstance(second, AMPPosterior)
    inverses = {"simulations": first, "draws": second}
    return posterior_of(inverses, (), Stacking(weights, {}, 0), reweighting_of(inverses, known(), source))


@pytest.mark.parametrize("weights", [{"simulations": 0.25, "draws": 0.75}, {"draws": 1.0}, {"resampled": 1.0}])
def test_a_mixture_has_what_its_parts_need(weights: dict[str, float]) -> None:
    made = mixture(weights)
    assert set(made.inverses) == (set(weights) if "resampled" not in weights else {"simulations", "draws"})
    assert isinstance(made, HasDensity) == ("resampled" not in weights)
    with seeded(0):
        assert made.sample(torch.zeros(2), 101).shape == (101, 2)


def test_the_density_of_a_mixture_is_one_in_all() -> None:
    made = mixture({"simulations": 0.4, "draws": 0.6})
    assert isinstance(made, HasDensity)
    line = torch.linspace(-8, 8, 321)
    grid = torch.cartesian_prod(line, line)
    assert float(made.log_prob(grid, torch.zeros(len(grid), 2)).exp().sum() * 0.05**2) == pytest.approx(1, abs=1e-3)


def test_the_draws_of_a_mixture_have_its_density() -> None:
    """The mean of a function of the draws is its integral."""
    made = mixture({"simulations": 0.4, "draws": 0.6})
    means = [each.sample(torch.ones(2), 20_000).mean(0) for each in made.inverses.values()]
    with seeded(0):
        drawn = made.sample(torch.ones(2), 20_000)
    assert torch.allclose(drawn.mean(0), 0.4 * means[0] + 0.6 * means[1], atol=0.05)
    assert abs(float(torch.corrcoef(torch.stack([drawn[1:, 0], drawn[:-1, 0]]))[0, 1])) < 0.05, "in random order"


def test_a_factor_that_its_family_cannot_describe_is_left_aside() -> None:
    """x is ± theta, which no Gaussian describes; the inverse is trained on simulations, and its draws are kept."""

    def either(theta: Tensor) -> Tensor:
        return (torch.randint(0, 2, (len(theta), 1)) * 2 - 1) * theta + 0.1 * torch.randn_like(theta)

    graph = Graph(density("theta", PRIOR), simulator("x", either, ["theta"], size=2))
    posterior = fit(learned(amp=amp(Flow(width=16, transforms=1), steps=400)), Simulator(graph, ["x"], 1000, seed=0))
    assert isinstance(posterior, FactorPosterior)
    assert posterior.stacking.weights["simulations"] > 0.8
    fresh = Simulator(graph, ["x"], 1000, seed=1).sample(1000)
    verdict = posterior.diagnose(fresh).set_index("tuple")
    assert float(verdict.loc["(x | theta)", "p_value"]) < 0.01


def test_without_a_density_nothing_is_resampled() -> None:
    method = learned(amp=AMP(registry.load().build("divergences", "jsd"), Implicit(width=16, depth=1), steps=20))
    posterior = fit(method, Simulator(linear(), ["x"], 200, seed=0))
    assert isinstance(posterior, FactorPosterior)
    assert set(posterior.stacking.scores) == {"simulations", "draws", "stacked"}
    assert min(posterior.stacking.scores.values()) == posterior.stacking.scores["stacked"]
    assert posterior.effective_share(torch.zeros(2)) == 1.0


def test_the_learned_likelihood_has_a_gradient() -> None:
    """That of log N(x; 2 theta, 0.25 I) in theta is 8 (x - 2 theta)."""
    graph = linear()
    with seeded(0):
        values = Simulator(graph, ["x"], 2000, seed=0).sample(2000)
        (factor,) = black_boxes(graph)
        found = learn_factor(factor, graph, values, {"": SMALL}, settings(500), CPU, silent)  # type: ignore[arg-type]
    model = with_densities(surrogate(graph, [found]))
    assert not model.learned(), "training leaves its parameters as they are"
    theta = values["theta"].clone().requires_grad_(True)
    (slope,) = torch.autograd.grad(model.log_prob(values | {"theta": theta}, ["x"]).sum(), theta)
    truth = 8 * (values["x"] - 2 * values["theta"])
    assert float((slope - truth).square().mean()) < 0.1 * float(truth.square().mean())


def test_a_divergence_takes_the_learned_likelihood() -> None:
    """kl-likelihood cannot be trained on simulations, since the black box has no likelihood."""
    divergence = registry.load().build("divergences", "kl-likelihood(width=8,depth=1)")
    method, source = learned(amp=AMP(divergence, SMALL, steps=20)), Simulator(linear(), ["x"], 300, seed=0)
    posterior = fit(method, source)
    assert isinstance(posterior, FactorPosterior)
    assert list(posterior.inverses) == [DRAWS]
    again = rebuild(method, source, posterior.state())
    with seeded(0):
        drawn = posterior.sample(torch.zeros(2), 50)
    with seeded(0):
        assert torch.equal(again.sample(torch.zeros(2), 50), drawn)


def test_draws_are_no_simulations() -> None:
    source = Simulator(linear(), ["x"], 200, seed=0)
    posterior = fit(learned(amp=amp(steps=20)), source)
    assert source.spent == 200
    assert isinstance(posterior, FactorPosterior)
    assert posterior.stacking.draws == 2000


def test_progress_ends_at_its_total() -> None:
    seen: list[tuple[int, int]] = []
    with seeded(0):
        learned(amp=amp(steps=20)).fit(Simulator(linear(), ["x"], 100, 0), CPU, lambda *each: seen.append(each))
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    assert seen[-1] == (60, 60)
    assert {total for _, total in seen} == {60}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"factor": {"y": SMALL}}, "unknown black-box factor 'y'; known: x"),
        ({"factors": Implicit()}, "has no density"),
    ],
)
def test_wrong_options_are_named(options: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        fit(learned(amp=amp(steps=20), **options), Simulator(linear(), ["x"], 100, seed=0))


def test_what_cannot_be_learned_is_named() -> None:
    with pytest.raises(UsageError, match="no black-box factor: theta, x have densities"):
        fit(learned(), Simulator(known(), ["x"], 100, seed=0))
    with pytest.raises(UsageError, match="needs the method 'amp' or 'amp-templates' inside, got Prior"):
        registry.load().build("methods", "amp-learned:amp=prior")
    with pytest.raises(UsageError, match="draws"):
        learned(draws=5)


def test_a_discrete_black_box_is_left_aside() -> None:
    """No family has a density of bits unless an option names one; the inverse trained on simulations is used."""
    bits = Graph(
        density("theta", PRIOR),
        simulator("x", lambda t: (t + torch.randn_like(t) > 0).float(), ["theta"], support=constraints.boolean),
    )
    method, source = learned(amp=amp(steps=20)), Simulator(bits, ["x"], 100, seed=0)
    with pytest.warns(FitWarning, match=r"no density is learned for the black-box factor \(x \| theta\).*discrete"):
        posterior = fit(method, source)
    assert isinstance(posterior, FactorPosterior)
    assert (posterior.factors, posterior.stacking.draws) == ((), 0)
    again = rebuild(method, source, posterior.state())
    x = torch.tensor([1.0, 0.0])
    with seeded(1):
        first = posterior.sample(x, 10)
    with seeded(1):
        assert torch.equal(again.sample(x, 10), first)
    with pytest.raises(UsageError, match=r"black-box factor \(x \| theta\).*discrete"):
        fit(learned(amp=amp(steps=20), factor={"x": SMALL}), source.renewed(1))
    named = fit(learned(amp=amp(steps=20), factor={"x": Bernoulli(width=16, depth=1)}), source.renewed(2))
    assert isinstance(named, FactorPosterior)
    assert [each.label for each in named.factors] == ["factor"]


def test_served_values_are_the_simulations() -> None:
    values = linear().sample(10)
    served = Served(Simulator(linear(), ["x"], 50, seed=3), values)
    assert (served.remaining, served.seed) == (10, 3)
    assert torch.equal(served.sample(10)["x"], values["x"])


def test_the_effective_share_of_equal_weights_is_one() -> None:
    assert effective_share(torch.zeros(10)) == pytest.approx(1)
    assert effective_share(torch.tensor([0.0, -math.inf])) == pytest.approx(0.5)
