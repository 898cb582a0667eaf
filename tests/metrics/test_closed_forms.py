"""Metrics of distributions whose distance can be written down."""

from __future__ import annotations

import math
from statistics import NormalDist

import pytest
import torch
from torch import Tensor
from torch.distributions import Beta, Independent, Normal, Uniform

from ampbench.errors import MetricError
from ampbench.graph import Graph, density, simulator
from ampbench.interfaces import HasDensity, HasLikelihood, NeedsSetting, Observation, Posterior, Setting, Task
from ampbench.metrics.c2st_forest import ForestC2ST
from ampbench.metrics.energy import EnergyDistance
from ampbench.metrics.ksd import KSD
from ampbench.metrics.mmd import MMD
from ampbench.metrics.moments import Bias, Spread
from ampbench.metrics.mpd import MedianPredictiveDistance
from ampbench.metrics.nltp import NLTP
from ampbench.metrics.sliced_wasserstein import SlicedWasserstein
from ampbench.metrics.uncertainty import block_error, bootstrap_error
from ampbench.seeding import seeded


def test_spread_of_bad_input() -> None:
    with pytest.raises(MetricError, match="spread: 3 of 20 samples are NaN or infinite"):
        Spread().measure(torch.cat([torch.randn(17, 2), torch.full((3, 2), torch.nan)]), torch.randn(20, 2))
    with pytest.raises(MetricError, match="spread: component 1 of the samples is constant"):
        Spread().measure(torch.randn(20, 2) * torch.tensor([1.0, 0.0]), torch.randn(20, 2))


def standard(x: Tensor) -> Tensor:
    """Moments exactly 0 and 1."""
    return (x - x.mean(0)) / x.std(0)


def test_forest_is_that_of_sbi() -> None:
    c2st = pytest.importorskip("sbi.utils.metrics").c2st
    with seeded(0):
        reference, samples = 3 + 2 * torch.randn(200, 2), 3.5 + 2 * torch.randn(200, 2)
    assert ForestC2ST().measure(samples, reference).value == pytest.approx(float(c2st(reference, samples)), abs=1e-6)


@pytest.mark.parametrize("shift", [0.0, 1.0])
def test_energy_of_gaussians(shift: float) -> None:
    """‖s − t‖ is a folded normal with standard deviation √2."""
    with seeded(0):
        reference, samples = standard(torch.randn(4000, 1)), torch.randn(4000, 1) + shift
    across = 2 / math.sqrt(math.pi) * math.exp(-(shift**2) / 4) + shift * (2 * NormalDist().cdf(shift / 2**0.5) - 1)
    measurement = EnergyDistance().measure(samples, reference)
    error = float(measurement.provenance["standard_error"])
    assert measurement.value == pytest.approx(2 * (across - 2 / math.sqrt(math.pi)), abs=4 * error)
    assert error < 0.03


def test_mmd_of_gaussians() -> None:
    """A Gaussian kernel between Gaussians is a Gaussian of the shift."""
    with seeded(0):
        reference, samples = standard(torch.randn(4000, 1)), torch.randn(4000, 1) + 1
    measurement = MMD().measure(samples, reference)
    variance, error = float(measurement.provenance["bandwidth"]) ** 2, float(measurement.provenance["standard_error"])
    expected = 2 * math.sqrt(variance / (variance + 2)) * (1 - math.exp(-1 / (2 * (variance + 2))))
    assert measurement.value == pytest.approx(expected, abs=4 * error)
    assert error < 0.02


def test_sliced_wasserstein_of_a_shift() -> None:
    """A shift v costs |uᵀv| along u: on average 2/π · ‖v‖ in the plane, and ‖v‖ on the line."""
    with seeded(0):
        reference = standard(torch.randn(500, 2))
    plane = SlicedWasserstein(directions=2000).measure(reference + torch.tensor([0.3, 0.4]), reference)
    assert plane.value == pytest.approx(1 / math.pi, abs=4 * float(plane.provenance["standard_error"]))
    assert plane.provenance["standard_error"] < 0.01
    line = SlicedWasserstein().measure(7 * reference[:, :1] + 3.5, 7 * reference[:, :1])
    assert line.value == pytest.approx(0.5, abs=1e-5)


def test_moments_of_shifted_and_stretched_samples() -> None:
    with seeded(0):
        reference = 5 + 3 * standard(torch.randn(1000, 2))
    samples = 5 + torch.tensor([3.0, 0.0]) + 2 * (reference - 5)
    bias, spread = Bias().measure(samples, reference), Spread().measure(samples, reference)
    assert bias.value == pytest.approx(math.sqrt(0.5), abs=1e-5)
    assert spread.value == pytest.approx(math.log(2), abs=1e-5)
    assert 0 < spread.provenance["standard_error"] < 0.1


def test_standard_errors_of_a_mean() -> None:
    with seeded(0):
        x = 3 * torch.randn(2000)
    assert bootstrap_error(torch.mean, x, seed=0) == pytest.approx(3 / 2000**0.5, rel=0.25)
    with seeded(0):
        errors = [block_error(torch.mean, 3 * torch.randn(2000)) for _ in range(100)]
    assert sum(errors) / 100 == pytest.approx(3 / 2000**0.5, rel=0.1)


