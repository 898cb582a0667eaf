"""Evidence ratios of linear Gaussian models, whose evidence is known."""

from __future__ import annotations

import doctest
import math
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.distributions import Independent, MultivariateNormal, Normal, Uniform

from ampbench.errors import GraphError, UsageError
from ampbench.evidence import Candidate, bennett, bennett_ratio, direct_ratio
from ampbench.graph import Graph, Simulator, density, simulator
from ampbench.interfaces import Posterior, fit
from ampbench.registry import Registry
from ampbench.seeding import seeded


class Chain:
    """z2 ~ N(mean, 1), z1 ~ N(z2, 1), x ~ N(z1, noise²): everything about it is known."""

    def __init__(self, mean: float, noise: float = 1.0) -> None:
        self.mean = torch.full((3,), mean)
        rows = torch.tensor([[1.0, 0.0, 0.0], [1.0, 1.0, 0.0], [1.0, 1.0, noise]])  # of (z2, z1, x), from unit noise
        self.covariance = rows @ rows.T
        self.prior = Independent(Normal(torch.full((1,), mean), 1.0), 1)
        self.noise = noise

    def log_evidence(self, x: float) -> float:
        return float(Normal(self.mean[2], self.covariance[2, 2].sqrt()).log_prob(torch.tensor(x)))

    def posterior(self, x: Tensor) -> MultivariateNormal:
        cross, own = self.covariance[:2, 2:], self.covariance[2:, 2:]
        gain = cross / own
        mean = self.mean[:2] + (gain @ (x - self.mean[2:]))
        return MultivariateNormal(mean, self.covariance[:2, :2] - gain @ cross.T)

    def graph(self, black_box: bool = False) -> Graph:
        if black_box:
            last = simulator("x", lambda z1: z1 + self.noise * torch.randn_like(z1), ["z1"], size=1)
        else:
            last = density("x", lambda z1: Independent(Normal(z1, self.noise), 1), ["z1"])
        return Graph(density("z2", self.prior), MIDDLE, last)


MIDDLE = density("z1", lambda z2: Independent(Normal(z2, 1.0), 1), ["z2"])


class Exact(Posterior):
    """The exact posterior of a chain; ``shift`` moves it by so many standard deviations, and it is not exact then."""

    def __init__(self, model: Chain, shift: float = 0.0) -> None:
        self.model = model
        self.shift = shift

    def sample(self, observation: Tensor, n: int) -> Tensor:
        law = self.model.posterior(observation)
        return law.sample((n,)) + self.shift * law.stddev


A, B = Chain(0.0), Chain(1.0, 1.5)


def candidates(black_box: bool, shift: float = 0.0) -> tuple[Candidate, Candidate]:
    a, b = (Candidate(model.graph(black_box), Exact(model, shift)) for model in (A, B))
    return a, b


def exact(x: float) -> float:
    return A.log_evidence(x) - B.log_evidence(x)


def test_bennett_on_normalising_constants() -> None:
    """Of 5 N(0, 1) and N(1, 0.8²): unbiased, with a standard error that is the one seen, one-sided ones as well."""
    p, q = Normal(0.0, 1.0), Normal(1.0, 0.8)
    estimates = []
    with seeded(0):
        for _ in range(300):
            of_p, of_q = p.sample((400,)), q.sample((400,))
            ratios = [(math.log(5) + p.log_prob(z) - q.log_prob(z))[None] for z in (of_p, of_q)]
            estimates.append(bennett(*ratios))
    scores = torch.tensor([(each.value - math.log(5)) / each.error for each in estimates])
    assert abs(float(scores.mean())) < 4 / 300**0.5
    assert 0.85 < float(scores.std()) < 1.15
    grid = torch.linspace(-8, 8, 4001)
    density_p, density_q = p.log_prob(grid).exp(), q.log_prob(grid).exp()
    overlap = float(torch.trapezoid(2 * density_p * density_q / (density_p + density_q), grid))
    assert sum(each.overlap for each in estimates) / 300 == pytest.approx(overlap, abs=0.01)


def test_known_densities_need_no_classifier() -> None:
    """Two of three factors differ, and both have densities: the estimate is exact up to its small standard error."""
    ratio = bennett_ratio(*candidates(black_box=False), ["x"], simulations=20, members=2)
    assert (ratio.evaluated, ratio.learned) == (("z2", "x"), ())
    for x in (-3.0, 0.0, 2.0, 5.0):
        found = ratio(torch.tensor([x]), n=4000)
        assert found.error < 0.05
        for value in (found.value, found.from_a, found.from_b):
            assert value == pytest.approx(exact(x), abs=5 * found.error)
        assert found.value == pytest.approx(exact(x), abs=4 * found.error)


def test_black_boxes_are_compared_by_a_local_classifier() -> None:
    """Only the factor of x is learned, on (x, z1); z2 is evaluated and z1 is shared."""
    ratio = bennett_ratio(*candidates(black_box=True), ["x"], simulations=8000, members=3)
    assert ratio.evaluated == ("z2",)
    assert [ensemble.names for ensemble in ratio.learned] == [("x", "z1")]
    for x in (-1.0, 1.0, 3.0):
        found = ratio(torch.tensor([x]))
        assert 0 < found.error < 0.15
        assert found.value == pytest.approx(exact(x), abs=4 * found.error)


