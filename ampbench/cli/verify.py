"""``ampbench verify``: certification of tasks."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, replace

from ampbench import registry
from ampbench.console import LiteralConsole, cell, document, new_table, say, status
from ampbench.errors import AmpbenchError, UsageError
from ampbench.verify import CHECKS, QUICK_EFFORT, SIGNIFICANCE_LEVEL, Effort, Row, Subject, certify

STYLES = {"ok": "green", "failed": "bold red", "skipped": "dim"}


def run_verify(
    tasks: Sequence[str] = (),
    checks: Sequence[str] = (),
    observations: int | None = None,
    seed: int = 0,
    quick: bool = False,
    as_json: bool = False,
) -> int:
    """Certify tasks, print the results of all checks, and return the exit code: 1 if a check failed.

    Arguments:
        tasks: specs; all registered tasks if empty.
        checks: names of checks; all if empty.
        observations: number of observations for simulation-based calibration.
        seed: seed of all random numbers.
        quick: use smaller samples in all checks.
        as_json: print one JSON array of rows instead of tables.
    """
    loaded = registry.load()
    effort = QUICK_EFFORT if quick else Effort()
    if observations is not None:
        if observations < 20:
            raise UsageError(f"{observations} observations cannot show calibration; take at least 20")
        effort = replace(effort, observations=observations)
    rows: list[Row] = []
    for spec in tasks or list(loaded.entries("tasks")):
        found = _examine(loaded, spec, bool(tasks), checks or tuple(CHECKS), seed, effort)
        rows += found
        if not as_json:
            _print(spec, found)
    if as_json:
        document([asdict(row) for row in rows])
    else:
        say(_closing(rows, seed))
    return 1 if any(row.verdict == "failed" for row in rows) else 0


def _examine(
    loaded: registry.Registry, spec: str, asked: bool, checks: Sequence[str], seed: int, effort: Effort
) -> list[Row]:
    """Build a task and certify it; a task that was not named by the user and cannot be built gives a failed row."""
    try:
        task = loaded.build("tasks", spec)
    except AmpbenchError as error:
        if asked and isinstance(error, UsageError):
            raise
        return [Row(spec, "build", "failed", str(error))]
    with status() as update:

        def show(check: str) -> None:
            update(f"{spec}: {check} ({list(checks).index(check) + 1} of {len(checks)})")

        return certify(spec, Subject(task, seed, effort), checks, show)


def _print(spec: str, rows: Sequence[Row]) -> None:
    table = new_table(spec)
    for column in ("check", "result", "p"):
        table.add_column(column, no_wrap=True)
    table.add_column("detail", overflow="fold")
    for row in rows:
        p = "" if row.p is None else f"{row.p:.2g}"
        table.add_row(cell(row.check), cell(row.verdict, STYLES[row.verdict]), p, cell(row.detail))
    LiteralConsole().print(table)
    say()
    sys.stdout.flush()


def _closing(rows: Sequence[Row], seed: int) -> str:
    count = Counter(row.verdict for row in rows)
    failed = sorted({row.task for row in rows if row.verdict == "failed"})
    tasks = len({row.task for row in rows})
    return (
        f"{tasks} task{'' if tasks == 1 else 's'}: {count['ok']} checks ok, {count['skipped']} skipped, "
        f"{count['failed']} failed{': ' + ', '.join(failed) if failed else ''} "
        f"(seed {seed}, "
        f"level {SIGNIFICANCE_LEVEL:g} per task)"
    )
