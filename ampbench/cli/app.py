"""The command line. Heavy imports happen inside the commands, so that ``--help`` and ``list`` answer at once.

Exit codes: 0 all fine, 1 some runs failed (each is named), 2 bad usage, 130 Ctrl-C, 143 SIGTERM.
"""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from typing import Annotated, TextIO

import typer

from ampbench import __version__
from ampbench.cli.options import (
    DeviceOption,
    ExecutorOption,
    MemoryOption,
    ReadOption,
    ResultsOption,
    SelectOption,
    SweepOptions,
    ThreadsOption,
    TimeoutOption,
    takes_sweep,
)
from ampbench.errors import AmpbenchError, ResultsWarning
from ampbench.hookspecs import KINDS
from ampbench.reporting.text import plain

app = typer.Typer(
    help="Compare likelihood-free inference methods, and infer with adversarial message passing.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def main() -> None:
    """Run the command line; an error that ampbench raises on purpose is printed without a traceback."""
    warnings.showwarning = _show_warning
    try:
        app()
    except AmpbenchError as error:
        print(f"ampbench: {plain(str(error))}", file=sys.stderr)
        sys.exit(2)


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """Print a warning; one of our own without the line of code that it comes from."""
    text = f"ampbench: {plain(str(message))}\n" if issubclass(category, ResultsWarning) else ""
    print(text or warnings.formatwarning(message, category, filename, lineno, line), end="", file=file or sys.stderr)


def _version(wanted: bool) -> None:
    if wanted:
        print(f"ampbench {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print it.")] = False,
) -> None:
    """Compare likelihood-free inference methods, and infer with adversarial message passing."""


@app.command()
@takes_sweep
def run(
    sweep: SweepOptions,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be done: ampbench plan.")] = False,
    executor: ExecutorOption = "local",
    workers: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Fits at a time.  [default: one for each core or GPU]")
    ] = None,
    device: DeviceOption = "cpu",
    threads: ThreadsOption = 1,
    timeout: TimeoutOption = None,
    memory: MemoryOption = None,
    retries: Annotated[
        int, typer.Option(min=0, metavar="N", help="How often a fit is tried again if its worker is killed.")
    ] = 2,
) -> None:
    """Run methods on tasks, and store what is finished.

    A run that is stored already is skipped, so that the same command continues what was interrupted.
    """
    if dry_run:
        from ampbench.cli.plan import show_plan

        sys.exit(show_plan(sweep.request, sweep.results))
    from ampbench.cli.run import run_sweep, with_workers

    limits = {"threads": threads, "seconds": timeout, "memory": memory, "retries": retries}
    sys.exit(run_sweep(sweep.request, sweep.results, with_workers(executor, workers), device, limits))


@app.command()
def status(results: ResultsOption = Path("results")) -> None:
    """Show how the sweeps go that write into a results directory.

    From another terminal, or another machine that sees the directory.
    """
    from ampbench.cli.run import show_status

    sys.exit(show_status(results))


@app.command()
@takes_sweep
def plan(
    sweep: SweepOptions,
    json: Annotated[bool, typer.Option("--json", help="One JSON array with an object per run.")] = False,
) -> None:
    """Show what is done of a sweep, and what is left.

    Takes the options of run, and runs nothing. The time is judged by what stored runs took.
    """
    from ampbench.cli.plan import show_plan

    sys.exit(show_plan(sweep.request, sweep.results, json))


@app.command()
def failures(
    results: ResultsOption = Path("results"),
    kind: Annotated[list[str] | None, typer.Option(metavar="KIND", help="Such failures only; repeatable.")] = None,
    traceback: Annotated[bool, typer.Option("--traceback", help="With tracebacks.")] = False,
    json: Annotated[bool, typer.Option("--json", help="One JSON array with an object per failure.")] = False,
) -> None:
    """Show the runs that failed, and why.

    The same run command tries them again.
    """
    from ampbench.cli.store import show_failures

    sys.exit(show_failures(results, kind or (), traceback, json))


