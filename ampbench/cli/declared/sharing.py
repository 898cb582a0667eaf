"""Declarations of ``publish`` and ``cite``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ampbench.cli.options import SelectOption

Specs = list[str] | None


def publish(
    results: Annotated[
        list[Path], typer.Argument(metavar="RESULTS...", help="Results directories and bundles, published together.")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="BUNDLE.zip", help="The file to write.")],
    samples: Annotated[
        bool | None,
        typer.Option("--samples/--no-samples", help="Also posterior samples.  [default: as in a bundle of RESULTS]"),
    ] = None,
    select: SelectOption = None,
    latest: Annotated[
        bool, typer.Option("--latest", help="Leave out results that were repeated later, with other versions.")
    ] = False,
    licence: Annotated[
        str | None, typer.Option(metavar="SPDX", help="Licence of the results, such as CC-BY-4.0.")
    ] = None,
    group: Annotated[
        str | None, typer.Option("--from", metavar="NAME", help="The group whose results these are.")
    ] = None,
    author: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Author, as 'Family, Given'; repeatable.")
    ] = None,
    title: Annotated[str | None, typer.Option(metavar="TEXT", help="Title of the results.")] = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON object: the manifest without its files.")] = False,
) -> None:
    """Write results into one file to share: records, versions, checksums, licence, citation.

    All commands that read results take the file in place of a directory, and as DIR/study.zip runs continue from it.
    Equal records make an equal file. Of several results of one run the latest good one is taken, with a warning.
    """
    from ampbench.cli.publish import publish as write

    says = {"licence": licence, "group": group, "authors": author, "title": title}
    write(results, output, select or (), samples, says, json, latest)


def cite(
    results: Annotated[
        Path | None, typer.Argument(metavar="[RESULTS]", help="Results directory or bundle.", show_default=False)
    ] = None,
    task: Annotated[Specs, typer.Option(metavar="SPEC", help="Task; repeatable.")] = None,
    method: Annotated[Specs, typer.Option(metavar="SPEC", help="Method; repeatable.")] = None,
    divergence: Annotated[Specs, typer.Option(metavar="SPEC", help="Divergence; repeatable.")] = None,
    family: Annotated[Specs, typer.Option(metavar="SPEC", help="Family; repeatable.")] = None,
    metric: Annotated[Specs, typer.Option(metavar="SPEC", help="Metric; repeatable.")] = None,
    select: SelectOption = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON object: entries and remarks.")] = False,
) -> None:
    """Print BibTeX of exactly the tasks, methods, metrics and data that results use, and of ampbench.

    Give results, or name components by the options. What has no entry is named in a comment.
    """
    from ampbench.cli.cite import print_citations

    wanted = {"tasks": task, "methods": method, "divergences": divergence, "families": family, "metrics": metric}
    print_citations(results, {kind: specs or () for kind, specs in wanted.items()}, select or (), json)
