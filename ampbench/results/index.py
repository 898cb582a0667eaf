"""An index of the records of a store, so that a record is read and verified once, and not again until it changes.

An index holds the columns of records (:mod:`ampbench.results.entries`) that were read and found undamaged, each with
the stamp of its file (:mod:`ampbench.results.stamps`). A record is taken from the index only while its file has this
stamp. Nothing is known from an index alone: which records there are, and what their stamps are, comes from the store.
An index that is missing, damaged, of another version of this code, or of another user, is no error: the records are
read, and it is written again.

It is an npz file in the user's folder for caches (``$XDG_CACHE_HOME/ampbench`` or ``~/.cache/ampbench``), so that a
store is not changed by reading it, may be read-only, and carries no index that somebody else made. It is replaced
atomically; of several writers the last one stands, and what it did not know is read again.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import time
from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from ampbench import files, npz
from ampbench.results import atomic, stamps
from ampbench.results.entries import INTEGERS, SECONDS, TEXTS, Column, Entries, is_text, of_metric
from ampbench.results.stamps import Stamp

STAMP = ("inode", "bytes", "modified_ns", "changed_ns")
"""The columns of the stamp of a file."""
KEPT_S = 30 * 24 * 3600.0
"""Seconds after its last use for which an index is kept."""
TOUCHED_S = 24 * 3600.0
"""Age, in seconds, from which a use of an index is noted in its time of modification, and an unfinished one is left."""
MAX_METRICS = 200
"""Largest number of metrics of an index; each has columns of all records."""


def place(directory: Path, what: str = "records") -> Path | None:
    """Return the path of the index of a store; None where the system has no times of change, or no folder for caches.

    Arguments:
        directory: the store.
        what: the files that are in the index, ``records`` or ``samples``.
    """
    folder = _folder()
    version = _version()
    if folder is None or not version or not stamps.SUPPORTED:
        return None
    name = hashlib.sha256(os.fsencode(os.path.realpath(directory))).hexdigest()[:20]
    return folder / f"{name}-{what}-{version}.npz"


def read(path: Path, names: Collection[str] | None = None) -> Entries | None:
    """Return the records of an index with their stamps; None if it is missing, damaged, or of another user.

    Arguments:
        path: the index.
        names: the columns of texts and numbers that are needed beside those of stamps; None for all, and for metrics.
    """
    try:
        with files.opened(path, files.MAX_DATA_BYTES) as file:
            about = os.fstat(file.fileno())
            if about.st_uid != os.geteuid():
                return None
            found = _read(file, names)
        if time.time() - about.st_mtime > TOUCHED_S:
            os.utime(path)
    except Exception:  # whatever the file holds: what it should hold is in the records
        return None
    return found


def write(path: Path, entries: Entries) -> None:
    """Write an index, unless the folder cannot be written or there are too many metrics; remove unused indices."""
    metrics = entries.metrics if "scored" in entries.columns else []
    if len(metrics) > MAX_METRICS:
        return
    arrays: dict[str, Any] = {"metrics": _bytes(json.dumps(metrics))}
    for name, column in _named(metrics).items():
        if column in entries.columns:
            arrays |= _packed(name, entries[column])
    with suppress(OSError):
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with atomic.replacing(path) as file:
            np.savez(file, **arrays)  # its entries have checksums
        _remove_unused(path.parent)


def stamps_of(entries: Entries) -> dict[str, Stamp]:
    """Return the stamps of the files of an index, by their keys."""
    stamps = zip(*(entries[name].tolist() for name in STAMP), strict=True)
    return dict(zip(entries["key"], stamps, strict=True))


def columns_of(found: Sequence[Stamp]) -> dict[str, Column]:
    """Return stamps as columns."""
    return {name: np.array([each[i] for each in found], np.int64) for i, name in enumerate(STAMP)}


def _folder() -> Path | None:
    base = os.environ.get("XDG_CACHE_HOME", "")
    try:
        return (Path(base) if os.path.isabs(base) else Path.home() / ".cache") / "ampbench"
    except RuntimeError:  # there is no home
        return None


@cache
def _version() -> str:
    """Return a hash of the code that reads records, and of its Python; "" if the source cannot be read."""
    digest = hashlib.sha256(sys.version.encode())
    try:
        for path in sorted(Path(__file__).parent.glob("*.py")):
            digest.update(path.read_bytes())
    except OSError:
        return ""
    return digest.hexdigest()[:12]


def _named(metrics: Iterable[str], names: Collection[str] | None = None) -> dict[str, str]:
    """Return the columns of an index, by their names in the file."""
    every = (*STAMP, *INTEGERS, *SECONDS, *TEXTS)
    if names is not None:
        return {name: name for name in every if name in names or name in STAMP}
    found = {name: name for name in every}
    for i, metric in enumerate(metrics):
        found |= {f"{kind}{i}": column for kind, column in zip("vep", of_metric(metric), strict=True)}
    return found


def _read(file: BinaryIO, names: Collection[str] | None) -> Entries:
    metrics: list[str] = json.loads(npz.read_arrays(file, names=["metrics"])["metrics"].tobytes())
    columns = {}
    for name, column in _named(metrics, names).items():  # one by one: as bytes and as texts they take twice the memory
        parts = _parts(name) if is_text(column) else [name]
        arrays = npz.read_arrays(file, names=parts)
        columns[column] = _texts(*(arrays[part] for part in parts)) if is_text(column) else arrays[name]
    if len({column.shape for column in columns.values()}) != 1:
        raise ValueError("its columns have several lengths")
    return Entries(columns)


def _parts(name: str) -> list[str]:
    return [f"{name}.codes", f"{name}.ends", f"{name}.texts"]


def _packed(name: str, column: Column) -> dict[str, Column]:
    """Return the arrays of a column in the file: of texts the different ones, and for each record which it has."""
    if column.dtype != object:
        return {name: column}
    codes: dict[str | None, int] = {None: -1}
    for text in column:
        codes.setdefault(text, len(codes) - 1)
    texts = [text.encode() for text in codes if text is not None]
    ends = np.cumsum([len(text) for text in texts], dtype=np.int64)
    packed = (np.array([codes[text] for text in column], np.int32), ends, np.frombuffer(b"".join(texts), np.uint8))
    return dict(zip(_parts(name), packed, strict=True))


def _texts(codes: Column, ends: Column, packed: Column) -> Column:
    content, start = packed.data, 0
    found = np.empty(len(ends) + 1, dtype=object)  # the last one is None, which the code -1 selects
    for i, end in enumerate(ends.tolist()):
        found[i], start = str(content[start:end], "utf-8"), end
    return found[codes]


def _bytes(text: str) -> Column:
    return np.frombuffer(text.encode(), np.uint8)


def _remove_unused(folder: Path) -> None:
    """Remove indices of stores that are no longer read, or were read by other code, and what killed writers left."""
    kept_s = {"*.npz": KEPT_S, f"{atomic.TEMPORARY_PREFIX}*": TOUCHED_S}
    for path, seconds in ((path, seconds) for pattern, seconds in kept_s.items() for path in folder.glob(pattern)):
        with suppress(OSError):
            if time.time() - path.stat().st_mtime > seconds:
                path.unlink()
