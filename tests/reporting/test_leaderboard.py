"""Leaderboards: ranks over incomplete tasks, and no winner inside the noise."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import pandas as pd
import pytest

from ampbench.reporting import compare, leaderboard
from ampbench.reporting.compare import summarise
from ampbench.reporting.leaderboard import Leaderboard, compared, leaderboards
from ampbench.results import Record, Run, load, validate
from ampbench.results.frame import row
from ampbench.results.record import Measured


def results(scores: Mapping[str, Mapping[str, float]], seeds: int = 3) -> pd.DataFrame:
    """Return results of three observations: task → method → mean score."""
    rows = [
        row(
            Record(
                Run(task, "1", method, method, 1000, observation, seed, 100, ("c2st",)),
                "ok",
                "",
                "",
                {"c2st": Measured(mean + 0.01 * observation + 0.001 * (seed * observation % 3))},
                *(1, 1, 1000, "cpu", "2026-01-01T00:00:00+00:00", {}, ""),
            )
        )
        for task, methods in scores.items()
        for method, mean in methods.items()
        for observation in (1, 2, 3)
        for seed in range(seeds)
    ]
    return pd.DataFrame(rows)


def board(frame: pd.DataFrame) -> Leaderboard:
    (found,) = leaderboards(frame, summarise(frame))
    return found


def verdicts(found: Leaderboard) -> dict[str, str]:
    return {each.method: each.verdict for each in found.standings}


def test_scores_and_ranks() -> None:
    found = board(results({"t1": {"a": 0.6, "b": 0.8}, "t2": {"a": 0.6, "b": 0.8}, "t3": {"a": 0.9, "b": 0.8}}))
    assert (found.metric, found.budget, found.samples, found.tasks) == ("c2st", 1000, 100, ("t1", "t2", "t3"))
    first, second = found.standings
    assert (first.method, first.rank, second.rank) == ("a", pytest.approx(4 / 3), pytest.approx(5 / 3))
    assert 1 <= first.low < first.rank < first.high <= 2
    score = first.scores["t1"]
    assert (score.n, score.seeds, score.observations, score.verdict) == (9, 3, 3, "best")
    assert score.low < score.mean < score.high


def test_the_lowest_of_few_tasks_is_not_the_best() -> None:
    few = board(results({f"t{i}": {"a": 0.6, "b": 0.8} for i in range(5)}))
    many = board(results({f"t{i}": {"a": 0.6, "b": 0.8} for i in range(7)}))
    assert verdicts(few) == {"a": "lowest", "b": "tied"}, "2 / 2^5 = 0.06"
    assert verdicts(many) == {"a": "best", "b": "worse"}, "2 / 2^7 = 0.016"
    assert [each.method for each in few.leaders] == ["a", "b"]
    assert [each.method for each in many.leaders] == ["a"]


def test_a_missing_cell_is_missing_and_pairs_use_their_common_tasks() -> None:
    found = board(results({"t1": {"a": 1, "b": 2, "c": 3}, "t2": {"a": 1, "c": 3}, "t3": {"a": 3, "b": 2}}))
    assert {each.method: each.rank for each in found.standings} == {"a": 1.5, "b": 1.5, "c": 3}
    assert set({each.method: each for each in found.standings}["b"].scores) == {"t1", "t3"}
    assert found.remarks == (
        "mean ranks over 3 tasks; pairs are compared on their common tasks",
        "2 of 9 cells are missing, and shown as missing",
    )


def test_a_method_that_shares_no_task_has_no_rank() -> None:
    found = board(results({"t1": {"a": 1, "b": 2}, "t2": {"c": 3}}))
    assert verdicts(found) == {"a": "lowest", "b": "tied", "c": "unknown"}
    assert math.isnan(found.standings[-1].rank)
    assert found.standings[-1].scores["t2"].mean == pytest.approx(3.02, abs=0.01)
    assert found.remarks[-1].startswith("1 methods have no rank")


@pytest.mark.parametrize("scores", [{"t1": {"a": 1.0}}, {"t1": {"a": 1.0}, "t2": {"b": 2.0}}])
def test_nothing_to_compare(scores: Mapping[str, Mapping[str, float]]) -> None:
    found = board(results(scores, seeds=1))
    assert {each.verdict for each in found.standings} == {"unknown"}
    assert found.leaders == ()


def test_no_results_have_no_leaderboard(tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    frame = load(tmp_path)
    assert leaderboards(frame, summarise(frame)) == []


def test_a_valid_frame_is_not_validated_again(monkeypatch: pytest.MonkeyPatch) -> None:
    frame = results({"t1": {"a": 0.6, "b": 0.8, "c": 0.7}, "t2": {"a": 0.6, "b": 0.8}})
    later = frame[:5].assign(task_version="2", finished="2026-01-02T00:00:00+00:00", c2st=0.5)
    frame = pd.concat([frame, later.assign(key=[f"{i:020x}" for i in range(5)])])
    expected = summarise(frame)
    boards = leaderboards(frame, expected)
    valid = validate(frame)
    for module in (compare, leaderboard):
        monkeypatch.setattr(module, "validate", pytest.fail)
    summary, found = compared(valid)
    assert repr(found) == repr(boards)
    assert summary.remarks == expected.remarks != []
    for name in ("table", "ranks", "findings"):
        pd.testing.assert_frame_equal(getattr(summary, name), getattr(expected, name))


def test_metrics_and_budgets_have_leaderboards_of_their_own() -> None:
    small = results({"t1": {"a": 1.0}})
    large = small.assign(budget=10_000, key=[f"{i:020x}" for i in range(len(small))], mmd=0.5, mmd_provenance="{}")
    frame = pd.concat([small, large])
    found = [(each.metric, each.budget) for each in leaderboards(frame, summarise(frame))]
    assert found == [("c2st", 1000), ("c2st", 10_000), ("mmd", 10_000)]
