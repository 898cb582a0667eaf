"""JSON objects with a schema and a checksum, on disk.

The checksum is the SHA-256 of the object's canonical form (sorted keys, no spaces): it depends on the content and not
on the layout of the file. It detects damage, not forgery: whoever forges content can compute its checksum too.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from ampbench.errors import ResultsError
from ampbench.results import atomic
from ampbench.results.record import SCHEMA_VERSION

T = TypeVar("T")

PARSING_ERRORS = (ValueError, KeyError, TypeError, AttributeError, RecursionError)
"""Errors that parsing a damaged JSON record can raise."""


@dataclass(frozen=True)
class Damage:
    """A damaged file and the reason why it is rejected."""

    path: Path
    reason: str

    def __str__(self) -> str:
        return f"{self.path} is damaged: {self.reason}"


def write(path: Path, content: Mapping[str, Any]) -> None:
    """Write an object with its schema and checksum."""
    whole = {"schema": SCHEMA_VERSION, **content}
    with writing(path):
        text = json.dumps(whole | {"checksum": _checksum(whole)}, indent=1, allow_nan=False)
        atomic.write(path, text.encode())


def read(path: Path) -> tuple[int, dict[str, Any]]:
    """Verify the checksum of an object and return its schema version and content; raises :data:`PARSING_ERRORS`."""
    content = json.loads(path.read_bytes())
    if not isinstance(content, dict):
        raise ValueError(f"it holds a JSON {type(content).__name__}, not an object")
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


def _checksum(content: Mapping[str, Any]) -> str:
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def read_checked(path: Path, parse: Callable[[], T]) -> T | Damage | None:
    """Return the parsed content of a file, the damage if it cannot be parsed, or None if it does not exist."""
    try:
        return parse()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        return Damage(path, f"it cannot be read: {error.strerror}")
    except PARSING_ERRORS as error:
        return Damage(path, str(error) if type(error) is ValueError else f"{type(error).__name__}: {error}")


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
