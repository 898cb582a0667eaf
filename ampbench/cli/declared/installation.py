"""Declarations of ``list``, ``plugins`` and ``doctor``."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from ampbench.console import say
from ampbench.hookspecs import KINDS
from ampbench.text import line


def list_components(
    kind: Annotated[str | None, typer.Argument(metavar="[" + "|".join(KINDS) + "]", help="One kind only.")] = None,
) -> None:
    """List the components that can be used in specs."""
    from ampbench.cli import listing

    listing.list_components(kind)


def plugins() -> None:
    """List the installed plugins.

    The environment variable AMPBENCH_DISABLE_PLUGINS=name,name disables plugins.
    """
    from ampbench.cli import listing

    listing.list_plugins()


def doctor() -> None:
    """Check the installation: versions, devices, plugins and all components."""
    from ampbench.cli.doctor import check_installation

    checks = check_installation()
    for check in checks:
        say(f"{'ok' if check.ok else 'PROBLEM':8}{line(check.what)}: {line(check.found)}")
    sys.exit(0 if all(check.ok for check in checks) else 1)
