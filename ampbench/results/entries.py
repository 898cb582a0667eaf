"""Records as columns: what a frame of results shows, and all else that a record holds.

A column of numbers is an array of 64-bit numbers, a column of texts an array of Python texts in which equal texts are
one object, with None for a missing text. Mappings and sequences of a record are JSON texts in such columns. A hundred
thousand records take less memory by a factor of ten than as many objects, and every record can be made again.
"""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ampbench.results.record import Check, Measured, Record, Run
from ampbench.results.store import Stored

Column = NDArray[Any]

RUN_INTEGERS, RUN_TEXTS = ("budget", "observation", "seed", "samples"), ("task", "task_version", "method", "resolved")
RUN_LISTS = ("metrics", "packages", "metric_packages")
RUN = (*RUN_INTEGERS, *RUN_TEXTS, *RUN_LISTS)
"""The columns of the fields of a run."""
SECONDS = ("fit_seconds", "sample_seconds", "metric_seconds")
RECORD_TEXTS = ("status", "error", "traceback", "device", "finished", "commit", "kind")

INTEGERS = (*RUN_INTEGERS, "simulations", "schema")
TEXTS = (*RUN_TEXTS, *RUN_LISTS, *RECORD_TEXTS, "key", "digest", "versions", "findings", "checks", "scored")
"""Columns of texts. ``digest`` is the SHA-256 of the samples, ``scored`` are the names of the metrics in the record."""
COLUMNS = (*INTEGERS, *SECONDS, *TEXTS)
"""The columns of all records; each metric has three more, see :func:`of_metric`."""


def of_metric(name: str) -> tuple[str, str, str]:
    """Return the names of the columns of a metric: of its values, their errors and their provenance."""
    return f"value {name}", f"error {name}", f"provenance {name}"


@dataclass(frozen=True)
class Entries:
    """Stored records.

    Attributes:
        columns: arrays of one length by name; a selection of :data:`COLUMNS` and of the columns of metrics.
    """

    columns: Mapping[str, Column]

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()), ()))

    def __getitem__(self, name: str) -> Column:
        return self.columns[name]

    @property
    def ok(self) -> NDArray[np.bool_]:
        """Whether each record is a good result."""
        return np.asarray(self["status"] == "ok", dtype=bool)

    @property
    def metrics(self) -> list[str]:
        """The names of the metrics, in the order in which the records name them first."""
        return list(dict.fromkeys(name for text in dict.fromkeys(self["scored"]) for name in _list(text)))

    @property
    def layouts(self) -> list[tuple[Sequence[str], Sequence[str]]]:
        """The names of metrics, and of packages with a version, that records have together, in order of appearance."""
        pairs = dict.fromkeys(zip(self["scored"], self["versions"], strict=True))
        return [(_list(scored), list(_object(versions))) for scored, versions in pairs]

    def version(self, package: str) -> Column:
        """Return the recorded version of a package for each record; None where it is missing."""
        return self.mapped("versions", lambda text: _object(text).get(package))

    def mapped(self, name: str, function: Callable[[str], str | None]) -> Column:
        """Return a function of a column of texts, computed once for each text."""
        found = {text: function(text) for text in dict.fromkeys(self[name])}
        return objects([found[text] for text in self[name]])

    def only(self, names: Collection[str]) -> Entries:
        """Return the columns of these names."""
        return Entries({name: column for name, column in self.columns.items() if name in names})

    def take(self, positions: Sequence[int] | NDArray[Any]) -> Entries:
        """Return the records at these positions."""
        at = np.asarray(positions, dtype=np.intp)
        return Entries({name: column[at] for name, column in self.columns.items()})

    def run(self, i: int) -> Run:
        """Return the run of a record."""
        fields: dict[str, Any] = {name: self[name][i] for name in (*RUN_INTEGERS, *RUN_TEXTS)}
        return Run(**fields | {name: _list(self[name][i]) for name in RUN_LISTS})

    def stored(self, i: int) -> Stored:
        """Return a record, with the SHA-256 of its samples and the schema of its file."""
        fields = {name: self[name][i] for name in RECORD_TEXTS} | {name: float(self[name][i]) for name in SECONDS}
        record = Record(
            run=self.run(i),
            simulations=int(self["simulations"][i]),
            metrics={name: self._measured(name, i) for name in _list(self["scored"][i])},
            versions=dict(_object(self["versions"][i])),
            checks=_checks(self["checks"][i]),
            **fields,
        )
        return Stored(record, self["digest"][i], int(self["schema"][i]))

    def _measured(self, name: str, i: int) -> Measured:
        value, error, provenance = (self[column][i] for column in of_metric(name))
        return Measured(None if math.isnan(value) else float(value), error, json.loads(provenance))


