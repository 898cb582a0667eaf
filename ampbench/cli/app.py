"""Declarations of all commands. Slow imports are inside the commands, so that ``--help`` and ``list`` start fast.

Exit codes: 0 success, 1 some runs failed (each is named), 2 usage error, 130 Ctrl-C, 143 SIGTERM, 129 SIGHUP.
"""

from __future__ import annotations

import io
import sys
import warnings
from pathlib import Path
from typing import Annotated, TextIO

import typer

from ampbench import __version__
from ampbench.cli.commands import Commands
from ampbench.cli.options import (
    BatchOption,
    DataOption,
    DeviceOption,
    ExecutorOption,
    FailedOption,
    GapsOption,
    MemoryOption,
    ParametersOption,
    ReadOption,
    ResultsOption,
    SelectOption,
    SimulationsOption,
    SimulatorsOption,
    StoreOption,
    SweepOptions,
    ThreadsOption,
    TimeoutOption,
    takes_sweep,
    whole_number,
)
from ampbench.console import complain, prepare_streams, say
from ampbench.errors import (
    AmpbenchError,
    FitWarning,
    PrecisionWarning,
    ResultsWarning,
    SimulationWarning,
    StoredWarning,
)
from ampbench.hookspecs import KINDS
from ampbench.text import line as on_one_line

