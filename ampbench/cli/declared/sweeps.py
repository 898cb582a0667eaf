"""Declarations of ``run``, ``status``, ``plan`` and ``failures``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from ampbench.cli.options import (
    BundleOption,
    DeviceOption,
    ExecutorOption,
    MemoryOption,
    SweepOptions,
    ThreadsOption,
    TimeoutOption,
    takes_sweep,
)


@takes_sweep
def run(
    sweep: SweepOptions,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Run nothing, and print ampbench plan.")] = False,
    executor: ExecutorOption = "local",
    workers: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Number of parallel fits.  [default: one for each core or GPU]"),
    ] = None,
    device: DeviceOption = "cpu",
    threads: ThreadsOption = 1,
    timeout: TimeoutOption = None,
    memory: MemoryOption = None,
    retries: Annotated[
        int,
        typer.Option(min=0, metavar="N", help="Number of retries of a fit whose worker is killed."),
    ] = 2,
    json: Annotated[bool, typer.Option("--json", help="One JSON object: counts, and an array of failures.")] = False,
) -> None:
    """Run methods on tasks, and store the results.

    Runs whose results are stored are skipped, so that an interrupted command can be repeated to continue.
    """
    if dry_run:
        from ampbench.cli.plan import show_plan

        sys.exit(show_plan(sweep.request, sweep.results, json))
    from ampbench.cli.run import run_sweep, with_workers

    limits = {"threads": threads, "seconds": timeout, "memory": memory, "retries": retries}
    sys.exit(run_sweep(sweep.request, sweep.results, with_workers(executor, workers), device, limits, json))


def status(
    results: BundleOption = Path("results"),
    json: Annotated[bool, typer.Option("--json", help="One JSON object: counts, damages, sweeps.")] = False,
) -> None:
    """Show the progress of the sweeps that write to a results directory.

    Works from another terminal, or from another machine with access to the directory.
    """
    from ampbench.cli.run import show_status

    sys.exit(show_status(results, json))


@takes_sweep
def plan(
    sweep: SweepOptions,
    json: Annotated[bool, typer.Option("--json", help="One JSON array with an object per run.")] = False,
) -> None:
    """Show which runs of a sweep are done, and which are left.

    Takes the options of run, and runs nothing. The time is estimated from stored runs.
    """
    from ampbench.cli.plan import show_plan

    sys.exit(show_plan(sweep.request, sweep.results, json))


def failures(
    results: BundleOption = Path("results"),
    kind: Annotated[
        list[str] | None, typer.Option(metavar="KIND", help="Only failures of this kind; repeatable.")
    ] = None,
    traceback: Annotated[bool, typer.Option("--traceback", help="Show tracebacks.")] = False,
    json: Annotated[bool, typer.Option("--json", help="One JSON array with an object per failure.")] = False,
) -> None:
    """Show the failed runs, with their errors.

    Repeat the run command to run them again.
    """
    from ampbench.cli.store import show_failures

    sys.exit(show_failures(results, kind or (), traceback, json))
