"""Declarations of the commands that draw."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import typer

from ampbench.cli.options import BundleOption, ReadOption, ResultsOption, whole_number

app = typer.Typer(help="Draw samples, scores, calibration, training and models.", no_args_is_help=True)

Tasks = Annotated[
    list[str] | None, typer.Option("--task", metavar="SPEC", help="Only this task: spec or name; repeatable.")
]
Methods = Annotated[
    list[str] | None, typer.Option("--method", metavar="SPEC", help="Only this method: spec or name; repeatable.")
]
Budgets = Annotated[
    list[int] | None,
    typer.Option("--budget", parser=whole_number, metavar="N", help="Only this number of simulations; repeatable."),
]
Seeds = Annotated[
    list[int] | None, typer.Option("--seed", parser=whole_number, metavar="N", help="Only this seed; repeatable.")
]
Task = Annotated[str | None, typer.Option("--task", metavar="SPEC", help="Task: spec or name.")]
Number = Annotated[int | None, typer.Option(parser=whole_number, metavar="N", help="Of the runs.")]
Metric = Annotated[str | None, typer.Option(metavar="NAME", help="Metric.  [default: c2st]")]
Json = Annotated[bool, typer.Option("--json", help="One JSON object: output and remarks.")]


def _output(kind: str) -> Any:
    return typer.Option(
        "--output",
        "-o",
        metavar="FILE",
        help=f"Writes FILE: .png, .svg or .pdf.  [default: {kind}.png]",
        show_default=False,
    )


@app.command()
def pairs(
    files: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[FILE]...", help="Samples: npz or csv, or folders of infer; else runs of --results."),
    ] = None,
    output: Annotated[Path, _output("pairs")] = Path("pairs.png"),
    results: BundleOption = Path("results"),
    task: Task = None,
    method: Methods = None,
    budget: Number = None,
    samples: Number = None,
    seed: Number = None,
    observation: Number = None,
    components: Annotated[
        str,
        typer.Option(metavar="NAME,…", help="Components to draw, by name or number from 0.  [default: the first 12]"),
    ] = "",
    reference: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Reference samples: npz or csv; for runs those of the task.")
    ] = None,
    truth: Annotated[
        str, typer.Option(metavar="N,N,…", help="True parameters, of all components; for runs those of the task.")
    ] = "",
    json: Json = False,
) -> None:
    """Draw pair plots of samples, of several methods side by side, with reference and true parameters."""
    from ampbench.cli.plot import plot_pairs

    wanted = {"task": task, "budget": budget, "samples": samples, "seed": seed, "observation": observation}
    plot_pairs(files or [], output, results, _given(wanted, method=method), components, reference, truth, json)


@app.command()
def budget(
    output: Annotated[Path, _output("budget")] = Path("budget.png"),
    results: ReadOption = Path("results"),
    metric: Metric = None,
    task: Tasks = None,
    method: Methods = None,
    budget: Budgets = None,
    json: Json = False,
) -> None:
    """Draw scores against the number of simulations: a panel for each task, with intervals."""
    from ampbench.cli.plot import plot_scores

    plot_scores("budget", output, results, metric, task or (), method or (), budget or (), json)


@app.command()
def pareto(
    output: Annotated[Path, _output("pareto")] = Path("pareto.png"),
    results: ReadOption = Path("results"),
    metric: Metric = None,
    task: Tasks = None,
    method: Methods = None,
    budget: Budgets = None,
    json: Json = False,
) -> None:
    """Draw scores against the time of fit and sampling, and mark what no other method beats in both."""
    from ampbench.cli.plot import plot_scores

    plot_scores("pareto", output, results, metric, task or (), method or (), budget or (), json)


@app.command()
def calibration(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[PATH]...", help="Folders of infer, or outputs of assess --json; else kept fits of --results."
        ),
    ] = None,
    output: Annotated[Path, _output("calibration")] = Path("calibration.png"),
    results: ResultsOption = Path("results"),
    task: Task = None,
    method: Methods = None,
    budget: Budgets = None,
    seed: Seeds = None,
    held_out: Annotated[
        int, typer.Option(parser=whole_number, metavar="N", help="New simulations, for kept fits.")
    ] = 200,
    json: Json = False,
) -> None:
    """Draw ranks of true parameters and coverage of intervals, with simultaneous bands."""
    from ampbench.cli.plot import plot_calibration

    plot_calibration(paths or [], output, results, _given({"task": task}, method, budget, seed), held_out, json)


@app.command()
def training(
    path: Annotated[
        Path | None, typer.Argument(metavar="[PATH]", help="Folder of infer; else the kept fit of --results.")
    ] = None,
    output: Annotated[Path, _output("training")] = Path("training.png"),
    results: ResultsOption = Path("results"),
    task: Task = None,
    method: Methods = None,
    budget: Budgets = None,
    seed: Seeds = None,
    json: Json = False,
) -> None:
    """Draw the training history of a fit: losses, held-out score, gradient norms, learning rates."""
    from ampbench.cli.plot import plot_training

    plot_training(path, output, results, _given({"task": task}, method, budget, seed), json)


@app.command()
def graph(
    subject: Annotated[
        str,
        typer.Argument(metavar="SUBJECT", help="A task; MODULE:SIMULATOR with --prior; MODULE:GRAPH with --observed."),
    ],
    output: Annotated[Path, _output("graph")] = Path("graph.png"),
    prior: Annotated[
        str | None, typer.Option(metavar="PRIOR", help="MODULE:NAME of a prior, or uniform(0,10)^2.")
    ] = None,
    observed: Annotated[str, typer.Option(metavar="NAME,…", help="Observed variables of MODULE:GRAPH.")] = "",
    only: Annotated[str, typer.Option(metavar="NAME,…", help="Only these variables and their ancestors.")] = "",
    folded: Annotated[
        bool | None,
        typer.Option("--folded/--unfolded", help="Draw repeats once.  [default: in graphs of more than 12 variables]"),
    ] = None,
    json: Json = False,
) -> None:
    """Draw a model, and its inverse with its tuples."""
    from ampbench.cli.plot import plot_graph

    plot_graph(subject, output, prior, _names(observed), _names(only), folded, json)


def _given(
    single: dict[str, Any],
    method: Iterable[str] | None = None,
    budget: Iterable[int] | None = None,
    seed: Iterable[int] | None = None,
) -> dict[str, list[Any]]:
    """Return the allowed values of each column that an option names."""
    several: dict[str, list[Any]] = {"method": [*(method or ())], "budget": [*(budget or ())], "seed": [*(seed or ())]}
    found = {name: [value] for name, value in single.items() if value is not None}
    return found | {name: values for name, values in several.items() if values}


def _names(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]
