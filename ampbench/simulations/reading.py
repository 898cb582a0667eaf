"""Reading of stored simulations (theta, x) from arrays, tables and files.

============================  ========================================================================================
a pair (theta, x)             torch, numpy, pandas, or nested lists; one row per simulation
a mapping                     an array by name: theta and x
``.npz``                      arrays theta and x
``.csv``, ``.parquet``        columns by name
a pandas frame                columns by name
``.nc``, an xarray dataset    variables by name; the dimensions (chain, draw), ``sample``, or the first one, are rows
the same in groups (ArviZ)    parameters in ``prior``, data in ``prior_predictive``
============================  ========================================================================================

Which columns are parameters and data, :mod:`ampbench.simulations.columns` decides.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from ampbench import files, npz
from ampbench.errors import UsageError
from ampbench.faults import named
from ampbench.simulations.arrays import Simulations
from ampbench.simulations.columns import Columns, by_variable, theta_and_x
from ampbench.simulations.netcdf import is_xarray, read_netcdf, variables

GIVEN = "the given simulations"


def read_simulations(source: Any, parameters: Sequence[str] = (), observed: Sequence[str] = ()) -> Simulations:
    """Return stored simulations of theta and x; the table of this module lists what can be read.

    Arguments:
        source: arrays, a frame or dataset, or the path of a file.
        parameters: names of the columns of parameters, in the order of theta; by default those called theta.
        observed: names of the columns of data, in the order of x; by default those called x, or all other columns.

    Returns:
        Simulations with the variables theta, shape (n, D), and x, shape (n, L).

    Raises:
        UsageError: the source cannot be read, or it is unclear which columns are meant; the message names it, what it
            holds, and the next step.

    Example:
        >>> import pandas as pd
        >>> frame = pd.DataFrame({"beta": [0.1, 0.2], "gamma": [1.0, 2.0], "day 1": [3, 1], "day 2": [8, 5]})
        >>> read_simulations(frame, parameters=["beta", "gamma"]).values["x"].shape
        torch.Size([2, 2])
    """
    if isinstance(source, Simulations):
        if source.values.keys() != {"theta", "x"}:
            raise UsageError(f"{source.origin} hold {', '.join(source.values)}, but theta and x are wanted")
        return source
    if found := _named(source):
        return theta_and_x(found[0], parameters, observed, found[1])
    if isinstance(source, tuple | list) and len(source) == 2:
        if parameters or observed:
            raise UsageError(f"{GIVEN} are a pair of arrays, which has no columns to name; leave the names out")
        return Simulations.of(dict(zip(("theta", "x"), source, strict=True)), GIVEN)
    raise UsageError(
        f"cannot read simulations from a {type(source).__name__}; give the pair (theta, x) of arrays with one row per "
        f"simulation, or the path of a file: {', '.join(READERS)}"
    )


def read_variables(source: Any, names: Sequence[str]) -> Simulations:
    """Return stored simulations of the variables of a graph, from a mapping, a frame, a dataset or a file.

    Arguments:
        source: arrays or columns by the names of the variables.
        names: of the variables.

    Raises:
        UsageError: the source cannot be read, or lacks a variable.
    """
    if isinstance(source, Simulations):
        return source
    if found := _named(source):
        return by_variable(found[0], names, found[1])
    raise UsageError(
        f"cannot read the variables {', '.join(names)} from a {type(source).__name__}; give a mapping with an array "
        f"for each, or the path of a file: {', '.join(READERS)}"
    )


def _named(source: Any) -> tuple[Columns, str] | None:
    """Return the columns of a source by their names, and what to call it in messages; None if it has no names."""
    if isinstance(source, str | Path):
        return _read_file(Path(source).expanduser()), str(source)
    if _is_frame(source):
        return _columns(source), "the given frame"
    if is_xarray(source):
        return variables(source), "the given dataset"
    return (Columns(source), GIVEN) if isinstance(source, Mapping) else None


def _read_file(path: Path) -> Columns:
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        raise UsageError(
            f"cannot read simulations from {str(path)!r}, whose suffix is {path.suffix!r}; known are "
            f"{', '.join(READERS)}"
        )
    try:
        return reader(path)
    except UsageError:
        raise
    except FileNotFoundError as error:
        raise UsageError(f"there is no file {str(path)!r} of simulations; check the path") from error
    except Exception as error:  # zip, numpy, pandas and xarray raise errors of many types for damaged files
        raise UsageError(f"cannot read simulations from {str(path)!r}: {named(error)}; write the file again") from error


def _read_npz(path: Path) -> Columns:
    with files.opened(path, files.MAX_DATA_BYTES) as file:
        return Columns(npz.read_arrays(file))


def _read_csv(path: Path) -> Columns:
    import pandas as pd

    with files.opened(path, files.MAX_DATA_BYTES) as file:
        return _columns(pd.read_csv(file, skipinitialspace=True))


def _read_parquet(path: Path) -> Columns:
    import pandas as pd

    try:
        with files.opened(path, files.MAX_DATA_BYTES) as file:
            _check_parquet(file)
            return _columns(pd.read_parquet(file))
    except ImportError as error:
        raise UsageError(f"reading {str(path)!r} needs pyarrow: pip install 'ampbench[parquet]'") from error


def _check_parquet(file: BinaryIO) -> None:
    """Raise ValueError for a table that is too large; long columns of equal values take little of a file."""
    from pyarrow.parquet import read_metadata

    held = read_metadata(file)
    if (size := 8 * held.num_rows * held.num_columns) > files.MAX_DATA_BYTES:
        raise ValueError(f"its table has {size:,} bytes, more than {files.MAX_DATA_BYTES:,}")
    file.seek(0)


READERS: Mapping[str, Callable[[Path], Columns]] = {
    ".npz": _read_npz,
    ".csv": _read_csv,
    ".parquet": _read_parquet,
    ".nc": read_netcdf,
    ".netcdf": read_netcdf,
}
"""Readers of files, by suffix; each returns columns by name."""


def _is_frame(source: object) -> bool:
    return hasattr(source, "iloc") and hasattr(source, "columns")  # without an import of pandas, which is slow


def _columns(frame: Any) -> Columns:
    names = [str(name) for name in frame.columns]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise UsageError(f"two columns are called {twice[0]!r}; names must be unique")
    return Columns({name: frame.iloc[:, number].to_numpy() for number, name in enumerate(names)})