store = typer.Typer(help="Look after results: check, merge, clean up.", no_args_is_help=True)
app.add_typer(store, name="store")


@store.command("check")
def store_check(results: ResultsOption = Path("results")) -> None:
    """Compare everything that is stored with its checksum.

    Exit code 1 if something is damaged.
    """
    from ampbench.cli.store import check_store

    sys.exit(check_store(results))


@store.command("merge")
def store_merge(
    source: Annotated[list[Path], typer.Argument(metavar="DIR...", help="Results directories.")],
    into: Annotated[Path, typer.Option(metavar="DIR", help="Results directory to copy to.")],
) -> None:
    """Copy results into one directory.

    Good results that are there already stay. Exit code 1 if something was damaged, and left out.
    """
    from ampbench.cli.store import merge_stores

    sys.exit(merge_stores(source, into))


@store.command("gc")
def store_gc(
    results: ResultsOption = Path("results"),
    failed: Annotated[bool, typer.Option("--failed", help="Failures too.")] = False,
    damaged: Annotated[bool, typer.Option("--damaged", help="Damaged files too.")] = False,
    fits: Annotated[bool, typer.Option("--fits", help="Kept fits too; later observations are fitted again.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be removed.")] = False,
) -> None:
    """Remove unfinished files, and samples of no run, older than an hour.

    Safe while runs are being written.
    """
    from ampbench.cli.store import collect_garbage

    sys.exit(collect_garbage(results, failed, damaged, fits, dry_run))


@app.command("list")
def list_components(
    kind: Annotated[str | None, typer.Argument(metavar="[" + "|".join(KINDS) + "]", help="One kind only.")] = None,
) -> None:
    """List the components that can be used in specs."""
    from ampbench.cli import listing

    listing.list_components(kind)


@app.command()
def plugins() -> None:
    """List the installed plugins.

    AMPBENCH_DISABLE_PLUGINS=name,name leaves some out.
    """
    from ampbench.cli import listing

    listing.list_plugins()


@app.command()
def results(
    results: ReadOption = Path("results"),
    json: Annotated[bool, typer.Option("--json", help="One JSON array with an object per row.")] = False,
    csv: Annotated[bool, typer.Option("--csv", help="Comma-separated values.")] = False,
) -> None:
    """Show all stored results, one row per run."""
    from ampbench.cli.results import show_results

    show_results(results, json, csv)


@app.command()
def atlas(
    results: ResultsOption = Path("results"),
    task: Annotated[list[str] | None, typer.Option(metavar="SPEC", help="Such tasks only; repeatable.")] = None,
    method: Annotated[list[str] | None, typer.Option(metavar="SPEC", help="Such methods only; repeatable.")] = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON array with an object per finding.")] = False,
) -> None:
    """Show what is wrong with posterior samples: dropped modes, mass outside the prior, widths, tails.

    Results of older versions are checked now, and the checks stored, where their samples still are.
    """
    from ampbench.cli.atlas import show_atlas
    from ampbench.threads import limited_threads

    with limited_threads(1):
        show_atlas(results, task or (), method or (), json)


@app.command()
def export(
    output: Annotated[Path, typer.Argument(metavar="OUT.nc", help="The NetCDF file to write.")],
    results: ResultsOption = Path("results"),
    task: Annotated[str | None, typer.Option(metavar="SPEC", help="Task, or its name.")] = None,
    method: Annotated[str | None, typer.Option(metavar="SPEC", help="Method, or its name.")] = None,
    budget: Annotated[int | None, typer.Option(metavar="N", help="Number of simulations.")] = None,
    samples: Annotated[int | None, typer.Option(metavar="N", help="Number of posterior samples.")] = None,
    seed: Annotated[int | None, typer.Option(metavar="N", help="Seed.")] = None,
    observation: Annotated[int | None, typer.Option(metavar="N", help="Number of the observation.")] = None,
) -> None:
    """Write the posterior samples of a stored run for ArviZ, with reference and observation.

    Say no more than it takes to mean one run: what is left to choose from is named. Needs ampbench[arviz].
    """
    from ampbench.cli.export import export as write

    wanted = {"task": task, "method": method, "budget": budget, "samples": samples}
    wanted |= {"seed": seed, "observation": observation}
    write(results, output, {name: value for name, value in wanted.items() if value is not None})


