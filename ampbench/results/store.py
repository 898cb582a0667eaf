"""The store: results named by what determines them, each written whole or not at all, each with a checksum.

::

    DIR/runs/<key>/record.json     a good result
    DIR/runs/<key>/failure.json    a failure; it never takes the place of a good result
    DIR/draws/<draw key>.json      how the posterior samples of a run came about, whatever metrics judge them
    DIR/fits/<origin key>.json     how a fit came about, whatever observations it is asked for
    DIR/fits/<SHA-256>.npz         the state of its posterior, named by its content
    DIR/samples/<SHA-256>.npz      posterior samples, array theta (n, D), named by their content

Any number of processes and machines may write the same folder: files are named by their content, or by all that
determines it, and replaced by one rename, so that the worst that two writers can do is the same work twice. What is
torn, truncated or altered does not match its checksum; it counts as not there. (The checksum is not a signature:
whoever forges a record on purpose can forge its checksum.) Nothing is ever unpickled.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, TypeGuard, TypeVar

import numpy as np
from torch import Tensor

from ampbench.errors import ResultsError
from ampbench.results import atomic, checksums, parsing, tensors
from ampbench.results.checksums import Damage, read_checked, writing
from ampbench.results.record import Check, Draw, Origin, Record, Run

T = TypeVar("T")

GOOD, FAILED = "record.json", "failure.json"
_KEY = re.compile("[0-9a-f]{20}")
_SHA256 = re.compile("[0-9a-f]{64}")


@dataclass(frozen=True)
class Stored:
    """A record as it was read, with the SHA-256 of its samples ("" if it has none), and the schema of its file."""

    record: Record
    samples: str
    schema: int


class Store:
    """A folder of results.

    Arguments:
        directory: where the results are; made when first written to.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.runs = directory / "runs"
        self.draws = directory / "draws"
        self.fits = directory / "fits"
        self.arrays = directory / "samples"

    def prepare(self) -> None:
        """Make the folder, and find out whether it can be written; raises :class:`ResultsError` if not."""
        for folder in (self.runs, self.draws, self.fits, self.arrays):
            probe = folder / f"{atomic.TEMPORARY}probe"
            with writing(folder):
                atomic.write(probe, b"")
                probe.unlink(missing_ok=True)

    def get(self, key: str) -> Record | None:
        """Return the record stored under a key, or None; raises :class:`ResultsError` if it is damaged."""
        found = self.find(key)
        if isinstance(found, Damage):
            raise ResultsError(f"the record {found}; run it again, or delete it")
        return None if found is None else found.record

    def find(self, key: str) -> Stored | Damage | None:
        """Return what is stored under a key: a good result before a failure, and that before a damaged file."""
        if not _KEY.fullmatch(key):
            raise ResultsError(f"{key!r} is no key of a run; a key has 20 hexadecimal digits")
        good = self.read(self.runs / key / GOOD)
        if isinstance(good, Stored) and good.record.ok:
            return good
        failed = self.read(self.runs / key / FAILED)
        return failed if isinstance(failed, Stored) else good or failed

    def standing(self, run: Run) -> Stored | Damage | None:
        """Return what is stored for a run; damage if its record or its samples are not what they were.

        Samples that are not there at all are no damage.
        """
        found = self.find(run.key)
        damage = check_array(self.array(found.samples)) if isinstance(found, Stored) and found.samples else None
        return damage or found

    def done(self, run: Run) -> bool:
        """Whether a good result is stored; never raises for damage."""
        return is_good(self.standing(run))

    def put(self, record: Record, samples: np.ndarray | None) -> None:
        """Write a record, and its posterior samples (n, D), atomically.

        A good result that is there already stays; a failure or damaged file gives way to a good result.

        Raises:
            ResultsError: the folder cannot be written (read-only, disk full, …).
        """
        digest = "" if samples is None else self._put_array(samples)
        if self.done(record.run):
            return
        path = self.runs / record.run.key / (GOOD if record.ok else FAILED)
        checksums.write(path, {"key": record.run.key, "samples": digest, **_encode(record)})

    def put_checks(self, found: Stored, checks: Iterable[Check]) -> None:
        """Add checks to a stored record, whose content stays what it is otherwise; raises as :meth:`put` does."""
        record = replace(found.record, checks=tuple(checks))
        path = self.runs / record.run.key / (GOOD if record.ok else FAILED)
        checksums.write(path, {"key": record.run.key, "samples": found.samples, **_encode(record)})

    def samples(self, key: str) -> np.ndarray:
        """Return the posterior samples (n, D) of a run; raises :class:`ResultsError` if they are absent or damaged."""
        found = self.find(key)
        if isinstance(found, Damage):
            raise ResultsError(str(found))
        if found is None:
            raise ResultsError(f"{self.directory} holds no run {key}")
        old = self.runs / key / "samples.npz"  # where schema 1 kept them
        loaded = load_array(self.array(found.samples)) if found.samples else _load_old(old)
        if loaded is None:
            raise ResultsError(
                f"the samples of the run {key} are not in {self.directory}; only its numbers were kept. To make them "
                f"again, in another directory: {_command(found.record.run)}"
            )
        if isinstance(loaded, Damage):
            raise ResultsError(f"{loaded}; run it again")
        return loaded

    def put_draw(self, run: Run, samples: np.ndarray, draw: Draw) -> None:
        """Keep the posterior samples (n, D) of a run that is still to be judged; raises as :meth:`put` does."""
        if self.draw(run) is None:
            digest = self._put_array(samples)
            checksums.write(
                self.draws / f"{run.draw_key}.json", {"key": run.draw_key, "samples": digest, **asdict(draw)}
            )

    def draw(self, run: Run) -> tuple[Draw, np.ndarray] | None:
        """Return the kept samples of a run, or None if there are none or they are damaged."""
        found = self.read_draw(self.draws / f"{run.draw_key}.json")
        loaded = load_array(self.array(found[1])) if isinstance(found, tuple) else None
        return (found[0], loaded) if isinstance(found, tuple) and isinstance(loaded, np.ndarray) else None

    def put_fit(self, run: Run, state: Mapping[str, Tensor], origin: Origin) -> None:
        """Keep the state of the posterior that a run shares with others, in place of what could not be restored.

        Raises as :meth:`put` does.
        """
        digest = _put(tensors.dump(state), self.state, check_state)
        content = {"key": run.origin_key, "state": digest, **asdict(origin)}
        checksums.write(self.fits / f"{run.origin_key}.json", content)

    def fit(self, run: Run) -> tuple[Origin, dict[str, Tensor]] | Damage | None:
        """Return the kept fit of a run, what is wrong with it, or None if there is none."""
        found = self.read_fit(self.fits / f"{run.origin_key}.json")
        if not isinstance(found, tuple):
            return found
        loaded = load_state(self.state(found[1]))
        return (found[0], loaded) if isinstance(loaded, dict) else loaded

    def fitted(self, run: Run) -> bool:
        """Whether a sound fit of a run is kept; never raises for damage."""
        return isinstance(self.fit(run), tuple)

    def scan(self) -> Iterator[Stored | Damage]:
        """Read all records, in the order of their keys."""
        for key in self.all_keys():
            found = self.find(key)
            if found is not None:  # a folder without a record is one that is just being written
                yield found

    def records(self) -> Iterator[Record]:
        """Read all sound records, in the order of their keys."""
        return (found.record for found in self.scan() if isinstance(found, Stored))

    def all_keys(self) -> list[str]:
        """Return the keys of all runs, sorted."""
        if not self.runs.is_dir():
            return []
        return sorted(path.name for path in self.runs.iterdir() if _KEY.fullmatch(path.name))

    def read(self, path: Path) -> Stored | Damage | None:
        """Read one record; None if there is no such file."""

        def parse() -> Stored:
            schema, content = checksums.read(path)
            digest = _sha256(content.pop("samples", ""))
            return Stored(_decode(content, path.parent.name), digest, schema)

        return read_checked(path, parse)

    def read_draw(self, path: Path) -> tuple[Draw, str] | Damage | None:
        """Read how some samples came about, and their SHA-256; None if there is no such file."""
        return _read_about(path, "samples", parsing.draw)

    def read_fit(self, path: Path) -> tuple[Origin, str] | Damage | None:
        """Read how a fit came about, and the SHA-256 of its state; None if there is no such file."""
        return _read_about(path, "state", parsing.origin)

    def state(self, digest: str) -> Path:
        """Return where the state of a posterior is that has this SHA-256."""
        return self.fits / f"{digest}.npz"

    def array(self, digest: str) -> Path:
        """Return where samples are that have this SHA-256."""
        return self.arrays / f"{digest}.npz"

    def _put_array(self, samples: np.ndarray) -> str:
        buffer = io.BytesIO()
        np.savez_compressed(buffer, theta=samples)  # equal arrays give equal bytes
        return _put(buffer.getvalue(), self.array, check_array)


