"""The report as Markdown: leaderboards, comparisons, findings, published scores, failures and remarks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import pandas as pd

from ampbench.report.content import Content
from ampbench.report.view import facts, view
from ampbench.reporting import tables
from ampbench.text import in_markdown


def markdown(content: Content) -> str:
    """Return the report as Markdown."""
    return "\n".join(_lines(content)) + "\n"


def _lines(content: Content) -> Iterator[str]:
    shown = view(content)
    yield "# ampbench report\n"
    for source in content.sources:
        yield f"- {in_markdown(source.path)}: {source.results:,} results"
    yield from (f"- {name}: {in_markdown(value)}" for name, value in facts(content))
    yield f"- written {content.written} by ampbench {in_markdown(content.version)}\n"
    yield "## Leaderboards\n"
    yield (
        "Mean rank over tasks, 1 for the lowest score, with its 95 % interval. Bold: all others are significantly "
        "worse; ≈: not told apart from the lowest score of the task; –: no score.\n"
    )
    if not shown["boards"]:
        yield "There are no scores to compare yet.\n"
    for board in shown["boards"]:
        yield f"### {in_markdown(board['metric'])}, {board['budget']:,} simulations, {board['samples']:,} samples\n"
        yield f"{in_markdown(board['leaders'])}\n"
        headings = ["method", "rank", "95 % interval", "p", *(task for _, task in board["tasks"])]
        yield from _table(headings, (_board_row(row) for row in board["rows"]))
        yield from (f"- {in_markdown(remark)}" for remark in board["remarks"])
        yield ""
    yield "## Tasks\n"
    yield tables.markdown(content.summary.table.assign(method=_labelled(content, content.summary.table["method"])))
    for task in shown["tasks"]:
        yield from _task(task)
    if shown["failures"]:
        yield f"## Failures\n\n{shown['failed']} runs failed.\n"
        headings = ["task", "method", "simulations", "observation", "seed", "kind", "error"]
        columns = ["task", "method", "budget", "observation", "seed", "kind", "error"]
        yield from _table(headings, ([in_markdown(str(row[name])) for name in columns] for row in shown["failures"]))
        yield ""
    yield "## Remarks\n"
    yield from (f"- {in_markdown(remark)}" for remark in content.remarks or ["Nothing is missing or left out."])
    yield "\n## Methods\n"
    yield from _table(["label", "method"], ([in_markdown(m.label), in_markdown(m.spec)] for m in content.methods))


def _labelled(content: Content, methods: pd.Series[str]) -> pd.Series[str]:
    return methods.map({method.spec: method.label for method in content.methods})


def _board_row(row: dict[str, object]) -> list[str]:
    standing, cells = row["standing"], row["cells"]
    name = in_markdown(str(row["label"]))
    assert isinstance(cells, list)
    best = getattr(standing, "verdict", "") == "best"
    scores = ["–" if cell is None else _score(cell.text, cell.interval, cell.verdict) for cell in cells]
    return [f"**{name}**" if best else name, str(row["rank"]), str(row["interval"]), str(row["p"] or "–"), *scores]


def _score(text: str, interval: str, verdict: str) -> str:
    shown = f"{text} {interval}"
    if verdict == "best":
        return f"**{shown}**"
    return f"{shown} ≈" if verdict in ("lowest", "tied") else shown


def _task(task: dict[str, object]) -> Iterator[str]:
    described, findings = task["task"], task["findings"]
    published, strongest = task["published"], task["strongest"]
    assert isinstance(findings, list)
    assert isinstance(published, list)
    assert isinstance(strongest, list)
    if not findings and not published and not strongest:
        return
    yield f"### {in_markdown(getattr(described, 'spec', ''))}\n"
    if findings:
        yield "Findings of the failure atlas:\n"
        columns = ["label", "budget", "finding", "count", "worst", "where"]
        headings = ["method", "simulations", "finding", "runs", "largest", "where"]
        yield from _table(headings, ([in_markdown(str(row[name])) for name in columns] for row in findings))
        yield ""
    if strongest:
        yield "Strongest published scores by classifier and number of samples:\n"
        columns = ["label", "budget", "scale", "mean", "count", "sequential", "choice", "ours_mean", "ours", "origin"]
        headings = ["published method", "simulations", "classifier", "C2ST", "scores", "sequential", "configuration"]
        headings += ["ours", "our method", "origin"]
        yield from _table(headings, ([in_markdown(str(row[name])) for name in columns] for row in strongest))
        yield ""
    for scale in published:
        of = in_markdown(f"{scale['classifier']}, {scale['samples']} samples")
        yield f"Published scores of the same classifier and number of samples: {of}\n"
        columns = ["label", "budget", "mean", "se", "sequential", "choice", "origin"]
        headings = ["method", "simulations", "C2ST", "standard error", "sequential", "configuration", "origin"]
        yield from _table(headings, ([in_markdown(str(row[name])) for name in columns] for row in scale["rows"]))
        yield ""


def _table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(in_markdown(each) for each in headings)} |"
    yield f"|{'---|' * len(headings)}"
    yield from (f"| {' | '.join(row)} |" for row in rows)
