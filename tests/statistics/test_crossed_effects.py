"""Intervals, tests and ranks on synthetic scores whose truth is known.

Coverage and error rates are frequencies over repetitions; their bounds are three binomial standard errors away from the
nominal value, on the side that would be a false claim. Being too cautious is allowed.
"""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from scipy.stats import rankdata

from ampbench.statistics.crossed_effects import complete, estimate, estimates, mean_ranks, noise
from ampbench.statistics.multiple_testing import holm

Array = NDArray[np.float64]

REPETITIONS = 1000


def least(nominal: float, repetitions: int) -> float:
    """The nominal frequency minus three standard errors."""
    return float(nominal - 3 * (nominal * (1 - nominal) / repetitions) ** 0.5)


def scores(
    draw: np.random.Generator, seeds: int, observations: int, sd: tuple[float, float, float], count: int
) -> Array:
    """Scores (count, seeds, observations) of mean 0 with effects of seed, observation and both."""
    return (
        sd[0] * draw.standard_normal((count, seeds, 1))
        + sd[1] * draw.standard_normal((count, 1, observations))
        + sd[2] * draw.standard_normal((count, seeds, observations))
    )


def coverage(tables: Array) -> float:
    ends = [estimate(table).interval() for table in tables]
    return float(np.mean([low <= 0 <= high for low, high in ends]))


@pytest.mark.parametrize("shape", [(4, 3, 5), (4, 10, 13), (3, 1, 6), (3, 6, 1), (2, 1, 1)])
def test_several_estimates_are_those_of_each(shape: tuple[int, int, int]) -> None:
    values = np.random.default_rng(1).standard_normal(shape)
    values[0] = 1.0
    assert list(map(repr, estimates(values))) == list(map(repr, map(estimate, values)))


CASES = {
    "all the same": (1, 1, 1),
    "seeds matter": (1, 0.2, 0.2),
    "observations matter": (0.2, 1, 0.2),
    "seeds do not": (0, 1, 0.3),
    "noise": (0, 0, 1),
}


@pytest.mark.parametrize("sd", CASES.values(), ids=CASES)
@pytest.mark.parametrize(("seeds", "observations"), [(3, 10), (5, 10), (3, 3)])
def test_intervals_cover_the_mean(seeds: int, observations: int, sd: tuple[float, float, float]) -> None:
    got = coverage(scores(np.random.default_rng(1), seeds, observations, sd, REPETITIONS))
    assert got >= least(0.95, REPETITIONS)


def test_two_seeds_are_too_few() -> None:
    """Why a verdict about a method needs three: where seeds matter, 95 % intervals of two cover 91 %."""
    got = coverage(scores(np.random.default_rng(1), 2, 10, CASES["seeds matter"], REPETITIONS))
    assert 0.88 < got < 0.94


def test_intervals_of_one_fit_cover_the_mean_of_that_fit() -> None:
    """And miss the method's mean, of which one seed knows nothing."""
    draw = np.random.default_rng(2)
    seed = draw.standard_normal((REPETITIONS, 1, 1))
    around = scores(draw, 1, 10, (0, 1, 0), REPETITIONS)
    assert coverage(around) == pytest.approx(0.95, abs=0.021)
    assert coverage(around + seed) < 0.7


def test_observations_of_one_fit_are_not_independent() -> None:
    """Thirty scores of three fits taken for thirty independent ones would cover far too rarely."""
    tables = scores(np.random.default_rng(3), 3, 10, CASES["seeds matter"], REPETITIONS)
    naive = tables.reshape(REPETITIONS, 1, 30)
    assert coverage(naive) < 0.6
    assert coverage(tables) >= least(0.95, REPETITIONS)


def test_percentiles_of_the_hierarchical_bootstrap_cover_too_rarely() -> None:
    """Why the intervals are not these: three seeds, drawn with replacement."""
    draw = np.random.default_rng(4)
    covered = []
    for table in scores(draw, 3, 10, CASES["seeds matter"], 300):
        of_seeds = draw.multinomial(3, np.full(3, 1 / 3), size=500)
        of_observations = draw.multinomial(10, np.full(10, 0.1), size=500)
        means = np.einsum("bs,bo,so->b", of_seeds, of_observations, table) / 30
        low, high = np.quantile(means, [0.025, 0.975])
        covered.append(low <= 0 <= high)
    assert np.mean(covered) < 0.85


@pytest.mark.parametrize("seeds", [1, 3])
def test_family_wise_error_under_the_null(seeds: int) -> None:
    """Five equal methods, compared in all pairs: in one of twenty tables, at most, is any called different."""
    draw = np.random.default_rng(5)
    wrong = []
    for _ in range(500):
        shared = draw.standard_normal((1, 1, 10))  # what is hard about an observation
        methods = shared + scores(draw, seeds, 10, (0.5 * (seeds > 1), 0.3, 0.3), 5)
        p_values = [estimate(one - other).p_value() for one, other in combinations(methods, 2)]
        wrong.append(holm(p_values).min() < 0.05)
    assert np.mean(wrong) <= 1 - least(0.95, 500)