@app.command()
def compare(
    results: ReadOption = Path("results"),
    noise: Annotated[bool, typer.Option("--noise", help="Where the noise of single scores comes from.")] = False,
    published: Annotated[bool, typer.Option("--published", help="Published C2ST scores beside ours.")] = False,
    mix: Annotated[
        bool, typer.Option("--mix", help="Also published scores of other classifiers and sample sizes.")
    ] = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="Tables for a page.")] = False,
    latex: Annotated[bool, typer.Option("--latex", help="Tables for a paper; needs booktabs.")] = False,
    csv: Annotated[bool, typer.Option("--csv", help="Comma-separated values, one row per method.")] = False,
    json: Annotated[bool, typer.Option("--json", help="One JSON object: table, ranks, remarks, limits.")] = False,
) -> None:
    """Compare methods on the same observations and seeds, with intervals.

    Lower scores are better. A method is the best only if every other one is worse beyond the noise, over three seeds.
    """
    from ampbench.cli.compare import show

    forms = {"markdown": markdown, "latex": latex, "csv": csv, "json": json}
    show(results, [form for form, wanted in forms.items() if wanted], noise, published, mix)


@app.command()
def ledger(
    task: Annotated[list[str] | None, typer.Option(metavar="NAME", help="Task; repeatable.")] = None,
    method: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Method, or a part of its name; repeatable.")
    ] = None,
    budget: Annotated[list[int] | None, typer.Option(metavar="N", help="Number of simulations; repeatable.")] = None,
    classifier: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Classifier, or a part of its name; repeatable.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON array with an object per score.")] = False,
    csv: Annotated[bool, typer.Option("--csv", help="Comma-separated values.")] = False,
) -> None:
    """Show published C2ST scores, with classifier, sample size and source.

    Scores of different classifiers or sample sizes are not comparable; they stand in tables of their own.
    """
    from ampbench.cli.ledger import show_ledger

    show_ledger(task or (), method or (), budget or (), classifier or (), json, csv)


@app.command()
def reproduce(
    study: Annotated[str, typer.Argument(metavar="STUDY", help="Such as lueckmann2021.")],
    subset: Annotated[str, typer.Option(metavar="NAME", help="fast, amortised or all.")] = "fast",
    select: SelectOption = None,
    results: ResultsOption = Path("results"),
    executor: ExecutorOption = "local",
    device: DeviceOption = "cpu",
    threads: ThreadsOption = 1,
) -> None:
    """Run cells of a published study again, and print ours, theirs, and the difference.

    What is stored already is not run again. The subset fast takes about ten minutes, all takes weeks.
    """
    from ampbench.cli.ledger import reproduce as run_again

    sys.exit(run_again(study, subset, select or [], results, executor, device, threads))


@app.command()
def verify(
    task: Annotated[list[str] | None, typer.Argument(metavar="[TASK]...", help="Specs.  [default: all tasks]")] = None,
    check: Annotated[list[str] | None, typer.Option(metavar="NAME", help="One check only; repeatable.")] = None,
    observations: Annotated[
        int | None, typer.Option(metavar="N", help="Fresh observations for calibration.  [default: 150]")
    ] = None,
    seed: Annotated[int, typer.Option(metavar="N", help="Everything drawn follows from it.")] = 0,
    quick: Annotated[bool, typer.Option("--quick", help="Smaller samples everywhere.")] = False,
    json: Annotated[bool, typer.Option("--json", help="One JSON array with an object per check.")] = False,
    threads: Annotated[int, typer.Option(metavar="N", help="CPU threads.")] = 1,
) -> None:
    """Certify tasks: prior, simulator, likelihood, reference, calibration.

    Works on any registered task, yours too. Exit code 1 if a check failed.
    """
    from ampbench.cli.verify import run_verify
    from ampbench.threads import limited_threads

    with limited_threads(threads):
        sys.exit(run_verify(task or (), check or (), observations, seed, quick, json))


