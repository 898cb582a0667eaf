"""The store of results: content-addressed files, written atomically, each with a checksum.

::

    DIR/runs/<key>/record.json     a good result
    DIR/runs/<key>/failure.json    a failure; it never replaces a good result
    DIR/draws/<draw key>.json      provenance of the posterior samples of a run, independent of the metrics
    DIR/fits/<origin key>.json     provenance of a fit, independent of the observation
    DIR/fits/<SHA-256>.npz         the state of the fitted posterior, named by its content
    DIR/samples/<SHA-256>.npz      posterior samples, array theta (n, D), named by their content
    DIR/bundles/<SHA-256>.zip      results of another group (:mod:`ampbench.results.theirs`)
    DIR/study.zip                  one's own results in one file, a bundle (:mod:`ampbench.results.packed`)

The files of the study count as if they lay in the folder, so that a run continues from it; new files are written beside
it, and ``ampbench publish`` makes one bundle of both. Of two files of one name that of the folder is read, unless it is
the record of a run that finished earlier, or damaged.

Any number of processes and machines may write to the same folder: files are named by the hash of their content, or of
the inputs that determine it, and replaced atomically, so that two writers can at worst duplicate work. A truncated or
altered file does not match its checksum and counts as missing. (The checksum is not a signature: whoever forges a
record can compute its checksum too.) No file is ever unpickled, and only regular files of a bounded size are read
(:mod:`ampbench.files`, :mod:`ampbench.npz`). :class:`Store` reads files each time; :mod:`ampbench.results.survey` reads
only those that have changed.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TypeGuard, TypeVar

import numpy as np

from ampbench import files
from ampbench.errors import ResultsError
from ampbench.results import atomic, checksums, parsing, stamps, tensors
from ampbench.results.checksums import Damage, StudyError, read_checked, unreadable, writing
from ampbench.results.packed import Packed
from ampbench.results.record import Check, Draw, Origin, Record, Run
from ampbench.results.stamps import Stamp

if TYPE_CHECKING:
    from torch import Tensor

T = TypeVar("T")
Opened = Callable[[Path, int], AbstractContextManager[BinaryIO]]
"""Opens a file of a store, of at most so many bytes."""

RECORD_FILE, FAILURE_FILE, OLD_SAMPLES_FILE = "record.json", "failure.json", "samples.npz"
BUNDLE_SUFFIX = ".zip"
STUDY_FILE = f"study{BUNDLE_SUFFIX}"
_KEY = re.compile("[0-9a-f]{20}")
_SHA256 = re.compile("[0-9a-f]{64}")


@dataclass(frozen=True)
class Stored:
    """A record read from disk, with the SHA-256 of its samples ("" without samples) and the schema of its file."""

    record: Record
    samples: str
    schema: int


class Store:
    """A folder of results.

    Arguments:
        directory: the results directory; created at the first write.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.runs = directory / "runs"
        self.draws = directory / "draws"
        self.fits = directory / "fits"
        self.arrays = directory / "samples"
        self.bundles = directory / "bundles"

    def require(self) -> None:
        """Raise :class:`ResultsError` if there is no such folder."""
        if not checksums.is_directory(self.directory):
            raise ResultsError(f"there is no results directory {str(self.directory)!r}")

    @cached_property
    def study(self) -> Packed | None:
        """The bundle of one's own results in the folder, as it was when it was first read; None without one.

        Raises:
            ResultsError: it is no bundle, or damaged.
        """
        path = self.directory / STUDY_FILE
        return Packed(path) if os.path.lexists(path) else None

    def without_study(self) -> Store:
        """Return the store of the files in the folder alone."""
        found = Store(self.directory)
        found.study = None
        return found

    def name(self, path: Path) -> str:
        """Return the name of a file of the store: its path in the folder, with slashes."""
        return path.relative_to(self.directory).as_posix()

    def opened(self, path: Path, limit: int) -> AbstractContextManager[io.BufferedReader | io.BytesIO]:
        """Open a file of the store for reading; raises as :func:`ampbench.files.opened` does.

        Raises:
            ResultsError: the file of the study that is to be read is damaged.
        """
        return self._opened_in_study(path, limit) if self._is_in_study(path) else files.opened(path, limit)

    @contextmanager
    def _opened_in_study(self, path: Path, limit: int) -> Iterator[io.BytesIO]:
        study = self.study
        assert study is not None
        with ExitStack() as stack:
            try:
                file = stack.enter_context(study.opened(self.name(path), limit))
            except ValueError as error:
                raise self._refusal(path, str(error)) from error
            yield file

    def _refusal(self, path: Path, reason: str) -> StudyError:
        return StudyError(
            f"the bundle {self.directory / STUDY_FILE} is refused: its {self.name(path)}: {reason}. Get it again, or "
            f"remove it: nothing in {self.directory} is shown or run before"
        )

    def _is_in_study(self, path: Path) -> bool:
        """Whether a file is read from the study: the folder lacks it, or has an earlier or damaged record there."""
        if self.study is None or self.name(path) not in self.study:
            return False
        if not os.path.lexists(path):
            return True
        if path.name not in (RECORD_FILE, FAILURE_FILE) or not self._differs(path):
            return False
        own, packed = self._both(path)
        later = isinstance(own, Stored) and isinstance(packed, Stored) and own.record.finished >= packed.record.finished
        return isinstance(packed, Stored) and not later

    def _differs(self, path: Path) -> bool:
        """Whether folder and study both have a record, with different bytes."""
        if self.study is None or (name := self.name(path)) not in self.study or not os.path.lexists(path):
            return False
        content = read_checked(path, lambda: files.read_bytes(path, checksums.MAX_RECORD_BYTES))
        return not isinstance(content, bytes) or hashlib.sha256(content).hexdigest() != self.study.manifest.files[name]

    def _both(self, path: Path) -> tuple[Stored | Damage | None, Stored | Damage | None]:
        """Return a record as it is in the folder, and as it is in the study."""
        return self._read(path, files.opened), self._read(path, self._opened_in_study)

    def is_superseded(self, path: Path) -> bool:
        """Whether the folder has a record that is not read, since that of the study is later."""
        return os.path.lexists(path) and self._is_in_study(path)

    def contradicts(self, key: str) -> bool:
        """Whether folder and study have two good results of a run; what checks found is no difference."""
        path = self.runs / key / RECORD_FILE
        own, packed = self._both(path) if self._differs(path) else (None, None)
        if not is_good(own) or not is_good(packed):
            return False
        return replace(own.record, checks=None) != replace(packed.record, checks=None)

    def names(self, folder: Path) -> list[str]:
        """Return the names in a folder of the store; raises as :func:`listed` does."""
        own = _names(folder)
        return own if self.study is None else list(dict.fromkeys([*own, *self.study.names(self.name(folder))]))

    def listed(self, folder: Path) -> list[Path]:
        """Return the paths in a folder of the store; see :func:`listed`."""
        return [folder / name for name in sorted(self.names(folder))]

    def exists(self, path: Path) -> bool:
        """Whether the store has a file."""
        return os.path.exists(path) or (self.study is not None and self.name(path) in self.study)

    def stamp(self, name: str) -> Stamp | None:
        """Return the stamp of a file, by its path in the store; see :func:`ampbench.results.stamps.of_path`."""
        own = stamps.of_path(f"{self.directory}/{name}")
        return own if self.study is None else stamps.joint(own, self.study.stamp(name))

    def warn_of(self, damages: Sequence[Damage], stacklevel: int = 2) -> None:
        """Warn that damaged files are left out, if there are any."""
        checksums.warn_of(self.directory, damages, stacklevel + 1)

    def prepare(self) -> None:
        """Create the folders and check that they are writable; raises :class:`ResultsError` if not."""
        refuse_bundle(self.directory)
        for folder in (self.runs, self.draws, self.fits, self.arrays):
            probe = folder / f"{atomic.TEMPORARY_PREFIX}probe"
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
        """Return the entry stored under a key; a good result has precedence over a failure, a failure over damage."""
        if not _KEY.fullmatch(key):
            raise ResultsError(f"{key!r} is no key of a run; a key has 20 hexadecimal digits")
        good = self.read(self.runs / key / RECORD_FILE)
        if isinstance(good, Stored) and good.record.ok:
            return good
        failed = self.read(self.runs / key / FAILURE_FILE)
        return failed if isinstance(failed, Stored) else good or failed

    def standing(self, run: Run) -> Stored | Damage | None:
        """Return the stored entry of a run, or the damage if its record or its samples are damaged.

        Missing samples are not damage.
        """
        found = self.find(run.key)
        damage = self.check_array(self.array(found.samples)) if isinstance(found, Stored) and found.samples else None
        return damage or found

    def done(self, run: Run) -> bool:
        """Whether a good, undamaged result is stored."""
        return is_good(self.standing(run))

    def put(self, record: Record, samples: np.ndarray | None) -> None:
        """Write a record, and its posterior samples (n, D), atomically.

        A stored good result is kept; a good result replaces a failure or a damaged file.

        Raises:
            ResultsError: the folder cannot be written (read-only, disk full, …).
        """
        digest = "" if samples is None else self._put_array(samples)
        if not self.done(record.run):
            self._put_record(record, digest)

    def put_checks(self, found: Stored, checks: Iterable[Check]) -> None:
        """Set the checks of a stored record, and change no other field; raises as :meth:`put` does."""
        self._put_record(replace(found.record, checks=tuple(checks)), found.samples)

    def _put_record(self, record: Record, samples: str) -> None:
        path = self.runs / record.run.key / (RECORD_FILE if record.ok else FAILURE_FILE)
        checksums.write(path, {"key": record.run.key, "samples": samples, **_encode(record)})

    def samples(self, key: str) -> np.ndarray:
        """Return the posterior samples (n, D) of a run; raises :class:`ResultsError` if they are absent or damaged."""
        found = self.find(key)
        if isinstance(found, Damage):
            raise ResultsError(str(found))
        if found is None:
            raise ResultsError(f"{self.directory} holds no run {key}")
        old = self.runs / key / OLD_SAMPLES_FILE
        loaded = self.load_array(self.array(found.samples)) if found.samples else self._load_old(old)
        if loaded is None:
            raise ResultsError(
                f"the samples of the run {key} are not in {self.directory}; only its numbers were kept. To make them "
                f"again, in another directory: {_command(found.record.run)}"
            )
        if isinstance(loaded, Damage):
            raise ResultsError(f"{loaded}; run it again")
        return loaded

    def put_draw(self, run: Run, samples: np.ndarray, draw: Draw) -> None:
        """Store the posterior samples (n, D) of a run before its metrics are computed; raises as :meth:`put` does."""
        if self.draw(run) is None:
            digest = self._put_array(samples)
            checksums.write(
                self.draws / f"{run.draw_key}.json", {"key": run.draw_key, "samples": digest, **asdict(draw)}
            )

    def draw(self, run: Run) -> tuple[Draw, np.ndarray] | None:
        """Return the stored samples of a run and their provenance, or None if they are missing or damaged."""
        found = self.read_draw(self.draws / f"{run.draw_key}.json")
        loaded = self.load_array(self.array(found[1])) if isinstance(found, tuple) else None
        return (found[0], loaded) if isinstance(found, tuple) and isinstance(loaded, np.ndarray) else None

    def put_fit(self, run: Run, state: Mapping[str, Tensor], origin: Origin) -> None:
        """Store the state of a fitted posterior, which other runs share; a stored state is replaced.

        Raises as :meth:`put` does.
        """
        digest = _put(tensors.dump(state), self.state, self.check_state)
        content = {"key": run.origin_key, "state": digest, **asdict(origin)}
        checksums.write(self.fits / f"{run.origin_key}.json", content)

    def fit(self, run: Run) -> tuple[Origin, dict[str, Tensor]] | Damage | None:
        """Return the stored fit of a run with its provenance, its damage, or None if it is missing."""
        found = self.read_fit(self.fits / f"{run.origin_key}.json")
        if not isinstance(found, tuple):
            return found
        loaded = self.load_state(self.state(found[1]))
        return (found[0], loaded) if isinstance(loaded, dict) else loaded

    def fitted(self, run: Run) -> bool:
        """Whether an undamaged fit of a run is stored."""
        return isinstance(self.fit(run), tuple)

    def scan(self) -> Iterator[Stored | Damage]:
        """Read all records, in the order of their keys."""
        for key in self.all_keys():
            found = self.find(key)
            if found is not None:  # a folder is without a record while the record is being written
                yield found

    def records(self) -> Iterator[Record]:
        """Read all undamaged records, in the order of their keys."""
        return (found.record for found in self.scan() if isinstance(found, Stored))

    def all_keys(self) -> list[str]:
        """Return the keys of all runs, sorted; raises :class:`ResultsError` if the folder cannot be read."""
        return sorted(filter(_KEY.fullmatch, self.names(self.runs)))

    def read(self, path: Path) -> Stored | Damage | None:
        """Read one record; None if there is no such file.

        Raises:
            ResultsError: the record is in the study, and damaged, or of another schema.
        """
        if not self._is_in_study(path):
            return self._read(path, self.opened)
        found = self._read(path, self._opened_in_study)
        if isinstance(found, Damage):
            raise self._refusal(path, found.reason)
        return found

    def _read(self, path: Path, opened: Opened) -> Stored | Damage | None:
        def parse() -> Stored:
            schema, content = _parsed(path, opened)
            digest = _sha256(content.pop("samples", ""))
            return Stored(_decode(content, path.parent.name), digest, schema)

        return read_checked(path, parse)

    def read_draw(self, path: Path) -> tuple[Draw, str] | Damage | None:
        """Read the provenance of samples, and their SHA-256; None if there is no such file."""
        return self._read_provenance(path, "samples", parsing.draw)

    def read_fit(self, path: Path) -> tuple[Origin, str] | Damage | None:
        """Read the provenance of a fit, and the SHA-256 of its state; None if there is no such file."""
        return self._read_provenance(path, "state", parsing.origin)

    def state(self, digest: str) -> Path:
        """Return the path of the posterior state with this SHA-256."""
        return self.fits / f"{digest}.npz"

    def array(self, digest: str) -> Path:
        """Return the path of the samples with this SHA-256."""
        return self.arrays / f"{digest}.npz"

    def _put_array(self, samples: np.ndarray) -> str:
        buffer = io.BytesIO()
        np.savez_compressed(buffer, theta=samples)  # equal arrays give equal bytes
        return _put(buffer.getvalue(), self.array, self.check_array)

    def check_array(self, path: Path) -> Damage | None:
        """Verify a file of samples against the checksum in its name; return None if it is undamaged or missing."""
        loaded = self.load_array(path)
        return loaded if isinstance(loaded, Damage) else None

    def check_state(self, path: Path) -> Damage | None:
        """Verify a posterior state against the checksum in its name; return None if it is undamaged or missing."""
        loaded = self.load_state(path)
        return loaded if isinstance(loaded, Damage) else None

    def load_array(self, path: Path) -> np.ndarray | Damage | None:
        """Verify the checksum of a file of samples and read it; None if it is missing."""
        return self._load(path, tensors.read_samples)

    def load_state(self, path: Path) -> dict[str, Tensor] | Damage | None:
        """Verify the checksum of a posterior state and read it; None if it is missing."""
        return self._load(path, tensors.read)

    def _load(self, path: Path, parse: Callable[[BinaryIO], T]) -> T | Damage | None:
        """Verify and parse a file named by the SHA-256 of its content; None if it is missing."""

        def checked() -> T:
            with self.opened(path, files.MAX_DATA_BYTES) as file:
                if hashlib.file_digest(file, "sha256").hexdigest() != path.stem:
                    raise ValueError("its content does not match the SHA-256 that it is named by")
                return parse(file)

        return read_checked(path, checked)

    def _load_old(self, path: Path) -> np.ndarray | Damage | None:
        """Read samples of schema 1, which have no checksum; None if they are missing."""

        def parse() -> np.ndarray:
            with self.opened(path, files.MAX_DATA_BYTES) as file:
                return tensors.read_samples(file)

        return read_checked(path, parse)

    def _read_provenance(
        self, path: Path, what: str, make: Callable[[dict[str, Any]], T]
    ) -> tuple[T, str] | Damage | None:
        """Read a provenance file, and the SHA-256 of the file of samples or state that it refers to."""

        def parse() -> tuple[T, str]:
            _, content = _parsed(path, self.opened)
            key, digest = content.pop("key"), _sha256(content.pop(what))
            if key != path.stem:
                raise ValueError(f"it does not belong to its name: it says {key}")
            return make(content), digest

        return read_checked(path, parse)


