"""All results below a folder as one DataFrame."""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ampbench.errors import ResultsError, ResultsWarning
from ampbench.run import Check, Record
from ampbench.sealed import Damage
from ampbench.store import Store

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
    "kind": "string",
    "error": "string",
    "findings": "string",
    "findings_detail": "string",
    "fit_seconds": "float64",
    "sample_seconds": "float64",
    "metric_seconds": "float64",
    "simulations": "int64",
    "device": "string",
    "finished": "string",
    "commit": "string",
    "task_version": "string",
    "resolved": "string",
    "packages": "string",
    "metric_packages": "string",
    "key": "string",
}
"""The columns that every frame has, with their types. Beside them: one float column per metric, ``<metric>_provenance``
(JSON) and ``version_<package>``."""


def load(path: str | Path) -> pd.DataFrame:
    """Return all results below a directory, one row per run.

    Rows that differ only in ``task_version``, ``packages`` or in the metrics that were asked for are several answers to
    one question; :func:`ampbench.compare.summarise` takes the latest.

    Arguments:
        path: the results directory, as given to ``ampbench run --results``.

    Returns:
        A frame with :data:`COLUMNS`, a column per metric (NaN where it failed), ``<metric>_provenance``, and
        ``version_<package>``; sorted by task, method, budget, seed and observation. Damaged records are left out, with
        a :class:`ResultsWarning`.

    Raises:
        ResultsError: the directory does not exist.
    """
    import pandas as pd

    directory = Path(path)
    if not directory.is_dir():
        raise ResultsError(
            f"there is no results directory {str(directory)!r}; run 'ampbench run --results {directory}'"
        )
    found = list(Store(directory).scan())
    _warn(directory, [each for each in found if isinstance(each, Damage)])
    rows = [_row(each.record) for each in found if not isinstance(each, Damage)]
    frame = pd.DataFrame(rows, columns=None if rows else list(COLUMNS)).astype(COLUMNS)
    order = ["task", "method", "budget", "seed", "observation", "key"]
    return frame.sort_values(order, kind="stable").reset_index(drop=True)


def metric_columns(frame: pd.DataFrame) -> list[str]:
    """Return the names of a frame's metric columns."""
    return [name.removesuffix("_provenance") for name in frame.columns if name.endswith("_provenance")]


def _row(record: Record) -> dict[str, Any]:
    flat: dict[str, Any] = {name: getattr(record, name, None) for name in COLUMNS}
    flat |= {name: value for name, value in asdict(record.run).items() if name != "metrics"}
    flat |= {name: " ".join(flat[name]) for name in ("packages", "metric_packages")}
    flat["key"] = record.run.key
    flat["findings"] = None if record.checks is None else "; ".join(map(str, record.findings)) or "none"
    flat["findings_detail"] = None if record.checks is None else _detail(record.checks)
    for name, measured in record.metrics.items():
        flat[name] = math.nan if measured.value is None else measured.value
        flat[f"{name}_provenance"] = json.dumps(measured.provenance, sort_keys=True)
    return flat | {f"version_{package}": version for package, version in record.versions.items()}


def _detail(checks: Iterable[Check]) -> str:
    return json.dumps([{**asdict(check), "found": check.found} for check in checks], sort_keys=True)


def _warn(directory: Path, damages: list[Damage]) -> None:
    if damages:
        more = f", and {len(damages) - 1} more" if len(damages) > 1 else ""
        warnings.warn(
            f"left out: {damages[0]}{more}; the same 'ampbench run' repeats what is damaged, "
            f"'ampbench store check --results {directory}' lists it",
            ResultsWarning,
            stacklevel=3,
        )
