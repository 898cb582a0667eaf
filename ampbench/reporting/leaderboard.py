"""Leaderboards: methods over tasks, with mean ranks, their intervals, and the methods that are not told apart.

There is one leaderboard for each metric, budget and number of samples. A score that is missing stays missing: the mean
rank compares each pair of methods on the tasks on which both have a score, and there on their common seeds and
observations (:mod:`ampbench.statistics.partial_ranks`). A method is the best only if every other method is told apart
from it; the lowest mean rank alone is not enough.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ampbench.reporting.compare import SIGNIFICANCE_LEVEL, Summary, latest, summary_of
from ampbench.results import validate
from ampbench.statistics.crossed_effects import Array
from ampbench.statistics.partial_ranks import MeanRanks, partial_mean_ranks

BOARD_COLUMNS = ["metric", "budget", "samples"]
COMPLETE, PARTIAL = "mean ranks over {} tasks", "mean ranks over {} tasks; pairs are compared on their common tasks"


@dataclass(frozen=True)
class Score:
    """The mean score of a method on a task.

    Attributes:
        mean: the mean over seeds and observations.
        low, high: its 95 % interval; NaN where it is unknown.
        n, seeds, observations: numbers of scores, fits, and observations of each fit.
        verdict: as in :data:`ampbench.results.schema.COMPARISON`, among the methods on this task.
    """

    mean: float
    low: float
    high: float
    n: int
    seeds: int
    observations: int
    verdict: str


@dataclass(frozen=True)
class Standing:
    """A method's place on a leaderboard.

    Attributes:
        method: the method's spec.
        rank: its mean rank, 1 for the lowest scores; NaN if no task has a score of another method as well.
        low, high: the 95 % interval of the rank; NaN where the rank is.
        p: p-value of the difference to the lowest mean rank, adjusted for all pairs; NaN if it is unknown.
        verdict: ``best``: all others are ``worse``; ``lowest``: the lowest mean rank; ``worse``: p < .05;
            ``tied``: not told apart from the lowest; ``unknown``: no task in common with the lowest.
        scores: task → score; a task without a score of the method is absent.
    """

    method: str
    rank: float
    low: float
    high: float
    p: float
    verdict: str
    scores: Mapping[str, Score]


@dataclass(frozen=True)
class Leaderboard:
    """The methods for one metric, budget and number of samples.

    Attributes:
        metric, budget, samples: what the scores have in common.
        tasks: the tasks with a score, sorted.
        standings: the methods, the lowest mean rank first; methods without a rank come last.
        remarks: the rule by which ranks were computed, and what is missing.
    """

    metric: str
    budget: int
    samples: int
    tasks: tuple[str, ...]
    standings: tuple[Standing, ...]
    remarks: tuple[str, ...]

    @property
    def leaders(self) -> tuple[Standing, ...]:
        """The methods that are not told apart from the lowest mean rank, that one included."""
        return tuple(each for each in self.standings if each.verdict in ("best", "lowest", "tied"))


def leaderboards(frame: pd.DataFrame, summary: Summary) -> list[Leaderboard]:
    """Return the leaderboards of results, by metric, budget and number of samples.

    Arguments:
        frame: as returned by :func:`ampbench.results.load`.
        summary: its comparison, as returned by :func:`ampbench.reporting.compare.summarise`; scores that it does not
            compare are left out.

    Raises:
        ResultsError: the frame does not follow the schema; see :func:`ampbench.results.validate`.
    """
    current, _ = latest(validate(frame))
    return _boards(current, summary)


def compared(frame: pd.DataFrame) -> tuple[Summary, list[Leaderboard]]:
    """Return what :func:`ampbench.reporting.compare.summarise` and :func:`leaderboards` return for a valid frame.

    Arguments:
        frame: as returned by :func:`ampbench.results.load` or :func:`ampbench.results.validate`, or some of its rows or
            metrics; it is not validated again.
    """
    current, older = latest(frame)
    summary = summary_of(current, older)
    return summary, _boards(current, summary)


def _boards(current: pd.DataFrame, summary: Summary) -> list[Leaderboard]:
    """Return the leaderboards of validated results, each run once."""
    return [
        _board(str(metric), int(budget), int(samples), rows, current)
        for (metric, budget, samples), rows in summary.table.groupby(BOARD_COLUMNS, sort=True)
    ]


def _board(metric: str, budget: int, samples: int, rows: pd.DataFrame, frame: pd.DataFrame) -> Leaderboard:
    tasks, methods = sorted(set(rows["task"])), sorted(set(rows["method"]))
    part = frame.loc[
        (frame["budget"] == budget) & (frame["samples"] == samples) & frame[metric].notna(),
        ["task", "method", "seed", "observation", metric],
    ]
    cubes = [_cube(part[part["task"] == task], metric, methods) for task in tasks]
    ranks = partial_mean_ranks(cubes)
    scores: dict[str, dict[str, Score]] = {method: {} for method in methods}
    for row in rows.itertuples(index=False):
        cells = (row.mean, row.low, row.high, row.n, row.seeds, row.observations, row.verdict)
        scores[row.method][row.task] = Score(*cells)
    standings = _standings(methods, ranks, _unranked(cubes), scores)
    return Leaderboard(metric, budget, samples, tuple(tasks), standings, tuple(_remarks(tasks, standings)))


def _cube(part: pd.DataFrame, metric: str, methods: list[str]) -> Array:
    """Return the scores on one task, shape (seeds, observations, methods), NaN where a score is missing."""
    seeds, s = np.unique(part["seed"].to_numpy(), return_inverse=True)
    observations, o = np.unique(part["observation"].to_numpy(), return_inverse=True)
    cube = np.full((len(seeds), len(observations), len(methods)), math.nan)
    cube[s, o, pd.Index(methods).get_indexer(part["method"].astype(object))] = part[metric].to_numpy()
    return cube


def _unranked(cubes: Iterable[Array]) -> set[int]:
    """Return the positions of methods that share a seed and an observation with no other method on any task."""
    there = [~np.isnan(cube).reshape(-1, cube.shape[-1]) for cube in cubes]
    return set(range(there[0].shape[1])) - {
        int(i) for each in there for i in np.flatnonzero(each[each.sum(1) > 1].any(0))
    }


def _standings(
    methods: list[str], ranks: MeanRanks, unranked: set[int], scores: Mapping[str, Mapping[str, Score]]
) -> tuple[Standing, ...]:
    ranked = sorted((i for i in range(len(methods)) if i not in unranked), key=lambda i: (ranks.rank[i], methods[i]))
    nan = math.nan
    verdicts = [_verdict(float(ranks.p[i, ranked[0]])) for i in ranked[1:]]
    first = "best" if verdicts and set(verdicts) == {"worse"} else "lowest"
    found = [
        Standing(
            methods[i],
            rank=float(ranks.rank[i]),
            low=float(ranks.low[i]),
            high=float(ranks.high[i]),
            p=math.nan if i == ranked[0] else float(ranks.p[i, ranked[0]]),
            verdict=verdict,
            scores=scores[methods[i]],
        )
        for i, verdict in zip(ranked, [first, *verdicts], strict=False)
    ]
    last = [
        Standing(methods[i], rank=nan, low=nan, high=nan, p=nan, verdict="unknown", scores=scores[methods[i]])
        for i in sorted(unranked)
    ]
    return (*found, *last)


def _verdict(p: float) -> str:
    if math.isnan(p):
        return "unknown"
    return "worse" if p < SIGNIFICANCE_LEVEL else "tied"


def _remarks(tasks: list[str], standings: tuple[Standing, ...]) -> Iterable[str]:
    missing = sum(len(tasks) - len(each.scores) for each in standings)
    yield (PARTIAL if missing else COMPLETE).format(len(tasks))
    if missing:
        yield f"{missing} of {len(tasks) * len(standings)} cells are missing, and shown as missing"
    if lonely := sum(math.isnan(each.rank) for each in standings):
        yield f"{lonely} methods have no rank: no other method has scores on their tasks, observations and seeds"
