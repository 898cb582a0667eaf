"""``ampbench compare``: print a comparison, or export it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd

from ampbench.atlas.findings import summary_line
from ampbench.cli.terminal import print_folded, print_table
from ampbench.console import complain, say
from ampbench.errors import UsageError
from ampbench.reporting.compare import GROUP_COLUMNS, MIN_SEEDS, Summary, latest, summarise
from ampbench.reporting.labels import labels, legend
from ampbench.reporting.ledger import PublishedComparison, compare_published
from ampbench.reporting.tables import interval, latex, markdown, p_value
from ampbench.reporting.text import decimals, number
from ampbench.results import load
from ampbench.results.columns import records
from ampbench.text import line, to_csv, to_json

LEGEND = (
    "n: seeds x observations; diff: paired difference to the lowest mean; p: p-value of that difference, by Holm's "
    "method over all pairs of the table. best: all others are worse; worse: p < .05 over "
    f"{MIN_SEEDS} seeds or more; worse fit: over fewer; tied: p >= .05; unknown: too few common scores"
)


def show(results: Path, forms: Sequence[str], noise: bool, published: bool, mix: bool) -> None:
    """Print a comparison of stored results.

    Arguments:
        results: the results directory.
        forms: at most one of markdown, latex, csv, json.
        noise: whether to add standard deviations of single scores by source.
        published: whether to add published scores.
        mix: whether to include published scores that are not comparable.

    Raises:
        UsageError: several forms, ``mix`` without ``published``, or published scores in a form that cannot hold them.
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
    frame = load(results)
    summary = summarise(frame)
    theirs = compare_published(latest(frame)[0], mix=mix) if published else None
    if form == "json":
        say(to_json(_json(summary, theirs)))
        return
    if form == "text":
        _print(summary, noise, theirs)
        return
    writers: dict[str, Callable[[pd.DataFrame], str]] = {"csv": to_csv, "markdown": markdown, "latex": latex}
    say(writers[form](summary.table), end="")
    for remark in [*summary.remarks, *summary.limits]:
        complain(line(remark))


def _json(summary: Summary, theirs: PublishedComparison | None) -> dict[str, object]:
    found = {
        "table": records(summary.table),
        "ranks": records(summary.ranks),
        "remarks": summary.remarks,
        "limits": summary.limits,
        "findings": records(summary.findings),
        "unchecked": summary.unchecked,
    }
    return found | ({"published": records(theirs.table), "published_remarks": theirs.remarks} if theirs else {})


def _print(full: Summary, noise: bool, theirs: PublishedComparison | None) -> None:
    named = labels([*full.table["method"], *full.findings["method"]])
    summary = _with_labels(full, named)
    if summary.table.empty:
        say("no results yet")
    for group, tables in summary.table.groupby(GROUP_COLUMNS, sort=False):
        for label, part in _labelled(tables, [*GROUP_COLUMNS, "metric"]):
            print_folded(label)
            _print_scores(part)
            say()
        _print_findings(summary.findings[(summary.findings[GROUP_COLUMNS] == list(group)).all(axis=1)])
    if summary.unchecked:
        print_folded(f"{summary.unchecked} results are unchecked for failures; run ampbench atlas")
        say()
    if noise:
        _print_noise(summary.table)
    for label, part in _labelled(summary.ranks, ["budget", "samples", "metric"]):
        print_folded(
            f"mean rank over {part['tasks'].iloc[0]} tasks, with intervals for a population of such tasks; {label}"
        )
        rows = [(row.method, row.rank, interval(row.low, row.high, 2)) for row in part.itertuples(index=False)]
        print_table(["method", "rank", "95% interval"], rows, fold=0)
        say()
    if theirs:
        _print_published(theirs, named)
    for text in legend(named):
        print_folded(text)
    if not summary.table.empty:
        print_folded(LEGEND)
    for remark in [*summary.remarks, *summary.limits]:
        print_folded(remark)


def _with_labels(summary: Summary, named: Mapping[str, str]) -> Summary:
    """Return a summary with each method's spec replaced by its label."""
    tables = {name: _renamed(getattr(summary, name), named) for name in ("table", "ranks", "findings")}
    return replace(summary, **tables)


def _renamed(table: pd.DataFrame, named: Mapping[str, str]) -> pd.DataFrame:
    return table.assign(method=table["method"].map(lambda method: named.get(method, method)))


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
    for label, part in _labelled(table, [*GROUP_COLUMNS, "metric"]):
        print_folded(f"standard deviations of single scores; {label}")
        rows = part[columns].itertuples(index=False)
        print_table(["method", "seed", "observation", "rest", "metric"], rows, fold=0)
        say()
    print_folded("-: not identifiable; with one seed, observation includes rest")
    say()


def _print_published(theirs: PublishedComparison, named: Mapping[str, str]) -> None:
    shown = _renamed(theirs.table, named).assign(samples=theirs.table["samples"].astype("string").fillna("unknown"))
    for label, part in _labelled(shown, ["task", "budget", "classifier", "samples"]):
        print_folded(f"ours and published c2st; {label}")
        columns = part[["method", "mean", "se", "origin"]].astype({"mean": float, "se": float})
        print_table(columns.columns, columns.itertuples(index=False), fold=3)
        say()
    print_folded(
        "se: standard error for independent fits; our scores of one seed share a fit if the method is amortised"
    )
    for remark in theirs.remarks:
        print_folded(remark)


def _labelled(table: pd.DataFrame, by: list[str]) -> list[tuple[str, pd.DataFrame]]:
    return [
        (", ".join(f"{name} {value}" for name, value in zip(by, values, strict=True)), part)
        for values, part in table.groupby(by, sort=False)
    ]