class Builder:
    """Collects records as columns.

    Attributes:
        count: number of records so far.
    """

    def __init__(self) -> None:
        self.count = 0
        self._lists: dict[str, list[Any]] = {name: [] for name in COLUMNS}
        self._measured: defaultdict[str, list[tuple[int, float, str, str]]] = defaultdict(list)
        self._shared: dict[str, str] = {}

    def add(self, found: Stored) -> None:
        """Add a record."""
        record, run = found.record, found.record.run
        for name in (*RUN_INTEGERS, *RUN_TEXTS):
            self._append(name, getattr(run, name))
        for name in RUN_LISTS:
            self._append(name, _array(getattr(run, name)))
        for name in (*RECORD_TEXTS, *SECONDS, "simulations"):
            self._append(name, getattr(record, name))
        checks = record.checks
        self._append("key", run.key)
        self._append("digest", found.samples)
        self._append("schema", found.schema)
        self._append("versions", _mapping(tuple(record.versions.items())))
        self._append("findings", None if checks is None else findings(record))
        self._append("checks", None if checks is None else detail(checks))
        self._append("scored", _array(tuple(record.metrics)))
        for name, each in record.metrics.items():
            value = math.nan if each.value is None else each.value
            shared = self._share(each.error), self._share(provenance(each))
            self._measured[name].append((self.count, value, *shared))
        self.count += 1

    def entries(self) -> Entries:
        """Return the records."""
        columns: dict[str, Column] = {name: np.array(self._lists[name], np.int64) for name in INTEGERS}
        columns |= {name: np.array(self._lists[name], np.float64) for name in SECONDS}
        columns |= {name: objects(self._lists[name]) for name in TEXTS}
        for metric, found in self._measured.items():
            at, *parts = zip(*found, strict=True)
            for name, values in zip(of_metric(metric), parts, strict=True):
                columns[name] = absent(name, self.count)
                columns[name][list(at)] = values
        return Entries(columns)

    def _append(self, name: str, value: Any) -> None:
        self._lists[name].append(self._share(value) if isinstance(value, str) else value)

    def _share(self, text: str) -> str:
        return self._shared.setdefault(text, text)


def joined(first: Entries, second: Entries) -> Entries:
    """Return the records of both, in this order; columns that only one of them has are filled with missing values."""
    names = dict.fromkeys([*first.columns, *second.columns])
    return Entries(
        {
            name: np.concatenate([each.columns.get(name, absent(name, len(each))) for each in (first, second)])
            for name in names
        }
    )


def absent(name: str, size: int) -> Column:
    """Return the column of a metric for records that have no result of it."""
    return np.full(size, None, dtype=object) if is_text(name) else np.full(size, math.nan)


def is_text(name: str) -> bool:
    """Whether a column holds texts."""
    return name in TEXTS or name.startswith(("error ", "provenance "))


def is_exact(record: Record) -> bool:
    """Whether columns hold all numbers of a record exactly, which they do not for integers beyond 2⁵³ as a score."""
    numbers = [getattr(record, name) for name in SECONDS]
    numbers += [each.value for each in record.metrics.values() if each.value is not None]
    return all(float(number) == number for number in numbers)


def provenance(measured: Measured) -> str:
    """Return the provenance of a metric's value as JSON."""
    return _sorted_json(measured.provenance)


def findings(record: Record) -> str:
    """Return the findings of a record that was checked, on one line."""
    return "; ".join(map(str, record.findings)) or "none"


def detail(checks: Iterable[Check]) -> str:
    """Return checks as JSON."""
    return _sorted_json([{**vars(check), "found": check.found} for check in checks])


def _checks(text: str | None) -> tuple[Check, ...] | None:
    if text is None:
        return None
    return tuple(Check(**{name: each[name] for name in each if name != "found"}) for each in json.loads(text))


def objects(values: Sequence[str | None]) -> Column:
    """Return a column of texts."""
    found = np.empty(len(values), dtype=object)
    found[:] = values
    return found


_json = json.JSONEncoder(allow_nan=False).encode
_sorted_json = json.JSONEncoder(sort_keys=True).encode


@lru_cache(maxsize=1024)
def _array(texts: tuple[str, ...]) -> str:
    return _json(texts)


@lru_cache(maxsize=1024)
def _mapping(items: tuple[tuple[str, str], ...]) -> str:
    return _json(dict(items))


@lru_cache(maxsize=1024)
def _list(text: str) -> tuple[str, ...]:
    return tuple(json.loads(text))


@lru_cache(maxsize=1024)
def _object(text: str) -> Mapping[str, str]:
    found: dict[str, str] = json.loads(text)
    return found
