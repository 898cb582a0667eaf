"""Conversion of parsed JSON to records, whose fields are validated by :mod:`ampbench.results.schema`."""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import MISSING, fields
from functools import cache
from typing import Any, TypeVar

from ampbench.results.columns import Column, is_finite, is_unicode
from ampbench.results.record import Check, Draw, Measured, Origin, Record, Run
from ampbench.results.schema import PROVENANCE, RESULTS, is_reserved

T = TypeVar("T", Draw, Origin)

MAX_ENTRIES = 200
"""Largest number of metrics, and of versions: each is a column of the frame of all records."""

MAX_TEXT = 10_000
"""Characters of a text in a provenance."""

TRACEBACK = Column("traceback", str, "", blank=True)
TEXT = Column("", str, "", blank=True)
VALUE = Column("value", float, "", optional=True)
NUMBER = Column("", float, "")
STANDARD_ERROR = Column("standard_error", float, "", minimum=0, maximum=1e100)  # its square is finite too


def record(content: Mapping[str, Any]) -> Record:
    """Return the record with these fields; raises ValueError, which names field, value and allowed values."""
    _complete(Record, content, "")
    _complete(Run, content["run"], "run.")
    what = dict(content["run"])
    for name in ("metrics", "packages", "metric_packages"):
        what[name] = tuple(_texts(what.get(name, ()), f"run.{name}"))
    _allowed(what, "run.")
    _allowed(content, "")
    _check(TRACEBACK, content["traceback"], "traceback")
    if complaint := RESULTS.consistent({"kind": "", **content}):
        raise ValueError(complaint)
    metrics = {name: _measured(value, f"metrics.{name}") for name, value in _few(content["metrics"], "metrics").items()}
    if (taken := next(filter(is_reserved, metrics), None)) is not None:
        raise ValueError(f"metrics has {taken!r}, which is the name of another column of the results")
    bare = next((name for name, measured in metrics.items() if measured.value is None), None)
    if content["status"] == "ok" and bare is not None:
        raise ValueError(f"metrics.{bare}.value is missing, but status is 'ok'")
    _versions(content)
    looked = content.get("checks")
    checks = None if looked is None else tuple(_looked(each, f"checks.{i}") for i, each in enumerate(_list(looked)))
    return Record(**{**content, "run": Run(**what), "metrics": metrics, "checks": checks})


def draw(content: Mapping[str, Any]) -> Draw:
    """Return the provenance of stored samples; raises ValueError as :func:`record` does."""
    return _validated(Draw, content)


def origin(content: Mapping[str, Any]) -> Origin:
    """Return the provenance of a stored fit; raises ValueError as :func:`record` does."""
    return _validated(Origin, content)


def _validated(kind: type[T], content: Mapping[str, Any]) -> T:
    _complete(kind, content, "")
    _allowed(content, "")
    _versions(content)
    return kind(**content)


def _complete(kind: type, content: object, where: str) -> None:
    """Raise ValueError for a missing or an unknown field."""
    given = _object(content, where.rstrip(".") or "it")
    needed, known = _fields(kind)
    if not needed <= given.keys():
        raise ValueError(f"it has no field {where}{next(name for name in known if name in needed - given.keys())}")
    if not given.keys() <= known.keys():
        unknown = next(name for name in given if name not in known)
        raise ValueError(f"it has a field {where}{unknown}, which this ampbench does not know")


@cache
def _fields(kind: type) -> tuple[Set[str], Mapping[str, None]]:
    """Return the names of the fields without a default, and those of all fields in their order."""
    every = fields(kind)
    needed = {field.name for field in every if field.default is MISSING and field.default_factory is MISSING}
    return needed, dict.fromkeys(field.name for field in every)


def _allowed(content: Mapping[str, Any], where: str) -> None:
    """Raise ValueError for a field whose value is not allowed in the column of that name."""
    for name, column in RESULTS.by_name.items():
        if name in content and not isinstance(content[name], tuple):  # tuples of packages are validated already
            _check(column, content[name], where + name)


def _measured(content: object, where: str) -> Measured:
    _complete(Measured, content, f"{where}.")
    assert isinstance(content, Mapping)
    _check(VALUE, content["value"], f"{where}.value")
    error = content.get("error", "")
    _check(TEXT, error, f"{where}.error")
    if content["value"] is None and not error:
        raise ValueError(f"{where}.value is missing, and {where}.error does not say why")
    check_provenance(content.get("provenance", {}), f"{where}.provenance")
    return Measured(**content)


def _looked(content: object, where: str) -> Check:
    _complete(Check, content, f"{where}.")
    assert isinstance(content, Mapping)
    for name in ("value", "threshold"):
        _check(NUMBER, content[name], f"{where}.{name}")
    for name in ("name", "text", "how"):
        _check(TEXT, content.get(name, ""), f"{where}.{name}")
    return Check(**content)


def _list(value: object) -> list[object]:
    if not isinstance(value, list):
        raise ValueError(f"checks is {value!r}, where a list should be")
    return value


def check_provenance(content: object, where: str) -> None:
    """Raise ValueError, which names field and value, unless all values of an object are texts or finite numbers."""
    found = _few(content, where)
    for name, value in found.items():
        if isinstance(value, str) and len(value) > MAX_TEXT:
            raise ValueError(f"{where}.{name} has {len(value):,} characters, more than {MAX_TEXT:,}")
        if not (is_unicode(value) if isinstance(value, str) else isinstance(value, int | float) and is_finite(value)):
            raise ValueError(f"{where}.{name} is {value!r}, where text or a finite number should be")
    if (error := found.get(STANDARD_ERROR.name)) is not None:
        _check(STANDARD_ERROR, error, f"{where}.{STANDARD_ERROR.name}")


def _versions(content: Mapping[str, Any]) -> None:
    for name, version in _few(content["versions"], "versions").items():
        _check(TEXT, version, f"versions.{name}")
        if name.endswith(PROVENANCE):
            raise ValueError(f"versions has {name!r}, which is the name of another column of the results")


def _texts(value: object, where: str) -> list[str]:
    if not isinstance(value, list | tuple) or not all(isinstance(each, str) and is_unicode(each) for each in value):
        raise ValueError(f"{where} is {value!r}, where a list of texts should be")
    return list(value)


def _object(value: object, where: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise ValueError(f"{where} is {value!r}, where an object should be")
    return value


def _few(value: object, where: str) -> Mapping[str, Any]:
    """Return an object of few entries with names that can be written."""
    found = _object(value, where)
    if len(found) > MAX_ENTRIES:
        raise ValueError(f"{where} has {len(found):,} entries, more than {MAX_ENTRIES}")
    for name in found:
        if not isinstance(name, str) or not name or not is_unicode(name):
            raise ValueError(f"{where} has an entry with the name {name!r:.80}, where a text should be")
    return found


def _check(column: Column, value: object, where: str) -> None:
    if not column.accepts(value):
        raise ValueError(column.fault(value, where))