app = typer.Typer(
    cls=Commands,
    help="Compare likelihood-free inference methods, and infer with adversarial message passing.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

ArgumentError: type[typer.BadParameter] = next(
    base for base in typer.BadParameter.__mro__ if base.__name__ == "ClickException"
)
"""The base class of errors in arguments, which typer does not export."""


def main() -> None:
    """Run the command line; an :class:`AmpbenchError`, or an OSError of a path, is printed without a traceback."""
    prepare_streams()
    warnings.showwarning = _show_warning
    try:
        sys.exit(typer.main.get_command(app)(standalone_mode=False))  # app() would replace sys.excepthook
    except AmpbenchError as error:
        complain(f"ampbench: {error}")
        sys.exit(2)
    except ArgumentError as error:
        shown = io.StringIO()
        error.show(shown)
        complain(shown.getvalue().rstrip("\n"))
        sys.exit(error.exit_code)
    except typer.Abort:  # standard input has ended
        complain("Aborted!")
        sys.exit(1)
    except OSError as error:  # of a path that was given, or that lies in a folder that was given
        if error.filename is None:
            raise
        path = error.filename2 or error.filename  # of a file that is renamed, the new name
        complain(f"ampbench: cannot use {path}: {error.strerror or error}")
        sys.exit(2)


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """Print a warning; one of ampbench's own without the line of code that raised it."""
    own = issubclass(category, FitWarning | PrecisionWarning | ResultsWarning | SimulationWarning | StoredWarning)
    text = f"ampbench: {message}\n" if own else warnings.formatwarning(message, category, filename, lineno, line)
    say(text, end="", file=file or sys.stderr)


def _version(wanted: bool) -> None:
    if wanted:
        say(f"ampbench {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Compare likelihood-free inference methods, and infer with adversarial message passing."""


@app.command()
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
) -> None:
    """Run methods on tasks, and store the results.

    Runs whose results are stored are skipped, so that an interrupted command can be repeated to continue.
    """
    if dry_run:
        from ampbench.cli.plan import show_plan

        sys.exit(show_plan(sweep.request, sweep.results))
    from ampbench.cli.run import run_sweep, with_workers

    limits = {"threads": threads, "seconds": timeout, "memory": memory, "retries": retries}
    sys.exit(run_sweep(sweep.request, sweep.results, with_workers(executor, workers), device, limits))


@app.command()
def status(results: ResultsOption = Path("results")) -> None:
    """Show the progress of the sweeps that write to a results directory.

    Works from another terminal, or from another machine with access to the directory.
    """
    from ampbench.cli.run import show_status

    sys.exit(show_status(results))


@app.command()
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


@app.command()
def failures(
    results: ResultsOption = Path("results"),
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


store = typer.Typer(help="Check, merge and clean up results.", no_args_is_help=True)
app.add_typer(store, name="store")


@store.command("check")
def store_check(results: ResultsOption = Path("results")) -> None:
    """Verify the checksums of all stored files.

    Exit code 1 if a file is damaged.
    """
    from ampbench.cli.store import check_store

    sys.exit(check_store(results))


@store.command("merge")
def store_merge(
    source: Annotated[list[Path], typer.Argument(metavar="DIR...", help="Results directories.")],
    into: Annotated[Path, typer.Option(metavar="DIR", help="Target directory.")],
) -> None:
    """Copy results into one directory.

    Good results in the target are kept. Damaged files are left out; the exit code is 1 then.
    """
    from ampbench.cli.store import merge_stores

    sys.exit(merge_stores(source, into))


@store.command("gc")
def store_gc(
    results: ResultsOption = Path("results"),
    failed: Annotated[bool, typer.Option("--failed", help="Also remove failures.")] = False,
    damaged: Annotated[bool, typer.Option("--damaged", help="Also remove damaged files.")] = False,
    fits: Annotated[bool, typer.Option("--fits", help="Also remove kept fits.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only list the files; remove none.")] = False,
) -> None:
    """Remove unfinished files, and unreferenced samples, older than an hour.

    Safe while runs are being written. Without kept fits, further observations need new fits.
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

    The environment variable AMPBENCH_DISABLE_PLUGINS=name,name disables plugins.
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
    task: Annotated[list[str] | None, typer.Option(metavar="SPEC", help="Only this task; repeatable.")] = None,
    method: Annotated[list[str] | None, typer.Option(metavar="SPEC", help="Only this method; repeatable.")] = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON array with an object per finding.")] = False,
) -> None:
    """Show failures of posterior samples: dropped modes, mass outside the prior, widths, tails.

    Unchecked results of older versions are checked first, if their samples are stored; the checks are stored too.
    """
    from ampbench.cli.atlas import show_atlas
    from ampbench.threads import limited_threads

    with limited_threads(1):
        show_atlas(results, task or (), method or (), json)


@app.command()
def export(
    output: Annotated[Path, typer.Argument(metavar="OUT.nc", help="The NetCDF file to write.")],
    results: ResultsOption = Path("results"),
    task: Annotated[str | None, typer.Option(metavar="SPEC", help="Task: spec or name.")] = None,
    method: Annotated[str | None, typer.Option(metavar="SPEC", help="Method: spec or name.")] = None,
    budget: Annotated[int | None, typer.Option(parser=whole_number, metavar="N", help="Number of simulations.")] = None,
    samples: Annotated[
        int | None, typer.Option(parser=whole_number, metavar="N", help="Number of posterior samples.")
    ] = None,
    seed: Annotated[int | None, typer.Option(parser=whole_number, metavar="N", help="Seed.")] = None,
    observation: Annotated[
        int | None, typer.Option(parser=whole_number, metavar="N", help="Number of the observation.")
    ] = None,
) -> None:
    """Write the posterior samples of a stored run for ArviZ, with reference samples and observation.

    The options must select one run; if several match, the options that differ are listed. Needs ampbench[arviz].
    """
    from ampbench.cli.export import export as write

    wanted = {"task": task, "method": method, "budget": budget, "samples": samples}
    wanted |= {"seed": seed, "observation": observation}
    write(results, output, {name: value for name, value in wanted.items() if value is not None})


@app.command()
def compare(
    results: ReadOption = Path("results"),
    noise: Annotated[
        bool, typer.Option("--noise", help="Also standard deviations of single scores by source.")
    ] = False,
    published: Annotated[bool, typer.Option("--published", help="Also published C2ST scores.")] = False,
    mix: Annotated[
        bool, typer.Option("--mix", help="Include published scores of other classifiers and sample sizes.")
    ] = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="Markdown tables.")] = False,
    latex: Annotated[bool, typer.Option("--latex", help="LaTeX tables; need booktabs.")] = False,
    csv: Annotated[bool, typer.Option("--csv", help="Comma-separated values, one row per method.")] = False,
    json: Annotated[bool, typer.Option("--json", help="One JSON object: table, ranks, remarks, limits.")] = False,
) -> None:
    """Compare methods on the same observations and seeds, with intervals.

    Lower scores are better. A method is best only if all others are significantly worse, over at least three seeds.
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
    budget: Annotated[
        list[int] | None, typer.Option(parser=whole_number, metavar="N", help="Number of simulations; repeatable.")
    ] = None,
    classifier: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Classifier, or a part of its name; repeatable.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON array with an object per score.")] = False,
    csv: Annotated[bool, typer.Option("--csv", help="Comma-separated values.")] = False,
) -> None:
    """Show published C2ST scores, with classifier, sample size and source.

    Scores of different classifiers or sample sizes are not comparable; they are in separate tables.
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
    """Reproduce cells of a published study; print our scores, the published ones, and the differences.

    Stored runs are not repeated. The subset fast takes about ten minutes, all takes weeks.
    """
    from ampbench.cli.ledger import reproduce as run_again

    sys.exit(run_again(study, subset, select or [], results, executor, device, threads))


@app.command()
def verify(
    task: Annotated[list[str] | None, typer.Argument(metavar="[TASK]...", help="Specs.  [default: all tasks]")] = None,
    check: Annotated[list[str] | None, typer.Option(metavar="NAME", help="Only this check; repeatable.")] = None,
    observations: Annotated[
        int | None,
        typer.Option(parser=whole_number, metavar="N", help="Fresh observations for calibration.  [default: 150]"),
    ] = None,
    seed: Annotated[int, typer.Option(parser=whole_number, metavar="N", help="Seed of all random numbers.")] = 0,
    quick: Annotated[bool, typer.Option("--quick", help="Smaller samples in all checks.")] = False,
    json: Annotated[bool, typer.Option("--json", help="One JSON array with an object per check.")] = False,
    threads: Annotated[int, typer.Option(parser=whole_number, metavar="N", help="CPU threads.")] = 1,
) -> None:
    """Certify tasks: prior, simulator, likelihood, reference, calibration.

    Works on any registered task, also of your own plugin. Exit code 1 if a check failed.
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
    samples: Annotated[int, typer.Option(parser=whole_number, metavar="N", help="Samples per observation.")] = 10_000,
) -> None:
    """Build the reference samples of all numbered observations, and certify them.

    Samples are reproducible for a given version of the task. Exit code 1 if a check failed.
    """
    from ampbench.cli.reference import build_reference
    from ampbench.threads import limited_threads

    with limited_threads(1):
        sys.exit(build_reference(task, output, samples))