def _parsed(path: Path, opened: Opened) -> tuple[int, dict[str, Any]]:
    """Return the schema and the content of a JSON file; raises errors of many types."""
    with opened(path, checksums.MAX_RECORD_BYTES) as file:
        return checksums.parse(file.read(checksums.MAX_RECORD_BYTES + 1))


def refuse_bundle(path: Path) -> None:
    """Raise :class:`ResultsError` if a path that is to be written is a bundle, or names one that is not there."""
    if path.suffix != BUNDLE_SUFFIX or os.path.isdir(path):
        return
    if not os.path.lexists(path):
        raise ResultsError(
            f"there is no {path}, and no folder of this name is made, since {BUNDLE_SUFFIX} is the name of bundles; "
            "check the path, or name a folder by --results"
        )
    quoted = shlex.quote(str(path))
    remedy = f"copy its results into a folder, and give that: ampbench store merge --ours {quoted} --into DIR"
    if path.name == STUDY_FILE:
        remedy = f"give the folder that it is in, which continues from it: --results {shlex.quote(str(path.parent))}"
    raise ResultsError(f"{path} is a bundle, which is read and never changed; {remedy}")


def listed(folder: Path) -> list[Path]:
    """Return the paths in a folder, sorted; none if it is missing; raises :class:`ResultsError` if it is unreadable."""
    return [folder / name for name in sorted(_names(folder))]


