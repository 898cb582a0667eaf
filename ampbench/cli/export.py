"""``ampbench export``: the posterior samples of a stored run as NetCDF, for ArviZ."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ampbench.cli.terminal import print_folded
from ampbench.console import document, status
from ampbench.errors import ResultsError, UsageError
from ampbench.reporting.inference_data import inference_data
from ampbench.reporting.selection import select_run
from ampbench.results import load
from ampbench.results.bundle import is_bundle
from ampbench.results.checksums import is_directory


def export(results: Path, output: Path, wanted: Mapping[str, object], as_json: bool = False) -> None:
    """Write the samples of the selected run, and print the shapes that were written.

    Arguments:
        results: a results directory or a bundle.
        output: the NetCDF file; an existing file is overwritten.
        wanted: column (task, method, budget, samples, seed, observation, origin) → required value.

    Raises:
        UsageError: no run or several runs match, or the file cannot be written.
        ResultsError: the samples of the run are missing; the message gives the reason.
    """
    if not is_directory(results) and not is_bundle(results):
        raise ResultsError(
            f"{str(results)!r} is no results directory; only a results directory contains samples, or a bundle"
        )
    if not output.parent.is_dir():
        raise UsageError(f"cannot write {output}: the folder {output.parent} does not exist; make it first")
    found = select_run(load(results), wanted)
    with status("drawing reference samples, if the task stores none"):
        tree = inference_data(results, found["key"], found["origin"])
    try:
        tree.to_netcdf(output)
    except OSError as error:
        raise UsageError(f"cannot write {output}: {error.strerror or error}") from error
    if as_json:
        groups = {
            name: {str(each): list(values.shape) for each, values in group.data_vars.items()}
            for name, group in tree.children.items()
        }
        document({"output": str(output), "key": str(found["key"]), "groups": groups})
        return
    what = ", ".join(f"{name} {found[name]}" for name in ("budget", "seed", "observation"))
    print_folded(f"{output}: {found['task']}, {found['method']}, {what}")
    for name, group in tree.children.items():
        print_folded(
            f"{name}: {', '.join(f'{each} {tuple(values.shape)}' for each, values in group.data_vars.items())}"
        )