def test_pairs_find_what_single_intervals_cannot() -> None:
    """Observations differ by far more than methods do."""
    draw = np.random.default_rng(6)
    one = 10 * draw.standard_normal((1, 10)) + 0.1 * draw.standard_normal((3, 10))
    other = one + 0.5 + 0.1 * draw.standard_normal((3, 10))
    assert estimate(one).interval()[1] > estimate(other).mean, "the intervals overlap"
    assert estimate(other - one).p_value() < 0.05


def test_noise_is_told_apart() -> None:
    draw = np.random.default_rng(7)
    found = noise(scores(draw, 200, 300, (0.3, 0.5, 0.4), 1)[0], metric_error=0.24)
    assert found.seed == pytest.approx(0.3, rel=0.15)
    assert found.observation == pytest.approx(0.5, rel=0.15)
    assert found.rest == pytest.approx(0.32, rel=0.02)  # √(0.4² - 0.24²)
    assert found.metric == 0.24


def test_noise_of_one_seed_or_observation() -> None:
    values = np.random.default_rng(8).standard_normal((1, 10))
    one_seed, one_observation = noise(values), noise(values.T)
    assert (one_seed.observation, one_observation.seed) == pytest.approx([values.std(ddof=1)] * 2)
    assert math.isnan(one_seed.seed)
    assert math.isnan(one_observation.observation)
    assert math.isnan(noise([[0.5]], 0.1).observation)


def test_one_score_has_the_error_of_the_metric() -> None:
    low, high = estimate([[0.6]], 0.01).interval()
    assert (low, high) == pytest.approx((0.6 - 0.0196, 0.6 + 0.0196), abs=1e-4)
    assert math.isnan(estimate([[0.6]]).interval()[0])
    assert math.isnan(estimate([[0.6]]).p_value())
    assert math.isnan(estimate(np.empty((0, 3))).mean)


def test_equal_scores_are_no_difference() -> None:
    assert estimate(np.zeros((3, 4))).p_value() == 1
    assert estimate(np.zeros((1, 4))).p_value() == 1


def test_holm() -> None:
    """Against the definition: the i-th smallest of m times m - i + 1, never decreasing, at most 1."""
    assert holm([0.04, 0.01, 0.03, 0.6]).tolist() == pytest.approx([0.09, 0.04, 0.09, 0.6])
    assert holm([0.9, 0.8]).tolist() == [1, 1]
    with_gap = holm([0.02, math.nan, 0.01])
    assert with_gap[[0, 2]].tolist() == pytest.approx([0.02, 0.02])
    assert math.isnan(with_gap[1])
    assert holm([]).size == 0


def test_complete_keeps_what_has_no_gaps() -> None:
    table = pd.DataFrame(np.ones((3, 10)))
    table.iloc[1, 2:] = np.nan
    assert complete(table).shape == (2, 10), "a seed with two of ten observations goes, not the observations"
    table = pd.DataFrame(np.ones((3, 10)))
    table.iloc[0, 4] = np.nan
    assert complete(table).shape == (3, 9)
    assert complete(pd.DataFrame(np.full((2, 2), np.nan))).size == 0


def test_intervals_of_ranks_cover() -> None:
    """The expected rank on a task, from eight tasks; two methods are equal, one is close, one nearly always last."""
    draw = np.random.default_rng(9)
    quality = np.array([0.0, 0.0, 0.5, 20.0])

    def tasks(count: int) -> Array:
        means = quality + 0.5 * draw.standard_normal((count, 4))
        means[draw.random(count) < 0.05, 3] = -20
        return means

    truth = np.mean([rankdata(means) for means in tasks(20_000)], axis=0)
    covered = []
    for _ in range(150):
        cubes = [means + 0.2 * draw.standard_normal((3, 10, 4)) for means in tasks(8)]
        _, low, high = mean_ranks(cubes, resamples=300)
        covered.append((low <= truth) & (truth <= high))
    assert (np.mean(covered, axis=0) >= least(0.95, 150)).all()


@pytest.mark.parametrize("tasks", [2, 8])
def test_a_method_that_is_always_last_may_not_be_so_elsewhere(tasks: int) -> None:
    """The interval is Clopper and Pearson's: exceptions on p of the tasks, (1 - p)^T = 0.025, on which it is first."""
    cube = np.zeros((3, 10, 5)) + np.arange(5)
    _, low, high = mean_ranks([cube] * tasks, resamples=20_000)
    exceptions = 1 - 0.025 ** (1 / tasks)
    assert low[4] == pytest.approx(5 - 4 * exceptions, abs=0.05)
    assert high[0] == pytest.approx(1 + 4 * exceptions, abs=0.05)
    assert (low[0], high[4]) == (1, 5)


def test_ranks_of_equal_methods_tie() -> None:
    cube = np.repeat(np.random.default_rng(10).random((3, 10, 1)), 3, axis=2)
    ranks, low, high = mean_ranks([cube, cube + 1])
    assert ranks.tolist() == [2, 2, 2]
    assert (low == low[0]).all()
    np.testing.assert_allclose(high - 2, 2 - low, atol=0.05)
