"""JSON objects with a schema and a checksum, on disk.

The checksum is the SHA-256 of the object's canonical form (sorted keys, no spaces): it depends on the content and not
on the layout of the file. It detects damage, not forgery: whoever forges content can compute its checksum too.
"""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from ampbench import files
from ampbench.errors import ResultsError, ResultsWarning
from ampbench.faults import named
from ampbench.results import atomic
from ampbench.results.record import SCHEMA_VERSION

T = TypeVar("T")

MAX_RECORD_BYTES = 4 * 2**20
"""Largest record; records have a few kilobytes, and a long traceback."""
MAX_REASON_CHARACTERS = 300
"""Characters of the reason of a damage; damaged files can make long ones."""


class StudyError(ResultsError):
    """The bundle of a study is damaged: it is whole or refused, and so is the folder that it is in."""


@dataclass(frozen=True)
class Damage:
    """A damaged file and the reason why it is rejected."""

    path: Path
    reason: str

    def __str__(self) -> str:
        return f"{self.path} is damaged: {self.reason}"

    @classmethod
    def of(cls, path: Path, error: Exception) -> Damage:
        """Return the damage of a file whose reading raised an error of any type."""
        if isinstance(error, OSError):
            reason = f"it cannot be read: {error.strerror or error}"
        else:
            reason = str(error) if type(error) is ValueError else named(error)
        if len(reason) > MAX_REASON_CHARACTERS:
            reason = f"{reason[:MAX_REASON_CHARACTERS]}…"
        return cls(path, reason)


def write(path: Path, content: Mapping[str, Any]) -> None:
    """Write an object with its schema and checksum; raises :class:`ResultsError` if it is too large, or cannot be."""
    whole = {"schema": SCHEMA_VERSION, **content}
    text = json.dumps(whole | {"checksum": _checksum(whole)}, indent=1, allow_nan=False)
    if len(text) > MAX_RECORD_BYTES:
        raise ResultsError(f"cannot write {path}: it would have {len(text):,} bytes, more than {MAX_RECORD_BYTES:,}")
    with writing(path):
        atomic.write(path, text.encode())


def read(path: Path) -> tuple[int, dict[str, Any]]:
    """Verify the checksum of an object, and return its schema version and content; raises errors of many types."""
    return parse(files.read_bytes(path, MAX_RECORD_BYTES))


def parse(text: bytes) -> tuple[int, dict[str, Any]]:
    """Verify the checksum of an object in a file's text; see :func:`read`."""
    content = parse_object(text)
    checksum = content.pop("checksum", None)
    if content.get("schema") == 1 and checksum is None:  # schema 1 had no checksums
        return content.pop("schema"), content
    expected = _checksum(content)
    schema = content.pop("schema", None)
    if schema != SCHEMA_VERSION:
        raise ValueError(f"it has schema {schema!r}; this ampbench knows 1 and {SCHEMA_VERSION}")
    if checksum != expected:
        raise ValueError("its checksum does not match its content")
    return SCHEMA_VERSION, content


def parse_object(text: bytes) -> dict[str, Any]:
    """Return a JSON object without repeated fields; raises ValueError for anything else."""
    content = json.loads(text, object_pairs_hook=_without_repetition)
    if not isinstance(content, dict):
        raise ValueError(f"it holds a JSON {type(content).__name__}, not an object")
    return content


def _without_repetition(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"it has several fields {next(name for name in names if names.count(name) > 1)!r}")
    return content


def _checksum(content: Mapping[str, Any]) -> str:
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def read_checked(path: Path, parse: Callable[[], T]) -> T | Damage | None:
    """Return the parsed content of a file, the damage if it cannot be parsed, or None if it does not exist."""
    try:
        return parse()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except StudyError:
        raise
    except Exception as error:  # whatever a file holds is its own damage, and no other file's
        return Damage.of(path, error)


def warn_of(directory: Path, damages: Sequence[Damage], stacklevel: int = 2) -> None:
    """Warn that the damaged files of a results directory are left out, if there are any."""
    if damages:
        more = f", and {len(damages) - 1} more" if len(damages) > 1 else ""
        warnings.warn(
            f"left out: {damages[0]}{more}; the same 'ampbench run' repeats what is damaged, "
            f"'ampbench store check --results {directory}' lists it",
            ResultsWarning,
            stacklevel=stacklevel + 1,
        )


def is_directory(path: Path) -> bool:
    """Return whether a path is a folder; raises :class:`ResultsError` if nobody can tell."""
    try:
        return files.is_folder(path)
    except OSError as error:
        raise unreadable(path, error) from error


def unreadable(path: Path, error: Exception) -> ResultsError:
    """Return the error for a folder that cannot be read."""
    return ResultsError(f"cannot read {path}: {getattr(error, 'strerror', None) or error}; check path and permissions")


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn an OSError into a :class:`ResultsError` that names the file and a remedy."""
    try:
        yield
    except OSError as error:
        raise ResultsError(
            f"cannot write {path}: {error.strerror or error}; make room there or choose another folder with --results; "
            "what is stored stays, and the same command continues"
        ) from error
