"""``ampbench export``: the posterior samples of a stored run as NetCDF, for ArviZ."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from ampbench.cli.terminal import print_folded
from ampbench.console import document, status
from ampbench.errors import ResultsError, UsageError
from ampbench.reporting.compare import latest
from ampbench.reporting.inference_data import inference_data
from ampbench.results import load
from ampbench.results.bundle import is_bundle
from ampbench.results.checksums import is_directory
from ampbench.spec import Spec, component_name


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


def select_run(frame: pd.DataFrame, wanted: Mapping[str, object]) -> pd.Series:
    """Return the row of the one matching run, in its latest version.

    Raises:
        UsageError: no run matches, or several do; the message lists the choices.
    """
    for name, value in wanted.items():
        fits = frame[name] == value if name == "origin" else _fits(frame[name], value)
        if not fits.any():
            raise UsageError(f"no stored run has {name} {str(value)!r}; there are: {_some(frame[name])}")
        frame = frame[fits]
    if frame.empty:
        raise UsageError("there are no results yet; run 'ampbench run' first")
    differ = [
        name
        for name in ("task", "method", "budget", "samples", "seed", "observation", "origin")
        if frame[name].nunique() > 1
    ]
    if differ:
        choices = "; ".join(f"--{name} {_some(frame[name])}" for name in differ)
        raise UsageError(f"{len(frame)} runs match; select one by: {choices}")
    return latest(frame)[0].iloc[-1]


def _fits(column: pd.Series, value: object) -> pd.Series[bool]:
    """Return where a column equals a value; a spec also matches by its name, if no spec equals the value."""
    if not isinstance(value, str):
        return column == value
    exact = column == (value if column.name == "key" else str(Spec.parse(value)))
    return exact if exact.any() else column.map(lambda text: component_name(text) == value).astype(bool)


def _some(column: pd.Series) -> str:
    return " or ".join(str(value) for value in column.drop_duplicates())
