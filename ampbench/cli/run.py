"""``ampbench run``, which runs a sweep, and ``ampbench status``, which shows the progress of sweeps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ampbench import registry
from ampbench.cli.display import Display, lines
from ampbench.cli.interruption import exit_status, interruptible
from ampbench.cli.store import failure_row
from ampbench.console import LiteralConsole, complain, document, is_quiet, note
from ampbench.errors import UsageError
from ampbench.interfaces.events import both
from ampbench.registry import blaming
from ampbench.reporting.text import duration
from ampbench.results import Record
from ampbench.results.bundle import Bundle, open_store
from ampbench.results.standings import standings
from ampbench.results.store import Store
from ampbench.results.survey import survey
from ampbench.running.heartbeat import Heartbeat, SweepStatus, damaged_statuses, sweep_statuses
from ampbench.running.sweep import Request
from ampbench.running.tally import Tally
from ampbench.spec import Spec
from ampbench.text import line


@dataclass(frozen=True)
class SweepOutcome:
    """How a sweep ended.

    Attributes:
        stored: number of runs whose results were stored before.
        asked, done: numbers of the other runs, and of those that were executed.
        failed: the records of failures.
        ended_by: the interruption, and its exit code; "" and 0 without one.
    """

    stored: int
    asked: int
    done: int
    failed: Sequence[Record]
    ended_by: str = ""
    signal_code: int = 0

    @property
    def code(self) -> int:
        """The exit code: 1 if runs failed or were not done, 130, 143 or 129 after Ctrl-C, SIGTERM or SIGHUP."""
        return self.signal_code or int(bool(self.failed) or self.done < self.asked)


def run_sweep(
    request: Request, results: Path, executor: str, device: str, limits: dict[str, Any], as_json: bool = False
) -> int:
    """Run a sweep, print how it ended, and return the exit code; see :func:`sweep_outcome`."""
    outcome = sweep_outcome(request, results, executor, device, limits)
    if as_json:
        counts = {"results": str(results), "stored": outcome.stored, "asked": outcome.asked, "done": outcome.done}
        document(counts | {"ended_by": outcome.ended_by, "failed": [failure_row(each) for each in outcome.failed]})
        return outcome.code
    return report(outcome, results)


def sweep_outcome(request: Request, results: Path, executor: str, device: str, limits: dict[str, Any]) -> SweepOutcome:
    """Run a sweep, and show its progress.

    Arguments:
        request: the sweep.
        results: the results directory.
        executor: an executor's spec.
        device: any torch device.
        limits: the fields of :class:`ampbench.interfaces.Limits`.
    """
    from ampbench.devices import usable_device
    from ampbench.interfaces import Job, Limits
    from ampbench.running import jobs

    usable_device(device)
    loaded = registry.load()
    built = loaded.build("executors", executor)
    runs = request.chosen(request.runs(loaded))
    store = Store(results)
    store.prepare()
    found = standings(store, {run.key for run in runs})
    todo = [run for run in runs if not found.done(run.key)]
    if len(todo) < len(runs):
        note(f"{len(runs) - len(todo)} of {len(runs)} runs are stored in {line(str(results))} already")
    for damage in (found.damages[run.key] for run in runs if run.key in found.damages):
        note(f"run again: {line(str(damage))}")
    work = [Job(group, results.resolve(), device, Limits(**limits)) for group in jobs.group_by_fit(todo)]
    tally = Tally(todo)
    try:
        what = f"{loaded.entry('executors', executor)} failed"
        with interruptible(), Heartbeat(results, tally.snapshot), Display(tally) as display, blaming(what):
            built.execute(work, both(tally, display))
    except KeyboardInterrupt as error:
        word, code = exit_status(error)
        return SweepOutcome(len(runs) - len(todo), tally.total, tally.done, tally.failed, word, code)
    if tally.done < tally.total:
        left = tally.total - tally.done
        announce = complain if is_quiet() else note
        announce(f"the executor {executor!r} ended without an error before {left} of {tally.total} runs were done")
    return SweepOutcome(len(runs) - len(todo), tally.total, tally.done, tally.failed)


def with_workers(executor: str, workers: int | None) -> str:
    """Return an executor's spec with its option ``workers`` set."""
    if workers is None:
        return executor
    spec = Spec.parse(executor)
    if "workers" in dict(spec.options):
        raise UsageError(f"the number of workers is given twice: by --workers {workers}, and in {executor!r}")
    return str(Spec(spec.name, (*spec.options, ("workers", str(workers)))))


def show_status(results: Path, as_json: bool = False) -> int:
    """Print the numbers of stored results, and the progress of the sweeps that write to a results directory."""
    console = LiteralConsole()
    store = open_store(results)
    taken = survey(store, names=())
    stored = int(taken.entries.ok.sum())
    failed = len(taken.entries) - stored
    is_running = not isinstance(store, Bundle)  # no sweep writes to a bundle
    damages = [*taken.damages, *(damaged_statuses(results) if is_running else [])]
    found = sweep_statuses(results) if is_running else []
    if as_json:
        counts = {"results": str(results), "stored": stored, "failed": failed}
        broken = [{"path": str(each.path), "reason": each.reason} for each in damages]
        document(counts | {"damages": broken, "sweeps": [_sweep_row(sign) for sign in found]})
        return 0
    console.print(f"{stored} runs are stored in {line(str(results))}, and {failed} failures")
    for damage in damages:
        console.print(f"damaged: {line(str(damage))}", soft_wrap=True)
    if not found and is_running:
        console.print("no sweep is running")
    for sign in found:
        console.print()
        console.print(line(_headline(sign)), soft_wrap=True)
        for text in lines(sign.state):
            console.print(text, no_wrap=True, overflow="ellipsis", soft_wrap=not console.is_terminal)
    return 0


def _headline(sign: SweepStatus) -> str:
    where = f"sweep of {sign.began} on {sign.host}, process {sign.pid}"
    if sign.alive:
        return f"{where}, running; last sign {duration(sign.age)} ago"
    state = "killed" if sign.certain else "silent, perhaps killed"
    return f"{where}, {state}; last sign {duration(sign.age)} ago. The same command again continues. Last state:"


def _sweep_row(sign: SweepStatus) -> dict[str, object]:
    """Return the status of a sweep as a row for JSON."""
    about = {"began": sign.began, "host": sign.host, "pid": sign.pid, "alive": sign.alive, "age": sign.age}
    state = sign.state
    counts = {"done": state.done, "total": state.total, "failed": state.failed, "seconds": state.seconds}
    return about | counts | {"left": state.left, "running": [asdict(each) for each in state.running]}


def report(outcome: SweepOutcome, results: Path) -> int:
    """Print how a sweep ended, and return its exit code; failures are named on standard error with ``--quiet``."""
    folder, announce = line(str(results)), complain if is_quiet() else note
    if outcome.ended_by:
        done = f"{outcome.ended_by} after {outcome.done} of {outcome.asked} runs"
        announce(f"\n{done}; finished runs are stored in {folder}.\nThe same command again continues.")
        return outcome.code
    for record in outcome.failed:
        announce(f"failed: {line(str(record.run))}")
    failed = len(outcome.failed)
    more = f", ampbench failures --results {folder}" if failed else ""
    finished = f"{outcome.done - failed} runs finished, {failed} failed"
    note(f"{finished}; see: ampbench compare --results {folder}{more}")
    return outcome.code
