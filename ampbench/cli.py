"""The command line. Heavy imports happen inside the commands, so that ``--help`` and ``list`` answer at once.

Exit codes: 0 all fine, 1 some runs failed (each is named), 2 bad usage.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ampbench import __version__
from ampbench.errors import AmpbenchError
from ampbench.hookspecs import KINDS

if TYPE_CHECKING:
    from ampbench.registry import Entry

app = typer.Typer(
    help="Compare likelihood-free inference methods, and infer with adversarial message passing.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

ResultsOption = Annotated[Path, typer.Option("--results", metavar="DIR", help="Results directory.")]


def main() -> None:
    """Run the command line; an error that ampbench raises on purpose is printed without a traceback."""
    try:
        app()
    except AmpbenchError as error:
        print(f"ampbench: {error}", file=sys.stderr)
        sys.exit(2)


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
def run(
    sweep: Annotated[Path | None, typer.Argument(metavar="[SWEEP.toml]", help="A file that says what to run.")] = None,
    task: Annotated[list[str] | None, typer.Option(metavar="SPEC", help="Task; repeatable.")] = None,
    method: Annotated[
        list[str] | None, typer.Option(metavar="SPEC", help="Method, as name:key=value,…; repeatable.")
    ] = None,
    budget: Annotated[list[int] | None, typer.Option(metavar="N", help="Number of simulations; repeatable.")] = None,
    seed: Annotated[list[int] | None, typer.Option(metavar="N", help="Seed; repeatable.  [default: 0]")] = None,
    observation: Annotated[
        list[int] | None,
        typer.Option(metavar="N", help="Number of an observation of the task; repeatable.  [default: all]"),
    ] = None,
    metric: Annotated[
        list[str] | None, typer.Option(metavar="SPEC", help="Metric; repeatable.  [default: c2st and mmd]")
    ] = None,
    samples: Annotated[
        int | None, typer.Option(metavar="N", help="Posterior samples to compare.  [default: 10000]")
    ] = None,
    results: ResultsOption = Path("results"),
    device: Annotated[str, typer.Option(metavar="NAME", help="Torch device to train on.")] = "cpu",
    threads: Annotated[
        int, typer.Option(min=1, metavar="N", help="CPU threads; one is fastest for small networks.")
    ] = 1,
) -> None:
    """Run methods on tasks, and store what is finished.

    A run that is stored already is skipped, so that the same command continues what was interrupted.
    """
    given = {
        "tasks": task,
        "methods": method,
        "budgets": budget,
        "seeds": seed,
        "observations": observation,
        "metrics": metric,
        "samples": samples,
    }
    from ampbench.cli_run import run_sweep

    sys.exit(run_sweep(sweep, {key: value for key, value in given.items() if value}, results, device, threads))


@app.command("list")
def list_components(
    kind: Annotated[str | None, typer.Argument(metavar="[" + "|".join(KINDS) + "]", help="One kind only.")] = None,
) -> None:
    """List the components that can be used in specs."""
    from ampbench import registry

    loaded = registry.load()
    for each in [kind] if kind else KINDS:
        _print_entries(each, list(loaded.entries(each).values()))


@app.command()
def plugins() -> None:
    """List the installed plugins.

    AMPBENCH_DISABLE_PLUGINS=name,name leaves some out.
    """
    from ampbench import registry

    table = _table("plugin", "distribution", "version", "entry point")
    for plugin in registry.load().plugins.values():
        table.add_row(*map(escape, (plugin.name, plugin.distribution, plugin.version, plugin.target)))
    _print(table)


@app.command()
def results(
    results: ResultsOption = Path("results"),
    json: Annotated[bool, typer.Option("--json", help="One JSON array with an object per row.")] = False,
    csv: Annotated[bool, typer.Option("--csv", help="Comma-separated values.")] = False,
) -> None:
    """Show all stored results, one row per run."""
    from ampbench.results import load, metric_columns

    frame = load(results)
    if json:
        print(frame.to_json(orient="records", indent=1))
    elif csv:
        print(frame.to_csv(index=False), end="")
    else:
        _print_groups(
            frame,
            ["task", "method", "budget", "seed"],
            ["observation", "status", *metric_columns(frame), "fit_seconds"],
        )


@app.command()
def compare(results: ResultsOption = Path("results")) -> None:
    """Compare methods by their mean scores.

    The mean is over observations and seeds; differences are paired.
    """
    from ampbench.compare import summarise
    from ampbench.results import load

    summary = summarise(load(results))
    _print_groups(
        summary.table, ["task", "budget", "samples", "metric"], ["method", "n", "mean", "se", "diff", "diff_se"]
    )
    print("n values each; se: standard error of the mean; diff: paired difference to the lowest mean")
    for remark in summary.remarks:
        print(remark)


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
    from ampbench.ledger import select

    frame = select(task or (), method or (), budget or (), classifier or ())
    if json:
        print(frame.to_json(orient="records", indent=1))
    elif csv:
        print(frame.to_csv(index=False), end="")
    else:
        shown = frame.assign(samples=frame["samples"].astype("string").fillna("unknown"))
        shown = shown.astype({"n": "float64"})
        _print_groups(
            shown, ["task", "budget", "classifier", "samples"], ["method", "c2st", "se", "source"], "no such score"
        )
        print("se: standard error, over observations and seeds; - where it is not published")


@app.command()
def reproduce(
    study: Annotated[str, typer.Argument(metavar="STUDY", help="Such as lueckmann2021.")],
    subset: Annotated[str, typer.Option(metavar="NAME", help="fast, amortised or all.")] = "fast",
    results: ResultsOption = Path("results"),
    device: Annotated[str, typer.Option(metavar="NAME", help="Torch device to train on.")] = "cpu",
    threads: Annotated[int, typer.Option(min=1, metavar="N", help="CPU threads.")] = 1,
) -> None:
    """Run cells of a published study again, and print ours, theirs, and the difference.

    What is stored already is not run again. The subset fast takes about ten minutes, all takes weeks.
    """
    from ampbench.cli_ledger import CAVEAT
    from ampbench.cli_ledger import reproduce as run_again

    code, table = run_again(study, subset, results, device, threads)
    columns = ["method", "n", "ours", "se", "theirs", "their_se", "diff", "diff_in_se"]
    _print_groups(table, ["task", "budget"], columns)
    print(CAVEAT)
    sys.exit(code)


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
    from ampbench.cli_tasks import run_verify

    sys.exit(run_verify(task or (), check or (), observations, seed, quick, json, threads))


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
    from ampbench.cli_reference import build_reference

    sys.exit(build_reference(task, output, samples))


@reference.command("export")
def reference_export(
    task: Annotated[str, typer.Argument(metavar="TASK", help="Spec.")],
    output: Annotated[Path, typer.Option(metavar="FILE.npz", help="Where to write.")],
    observation: Annotated[int, typer.Option(metavar="N", help="Number of an observation of the task.")] = 1,
    samples: Annotated[int, typer.Option(metavar="N", help="Number of samples.")] = 10_000,
) -> None:
    """Write the samples of one observation: array theta, shape (n, D), and x."""
    from ampbench.cli_reference import export_reference

    export_reference(task, observation, output, samples)


@app.command()
def doctor() -> None:
    """Check that the installation is in order."""
    from ampbench.doctor import examine

    checks = examine()
    for check in checks:
        print(f"{'ok' if check.ok else 'PROBLEM':8}{check.what}: {check.found}")
    sys.exit(0 if all(check.ok for check in checks) else 1)


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for i, column in enumerate(columns):
        table.add_column(column, overflow="fold", no_wrap=i == 0)
    return table


def _print(table: Table) -> None:
    Console().print(table)
    print()


def _print_entries(kind: str, entries: Sequence[Entry]) -> None:
    """Print components; on a narrow terminal, what says least is left out rather than folded to shreds."""
    console = Console()
    labels = dict.fromkeys(label for entry in entries for label in entry.labels)
    columns = {
        kind: [entry.name for entry in entries],
        **{label: [entry.labels.get(label, "") for entry in entries] for label in labels},
        "source": [entry.source for entry in entries],
        "what it is": [entry.summary for entry in entries],
        "from": [entry.plugin.distribution for entry in entries],
    }
    widths = {title: 2 + max(map(len, [title, *cells])) for title, cells in columns.items()}
    droppable = (["from"] if len(set(columns["from"])) == 1 else []) + (["what it is"] if labels else [])
    for title in droppable:
        if sum(widths.values()) > console.width:
            del columns[title], widths[title]
    table = _table(*columns)
    for row in zip(*columns.values(), strict=True):
        table.add_row(*map(escape, row))
    console.print(table)
    print()


def _print_groups(frame: Any, by: list[str], columns: list[str], nothing: str = "no results yet") -> None:
    """Print a pandas frame as one table per group, under a line that names the group."""
    if frame.empty:
        print(nothing)
    for values, part in frame.groupby(by, sort=False):
        Console(highlight=False).print(
            escape(", ".join(f"{name} {value}" for name, value in zip(by, values, strict=True)))
        )
        table = Table(box=None, pad_edge=False, header_style="bold")
        for name in columns:
            text = part[name].dtype.kind not in "if"
            table.add_column(name, justify="left" if text else "right", no_wrap=not text, overflow="fold")
        for row in part[columns].itertuples(index=False):
            table.add_row(*map(_cell, row))
        _print(table)


def _cell(value: object) -> str:
    if isinstance(value, float):
        return "-" if math.isnan(value) else f"{value:.3f}"
    return escape(str(value))
