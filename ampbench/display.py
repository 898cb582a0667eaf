"""How a sweep looks while it runs: a live line on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from ampbench.run import Record, Run

EVERY = 30.0
"""Seconds between two plain lines about one fit."""


class Display:
    """Tells the user how the runs go; a context manager.

    Arguments:
        total: number of runs to do.
    """

    def __init__(self, total: int) -> None:
        self.console = Console(highlight=False)
        self.total = total
        self.done = 0
        self._printed = time.monotonic()
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=20),
            TextColumn("{task.fields[state]}", markup=False),
            TimeElapsedColumn(),
            console=self.console,
            transient=True,
            disable=not self.console.is_terminal,
        )
        self._bar = self._progress.add_task("starting", total=None, state="")

    def __enter__(self) -> Display:
        self._progress.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._progress.stop()

    def fitting(self, run: Run, done: int, total: int) -> None:
        """Show the steps of a fit."""
        if self.console.is_terminal:
            show = self._progress.update if done else self._progress.reset
            show(self._bar, description=f"{self._count()} fit", total=total or None, completed=done, state=_short(run))
        elif not done:
            self._say(f"fitting {run.task}  {run.method}  budget {run.budget}  seed {run.seed}")
        elif time.monotonic() - self._printed > EVERY:
            self._say(f"fitting {run.task}  {run.method}: step {done} of {total}")

    def measuring(self, run: Run, what: str) -> None:
        """Show what is computed for an observation."""
        state = f"{_short(run)} observation {run.observation}: {what}"
        self._progress.reset(self._bar, description=self._count(), total=None, state=state)

    def finished(self, record: Record) -> None:
        """Print a line that stays."""
        self.done += 1
        run = record.run
        values = "  ".join(f"{name} {m.value:.3f}" for name, m in record.metrics.items() if m.value is not None)
        outcome = values if record.ok else f"FAILED {values + ': ' if values else ''}{record.error}"
        self._say(
            f"[{self.done}/{self.total}] {run.task}  {run.method}  budget {run.budget}  seed {run.seed}  "
            f"observation {run.observation}  {outcome}"
        )

    def note(self, text: str) -> None:
        """Print a line that stays."""
        self._say(text)

    def _count(self) -> str:
        return f"[{self.done + 1}/{self.total}]"

    def _say(self, text: str) -> None:
        self.console.print(escape(text), soft_wrap=not self.console.is_terminal)  # one line stays one line in a file
        self._printed = time.monotonic()


def _short(run: Run) -> str:
    return f"{run.task} {run.method}"[:40]
