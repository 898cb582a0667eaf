"""The store: one folder per finished run, and all of them as one DataFrame.

A run's result is ``DIR/runs/<key>/record.json`` with ``samples.npz`` beside it. Both are written into a temporary
folder, flushed to disk, and renamed at once, so that a reader sees a whole result or none. Nothing is ever unpickled.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from ampbench.errors import ResultsError
from ampbench.run import SCHEMA, Measured, Record, Run

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = {
    "task": "string",
    "method": "string",
    "budget": "int64",
    "observation": "int64",
    "seed": "int64",
    "samples": "int64",
    "status": "string",
    "error": "string",
    "fit_seconds": "float64",
    "sample_seconds": "float64",
    "simulations": "int64",
    "device": "string",
    "finished": "string",
    "commit": "string",
    "task_version": "string",
    "resolved": "string",
    "key": "string",
}
"""The columns that every frame has, with their types. Beside them: one float column per metric, ``<metric>_provenance``
(JSON) and ``version_<package>``."""


class Store:
    """A folder of results.

    Arguments:
        directory: where the results are; made when first written to.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.runs = directory / "runs"

    def get(self, key: str) -> Record | None:
        """Return the record stored under a key, or None."""
        path = self.runs / key / "record.json"
        return _read(path) if path.exists() else None

    def put(self, record: Record, samples: np.ndarray | None) -> None:
        """Write a record and its posterior samples (n, D) atomically; an older failure under the key is replaced."""
        self.runs.mkdir(parents=True, exist_ok=True)
        target = self.runs / record.run.key
        temporary = Path(tempfile.mkdtemp(prefix=".writing-", dir=self.runs))
        try:
            _write(temporary / "record.json", json.dumps(_encode(record), indent=1, allow_nan=False).encode())
            if samples is not None:
                with open(temporary / "samples.npz", "wb") as file:
                    np.savez_compressed(file, theta=samples)
                    _flush(file)
            temporary.chmod(0o755)
            _replace(temporary, target)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        _sync_folder(self.runs)

    def samples(self, key: str) -> np.ndarray:
        """Return the posterior samples (n, D) of a finished run."""
        with np.load(self.runs / key / "samples.npz", allow_pickle=False) as archive:
            return archive["theta"]

    def records(self) -> Iterator[Record]:
        """Read all records, in the order of their keys; raises :class:`ResultsError` for one that is damaged."""
        for path in sorted(self.runs.glob("*/record.json")):
            if not path.parent.name.startswith("."):
                yield _read(path)


def load(path: str | Path) -> pd.DataFrame:
    """Return all results below a directory, one row per (task, method, budget, observation, seed).

    Arguments:
        path: the results directory, as given to ``ampbench run --results``.

    Returns:
        A frame with :data:`COLUMNS`, a column per metric (NaN where it failed), ``<metric>_provenance``, and
        ``version_<package>``; sorted by task, method, budget, seed and observation.

    Raises:
        ResultsError: the directory does not exist, or a record is damaged.
    """
    import pandas as pd

    directory = Path(path)
    if not directory.is_dir():
        raise ResultsError(
            f"there is no results directory {str(directory)!r}; run 'ampbench run --results {directory}'"
        )
    rows = [_row(record) for record in Store(directory).records()]
    frame = pd.DataFrame(rows, columns=None if rows else list(COLUMNS)).astype(COLUMNS)
    order = ["task", "method", "budget", "seed", "observation", "key"]
    return frame.sort_values(order, kind="stable").reset_index(drop=True)


def _row(record: Record) -> dict[str, Any]:
    flat = {name: getattr(record, name, None) for name in COLUMNS}
    flat |= {name: value for name, value in asdict(record.run).items() if name != "metrics"}
    flat["key"] = record.run.key
    for name, measured in record.metrics.items():
        flat[name] = math.nan if measured.value is None else measured.value
        flat[f"{name}_provenance"] = json.dumps(measured.provenance, sort_keys=True)
    return flat | {f"version_{package}": version for package, version in record.versions.items()}


def _encode(record: Record) -> dict[str, Any]:
    return {"schema": SCHEMA, "key": record.run.key, **asdict(record)}


def _read(path: Path) -> Record:
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        schema, key = stored.pop("schema"), stored.pop("key")
        what = stored.pop("run")
        run = Run(**{**what, "metrics": tuple(what["metrics"])})
        metrics = {name: Measured(**measured) for name, measured in stored.pop("metrics").items()}
        record = Record(run=run, metrics=metrics, **stored)
    except (ValueError, KeyError, TypeError) as error:
        raise ResultsError(f"the record {path} is damaged ({error}); delete its folder to run it again") from error
    if schema != SCHEMA or key != run.key or key != path.parent.name:
        raise ResultsError(
            f"the record {path} does not belong to its folder (schema {schema}, expected {SCHEMA}; key {run.key}, "
            f"expected {path.parent.name}); delete the folder to run it again"
        )
    return record


def _replace(temporary: Path, target: Path) -> None:
    """Rename a finished folder into place; what another process has put there meanwhile is the same result."""
    aside = Path(tempfile.mkdtemp(prefix=".replaced-", dir=target.parent))
    with suppress(FileNotFoundError):
        target.rename(aside / "old")
    try:
        temporary.rename(target)
    except OSError:
        if not target.exists():
            raise
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _write(path: Path, content: bytes) -> None:
    with open(path, "wb") as file:
        file.write(content)
        _flush(file)


def _flush(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    """Flush the rename itself, where the system allows it."""
    if hasattr(os, "O_DIRECTORY"):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def metric_columns(frame: pd.DataFrame) -> list[str]:
    """Return the names of a frame's metric columns."""
    return [name.removesuffix("_provenance") for name in frame.columns if name.endswith("_provenance")]
