"""``ampbench export``: the posterior samples of a stored run as NetCDF, for ArviZ."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pandas as pd
from rich.console import Console

from ampbench.cli.terminal import print_folded
from ampbench.errors import ResultsError, UsageError
from ampbench.reporting.compare import latest
from ampbench.reporting.inference_data import inference_data
from ampbench.results import load
from ampbench.spec import Spec


def export(results: Path, output: Path, wanted: Mapping[str, object]) -> None:
    """Write the samples of the one run that is meant, and say what was written.

    Arguments:
        results: the results directory.
        output: the NetCDF file; written over if it is there.
        wanted: by column (task, method, budget, seed, observation), what it has to be.

    Raises:
        UsageError: no run is meant, or several are, or the file cannot be written.
        ResultsError: there are no samples of the run; the message says why.
    """
    if not results.is_dir():
        raise ResultsError(f"{str(results)!r} is no results directory; samples are stored nowhere else")
    if not output.parent.is_dir():
        raise UsageError(f"cannot write {output}: the folder {output.parent} does not exist; make it first")
    found = one(load(results), wanted)
    with Console(stderr=True).status("drawing reference samples, if the task stores none"):
        tree = inference_data(results, found["key"])
    try:
        tree.to_netcdf(output)
    except OSError as error:
        raise UsageError(f"cannot write {output}: {error.strerror or error}") from error
    what = ", ".join(f"{name} {found[name]}" for name in ("budget", "seed", "observation"))
    print_folded(f"{output}: {found['task']}, {found['method']}, {what}")
    for name, group in tree.children.items():
        print_folded(
            f"{name}: {', '.join(f'{each} {tuple(values.shape)}' for each, values in group.data_vars.items())}"
        )


def one(frame: pd.DataFrame, wanted: Mapping[str, object]) -> pd.Series:
    """Return the row that is meant: the latest answer to the one question that fits.

    Raises:
        UsageError: none fits, or several do; what there is to choose from is named.
    """
    for name, value in wanted.items():
        fits = _fits(frame[name], value)
        if not fits.any():
            raise UsageError(f"no stored run has {name} {str(value)!r}; there are: {_some(frame[name])}")
        frame = frame[fits]
    if frame.empty:
        raise UsageError("there are no results yet; run 'ampbench run' first")
    differ = [
        name for name in ("task", "method", "budget", "samples", "seed", "observation") if frame[name].nunique() > 1
    ]
    if differ:
        choices = "; ".join(f"--{name} {_some(frame[name])}" for name in differ)
        raise UsageError(f"{len(frame)} runs fit; say which: {choices}")
    return latest(frame)[0].iloc[-1]


def _fits(column: pd.Series, value: object) -> pd.Series[bool]:
    """Where a column is what is wanted; of a spec, the name is enough if none is the whole of it."""
    if not isinstance(value, str):
        return column == value
    exact = column == str(Spec.parse(value))
    return exact if exact.any() else column.map(lambda text: Spec.parse(text).name == value).astype(bool)


def _some(column: pd.Series) -> str:
    return " or ".join(str(value) for value in column.drop_duplicates())