def _put(content: bytes, place: Callable[[str], Path], check: Callable[[Path], Damage | None]) -> str:
    """Write a file that is named by its content, unless it is there and sound; return its SHA-256."""
    digest = hashlib.sha256(content).hexdigest()
    path = place(digest)
    with suppress(OSError):  # it is not there, or somebody else's
        os.utime(path)  # it is in use again, and no garbage
    if not path.exists() or check(path):
        with writing(path):
            atomic.write(path, content)
    return digest


def _encode(record: Record) -> dict[str, Any]:
    """Make an object for JSON; what nobody looked at is left out, as it is in older records."""
    content = asdict(record)
    return content if record.checks is not None else {name: content[name] for name in content if name != "checks"}


def _decode(content: dict[str, Any], folder: str) -> Record:
    """Make a record of parsed JSON; raises one of the errors of broken input."""
    key = content.pop("key")
    record = parsing.record(content)
    if not key == record.run.key == folder:
        raise ValueError(f"it does not belong to its folder: it says {key}, and its content makes {record.run.key}")
    return record


def _read_about(path: Path, what: str, make: Callable[[dict[str, Any]], T]) -> tuple[T, str] | Damage | None:
    """Read how something came about that has a file of its own, and the SHA-256 of that."""

    def parse() -> tuple[T, str]:
        _, content = checksums.read(path)
        key, digest = content.pop("key"), _sha256(content.pop(what))
        if key != path.stem:
            raise ValueError(f"it does not belong to its name: it says {key}")
        return make(content), digest

    return read_checked(path, parse)


