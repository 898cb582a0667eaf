"""``ampbench run``, which runs a sweep, and ``ampbench status``, which shows the progress of sweeps."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ampbench import registry
from ampbench.cli.display import Display, lines
from ampbench.cli.interruption import exit_status, interruptible
from ampbench.console import LiteralConsole, say
from ampbench.errors import UsageError
from ampbench.interfaces.events import both
from ampbench.registry import blaming
from ampbench.reporting.text import duration
from ampbench.results import Record
from ampbench.results.bundle import Bundle, open_store
from ampbench.results.checksums import Damage
from ampbench.results.store import Store, is_good
from ampbench.running.heartbeat import Heartbeat, SweepStatus, damaged_statuses, sweep_statuses
from ampbench.running.sweep import Request
from ampbench.running.tally import Tally
from ampbench.spec import Spec
from ampbench.text import line


def run_sweep(request: Request, results: Path, executor: str, device: str, limits: dict[str, Any]) -> int:
    """Run a sweep and return the exit code: 1 if runs failed, 130, 143 or 129 after Ctrl-C, SIGTERM or SIGHUP.

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
    found = {run: store.standing(run) for run in runs}
    todo = [run for run in runs if not is_good(found[run])]
    if len(todo) < len(runs):
        say(f"{len(runs) - len(todo)} of {len(runs)} runs are stored in {line(str(results))} already")
    for damage in found.values():
        if isinstance(damage, Damage):
            say(f"run again: {line(str(damage))}")
    work = [Job(group, results.resolve(), device, Limits(**limits)) for group in jobs.group_by_fit(todo)]
    tally = Tally(todo)
    try:
        what = f"{loaded.entry('executors', executor)} failed"
        with interruptible(), Heartbeat(results, tally.snapshot), Display(tally) as display, blaming(what):
            built.execute(work, both(tally, display))
    except KeyboardInterrupt as error:
        word, code = exit_status(error)
        say(f"\n{word} after {tally.done} of {tally.total} runs; finished runs are stored in {line(str(results))}.")
        say("The same command again continues.")
        return code
    if tally.done < tally.total:
        left = tally.total - tally.done
        say(f"the executor {executor!r} ended without an error before {left} of {tally.total} runs were done")
    return _report(tally.failed, tally.done, results) or int(tally.done < tally.total)


def with_workers(executor: str, workers: int | None) -> str:
    """Return an executor's spec with its option ``workers`` set."""
    if workers is None:
        return executor
    spec = Spec.parse(executor)
    if "workers" in dict(spec.options):
        raise UsageError(f"the number of workers is given twice: by --workers {workers}, and in {executor!r}")
    return str(Spec(spec.name, (*spec.options, ("workers", str(workers)))))


def show_status(results: Path) -> int:
    """Print the numbers of stored results, and the progress of the sweeps that write to a results directory."""
    console = LiteralConsole()
    store = open_store(results)
    entries = list(store.scan())
    damages = [each for each in entries if isinstance(each, Damage)]
    records = [each.record for each in entries if not isinstance(each, Damage)]
    failed = sum(not record.ok for record in records)
    console.print(f"{len(records) - failed} runs are stored in {line(str(results))}, and {failed} failures")
    for damage in (*damages, *damaged_statuses(results)):
        console.print(f"damaged: {line(str(damage))}", soft_wrap=True)
    if isinstance(store, Bundle):
        return 0
    found = sweep_statuses(results)
    if not found:
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


def _report(failed: Sequence[Record], total: int, results: Path) -> int:
    for record in failed:
        say(f"failed: {line(str(record.run))}")
    folder = line(str(results))
    more = f", ampbench failures --results {folder}" if failed else ""
    say(f"{total - len(failed)} runs finished, {len(failed)} failed; see: ampbench compare --results {folder}{more}")
    return 1 if failed else 0
