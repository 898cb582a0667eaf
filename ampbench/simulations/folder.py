"""A folder that keeps finished batches of simulations, each in a file of its own.

::

    folder/
      simulations.json                           what the simulations belong to, with a checksum
      <seed>-<call>/<batch>-<rows>-<given>-<checksum>.npz

A file is written in one step (:mod:`ampbench.results.atomic`), and its name holds the SHA-256 of its content. A file
whose content has another checksum is damaged: it is removed, with a warning, and its batch is simulated again.
"""

from __future__ import annotations

import hashlib
import json
import os
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ampbench import files
from ampbench.errors import ResultsError, ResultsWarning, StoredWarning, UsageError
from ampbench.results import atomic, checksums, tensors

IDENTITY = "simulations.json"
DIGITS = 32
"""Hexadecimal digits of a checksum in the name of a file."""
MAX_SHOWN_CHARACTERS = 60
"""Characters of a value that an error shows."""
TOLERANCE = 1e-4
"""Largest relative difference of draws of one prior on two machines."""


@dataclass(frozen=True)
class Folder:
    """A folder of batches; made by :meth:`open`.

    Attributes:
        path: the folder.
    """

    path: Path

    @classmethod
    def open(cls, path: str | Path, identity: Mapping[str, Any]) -> Folder:
        """Return a new folder, or one that belongs to the same simulations.

        Arguments:
            path: the folder; a missing one is made.
            identity: what the simulations belong to; see :func:`ampbench.simulations.identity.identity`.

        Raises:
            UsageError: the folder belongs to other simulations, or holds other files; the message names both.
            ResultsError: the folder cannot be read or written.

        Warns:
            StoredWarning: the source code of a simulator has changed since the folder was made.
        """
        folder = cls(Path(path).expanduser())
        if not checksums.is_directory(folder.path) and os.path.lexists(folder.path):
            raise UsageError(f"the store {str(path)!r} is a file; give a folder")
        file = folder.path / IDENTITY
        found = checksums.read_checked(file, lambda: _identity(file))
        if isinstance(found, checksums.Damage):
            raise ResultsError(f"{found}; give another folder, or remove this one to simulate again")
        if found is None:
            folder._begin(identity)
        else:
            folder._check(found, json.loads(json.dumps(identity)))
        return folder

    @property
    def begun(self) -> bool:
        """Whether a batch is stored."""
        return any(self.path.glob("*/*.npz"))

    def put(self, key: str, values: Mapping[str, np.ndarray]) -> None:
        """Store the values of a batch.

        Raises:
            ResultsError: the file cannot be written; batches that are stored stay.
        """
        content = tensors.dump({name: torch.from_numpy(value) for name, value in values.items()})
        path = self.path / f"{key}-{_digest(content)}.npz"
        try:
            atomic.write(path, content)
        except OSError as error:
            raise ResultsError(
                f"cannot write {path}: {error.strerror or error}; make room there, or move the folder elsewhere and "
                "name it there; what is stored stays, and the same call continues"
            ) from error

    def read(self, keys: Iterable[str]) -> dict[str, dict[str, np.ndarray]]:
        """Return the values of the stored ones among some batches.

        Warns:
            ResultsWarning: a file is damaged; it is removed.
        """
        paths: dict[str, list[Path]] = {}
        for path in self.path.glob("*/*.npz"):
            paths.setdefault(f"{path.parent.name}/{path.stem.rpartition('-')[0]}", []).append(path)
        found = {key: self._values(paths.get(key, ())) for key in keys}
        return {key: values for key, values in found.items() if values is not None}

    def _values(self, paths: Iterable[Path]) -> dict[str, np.ndarray] | None:
        for path in paths:
            try:
                return _read_batch(path)
            except FileNotFoundError:  # another process has removed it
                continue
            except Exception as error:
                if isinstance(error, OSError) and not isinstance(error, files.UnusualFileError):
                    raise ResultsError(f"cannot read {path}: {error.strerror or error}") from error
                warnings.warn(
                    f"{checksums.Damage.of(path, error)}; its batch is simulated again", ResultsWarning, stacklevel=2
                )
            with checksums.writing(path):
                path.unlink(missing_ok=True)
        return None

    def _begin(self, identity: Mapping[str, Any]) -> None:
        try:
            others = [each.name for each in self.path.iterdir() if not each.name.startswith(atomic.TEMPORARY_PREFIX)]
        except FileNotFoundError:
            others = []
        if others:
            raise UsageError(
                f"the store {str(self.path)!r} holds other files, such as {min(others)!r}, and no {IDENTITY}; give a "
                "new or an empty folder"
            )
        try:
            checksums.write(self.path / IDENTITY, identity)
        except ResultsError as error:
            raise ResultsError(f"{error.__cause__}; the store must be a folder that can be written") from error

    def _check(self, found: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
        """Compare the identity of the folder with that of a run."""
        for name in wanted:
            if name != "source" and not _agree(found.get(name), wanted[name]):
                raise UsageError(
                    f"the store {str(self.path)!r} belongs to other simulations: {name} is {_short(found.get(name))} "
                    f"there and {_short(wanted[name])} here; give another folder, or the arguments of that run"
                )
        sources = found.get("source", {})
        changed = [node for node, digest in wanted.get("source", {}).items() if sources.get(node, digest) != digest]
        if changed:
            warnings.warn(
                f"the source code of simulator {changed[0]!r} is not that with which the store {str(self.path)!r} was "
                "begun: stored batches are those of the older one. Give a new folder to simulate them again",
                StoredWarning,
                stacklevel=2,
            )


def _identity(file: Path) -> dict[str, Any]:
    """Return what the simulations of a folder belong to; raises errors of many types for a damaged file."""
    found = checksums.read(file)[1]
    if not isinstance(found.get("source", {}), dict):
        raise ValueError(f"source is {_short(found['source'])}, where an object should be")
    return found


def _read_batch(path: Path) -> dict[str, np.ndarray]:
    """Return the values of a batch; raises errors of many types for a damaged file."""
    with files.opened(path, files.MAX_DATA_BYTES) as file:
        if hashlib.file_digest(file, "sha256").hexdigest()[:DIGITS] != path.stem.rpartition("-")[2]:
            raise ValueError("its checksum does not match its content")
        return {name: value.numpy() for name, value in tensors.read(file).items()}


def _agree(a: Any, b: Any) -> bool:
    """Return whether two JSON values are equal, numbers up to a tolerance, since machines differ in the last digits."""
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(_agree, a, b))
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(_agree(a[name], b[name]) for name in a)
    if isinstance(a, float) and isinstance(b, float):
        return abs(a - b) <= TOLERANCE * max(abs(a), abs(b))
    return bool(a == b)


def _short(value: Any) -> str:
    text = json.dumps(_rounded(value))
    return text if len(text) <= MAX_SHOWN_CHARACTERS else f"{text[:MAX_SHOWN_CHARACTERS]}…"


def _rounded(value: Any) -> Any:
    """Return a JSON value with numbers of four digits."""
    if isinstance(value, dict):
        return {name: _rounded(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_rounded(each) for each in value]
    return float(f"{value:.4g}") if isinstance(value, float) else value


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:DIGITS]