def _names(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)
    except FileNotFoundError:
        return []
    except (OSError, ValueError) as error:  # the latter for a name that no file can have
        raise unreadable(folder, error) from error


def _put(content: bytes, place: Callable[[str], Path], check: Callable[[Path], Damage | None]) -> str:
    """Write a file named by the SHA-256 of its content, unless it exists undamaged; return the SHA-256."""
    digest = hashlib.sha256(content).hexdigest()
    path = place(digest)
    if len(content) > files.MAX_DATA_BYTES:
        raise ResultsError(f"cannot write {path}: it has {len(content):,} bytes, more than {files.MAX_DATA_BYTES:,}")
    with suppress(OSError):  # it is missing, or owned by another user
        os.utime(path)  # it is in use again: keep it from being collected
    if not os.path.exists(path) or check(path):
        with writing(path):
            atomic.write(path, content)
    return digest


def _encode(record: Record) -> dict[str, Any]:
    """Convert a record for JSON; without checks the field is left out, as in older records."""
    content = asdict(record)
    return content if record.checks is not None else {name: content[name] for name in content if name != "checks"}


def _decode(content: dict[str, Any], folder: str) -> Record:
    """Convert parsed JSON to a record; raises errors of many types."""
    key = content.pop("key")
    record = parsing.record(content)
    if not key == record.run.key == folder:
        raise ValueError(f"it does not belong to its folder: it says {key}, and its content makes {record.run.key}")
    return record


def _command(run: Run) -> str:
    """Return the command that repeats a run."""
    specs = {"task": [run.task], "method": [run.method], "metric": run.metrics}
    numbers = {"budget": run.budget, "seed": run.seed, "observation": run.observation, "samples": run.samples}
    words = [f"--{name} {shlex.quote(text)}" for name, texts in specs.items() for text in texts]
    return " ".join(
        ["ampbench run", *words, *(f"--{name} {number}" for name, number in numbers.items()), "--results DIR"]
    )


def is_good(found: Stored | Damage | None) -> TypeGuard[Stored]:
    """Whether a stored entry is a good result."""
    return isinstance(found, Stored) and found.record.ok


def _sha256(text: object) -> str:
    if not isinstance(text, str) or (text and not _SHA256.fullmatch(text)):
        raise ValueError(f"{text!r} is no SHA-256")
    return text
