"""Progress display of a running sweep: a live view on a terminal, plain lines elsewhere."""

from __future__ import annotations

from rich.console import Group
from rich.live import Live
from rich.text import Text

from ampbench.console import LiteralConsole, is_json, is_quiet
from ampbench.interfaces.events import Event, Finished, Fitting, Note
from ampbench.reporting.text import duration, number
from ampbench.running.tally import Snapshot, Tally
from ampbench.running.throttle import Throttle
from ampbench.text import line, plain

STEP_INTERVAL_S = 30.0
"""Seconds between two plain lines about running fits."""

MAX_LINES = 20
"""Height of the live view."""


class Display:
    """A listener that displays the progress of the runs; a context manager.

    Arguments:
        tally: counts the runs; it must receive each event before the display.
    """

    def __init__(self, tally: Tally) -> None:
        self.console = LiteralConsole(stderr=is_json(), quiet=is_quiet())
        self._tally = tally
        self._throttle = Throttle(STEP_INTERVAL_S)
        self._live = Live(
            console=self.console, get_renderable=self._view, refresh_per_second=4, transient=True, redirect_stderr=False
        )

    def __enter__(self) -> Display:
        if self._is_live:
            self._live.start()
        return self

    def __exit__(self, *exception: object) -> None:
        if self._is_live:
            self._live.stop()

    @property
    def _is_live(self) -> bool:
        return self.console.is_terminal and not self.console.quiet

    def __call__(self, event: Event) -> None:
        """Print a permanent line for an event, if it warrants one."""
        match event:
            case Finished(record):
                run = record.run
                values = "  ".join(
                    f"{name} {number(m.value)}" for name, m in record.metrics.items() if m.value is not None
                )
                values += "".join(f"  {'! ' if not i else ''}{check}" for i, check in enumerate(record.findings))
                outcome = values if record.ok else f"FAILED {values + ': ' if values else ''}{record.error}"
                self._say(
                    f"[{self._tally.done}/{self._tally.total}] {run.task}  {run.method}  budget {run.budget}  "
                    f"seed {run.seed}  observation {run.observation}  {outcome}"
                )
            case Note(text):
                self._say(text)
            case Fitting(run, done, total) if not self.console.is_terminal:
                if not done:
                    self._say(f"fitting {run.task}  {run.method}  budget {run.budget}  seed {run.seed}")
                elif self._throttle.due():
                    self._say(f"fitting {run.task}  {run.method}: step {done} of {total}")

    def _view(self) -> Group:
        text = lines(self._tally.snapshot())
        if len(text) > MAX_LINES:
            text = [*text[: MAX_LINES - 1], f"  and {len(text) - MAX_LINES + 1} more"]
        return Group(*(Text(each, no_wrap=True, overflow="ellipsis") for each in text))

    def _say(self, text: str) -> None:
        self.console.print(
            Text(plain(text.replace("\n", " "))), soft_wrap=not self.console.is_terminal
        )  # a file gets one unfolded line
        self._throttle.restart()


def lines(state: Snapshot) -> list[str]:
    """Return lines about the state of a sweep: the totals, the best result so far, and each running fit."""
    left = "" if state.left is None or state.done == state.total else f", about {duration(state.left)} left"
    text = [
        f"{state.done} of {state.total} runs done, {state.failed} failed, {len(state.running)} fits in work; "
        f"{duration(state.seconds)} so far{left}"
    ]
    if best := state.best:
        mean = f"{best.metric} {best.mean:.3f}, mean of {best.n}"
        text.append(f"best so far on {best.task}, budget {best.budget}: {best.method} ({mean})")
    for doing in state.running:
        steps = f" {doing.done} of {doing.total}" if doing.total else ""
        text.append(f"  {duration(doing.seconds)}  {doing.step}{steps}  {doing.fit}")
    return ["  " * each.startswith("  ") + line(each) for each in text]
