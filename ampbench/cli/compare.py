"""``ampbench compare``: print a comparison, or export it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from ampbench.atlas.findings import summary_line
from ampbench.cli.overview import LEADERS_LEGEND, print_overview, standings
from ampbench.cli.published import Published, labelled, renamed
from ampbench.cli.terminal import print_folded, print_table, remark, warn
from ampbench.console import complain, document, say
from ampbench.errors import UsageError, unknown
from ampbench.reporting.compare import GROUP_COLUMNS, MIN_SEEDS, Summary, summarise
from ampbench.reporting.labels import labels, legend
from ampbench.reporting.leaderboard import Leaderboard, compared
from ampbench.reporting.tables import interval, latex, markdown, p_value
from ampbench.reporting.text import decimals, number
from ampbench.results import load
from ampbench.results.columns import records
from ampbench.results.frame import metric_columns
from ampbench.spec import component_name
from ampbench.text import line, to_csv

LEGEND = (
    "n: seeds x observations; diff: paired difference to the lowest mean; p: p-value of that difference, by Holm's "
    "method over all pairs of the table. best: all others are worse; worse: p < .05 over "
    f"{MIN_SEEDS} seeds or more; worse fit: over fewer; tied: p >= .05; unknown: too few common scores"
)


FIRST_METRIC = "c2st"
"""The metric of the overview, where results have it."""


@dataclass(frozen=True)
class Selection:
    """The selected results: specs or names of tasks, budgets and names of metrics; all of them where none are given."""

    tasks: Sequence[str] = ()
    budgets: Sequence[int] = ()
    metrics: Sequence[str] = ()

    def of(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Return the selected rows of a frame of results.

        Raises:
            UsageError: nothing is stored of a task, budget or metric; the message names those that are.
        """
        for column, wanted in (("task", self.tasks), ("budget", self.budgets)):
            if wanted:
                matches = {each: frame[column].map(lambda value, each=each: _names(each, value)) for each in wanted}
                for each, found in matches.items():
                    if not found.any():
                        raise unknown(column, str(each), frame[column].astype(str).unique())
                frame = frame[pd.concat(matches, axis=1).any(axis=1)]
        stored = metric_columns(frame)
        for metric in self.metrics:
            if metric not in stored:
                raise unknown("metric", metric, stored)
        left_out = [name for name in stored if self.metrics and name not in self.metrics]
        return frame.drop(columns=[column for name in left_out for column in (name, f"{name}_provenance")])


def _names(wanted: str | int, value: object) -> bool:
    """Return whether a value is the one that was asked for; a task's name stands for all its specs."""
    return value == wanted or (isinstance(value, str) and component_name(value) == wanted)


def show(
    results: Path,
    forms: Sequence[str],
    noise: bool,
    published: bool,
    mix: bool,
    details: bool = False,
    selection: Selection = Selection(),
) -> None:
    """Print a comparison of stored results.

    Arguments:
        results: the results directory.
        forms: at most one of markdown, latex, csv, json.
        noise: whether to add standard deviations of single scores by source.
        published: whether to add published scores.
        mix: whether to include published scores that are not comparable.
        details: whether text has a table for each task and metric after the overview.
        selection: what is compared.

    Raises:
        UsageError: nothing is stored of what is selected, several forms, ``mix`` without ``published``, or published
            scores in a form that cannot hold them.
    """
    if len(forms) > 1:
        raise UsageError(f"give one of {', '.join('--' + form for form in forms)}")
    form = forms[0] if forms else "text"
    if mix and not published:
        raise UsageError("--mix selects published scores; give --published as well")
    if published and form not in ("text", "json"):
        raise UsageError(f"--published prints text or --json; it has no --{form}")
    if noise and form not in ("text", "csv", "json"):
        raise UsageError(
            f"--noise prints text; --csv and --json contain the standard deviations anyway, --{form} does not"
        )
    whole = replace(selection, metrics=()).of(load(results))
    stored, metrics = metric_columns(whole), selection.metrics
    if form == "text" and not details and not metrics:
        metrics = [FIRST_METRIC] if FIRST_METRIC in stored else stored[:1]
    others = [] if selection.metrics else [name for name in stored if metrics and name not in metrics]
    frame = Selection(metrics=metrics).of(whole)
    theirs = Published.of(whole, mix) if published else None
    if form == "json":
        document(_json(*compared(frame), theirs))
        return
    if form == "text":
        _print(*compared(frame), details, others, noise, theirs)
        return
    summary = summarise(frame)
    writers: dict[str, Callable[[pd.DataFrame], str]] = {"csv": to_csv, "markdown": markdown, "latex": latex}
    say(writers[form](summary.table), end="")
    for text in [*summary.remarks, *summary.rank_remarks, *summary.limits]:
        complain(line(text))


