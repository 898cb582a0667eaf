"""Declarations of the commands that show stored or published results."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from ampbench.cli.options import (
    BundleOption,
    DeviceOption,
    ExecutorOption,
    ReadOption,
    ResultsOption,
    SelectOption,
    ThreadsOption,
    whole_number,
)


def results(
    results: ReadOption = Path("results"),
    json: Annotated[bool, typer.Option("--json", help="One JSON array with an object per row.")] = False,
    csv: Annotated[bool, typer.Option("--csv", help="Comma-separated values.")] = False,
) -> None:
    """Show all stored results, one row per run."""
    from ampbench.cli.results import show_results

    show_results(results, json, csv)


def atlas(
    results: BundleOption = Path("results"),
    task: Annotated[list[str] | None, typer.Option(metavar="SPEC", help="Only this task; repeatable.")] = None,
    method: Annotated[list[str] | None, typer.Option(metavar="SPEC", help="Only this method; repeatable.")] = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON array with an object per finding.")] = False,
) -> None:
    """Show failures of posterior samples: dropped modes, mass outside the prior, widths, tails.

    Unchecked results of older versions are checked first, if their samples are stored; the checks are stored too.
    A bundle is read as it is.
    """
    from ampbench.cli.atlas import show_atlas
    from ampbench.threads import limited_threads

    with limited_threads(1):
        show_atlas(results, task or (), method or (), json)


def export(
    output: Annotated[Path, typer.Argument(metavar="OUT.nc", help="The NetCDF file to write.")],
    results: BundleOption = Path("results"),
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
    origin: Annotated[
        str | None, typer.Option(metavar="NAME", help="Whose run: ours, or the group of a merged bundle.")
    ] = None,
    key: Annotated[str | None, typer.Option(metavar="KEY", help="Key of the run, a name in DIR/runs.")] = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON object: file, run, and shapes by group.")] = False,
) -> None:
    """Write the posterior samples of a stored run for ArviZ, with reference samples and observation.

    The options must select one run; if several match, the options that differ are listed. Needs ampbench[arviz].
    """
    from ampbench.cli.export import export as write

    wanted = {"task": task, "method": method, "budget": budget, "samples": samples}
    wanted |= {"seed": seed, "observation": observation, "key": key, "origin": origin}
    write(results, output, {name: value for name, value in wanted.items() if value is not None}, json)


def compare(
    results: ReadOption = Path("results"),
    noise: Annotated[
        bool, typer.Option("--noise", help="Also standard deviations of single scores by source.")
    ] = False,
    published: Annotated[bool, typer.Option("--published", help="Also published C2ST scores.")] = False,
    details: Annotated[
        bool, typer.Option("--details", help="Also a table for each task and metric, with intervals and differences.")
    ] = False,
    task: Annotated[list[str] | None, typer.Option(metavar="SPEC", help="Only this task; repeatable.")] = None,
    budget: Annotated[
        list[int] | None, typer.Option(parser=whole_number, metavar="N", help="Only this budget; repeatable.")
    ] = None,
    metric: Annotated[list[str] | None, typer.Option(metavar="NAME", help="Only this metric; repeatable.")] = None,
    mix: Annotated[
        bool, typer.Option("--mix", help="Include published scores of other classifiers and sample sizes.")
    ] = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="Markdown tables.")] = False,
    latex: Annotated[bool, typer.Option("--latex", help="LaTeX tables; need booktabs.")] = False,
    csv: Annotated[bool, typer.Option("--csv", help="Comma-separated values, one row per method.")] = False,
    json: Annotated[bool, typer.Option("--json", help="One JSON object: table, ranks, remarks, limits.")] = False,
) -> None:
    """Compare methods on the same observations and seeds, with intervals.

    Begins with mean ranks over tasks, and mean scores. Lower scores are better. A method is best only if all others
    are significantly worse, over at least three seeds.
    """
    from ampbench.cli.compare import Selection, show

    forms = {"markdown": markdown, "latex": latex, "csv": csv, "json": json}
    selection = Selection(task or (), budget or (), metric or ())
    show(results, [form for form, wanted in forms.items() if wanted], noise, published, mix, details, selection)


def report(
    results: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[DIR|FILE]...",
            help="Results directories, bundles, or files of: ampbench results.  [default: results]",
        ),
    ] = None,
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="The file to write.")] = Path(
        "report.html"
    ),
    form: Annotated[
        str | None,
        typer.Option("--format", metavar="NAME", help="html, markdown or pdf.  [default: by the suffix of FILE]"),
    ] = None,
    watch: Annotated[
        bool, typer.Option("--watch", help="Write it again whenever results arrive, until Ctrl-C.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="One JSON object: file, its size, counts.")] = False,
) -> None:
    """Write one page on all results: leaderboard, curves, tasks, samples, and how each number was made.

    The page needs no network. PDF is printed by an installed Chromium.
    """
    from ampbench.cli.report import write_report

    write_report(results or [Path("results")], output, form, watch, json)


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


def reproduce(
    study: Annotated[str, typer.Argument(metavar="STUDY", help="Such as lueckmann2021.")],
    subset: Annotated[str, typer.Option(metavar="NAME", help="fast, amortised or all.")] = "fast",
    select: SelectOption = None,
    results: ResultsOption = Path("results"),
    executor: ExecutorOption = "local",
    device: DeviceOption = "cpu",
    threads: ThreadsOption = 1,
    json: Annotated[bool, typer.Option("--json", help="One JSON array with an object per score.")] = False,
) -> None:
    """Reproduce cells of a published study; print our scores, the published ones, and the differences.

    Stored runs are not repeated. The subset fast takes about ten minutes, all takes weeks.
    """
    from ampbench.cli.ledger import reproduce as run_again

    sys.exit(run_again(study, subset, select or [], results, executor, device, threads, json))
