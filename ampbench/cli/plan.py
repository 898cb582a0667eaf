"""``ampbench plan``: the states of the runs of a sweep, without running them."""

from __future__ import annotations

from collections import Counter, defaultdict
from pathlib import Path

from ampbench import registry
from ampbench.cli.terminal import print_folded, print_table
from ampbench.console import document, say
from ampbench.reporting.text import duration
from ampbench.results.bundle import open_store
from ampbench.results.schema import run_cells
from ampbench.results.store import BUNDLE_SUFFIX, Store
from ampbench.running.plan import STATES, Estimate, Plan, Planned, plan
from ampbench.running.sweep import Request
from ampbench.text import line

STATE_MEANINGS = {
    "failed": "will be run again; see ampbench failures",
    "damaged": "will be run again",
    "drawn": "only metrics to compute",
    "fitted": "samples and metrics, from a kept fit",
}


def show_plan(request: Request, results: Path, as_json: bool = False) -> int:
    """Print the states of all runs of a sweep, and return the exit code.

    Arguments:
        request: the sweep.
        results: the results directory, which need not exist, or a bundle.
        as_json: print one JSON array with an object per run instead.
    """
    every = request.runs(registry.load())
    part = request.chosen(every)
    made = plan(part, open_store(results) if results.suffix == BUNDLE_SUFFIX else Store(results))
    if as_json:
        document([_row(planned) for planned in made.runs])
        return 0
    _print_table(made)
    if len(part) < len(every):
        say(f"{len(part)} of {len(every)} runs are selected")
    _print_states(made, results)
    say(_time(made.estimate))
    return 0


def _print_table(made: Plan) -> None:
    """Print a table per method with a row per task and budget; states without runs are left out."""
    groups: defaultdict[str, defaultdict[tuple[str, int], Counter[str]]]
    groups = defaultdict(lambda: defaultdict(Counter))
    for planned in made.runs:
        groups[planned.run.method][planned.run.task, planned.run.budget][planned.state] += 1
    states = [state for state in STATES if made.count()[state]]
    for method, cells in groups.items():
        print_folded(method)
        rows = [[*cell, count.total(), *(count[state] for state in states)] for cell, count in cells.items()]
        print_table(["task", "budget", "runs", *states], rows, fold=0)
        say()


def _print_states(made: Plan, results: Path) -> None:
    fits = len({planned.run.fit_key for planned in made.runs})
    say(f"{len(made.runs)} runs, {fits} fits, in {line(str(results))}")
    count = made.count()
    for state in STATES:
        if count[state]:
            say(f"  {count[state]:6} {state}" + (f": {STATE_MEANINGS[state]}" if state in STATE_MEANINGS else ""))
    for planned in made.runs:
        if planned.state == "damaged":
            say(f"  {line(planned.detail)}")
    others = Counter(planned.versions for planned in made.runs if planned.versions)
    for versions, number in others.items():
        say(f"  {number:6} are stored with other versions, which are not reused: {line(', '.join(versions))}")


def _time(estimate: Estimate) -> str:
    if not estimate.fits:
        return "nothing is left to do"
    if not estimate.known:
        return "time: unknown; no similar runs are stored yet"
    of = f"of {estimate.fits} fits"
    lines = [f"time: about {duration(estimate.seconds)} on one worker"]
    if estimate.alike:
        lines.append(f"{estimate.alike:6} {of} are estimated from other tasks or budgets")
    if estimate.known < estimate.fits:
        lines.append(f"{estimate.fits - estimate.known:6} {of} are not included, since no similar runs are stored")
    return "\n".join(lines)


def _row(planned: Planned) -> dict[str, object]:
    cells = {"fit": planned.run.fit_digest, "state": planned.state, "detail": planned.detail}
    return run_cells(planned.run) | cells