@reference.command("export")
def reference_export(
    task: Annotated[str, typer.Argument(metavar="TASK", help="Spec.")],
    output: Annotated[Path, typer.Option(metavar="FILE.npz", help="Output file.")],
    observation: Annotated[
        int, typer.Option(parser=whole_number, metavar="N", help="Number of an observation of the task.")
    ] = 1,
    samples: Annotated[int, typer.Option(parser=whole_number, metavar="N", help="Number of samples.")] = 10_000,
) -> None:
    """Write the reference samples of one observation: array theta, shape (n, D), and x."""
    from ampbench.cli.reference import export_reference
    from ampbench.threads import limited_threads

    with limited_threads(1):
        export_reference(task, observation, output, samples)


@app.command()
def assess(
    subject: Annotated[
        str | None,
        typer.Argument(
            metavar="[MODULE:SIMULATOR]", help="A function from theta (n, D) to x (n, L); without --prior, a task."
        ),
    ] = None,
    prior: Annotated[
        str | None, typer.Option(metavar="PRIOR", help="MODULE:NAME of a torch Distribution, or uniform(0,10)^2.")
    ] = None,
    budgets: Annotated[
        list[str] | None,
        typer.Option(metavar="N,N,…", help="Numbers of simulations.  [default: 1000,10000; all of FILE]"),
    ] = None,
    methods: Annotated[
        list[str] | None, typer.Option(metavar="SPEC,SPEC,…", help="Amortised methods.  [default: amp,npe]")
    ] = None,
    observation: Annotated[
        str | None, typer.Option(metavar="FILE|N,N,…", help="Your own data: also test the fits there; needs sbi.")
    ] = None,
    held_out: Annotated[
        int,
        typer.Option(parser=whole_number, metavar="N", help="Number of additional simulations that judge the fits."),
    ] = 200,
    seed: Annotated[int, typer.Option(parser=whole_number, metavar="N", help="Seed of all random numbers.")] = 0,
    simulations: SimulationsOption = None,
    parameters: ParametersOption = "",
    data: DataOption = "",
    workers: SimulatorsOption = None,
    batch: BatchOption = None,
    store: StoreOption = None,
    device: DeviceOption = "cpu",
    threads: ThreadsOption = 1,
    timeout: Annotated[
        float | None,
        typer.Option(min=0.1, metavar="SECONDS", help="Time limit of a fit, a batch, and each observation."),
    ] = None,
    memory: MemoryOption = None,
    failed: FailedOption = "error",
    gaps: GapsOption = False,
    json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> None:
    """Recommend a method and a number of simulations for your simulator.

    Needs no reference: fits are scored, and their calibration is tested, on held-out simulations. Each fit has a
    process of its own. Exit code 1 if a fit failed.
    """
    from ampbench.cli.assess import run_assess
    from ampbench.cli.simulations import SimulationOptions
    from ampbench.threads import limited_threads

    limits = {"threads": threads, "seconds": timeout, "memory": memory}
    names, sizes = methods or ["amp", "npe"], budgets or []
    source = SimulationOptions(simulations, parameters, data, workers, batch, store, failed, gaps)
    with limited_threads(threads):
        sys.exit(run_assess(subject, prior, names, sizes, held_out, seed, device, observation, limits, json, source))


@app.command()
def infer(
    observation: Annotated[
        str, typer.Option(metavar="FILE|N,N,…", help="Your data: L numbers, or a file of them (.npy or text).")
    ],
    subject: Annotated[
        str | None,
        typer.Argument(
            metavar="[MODULE:SIMULATOR]",
            help="A function from theta (n, D) to x (n, L); without --prior, a task; none with --simulations.",
        ),
    ] = None,
    prior: Annotated[
        str | None, typer.Option(metavar="PRIOR", help="MODULE:NAME of a prior, or uniform(0,10)^2.")
    ] = None,
    method: Annotated[str, typer.Option(metavar="SPEC", help="Method; see: ampbench list methods.")] = "amp",
    budget: Annotated[
        int | None,
        typer.Option(
            parser=whole_number, metavar="N", help="Number of simulations of the fit.  [default: 10000, or all of FILE]"
        ),
    ] = None,
    output: Annotated[
        Path, typer.Option(metavar="DIR", help="Folder of the files; the same command again continues.")
    ] = Path("posterior"),
    names: Annotated[str, typer.Option(metavar="NAME,NAME,…", help="Names of the components of theta.")] = "",
    samples: Annotated[int, typer.Option(parser=whole_number, metavar="N", help="Number of posterior draws.")] = 1000,
    predictions: Annotated[
        int, typer.Option(parser=whole_number, metavar="N", help="Simulations at posterior draws; 0 for none.")
    ] = 100,
    held_out: Annotated[
        int, typer.Option(parser=whole_number, metavar="N", help="Simulations that test calibration; 0 for no test.")
    ] = 200,
    seed: Annotated[int, typer.Option(parser=whole_number, metavar="N", help="Seed of all random numbers.")] = 0,
    simulations: SimulationsOption = None,
    parameters: ParametersOption = "",
    data: DataOption = "",
    workers: SimulatorsOption = None,
    batch: BatchOption = None,
    timeout: Annotated[
        float | None, typer.Option(min=0.1, metavar="SECONDS", help="Time limit of a batch; needs --workers.")
    ] = None,
    failed: FailedOption = "error",
    gaps: GapsOption = False,
    device: DeviceOption = "cpu",
    threads: ThreadsOption = 1,
) -> None:
    """Infer the posterior of your data, and write samples, summary, plots and the fit into a folder.

    Resumable: each finished step is a file, and so is each batch of simulations. The calibration of the fit is tested
    on held-out simulations.
    """
    from ampbench.cli.infer import run_infer
    from ampbench.cli.infer_arguments import InferArguments
    from ampbench.cli.simulations import SimulationOptions
    from ampbench.threads import limited_threads

    counts = {"budget": budget, "samples": samples, "predictions": predictions, "held_out": held_out, "seed": seed}
    source = SimulationOptions(simulations, parameters, data, workers, batch, None, failed, gaps)
    model = (subject, prior, names, observation, method)
    given = InferArguments(*model, counts, source, output, device, threads, timeout)
    with limited_threads(threads):
        sys.exit(run_infer(given))


@app.command()
def doctor() -> None:
    """Check the installation: versions, devices, plugins and all components."""
    from ampbench.cli.doctor import check_installation

    checks = check_installation()
    for check in checks:
        say(f"{'ok' if check.ok else 'PROBLEM':8}{on_one_line(check.what)}: {on_one_line(check.found)}")
    sys.exit(0 if all(check.ok for check in checks) else 1)