def _command(run: Run) -> str:
    """What to type to repeat a run."""
    specs = {"task": [run.task], "method": [run.method], "metric": run.metrics}
    numbers = {"budget": run.budget, "seed": run.seed, "observation": run.observation, "samples": run.samples}
    words = [f"--{name} {shlex.quote(text)}" for name, texts in specs.items() for text in texts]
    return " ".join(
        ["ampbench run", *words, *(f"--{name} {number}" for name, number in numbers.items()), "--results DIR"]
    )


def is_good(found: Stored | Damage | None) -> TypeGuard[Stored]:
    """Whether what was found is a good result."""
    return isinstance(found, Stored) and found.record.ok


def _sha256(text: str) -> str:
    if text and not _SHA256.fullmatch(text):
        raise ValueError(f"{text!r} is no SHA-256")
    return text


def check_array(path: Path) -> Damage | None:
    """Compare a file of samples with the checksum in its name; no file is no damage."""
    loaded = load_array(path)
    return loaded if isinstance(loaded, Damage) else None


def check_state(path: Path) -> Damage | None:
    """The same for the state of a posterior."""
    loaded = load_state(path)
    return loaded if isinstance(loaded, Damage) else None


def load_array(path: Path) -> np.ndarray | Damage | None:
    """Read samples, after their checksum."""
    return _load(path, _parse_array)


def load_state(path: Path) -> dict[str, Tensor] | Damage | None:
    """Read the state of a posterior, after its checksum."""
    return _load(path, tensors.parse)


def _load(path: Path, parse: Callable[[bytes], T]) -> T | Damage | None:
    """Read a file that is named by the checksum of its content."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        return Damage(path, f"it cannot be read: {error.strerror}")
    if hashlib.sha256(content).hexdigest() != path.stem:
        return Damage(path, "its content does not match the SHA-256 that it is named by")
    return _parsed(path, content, parse)


def _load_old(path: Path) -> np.ndarray | Damage | None:
    """Read samples of schema 1, which had no checksum."""
    return _parsed(path, path.read_bytes(), _parse_array) if path.exists() else None


def _parse_array(content: bytes) -> np.ndarray:
    with np.load(io.BytesIO(content), allow_pickle=False) as archive:
        return np.asarray(archive["theta"])


def _parsed(path: Path, content: bytes, parse: Callable[[bytes], T]) -> T | Damage:
    try:
        return parse(content)
    except Exception as error:  # there is no end to what zip, zlib and numpy raise for broken input
        return Damage(path, f"{type(error).__name__}: {error}")
