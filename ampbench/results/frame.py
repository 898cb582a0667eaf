"""All results in a results directory as one DataFrame."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ampbench import files
from ampbench.errors import ResultsError
from ampbench.results import schema
from ampbench.results.bundle import is_bundle, open_store
from ampbench.results.checksums import Damage, is_directory
from ampbench.results.entries import Entries, detail, findings, of_metric, provenance
from ampbench.results.origins import OURS
from ampbench.results.record import Record
from ampbench.results.store import BUNDLE_SUFFIX
from ampbench.results.theirs import gathered
from ampbench.text import encodable, from_csv_cell

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = schema.RESULTS.dtypes
"""The columns of every frame, with their pandas dtypes. A frame also has a float column per metric, and the columns
``<metric>_provenance`` (JSON) and ``version_<package>``. :mod:`ampbench.results.schema` defines and describes them.

To add a column, define it there; unless it is a field of :class:`~ampbench.results.Run` or
:class:`~ampbench.results.Record`, :func:`row` must compute it too."""

ORDER = ["task", "method", "budget", "seed", "observation", "key", "origin"]
"""The columns by which rows are sorted."""


def load(path: str | Path) -> pd.DataFrame:
    """Return all results in a directory, or in an exported file, one row per run.

    Rows that differ only in ``task_version``, ``packages`` or the requested metrics are repetitions of one run with
    other versions; :func:`ampbench.reporting.compare.summarise` uses the latest of them.

    Arguments:
        path: a results directory, as given to ``ampbench run --results``; a bundle, which ``ampbench publish`` wrote;
            or a file with the suffix ``.csv`` or ``.json`` that holds the output of ``ampbench results --csv`` or
            ``--json``.

    Returns:
        A frame with :data:`COLUMNS`, a column per metric (NaN where it failed), ``<metric>_provenance``, and
        ``version_<package>``; sorted by task, method, budget, seed and observation. Records that are damaged, or hold
        values that the schema does not allow, are left out with a :class:`ResultsWarning`.

    Raises:
        ResultsError: there is no such directory or file, a file does not follow the schema, or a bundle is refused.
    """
    source = Path(path)
    if not is_directory(source) and not is_bundle(source):
        if source.suffix == BUNDLE_SUFFIX:
            open_store(source)  # which says what is wrong
        if os.path.exists(source):
            return _sorted(validate(_read(source), str(source)))
        raise ResultsError(
            f"there is no results directory {str(source)!r}, nor such a file; run 'ampbench run --results {source}'"
        )
    found = gathered(source)
    return framed(found.entries, found.origins)


def framed(entries: Entries, origins: Sequence[str]) -> pd.DataFrame:
    """Return results with their origins as a frame; see :func:`load`."""
    import pandas as pd

    def words(name: str) -> NDArray[Any]:
        return entries.mapped(name, lambda text: " ".join(json.loads(text)))

    columns = {name: entries[name] for name in COLUMNS if name in entries.columns}
    columns |= {name: words(name) for name in ("packages", "metric_packages")}
    columns |= {"findings_detail": entries["checks"], "origin": np.array(origins, dtype=object)}
    columns = {name: columns[name] for name in COLUMNS}
    for metrics, packages in entries.layouts:
        for metric in metrics:
            columns[metric], _, columns[f"{metric}_provenance"] = (entries[name] for name in of_metric(metric))
        for package in packages:
            if (name := f"version_{package}") not in columns:
                columns[name] = entries.version(package)
    types = {name: column.dtype for name, column in schema.RESULTS.described(columns).items()}
    order = pd.DataFrame({name: columns[name] for name in ORDER}).sort_values(ORDER, kind="stable").index
    return pd.DataFrame({name: pd.array(columns[name][order], dtype=types[name]) for name in columns})


def validate(frame: pd.DataFrame, what: str = "the frame") -> pd.DataFrame:
    """Validate a frame of results from any source, and convert its columns to their types.

    Arguments:
        frame: with the columns that :func:`load` returns; other columns stay unchanged.
        what: name of the frame in messages.

    Returns:
        The frame with the dtypes of :data:`COLUMNS`.

    Raises:
        ResultsError: a column is missing, a value is not allowed, a score has no provenance, or a run is duplicated;
            the message names row, column, value and allowed values.
    """
    frame = schema.RESULTS.validated(frame, what)
    frame = frame.assign(origin=frame["origin"].replace("", OURS))  # older frames have no such column
    twice = frame.index[frame.duplicated(["key", "origin"], keep=False)]
    if len(twice):
        first = frame.loc[twice[0]]
        alike = frame.index[(frame["key"] == first["key"]) & (frame["origin"] == first["origin"])]
        raise ResultsError(
            f"{what}: rows {', '.join(map(str, alike[:2]))} are of one run, with the key {first['key']}; "
            "keep one row of each run: frame.drop_duplicates(['key', 'origin'])"
        )
    for metric in metric_columns(frame):
        if metric not in frame.columns:
            raise ResultsError(f"{what} has a column '{metric}_provenance', but none {metric!r}")
        bare = frame.index[frame[metric].notna() & frame[f"{metric}_provenance"].isna()]
        if len(bare):
            raise ResultsError(
                f"{what}: row {bare[0]}: {metric} has a value, but {metric}_provenance is missing; write {{}} there if "
                "nobody knows how it came about"
            )
    return frame


def _read(path: Path) -> pd.DataFrame:
    """Read an exported file without inferring types: a version such as 1.10 must stay text."""
    import pandas as pd

    try:
        if path.suffix == ".csv":
            with files.opened(path, files.MAX_DATA_BYTES) as file:
                found = pd.read_csv(file, dtype=str, keep_default_na=False)
            return found.map(from_csv_cell).rename(columns=from_csv_cell)
        if path.suffix == ".json":
            rows = json.loads(files.read_bytes(path, files.MAX_DATA_BYTES))
            if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
                raise ValueError("it is no JSON array of objects")
            return pd.DataFrame(map(_encodable, rows), columns=None if rows else list(COLUMNS))
    except Exception as error:  # whatever the file holds
        raise ResultsError(f"{path} cannot be read: {' '.join(Damage.of(path, error).reason.split())}") from error
    raise ResultsError(
        f"{path} is no results directory, and no .csv or .json file that 'ampbench results --csv' or '--json' printed, "
        "nor a bundle (.zip) of 'ampbench publish'"
    )


def _sorted(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.sort_values(ORDER, kind="stable").reset_index(drop=True)


def metric_columns(frame: pd.DataFrame) -> list[str]:
    """Return the names of a frame's metric columns."""
    return [name.removesuffix("_provenance") for name in map(str, frame.columns) if name.endswith("_provenance")]


def row(record: Record, origin: str = OURS) -> dict[str, Any]:
    r"""Return a record of an origin as a row of the frame: texts and numbers, NaN for a metric without a value.

    Lone surrogates in texts become escapes such as ``\ud800``.
    """
    flat: dict[str, Any] = {name: getattr(record, name, None) for name in COLUMNS}
    flat |= {name: value for name, value in asdict(record.run).items() if name != "metrics"}
    flat |= {name: " ".join(flat[name]) for name in ("packages", "metric_packages")}
    flat["key"], flat["origin"] = record.run.key, origin
    flat["findings"] = None if record.checks is None else findings(record)
    flat["findings_detail"] = None if record.checks is None else detail(record.checks)
    for name, measured in record.metrics.items():
        flat[name] = math.nan if measured.value is None else measured.value
        flat[f"{name}_provenance"] = provenance(measured)
    return _encodable(flat | {f"version_{package}": version for package, version in record.versions.items()})


def _encodable(flat: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row without lone surrogates, which pandas refuses where pyarrow is installed."""
    return {encodable(name): encodable(value) for name, value in flat.items()}
