"""``ampbench ledger`` and ``ampbench reproduce``: published scores, and their comparison with ours."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ampbench.cli.run import report, sweep_outcome
from ampbench.cli.terminal import print_groups
from ampbench.console import document, note, say
from ampbench.reporting.ledger import reproduced, select, study
from ampbench.results import load
from ampbench.results.columns import records
from ampbench.running.sweep import Request
from ampbench.text import to_csv

CAVEAT = (
    "diff_in_se: the difference in standard errors, computed for independent scores.\n"
    "Scores are dependent: both use the same observations, and our scores of an\n"
    "amortised method share one fit, while the study fitted each observation anew."
)


def show_ledger(
    tasks: Sequence[str],
    methods: Sequence[str],
    budgets: Sequence[int],
    classifiers: Sequence[str],
    as_json: bool,
    as_csv: bool,
) -> None:
    """Print published scores, in a separate table for each classifier and sample size.

    Arguments:
        tasks, methods, budgets, classifiers: see :func:`ampbench.reporting.ledger.select`.
        as_json, as_csv: print JSON or CSV instead of tables.
    """
    frame = select(tasks, methods, budgets, classifiers)
    if as_json:
        document(records(frame))
    elif as_csv:
        say(to_csv(frame), end="")
    else:
        shown = frame.assign(samples=frame["samples"].astype("string").fillna("unknown"))
        shown = shown.astype({"n": "float64"})
        print_groups(
            shown,
            ["task", "budget", "classifier", "samples"],
            ["method", "c2st", "se", "sequential", "choice", "source"],
            "no such score",
        )
        note(
            "se: standard error over observations and seeds; -: not published; sequential: the whole budget for each "
            "observation; choice: of the configuration, which makes a score too low if it is the best by this score"
        )


def reproduce(
    name: str,
    subset: str,
    selections: Sequence[str],
    results: Path,
    executor: str,
    device: str,
    threads: int,
    as_json: bool = False,
) -> int:
    """Run a subset of a study as a sweep, and print our scores, the published ones and the differences.

    Arguments:
        name: name of the study.
        subset: name of the subset of its cells.
        selections: see :func:`ampbench.running.sweep.chosen`.
        results: the results directory; stored runs are not repeated.
        executor: an executor's spec.
        device: any torch device.
        threads: CPU threads of each worker.
        as_json: print the comparison as JSON.

    Returns:
        The exit code of the runs.
    """
    found, sweep = study(name, subset)
    request, limits = Request(given=sweep, select=tuple(selections)), {"threads": threads}
    code = report(sweep_outcome(request, results, executor, device, limits), results)
    compared = reproduced(load(results), found)
    if as_json:
        document(records(compared))
        return code
    columns = ["method", "n", "ours", "se", "theirs", "their_se", "diff", "diff_in_se"]
    print_groups(compared, ["task", "budget"], columns)
    note(CAVEAT)
    return code
