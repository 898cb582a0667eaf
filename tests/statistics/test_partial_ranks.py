"""Mean ranks over tasks with missing scores: closed forms, agreement with complete ranks, and the error of the test."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import studentized_range

from ampbench.statistics.crossed_effects import mean_ranks
from ampbench.statistics.partial_ranks import partial_mean_ranks


def task(*means: float) -> np.ndarray:
    """Scores without noise: one seed, two observations."""
    return np.tile(np.array(means), (1, 2, 1))


def test_complete_scores_have_the_ordinary_mean_ranks() -> None:
    draw = np.random.default_rng(1)
    tasks = [draw.standard_normal((3, 4, 5)) for _ in range(6)]
    ranks, low, high = mean_ranks(tasks)
    found = partial_mean_ranks(tasks)
    assert found.rank == pytest.approx(ranks)
    assert found.low == pytest.approx(low, abs=0.1), "other random numbers"
    assert found.high == pytest.approx(high, abs=0.1)


def test_a_pair_is_ranked_over_its_common_tasks() -> None:
    nan = math.nan
    tasks = [task(1, 2, 3), task(1, nan, 3), task(3, 2, nan)]
    # w(0,1) = 1/2: one of two; w(0,2) = 0 of two; w(1,2) = 0 of one
    assert partial_mean_ranks(tasks).rank.tolist() == [1.5, 1.5, 3.0]


def test_a_pair_without_a_common_task_is_not_told_apart() -> None:
    found = partial_mean_ranks([task(1, math.nan), task(math.nan, 2)])
    assert found.rank.tolist() == [1.5, 1.5]
    assert (found.low.tolist(), found.high.tolist()) == ([1, 1], [2, 2])
    assert math.isnan(found.p[0, 1])
    assert found.p[0, 0] == 1


def test_the_interval_of_two_methods_is_that_of_clopper_and_pearson() -> None:
    found = partial_mean_ranks([task(1, 2)] * 8, resamples=20_000)
    assert found.high[0] == pytest.approx(1 + 1 - 0.025 ** (1 / 8), abs=0.02)
    assert found.low[0] == 1


def test_two_methods_are_compared_by_the_sign_test() -> None:
    found = partial_mean_ranks([task(1, 2)] * 6, permutations=20_000)
    assert found.p[0, 1] == pytest.approx(2 / 2**6, abs=0.003)


def test_the_critical_difference_is_that_of_nemenyi() -> None:
    """p at the difference q √(K(K+1)/6T), of which q is the quantile of the studentised range over √2."""
    k, t, draw = 5, 40, np.random.default_rng(2)
    tasks = [task(*draw.normal((0, 0, 0, 0, 0.8))) for _ in range(t)]
    found = partial_mean_ranks(tasks, permutations=20_000)
    difference = abs(found.rank[:, None] - found.rank) / math.sqrt(k * (k + 1) / (6 * t))
    expected = studentized_range.sf(difference * math.sqrt(2), k, math.inf)
    assert found.p == pytest.approx(expected, abs=0.03)


@pytest.mark.parametrize(("t", "p"), [(1, 1), (2, 1 / 6), (3, 1 / 36)])
def test_few_tasks_tell_little_apart(t: int, p: float) -> None:
    """The probability that the first and the last of three methods are the same two in t permutations."""
    assert partial_mean_ranks([task(1, 2, 3)] * t).p[0, 2] == pytest.approx(p, abs=0.01)


def test_equal_scores_share_a_rank() -> None:
    found = partial_mean_ranks([task(0.1 + 0.2, 0.3, 1)] * 5)
    assert found.rank.tolist() == [1.5, 1.5, 3]
    assert found.p[0, 1] == 1


def test_equal_methods_are_rarely_told_apart() -> None:
    """The family-wise error with a fifth of the scores missing; its standard error is 0.016."""
    draw, errors, repetitions = np.random.default_rng(3), 0, 200
    for i in range(repetitions):
        scores = draw.standard_normal((8, 1, 1, 5))
        scores[draw.random(scores.shape) < 0.2] = math.nan
        errors += bool((partial_mean_ranks(list(scores), resamples=10, permutations=300, seed=i).p <= 0.05).any())
    assert errors / repetitions < 0.09


def test_many_methods_need_bounded_memory() -> None:
    draw = np.random.default_rng(4)
    found = partial_mean_ranks([draw.standard_normal((1, 3, 90)) for _ in range(2)], resamples=600, permutations=600)
    assert found.p.shape == (90, 90)
    assert (found.low <= found.rank).all()
    assert (found.rank <= found.high).all()
