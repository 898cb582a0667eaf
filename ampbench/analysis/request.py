"""Requests: all that determines the numbers of an analysis, so that a folder is continued by the same request alone."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ampbench import files
from ampbench.errors import UsageError
from ampbench.graph import Failed
from ampbench.results import atomic
from ampbench.results.checksums import Damage, is_directory
from ampbench.results.provenance import commit, versions
from ampbench.results.store import listed

FILE = "request.json"


@dataclass(frozen=True)
class Request:
    """The arguments that determine the numbers of an analysis.

    Attributes:
        subject: ``module:simulator``, or a task's spec; None for stored simulations.
        prior: text of the prior; None for a task, or to learn it from stored simulations.
        names: of the components of theta; empty for default ones.
        observation: the L numbers of the observation; None where a value is missing.
        method: the method's spec.
        budget: number of simulations.
        samples: number of posterior draws.
        predictions: number of simulations of the posterior predictive; 0 for none.
        held_out: number of held-out simulations that test calibration; 0 for no test.
        seed: of all random numbers.
        simulations: file and checksum of stored simulations; "" if there are none.
        batch: simulations in a batch; 0 to simulate at once.
        failed: what becomes of failed simulations.
        gaps: whether NaN in x is a missing entry.
    """

    subject: str | None
    prior: str | None
    names: tuple[str, ...]
    observation: tuple[float | None, ...]
    method: str
    budget: int
    samples: int
    predictions: int
    held_out: int
    seed: int
    simulations: str = ""
    batch: int = 0
    failed: Failed = "error"
    gaps: bool = False

    def claim(self, folder: Path) -> None:
        """Write the request into its folder; an equal one is left as it is.

        Raises:
            UsageError: the folder holds another request, of which the message names each difference, or other files; or
                it cannot be written.
        """
        path = folder / FILE
        if os.path.lexists(path):
            if differences := self._differences(_read(path)):
                raise UsageError(
                    f"{folder} holds another inference: {'; '.join(differences)}. Take another --output, or the "
                    "arguments of the other inference to continue it"
                )
            return
        if os.path.lexists(folder) and (not is_directory(folder) or listed(folder)):
            raise UsageError(f"{folder} is no empty folder and holds no inference; take another --output")
        made_with = {"versions": dict(versions()), "commit": commit()}
        write(path, (json.dumps(asdict(self) | made_with, indent=1) + "\n").encode())

    def _differences(self, other: Mapping[str, Any]) -> list[str]:
        own = json.loads(json.dumps(asdict(self)))
        return [
            f"{name.replace('_', '-')} {_short(other.get(name))} there, {_short(value)} here"
            for name, value in own.items()
            if other.get(name) != value
        ]


def write(path: Path, content: bytes) -> None:
    """Write a file of an analysis; raises :class:`UsageError` if it cannot be written."""
    try:
        atomic.write(path, content)
    except OSError as error:
        raise UsageError(
            f"cannot write {path}: {error.strerror or error}; make room there, or take another --output"
        ) from error


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(files.read_bytes(path))
    except Exception as error:  # whatever the file holds
        raise UsageError(f"{Damage.of(path, error)}; take another --output, or delete the folder") from error
    if not isinstance(found, dict):
        raise UsageError(f"{path} is damaged: it holds no object; take another --output, or delete the folder")
    return found


def _short(value: object) -> str:
    text = "none" if value in (None, [], "") else str(value)
    return text if len(text) <= 40 else f"{text[:37]}…"
