"""Declarations of ``plugin new`` and ``plugin check``, for authors of plugins."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from ampbench.hookspecs import KINDS

app = typer.Typer(help="Begin a plugin of your own, and check installed ones.", no_args_is_help=True)

ALL_KINDS = "|".join(KINDS.values())


@app.command("new")
def plugin_new(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the component in specs, such as le-cam.")],
    kind: Annotated[str, typer.Option(metavar=ALL_KINDS, help="What the plugin adds.")],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="DIR", help="A new folder.  [default: ampbench-NAME]"),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON object with the files and the next commands.")] = False,
) -> None:
    """Write the project of a new plugin.

    It has one component, which passes its conformance tests. No existing folder is changed.
    """
    from ampbench.cli.plugin_new import new_plugin

    new_plugin(name, kind, output, json)


@app.command("check")
def plugin_check(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="NAME",
            help="A plugin, a distribution, or a component, perhaps with options.  [default: all plugins of others]",
        ),
    ] = None,
    kind: Annotated[str | None, typer.Option(metavar=ALL_KINDS, help="Only components of this kind.")] = None,
    timeout: Annotated[float, typer.Option(min=1, metavar="SECONDS", help="Time limit of each test.")] = 120.0,
    json: Annotated[bool, typer.Option("--json", help="One JSON array with an object per test.")] = False,
) -> None:
    """Test installed components, and explain failures.

    These are the conformance tests of their kinds. Each test has a process of its own. Exit code 1 if a test failed.
    """
    from ampbench.cli.plugin_check import check_plugins

    sys.exit(check_plugins(name, kind, timeout, json))
