"""Simulations in NetCDF files and in datasets of xarray, also in the groups of ArviZ; xarray is optional.

References:
    InferenceData schema specification, https://python.arviz.org/en/stable/schema/schema.html.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ampbench import files
from ampbench.errors import UsageError
from ampbench.simulations.columns import Columns

PARAMETERS, DATA = "prior", "prior_predictive"
"""Groups of ArviZ with draws of the parameters, and with the data simulated from them."""
ROWS = (("chain", "draw"), ("sample",))
"""Dimensions that number the simulations."""


def read_netcdf(path: Path) -> Columns:
    """Return the variables of a NetCDF file, one row per simulation.

    Raises:
        UsageError: xarray, or a library that reads the file, is not installed.
    """
    try:
        import xarray
    except ImportError as error:
        raise _missing(path) from error
    with files.opened(path, files.MAX_DATA_BYTES):  # the libraries open it by its name
        pass
    try:
        with xarray.open_datatree(path) as tree:
            return variables(_bounded(tree).load())
    except (ImportError, NotImplementedError, TypeError):  # the library for version 3 of NetCDF knows no groups
        pass
    except ValueError as error:
        if "engine" not in str(error) and "backend" not in str(error):
            raise
    try:
        with xarray.open_dataset(path) as dataset:
            return variables(_bounded(dataset).load())
    except (ImportError, ValueError) as error:
        if isinstance(error, ValueError) and "engine" not in str(error):
            raise
        raise _missing(path) from error


def _bounded(source: Any) -> Any:
    """Return a dataset or tree that is not loaded yet; raises UsageError if it is too large, which it says itself."""
    if source.nbytes > files.MAX_DATA_BYTES:
        raise UsageError(f"its variables have {source.nbytes:,} bytes, more than {files.MAX_DATA_BYTES:,}")
    return source


def _missing(path: Path) -> UsageError:
    return UsageError(f"reading {str(path)!r} needs xarray and h5netcdf: pip install 'ampbench[arviz]'")


def is_xarray(source: object) -> bool:
    """Return whether an object is a dataset or tree of xarray, or ArviZ's InferenceData."""
    return type(source).__module__.split(".")[0] in ("xarray", "arviz") and hasattr(source, "__getitem__")


def variables(source: Any) -> Columns:
    """Return the variables of a dataset or a tree, shape (n, …) each.

    Raises:
        UsageError: there is no variable, or the variables have no dimension in common that numbers the rows.
    """
    if PARAMETERS not in _groups(source) or DATA not in _groups(source):
        return Columns(_of_dataset(source))
    parameters, data = _of_dataset(source[PARAMETERS]), _of_dataset(source[DATA])
    if both := sorted(parameters.keys() & data.keys()):
        raise UsageError(f"{both[0]!r} is a variable of both groups {PARAMETERS!r} and {DATA!r}; rename one")
    return Columns(parameters | data, tuple(parameters), tuple(data))


def _groups(source: Any) -> list[str]:
    if hasattr(source, "children"):
        return list(source.children)
    groups = getattr(source, "groups", None)
    return [str(name) for name in groups()] if callable(groups) else []


def _of_dataset(dataset: Any) -> dict[str, np.ndarray]:
    held = {str(name): dataset[name] for name in dataset.data_vars}
    if not held:
        raise UsageError("the dataset holds no variable; store theta and x, or the groups prior and prior_predictive")
    first = next(iter(held.values()))
    rows = next((each for each in ROWS if set(each) <= set(first.dims)), tuple(first.dims[:1]))
    arrays = {}
    for name, array in held.items():
        if not set(rows) <= set(array.dims) or not rows:
            raise UsageError(
                f"variable {name!r} has the dimensions {tuple(array.dims)}, without {rows}, which numbers the "
                "simulations of the first variable; give all variables the dimensions chain and draw, or sample"
            )
        ordered = array.transpose(*rows, ...)
        arrays[name] = ordered.to_numpy().reshape(-1, *ordered.shape[len(rows) :])
    return arrays