def _json(summary: Summary, boards: Sequence[Leaderboard], theirs: Published | None) -> dict[str, object]:
    found = {
        "leaderboard": standings(boards),
        "table": records(summary.table),
        "ranks": records(summary.ranks),
        "remarks": summary.remarks + summary.rank_remarks,
        "limits": summary.limits,
        "findings": records(summary.findings),
        "unchecked": summary.unchecked,
    }
    return found | (theirs.document() if theirs else {})


def _print(
    full: Summary,
    boards: Sequence[Leaderboard],
    details: bool,
    others: Sequence[str],
    noise: bool,
    theirs: Published | None,
) -> None:
    named = labels([*full.table["method"], *full.findings["method"]])
    summary = _with_labels(full, named)
    if summary.table.empty:
        say("no results yet")
    ranked = [board for board in boards if len(board.tasks) > 1]
    for board in ranked:
        print_overview(board, lambda method: named.get(method, method))
    alone = {(board.tasks[0], board.budget, board.samples, board.metric) for board in boards if len(board.tasks) == 1}
    explained = _print_tables(summary, None if details else alone)
    if noise:
        _print_noise(summary.table)
    if theirs:
        theirs.show(named)
    for text in legend(named):
        print_folded(text)
    if ranked:
        remark(LEADERS_LEGEND)
    if explained:
        remark(LEGEND)
    for text in [*summary.remarks, *summary.limits]:
        warn(text)
    more = ["intervals and differences of a task: --task NAME, of all: --details"] if ranked and not details else []
    more += [f"other metrics, by --metric NAME: {', '.join(others)}"] if others else []
    if more:
        remark("; ".join(more))


def _print_tables(summary: Summary, wanted: Set[tuple[str, int, int, str]] | None) -> bool:
    """Print tables of single tasks with what was found in their samples, and return whether there were any.

    Arguments:
        summary: the comparison.
        wanted: task, budget, samples and metric of each table; None for all.
    """
    explained = False
    for group, tables in summary.table.groupby(GROUP_COLUMNS, sort=False):
        here = [
            (text, part)
            for text, part in labelled(tables, [*GROUP_COLUMNS, "metric"])
            if wanted is None or (*group, part["metric"].iloc[0]) in wanted
        ]
        for text, part in here:
            print_folded(text)
            _print_scores(part)
            say()
        if here:
            explained = True
            _print_findings(summary.findings[(summary.findings[GROUP_COLUMNS] == list(group)).all(axis=1)])
    if summary.unchecked and explained:
        warn(f"{summary.unchecked} results are unchecked for failures; run ampbench atlas")
    return explained


def _with_labels(summary: Summary, named: Mapping[str, str]) -> Summary:
    """Return a summary with each method's spec replaced by its label."""
    tables = {name: renamed(getattr(summary, name), named) for name in ("table", "ranks", "findings")}
    return replace(summary, **tables)


def _print_scores(part: pd.DataFrame) -> None:
    digits = decimals(part["mean"])
    rows = [
        (
            row.method,
            f"{row.seeds}x{row.observations}",
            number(row.mean, digits),
            interval(row.low, row.high, digits),
            "" if row.verdict in ("best", "lowest") else number(row.diff, digits, "+"),
            p_value(row.p),
            row.verdict,
        )
        for row in part.itertuples()
    ]
    print_table(["method", "n", "mean", "95% interval", "diff", "p", "verdict"], rows, fold=0)


def _print_findings(part: pd.DataFrame) -> None:
    if part.empty:
        return
    print_folded("findings, by number of runs (details: ampbench atlas):")
    for method, found in part.groupby("method", sort=False):
        print_folded(f"{method}: {summary_line(found)}")
    say()


def _print_noise(table: pd.DataFrame) -> None:
    columns = ["method", "sd_seed", "sd_observation", "sd_rest", "sd_metric"]
    for label, part in labelled(table, [*GROUP_COLUMNS, "metric"]):
        print_folded(f"standard deviations of single scores; {label}")
        rows = part[columns].itertuples(index=False)
        print_table(["method", "seed", "observation", "rest", "metric"], rows, fold=0)
        say()
    remark("-: not identifiable; with one seed, observation includes rest")
    say()
