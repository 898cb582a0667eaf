"""Declarations of ``verify``, ``reference build`` and ``reference export``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from ampbench.cli.options import whole_number

reference = typer.Typer(help="Build or export the reference posterior samples of a task.", no_args_is_help=True)


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


@reference.command("build")
def reference_build(
    task: Annotated[str, typer.Argument(metavar="TASK", help="Spec.")],
    output: Annotated[Path, typer.Option(metavar="DIR", help="Writes DIR/TASK/reference.npz and info.json.")] = Path(
        "references"
    ),
    samples: Annotated[int, typer.Option(parser=whole_number, metavar="N", help="Samples per observation.")] = 10_000,
    json: Annotated[bool, typer.Option("--json", help="One JSON object: the folder, and an array of checks.")] = False,
) -> None:
    """Build the reference samples of all numbered observations, and certify them.

    Samples are reproducible for a given version of the task. Exit code 1 if a check failed.
    """
    from ampbench.cli.reference import build_reference
    from ampbench.threads import limited_threads

    with limited_threads(1):
        sys.exit(build_reference(task, output, samples, json))


@reference.command("export")
def reference_export(
    task: Annotated[str, typer.Argument(metavar="TASK", help="Spec.")],
    output: Annotated[Path, typer.Option(metavar="FILE.npz", help="Output file.")],
    observation: Annotated[
        int, typer.Option(parser=whole_number, metavar="N", help="Number of an observation of the task.")
    ] = 1,
    samples: Annotated[int, typer.Option(parser=whole_number, metavar="N", help="Number of samples.")] = 10_000,
    json: Annotated[bool, typer.Option("--json", help="One JSON object: file, task, observation, shape.")] = False,
) -> None:
    """Write the reference samples of one observation: array theta, shape (n, D), and x."""
    from ampbench.cli.reference import export_reference
    from ampbench.threads import limited_threads

    with limited_threads(1):
        export_reference(task, observation, output, samples, json)
