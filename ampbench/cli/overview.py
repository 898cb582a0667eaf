"""The overview of ``ampbench compare``: methods by mean rank, and their mean scores on each task.

Methods are numbered by mean rank, and are the columns of the table of scores, so that it fits the width of a terminal
with any number of methods. A mark says that a score is not told apart from the lowest one of its task; a single score
is marked only if all others are significantly worse.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from ampbench.cli.terminal import print_folded, print_table
from ampbench.console import say
from ampbench.reporting.leaderboard import Leaderboard, Score, Standing
from ampbench.reporting.tables import interval, p_value
from ampbench.reporting.text import decimals, number

MARK = "*"

LEADERS_LEGEND = (
    "rank: 1 for the lowest scores; p: of its difference to the lowest mean rank, for all pairs. best: all others are "
    "worse; worse: p < .05; tied: not told apart from the lowest; unknown: no task in common. "
    f"{MARK}: the lowest mean score of a task, or not told apart from it"
)


def print_overview(board: Leaderboard, label: Callable[[str], str]) -> None:
    """Print a leaderboard of several tasks.

    Arguments:
        board: the leaderboard.
        label: returns the name of a method that is shown.
    """
    remark = "; ".join(board.remarks)
    print_folded(f"{board.metric}, budget {board.budget}, samples {board.samples}: {remark}")
    ranks = [_ranks(i, each, len(board.tasks), label) for i, each in enumerate(board.standings, start=1)]
    print_table(["", "method", "rank", "95% interval", "p", "verdict", "tasks"], ranks, fold=1)
    say()
    digits = decimals(score.mean for each in board.standings for score in each.scores.values())
    rows = [[task, *(_score(each.scores.get(task), digits) for each in board.standings)] for task in board.tasks]
    print_table(["mean score", *map(str, range(1, len(board.standings) + 1))], rows)
    say()


def standings(boards: Sequence[Leaderboard]) -> list[dict[str, object]]:
    """Return one row for each method of each leaderboard, with None for unknown numbers."""
    return [
        {
            "metric": board.metric,
            "budget": board.budget,
            "samples": board.samples,
            "method": each.method,
            "rank": None if math.isnan(each.rank) else each.rank,
            "low": None if math.isnan(each.low) else each.low,
            "high": None if math.isnan(each.high) else each.high,
            "p": None if math.isnan(each.p) else each.p,
            "verdict": each.verdict,
            "scored": len(each.scores),
            "tasks": len(board.tasks),
        }
        for board in boards
        for each in board.standings
    ]


def _ranks(position: int, standing: Standing, tasks: int, label: Callable[[str], str]) -> Sequence[object]:
    return (
        position,
        label(standing.method),
        standing.rank,
        interval(standing.low, standing.high, 2),
        p_value(standing.p),
        standing.verdict,
        f"{len(standing.scores)}/{tasks}",
    )


def _score(score: Score | None, digits: int) -> str:
    if score is None:
        return "-"
    return number(score.mean, digits) + (MARK if score.verdict in ("best", "lowest", "tied") else " ")
