"""Declarations of ``store check``, ``store merge`` and ``store gc``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from ampbench.cli.options import BundleOption, ResultsOption

app = typer.Typer(help="Check, merge and clean up results.", no_args_is_help=True)


@app.command("check")
def store_check(
    results: BundleOption = Path("results"),
    json: Annotated[bool, typer.Option("--json", help="One JSON object: counts, and an array of damages.")] = False,
) -> None:
    """Verify the checksums of all stored files.

    Exit code 1 if a file is damaged.
    """
    from ampbench.cli.store import check_store

    sys.exit(check_store(results, json))


@app.command("merge")
def store_merge(
    source: Annotated[list[Path], typer.Argument(metavar="DIR|BUNDLE...", help="Results directories and bundles.")],
    into: Annotated[Path, typer.Option(metavar="DIR", help="Target directory.")],
    ours: Annotated[bool, typer.Option("--ours", help="Results in bundles are ours, and runs continue there.")] = False,
    json: Annotated[bool, typer.Option("--json", help="One JSON object: counts, differences, damages.")] = False,
) -> None:
    """Copy results into one directory.

    Results in bundles become rows beside ours, marked as those of their group. Good results in the target are kept.
    Damaged files are left out; the exit code is 1 then.
    """
    from ampbench.cli.store import merge_stores

    sys.exit(merge_stores(source, into, ours, json))


@app.command("gc")
def store_gc(
    results: ResultsOption = Path("results"),
    failed: Annotated[bool, typer.Option("--failed", help="Also remove failures.")] = False,
    damaged: Annotated[bool, typer.Option("--damaged", help="Also remove damaged files.")] = False,
    fits: Annotated[bool, typer.Option("--fits", help="Also remove kept fits.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only list the files; remove none.")] = False,
    json: Annotated[bool, typer.Option("--json", help="One JSON object with an array of the removed files.")] = False,
) -> None:
    """Remove unfinished files, and unreferenced samples, older than an hour.

    Safe while runs are being written. Without kept fits, further observations need new fits.
    """
    from ampbench.cli.store import collect_garbage

    sys.exit(collect_garbage(results, failed, damaged, fits, dry_run, json))