reference = typer.Typer(help="Build or export the reference posterior samples of a task.", no_args_is_help=True)
app.add_typer(reference, name="reference")


@reference.command("build")
def reference_build(
    task: Annotated[str, typer.Argument(metavar="TASK", help="Spec.")],
    output: Annotated[Path, typer.Option(metavar="DIR", help="Writes DIR/TASK/reference.npz and info.json.")] = Path(
        "references"
    ),
    samples: Annotated[int, typer.Option(metavar="N", help="Samples per observation.")] = 10_000,
) -> None:
    """Build the samples of all numbered observations, and certify them.

    The same version of the task gives the same samples. Exit code 1 if a check failed.
    """
    from ampbench.cli.reference import build_reference
    from ampbench.threads import limited_threads

    with limited_threads(1):
        sys.exit(build_reference(task, output, samples))


@reference.command("export")
def reference_export(
    task: Annotated[str, typer.Argument(metavar="TASK", help="Spec.")],
    output: Annotated[Path, typer.Option(metavar="FILE.npz", help="Where to write.")],
    observation: Annotated[int, typer.Option(metavar="N", help="Number of an observation of the task.")] = 1,
    samples: Annotated[int, typer.Option(metavar="N", help="Number of samples.")] = 10_000,
) -> None:
    """Write the samples of one observation: array theta, shape (n, D), and x."""
    from ampbench.cli.reference import export_reference
    from ampbench.threads import limited_threads

    with limited_threads(1):
        export_reference(task, observation, output, samples)


@app.command()
def assess(
    subject: Annotated[
        str, typer.Argument(metavar="MODULE:SIMULATOR", help="From theta (n, D) to x (n, L); without --prior, a task.")
    ],
    prior: Annotated[
        str | None, typer.Option(metavar="PRIOR", help="MODULE:NAME of a torch Distribution, or uniform(0,10)^2.")
    ] = None,
    budgets: Annotated[
        list[str] | None, typer.Option(metavar="N,N,…", help="Numbers of simulations.  [default: 1000,10000]")
    ] = None,
    methods: Annotated[
        list[str] | None, typer.Option(metavar="SPEC,SPEC,…", help="Amortised methods.  [default: amp,npe]")
    ] = None,
    observation: Annotated[
        str | None, typer.Option(metavar="FILE|N,N,…", help="Your own data: judge the fits there too; needs sbi.")
    ] = None,
    held_out: Annotated[int, typer.Option(metavar="N", help="More simulations, to judge the fits by.")] = 200,
    seed: Annotated[int, typer.Option(metavar="N", help="Everything drawn follows from it.")] = 0,
    device: DeviceOption = "cpu",
    threads: ThreadsOption = 1,
    timeout: TimeoutOption = None,
    memory: MemoryOption = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> None:
    """Say which method to use on your simulator, and with how many simulations.

    Needs no reference: held-out simulations show how much each fit says, and whether it is calibrated. Each fit has
    a process of its own. Exit code 1 if a fit failed.
    """
    from ampbench.cli.assess import run_assess
    from ampbench.threads import limited_threads

    limits = {"threads": threads, "seconds": timeout, "memory": memory}
    names, sizes = methods or ["amp", "npe"], budgets or ["1000,10000"]
    with limited_threads(threads):
        sys.exit(run_assess(subject, prior, names, sizes, held_out, seed, device, observation, limits, json))


@app.command()
def doctor() -> None:
    """Check that the installation is in order."""
    from ampbench.cli.doctor import check_installation

    checks = check_installation()
    for check in checks:
        print(f"{'ok' if check.ok else 'PROBLEM':8}{check.what}: {check.found}")
    sys.exit(0 if all(check.ok for check in checks) else 1)