class Gaussian(Task, HasLikelihood):
    """theta ~ N(0, 1), x ~ N(theta, 1): the posterior is N(x / 2, 1 / 2)."""

    version, source = "1", "test"
    graph = Graph(
        density("theta", Independent(Normal(torch.zeros(1), torch.ones(1)), 1), size=1),
        simulator("x", lambda theta: theta + torch.randn_like(theta), ["theta"], size=1),
    )

    def log_likelihood(self, theta: Tensor, x: Tensor) -> Tensor:
        return -(theta - x).square().sum(-1) / 2


class Flat(Task, HasLikelihood):
    """theta ~ U(0, 2), and x says nothing."""

    version, source = "1", "test"
    graph = Graph(
        density("theta", Independent(Uniform(torch.zeros(1), 2 * torch.ones(1)), 1), size=1),
        simulator("x", lambda theta: torch.randn_like(theta), ["theta"], size=1),
    )

    def log_likelihood(self, theta: Tensor, x: Tensor) -> Tensor:
        return 0 * theta.sum(-1)


class Exact(Posterior, HasDensity):
    def sample(self, observation: Tensor, n: int) -> Tensor:
        return observation / 2 + torch.randn(n, 1) / 2**0.5

    def log_prob(self, value: Tensor, context: Tensor) -> Tensor:
        return Normal(context / 2, 0.5**0.5).log_prob(value).sum(-1)


class Implicit(Posterior):
    def sample(self, observation: Tensor, n: int) -> Tensor:
        return torch.zeros(n, 1)


def setting(task: Task, posterior: Posterior, theta: float = 0.5) -> Setting:
    return Setting(task, Observation(torch.tensor([1.0]), torch.tensor([theta]), 0), posterior)


@pytest.mark.parametrize("shift", [0.0, 1.0])
def test_ksd_of_gaussians(shift: float) -> None:
    """The scores of N(a, σ²) and N(a + δ, σ²) differ by δ / σ² everywhere; the rest is the kernel's mean."""
    with seeded(0):
        samples = Exact().sample(torch.tensor([1.0]), 2000) + shift
    measurement = KSD().measure_in(setting(Gaussian(), Exact()), samples)
    width, error = float(measurement.provenance["bandwidth"]), float(measurement.provenance["standard_error"])
    expected = (shift / 0.5) ** 2 / math.sqrt(1 + 2 * 0.5 / width**2)
    assert measurement.value == pytest.approx(expected, abs=4 * error)
    assert error < 0.15


def test_ksd_under_a_bounded_prior() -> None:
    """A gradient in theta itself would be 0 everywhere, and would call any law on the interval right."""
    with seeded(0):
        right, wrong = 2 * torch.rand(2000, 1), 2 * Beta(3.0, 3.0).sample(torch.Size([2000, 1]))
    good, bad = (KSD().measure_in(setting(Flat(), Exact()), samples) for samples in (right, wrong))
    assert abs(good.value) < 4 * float(good.provenance["standard_error"])
    assert bad.value > 10 * float(bad.provenance["standard_error"])


def test_ksd_says_what_is_missing() -> None:
    class Forward(Task):
        version, source, graph = "1", "test", Gaussian.graph

    with pytest.raises(MetricError, match="ksd: task Forward has no exact likelihood"):
        KSD().measure_in(setting(Forward(), Exact()), torch.randn(10, 1))
    with pytest.raises(MetricError, match="ksd: 2 of 10 samples of theta lie outside the prior's support"):
        KSD().measure_in(setting(Flat(), Exact()), torch.cat([torch.ones(8, 1), 3 * torch.ones(2, 1)]))


def test_median_predictive_distance() -> None:
    """Predictions from theta = x are x + N(0, 1): the median of |N(0, 1)| is Φ⁻¹(3/4)."""
    metric, where = MedianPredictiveDistance(simulations=4000), setting(Gaussian(), Exact())
    measurement = metric.measure_in(where, torch.ones(5000, 1))
    error = float(measurement.provenance["standard_error"])
    assert measurement.value == pytest.approx(NormalDist().inv_cdf(0.75), abs=4 * error)
    assert error < 0.03
    assert measurement.provenance["simulations"] == 4000
    assert measurement == metric.measure_in(where, torch.ones(5000, 1))
    with pytest.raises(MetricError, match=r"mpd: 10 of 10 samples are NaN"):
        metric.measure_in(where, torch.full((10, 1), torch.nan))


def test_negative_log_probability_of_the_truth() -> None:
    assert NLTP().measure_in(setting(Gaussian(), Exact()), torch.zeros(5, 1)).value == pytest.approx(
        0.5 * math.log(math.pi)
    )
    with pytest.raises(MetricError, match="nltp: a Implicit has no density"):
        NLTP().measure_in(setting(Gaussian(), Implicit()), torch.zeros(5, 1))
    with pytest.raises(MetricError, match="nltp: the true parameters of this observation are unknown"):
        NLTP().measure_in(setting(Gaussian(), Exact(), theta=math.nan), torch.zeros(5, 1))


@pytest.mark.parametrize("metric", [KSD(), NLTP(), MedianPredictiveDistance()])
def test_without_their_setting_they_refuse(metric: NeedsSetting) -> None:
    with pytest.raises(MetricError, match=f"{type(metric).__name__} needs a task"):
        metric.measure(torch.zeros(5, 1), torch.zeros(5, 1))
