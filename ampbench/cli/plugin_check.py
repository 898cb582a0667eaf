"""``ampbench plugin check``: the conformance tests of installed components, with failures explained."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from rich.padding import Padding
from rich.text import Text

from ampbench.cli.terminal import print_folded
from ampbench.console import LiteralConsole, cell, document, is_quiet, new_table, say, status
from ampbench.errors import unknown
from ampbench.hookspecs import KINDS
from ampbench.registry import Plugin
from ampbench.running.process import start_server
from ampbench.testing.catalogue import Catalogue, catalogue
from ampbench.testing.finding import Finding, Place
from ampbench.testing.kit import examine

VERDICT_WIDTH = 9
STYLES = {"ok": "green", "failed": "bold red", "skipped": "dim"}


def check_plugins(name: str | None, kind: str | None, seconds: float, as_json: bool) -> int:
    """Run the conformance tests of components, print the findings, and return the exit code: 1 if a test failed.

    Arguments:
        name: of a plugin, a distribution or a component, perhaps with options; None for all plugins of other people.
        kind: one kind of components only, such as ``divergence``.
        seconds: time limit of each test.
        as_json: print one JSON array of findings.

    Raises:
        UsageError: nothing has this name, or no plugin can be loaded.
    """
    if kind is not None and kind not in KINDS.values():
        raise unknown("kind of component", kind, KINDS.values())
    start_server(["ampbench.testing.catalogue", "scipy.stats"], 1)
    with status("loading the plugins"):
        chosen = catalogue(seconds).chosen(name, kind)
    rows: list[dict[str, object]] = []
    count: Counter[str] = Counter()
    for what, plugin, finding in _findings(chosen, seconds):
        count[finding.verdict] += 1
        rows.append(_row(what, plugin, finding))
        if not as_json:
            _print(what, plugin, finding, new=len(rows) < 2 or rows[-2]["subject"] != what)
    if as_json:
        document(rows)
    else:
        say()
        print_folded(_closing(count, len({str(row["subject"]) for row in rows}), name))
    return 1 if count["failed"] else 0


def _findings(chosen: Catalogue, seconds: float) -> Iterator[tuple[str, Plugin, Finding]]:
    """Yield the findings of plugins that cannot be used, and then of each component, with what they are about."""
    for plugin, finding in chosen.broken:
        yield f"plugin {plugin.name!r}", plugin, finding
    for subject in chosen.subjects:
        with status(str(subject)) as update:
            for finding in examine(subject, seconds, lambda check, what=subject: update(f"{what}: {check}")):  # type: ignore[misc]
                yield str(subject), subject.plugin, finding


def _print(what: str, plugin: Plugin, finding: Finding, new: bool) -> None:
    """Print a finding, below a line that names the component if it is its first."""
    failed = finding.verdict == "failed"
    if is_quiet() and not failed:
        return
    if new or is_quiet():
        print_folded(f"{what} of {plugin.distribution} {plugin.version}")
    console = LiteralConsole()
    verdict = finding.verdict.upper() if failed else finding.verdict
    heading = Text(f"  {verdict:<{VERDICT_WIDTH}}", STYLES[finding.verdict])
    console.print(heading + cell(f"{finding.check} ({finding.seconds:.1f} s)"))
    told = {"why": finding.seen} if not failed else _explanation(finding)
    table = new_table()
    table.show_header = False
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for label, text in told.items():
        if text:
            table.add_row(cell(label, "dim"), cell(text))
    if table.row_count:
        console.print(Padding(table, (0, 0, 0, 2 + VERDICT_WIDTH)))
    sys.stdout.flush()


def _explanation(finding: Finding) -> dict[str, str]:
    place = finding.place
    return {
        "property": finding.property,
        "seen": finding.seen,
        "expected": finding.expected,
        "look at": _where(place),
        "": place.code,
        "next": finding.advice,
    }


def _where(place: Place) -> str:
    """Return the file, as it is from here if it is below here, the line and the function."""
    if not place.file:
        return ""
    path = Path(place.file)
    if path.is_relative_to(Path.cwd()):
        path = path.relative_to(Path.cwd())
    return f"{path}, line {place.line}" + (f", in {place.function}" if place.function else "")


def _closing(count: Counter[str], components: int, name: str | None) -> str:
    told = ", ".join(f"{count[verdict]} {verdict}" for verdict in ("ok", "failed", "skipped") if count[verdict])
    text = f"{components} component{'' if components == 1 else 's'}; tests: {told}"
    return text + (f"; repeat: ampbench plugin check {name or ''}".rstrip() if count["failed"] else "")


def _row(what: str, plugin: Plugin, finding: Finding) -> dict[str, object]:
    place = finding.place
    return {
        "subject": what,
        "plugin": plugin.name,
        "distribution": plugin.distribution,
        "version": plugin.version,
        "check": finding.check,
        "verdict": finding.verdict,
        "property": finding.property,
        "cause": finding.cause,
        "seen": finding.seen,
        "expected": finding.expected,
        "file": os.fspath(place.file),
        "line": place.line,
        "function": place.function,
        "code": place.code,
        "next": finding.advice,
        "seconds": round(finding.seconds, 3),
    }