def test_a_classifier_of_the_observed_variables_needs_no_latents() -> None:
    """Here B has no z1: z2 ~ N(1, 1), x ~ N(z2, 3.25), which has the evidence of the chain with noise 1.5."""
    short = Graph(
        density("z2", B.prior), simulator("x", lambda z2: z2 + 3.25**0.5 * torch.randn_like(z2), ["z2"], size=1)
    )
    ratio = direct_ratio(A.graph(black_box=True), short, ["x"], simulations=8000, members=3)
    for x in (-1.0, 1.0, 3.0):
        found = ratio(torch.tensor([x]))
        assert 0 < found.error < 0.15
        assert found.value == pytest.approx(exact(x), abs=0.2)
    with pytest.raises(UsageError, match="'z1' is in one of them only; direct_ratio compares any two models"):
        bennett_ratio(Candidate(A.graph(), Exact(A)), Candidate(short, Exact(B)), ["x"])


def test_wrong_posteriors_bias_it_and_the_one_sided_estimates_drift_apart() -> None:
    """Standard errors do not show the bias; from_a and from_b do."""
    a, b = candidates(black_box=False)
    wrong = Candidate(a.graph, Exact(A, shift=1.0))
    good, bad = (bennett_ratio(each, b, ["x"], simulations=20, members=2) for each in (a, wrong))
    x = torch.tensor([-2.0])
    found, biased = good(x, n=4000), bad(x, n=4000)
    assert abs(biased.value - exact(-2.0)) > 6 * biased.error
    assert abs(found.from_a - found.from_b) < 6 * found.error
    assert abs(biased.from_a - biased.from_b) > 6 * biased.error


def test_with_posteriors_that_were_fitted(registry: Registry) -> None:
    """Everything from simulations: families of an AMP fit, and a local classifier."""
    method = "amp:divergence=forward-kl,family=(gaussian:width=32,depth=1),steps=400"
    fitted = []
    for model in (A, B):
        graph = model.graph(black_box=True)
        fitted.append(Candidate(graph, fit(registry.build("methods", method), Simulator(graph, ["x"], 4000, seed=0))))
    ratio = bennett_ratio(*fitted, ["x"], simulations=8000, members=3)
    for x in (-1.0, 1.0, 3.0):
        found = ratio(torch.tensor([x]))
        assert found.value == pytest.approx(exact(x), abs=0.25)


def test_the_same_seed_gives_the_same_numbers() -> None:
    a, b = candidates(black_box=False)
    found = [bennett_ratio(a, b, ["x"], 20, 2)(torch.zeros(1), n=50, seed=seed) for seed in (1, 1, 2)]
    assert found[0] == found[1] != found[2]


def box(low: float, high: float) -> Graph:
    prior = Independent(Uniform(torch.full((1,), low), torch.full((1,), high)), 1)
    return Graph(density("z", prior), simulator("x", torch.clone, ["z"], size=1))


class Still(Posterior):
    def __init__(self, at: float) -> None:
        self.at = at

    def sample(self, observation: Tensor, n: int) -> Tensor:
        return torch.full((n, 1), self.at)


def test_supports() -> None:
    """A box inside another is compared; boxes apart, or samples outside of both, are errors that say so."""
    shared = box(0.0, 1.0)["x"]

    def ratio(a: tuple[float, float], b: tuple[float, float], at: tuple[float, float]) -> float:
        models = [
            Candidate(Graph(box(*each)["z"], shared), Still(where)) for each, where in zip((a, b), at, strict=True)
        ]
        return bennett_ratio(*models, ["x"], 20, 2)(torch.zeros(1), n=50).value

    assert ratio((0.0, 1.0), (0.0, 2.0), (0.5, 0.5)) == pytest.approx(math.log(2))
    with pytest.raises(UsageError, match="no samples in common support"):
        ratio((0.0, 1.0), (2.0, 3.0), (0.5, 2.5))
    with pytest.raises(UsageError, match="both models rule out"):
        ratio((0.0, 1.0), (2.0, 3.0), (5.0, 2.5))


def test_the_page_runs() -> None:
    """The examples of docs/diagnostics.md."""
    page = Path(__file__).parents[1] / "docs" / "diagnostics.md"
    outcome = doctest.testfile(str(page), module_relative=False)
    assert outcome.attempted > 10
    assert outcome.failed == 0


def test_what_cannot_be_compared() -> None:
    a, b = candidates(black_box=False)
    with pytest.raises(GraphError, match="unknown variable 'y'"):
        direct_ratio(a.graph, b.graph, ["y"])
    with pytest.raises(UsageError, match="members=1 and simulations=100"):
        direct_ratio(a.graph, b.graph, ["x"], simulations=100, members=1)
    wide = Graph(density("z", Independent(Normal(torch.zeros(2), 1.0), 1)), simulator("x", torch.clone, ["z"]))
    with pytest.raises(UsageError, match="'x' has 1 and 2 components"):
        direct_ratio(a.graph, wide, ["x"], simulations=20, members=2)
    with pytest.raises(UsageError, match=r"shape \(2,\), expected \(1,\)"):
        bennett_ratio(a, b, ["x"], 20, 2)(torch.zeros(2))
    with pytest.raises(UsageError, match="at least 2 samples of each posterior, got 1"):
        bennett_ratio(a, b, ["x"], 20, 2)(torch.zeros(1), n=1)
