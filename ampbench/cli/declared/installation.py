"""Declarations of ``list``, ``plugins`` and ``doctor``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from ampbench.cli.completion import SCRIPTS
from ampbench.cli.options import BundleOption
from ampbench.hookspecs import KINDS


def list_components(
    kind: Annotated[str | None, typer.Argument(metavar="[" + "|".join(KINDS) + "]", help="One kind only.")] = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON array with an object per component.")] = False,
) -> None:
    """List the components that can be used in specs."""
    from ampbench.cli import listing

    listing.list_components(kind, json)


def plugins(
    json: Annotated[bool, typer.Option("--json", help="One JSON array with an object per plugin.")] = False,
) -> None:
    """List the installed plugins.

    The environment variable AMPBENCH_DISABLE_PLUGINS=name,name disables plugins.
    """
    from ampbench.cli import listing

    listing.list_plugins(json)


def doctor(
    results: BundleOption = Path("results"),
    json: Annotated[bool, typer.Option("--json", help="One JSON array with an object per check.")] = False,
) -> None:
    """Check packages, devices, machine, plugins, components and results, and say how to mend what is wrong.

    Exit code 1 if something is wrong.
    """
    from ampbench.cli.doctor import run_doctor

    sys.exit(run_doctor(results, json))


def completion(
    shell: Annotated[str, typer.Argument(metavar="|".join(SCRIPTS), help="The shell.")],
    install: Annotated[bool, typer.Option("--install", help="Write the script where the shell looks for it.")] = False,
    json: Annotated[bool, typer.Option("--json", help="One JSON object: shell, script, file.")] = False,
) -> None:
    """Print the script that lets a shell complete commands, options, components and keys of runs.

    For one session: source <(ampbench completion bash); in fish: ampbench completion fish | source
    """
    from ampbench.cli.shells import show_completion

    show_completion(shell, install, json)
