"""Results of other groups: bundles that lie, as they were published, in the folder ``bundles`` of a results directory.

A result that equals one that is there already is shown once: first one's own, then those of the bundles in the order of
their origins. Two results of one run that differ are shown apart if their origins differ. If one group says both, nobody
can tell which is meant, and the second bundle is refused.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import warnings
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

from ampbench import files
from ampbench.errors import ResultsError, ResultsWarning
from ampbench.results import atomic
from ampbench.results.bundle import MAX_BYTES, Bundle, open_store
from ampbench.results.checksums import Damage, writing
from ampbench.results.origins import OURS
from ampbench.results.record import Record
from ampbench.results.store import BUNDLE_SUFFIX, Store, Stored


@dataclass(frozen=True)
class Part:
    """A part of a results directory: a store, and the origin of its results."""

    origin: str
    store: Store


@dataclass(frozen=True)
class Adoption:
    """The outcome of adding a bundle to a results directory.

    Attributes:
        origin: the mark of its results.
        added: number of results that the directory did not have.
        present: number of results that equal one that was there, and are kept once.
        different: keys of runs of which the directory has another result of one's own, which is kept beside.
    """

    origin: str
    added: int = 0
    present: int = 0
    different: tuple[str, ...] = field(default=())


def gathered(path: Path) -> list[tuple[str, Stored]]:
    """Return all results of a results directory or a bundle, each with its origin.

    Warns:
        ResultsWarning: files of the directory are damaged, and left out.

    Raises:
        ResultsError: there is neither directory nor bundle, the bundle is damaged, or two bundles of one group
            contradict each other.
    """
    found: list[tuple[str, Stored]] = []
    there: defaultdict[str, list[tuple[str, Record]]] = defaultdict(list)
    for part in parts(path):
        entries = list(part.store.scan())
        part.store.warn_of([each for each in entries if isinstance(each, Damage)], stacklevel=3)
        for each in entries:
            if isinstance(each, Stored) and _is_new(part, each.record, there):
                found.append((part.origin, each))
    return found


def parts(path: Path) -> list[Part]:
    """Return one's own store and the bundles in a results directory, or the only part of a bundle.

    A bundle in the directory that is damaged is left out with a :class:`ResultsWarning`.
    """
    store = open_store(path)
    if isinstance(store, Bundle):
        return [Part(store.origin, store)]
    theirs, faults = bundles(store)
    for fault in faults:
        warnings.warn(f"left out: {fault}", ResultsWarning, stacklevel=3)
    return [Part(OURS, store), *theirs]


def bundles(store: Store) -> tuple[list[Part], list[ResultsError]]:
    """Return the bundles in a results directory, sorted by origin, and the faults of those that are refused."""
    found, faults = [], []
    for path in store.listed(store.bundles):
        if path.suffix == BUNDLE_SUFFIX and not path.name.startswith("."):
            try:
                bundle = Bundle(path)
                found.append(Part(origin_of(bundle), bundle))
            except ResultsError as error:
                faults.append(error)
    return sorted(found, key=lambda part: part.origin), faults


def part(path: Path, origin: str) -> list[Store]:
    """Return the stores of an origin; raises :class:`ResultsError` if there is none."""
    found = parts(path)
    chosen = [each.store for each in found if each.origin == origin]
    if not chosen:
        known = ", ".join(dict.fromkeys(repr(each.origin) for each in found))
        raise ResultsError(f"{path} has no results of {origin!r}; there are results of: {known}")
    return chosen


def origin_of(bundle: Bundle) -> str:
    """Return the mark of a bundle's results beside one's own: the group, or else the id of the bundle."""
    return bundle.manifest.group or f"bundle {bundle.id}"


def adopt(bundle: Bundle, target: Store) -> Adoption:
    """Put a bundle into a results directory, whole and as it is; the same bundle is kept once.

    Raises:
        ResultsError: the bundle is damaged, contradicts another one of its group, or the directory cannot be written.
    """
    bundle.verify()
    target.prepare()
    name = _digest(bundle.directory)
    origin = origin_of(bundle)
    different, present, added = [], 0, 0
    others, _ = bundles(target)
    others = [each for each in others if each.store.directory.stem != name]
    for each in bundle.records():
        key = each.run.key
        own = target.find(key)
        ours = own.record if isinstance(own, Stored) else None
        theirs = [(part, stored.record) for part in others if isinstance(stored := part.store.find(key), Stored)]
        for part, record in theirs:
            if part.origin == origin and record != each:
                raise ResultsError(
                    f"{bundle.directory} and {part.store.directory} are both of {origin!r} and have different results "
                    f"of the run {key} ({each.run}); remove the bundle that is out of date, or let the group publish "
                    "one of them under another name"
                )
        if each == ours or any(each == record for _, record in theirs):
            present += 1
        else:
            added += 1
            if ours is not None:
                different.append(key)
    _copy(bundle.directory, target.bundles / f"{name}{BUNDLE_SUFFIX}")
    return Adoption(origin, added, present, tuple(different))


def _is_new(part: Part, record: Record, there: defaultdict[str, list[tuple[str, Record]]]) -> bool:
    """Whether a result differs from all that were found before; notes it."""
    known = there[record.run.key]
    if any(record == other for _, other in known):
        return False
    if any(part.origin == origin for origin, _ in known):
        raise ResultsError(
            f"{part.store.directory} has another result of the run {record.run.key} than an earlier bundle of "
            f"{part.origin!r} in that folder; remove the bundle that is out of date"
        )
    known.append((part.origin, record))
    return True


def _digest(path: Path) -> str:
    with files.opened(path, MAX_BYTES) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _copy(path: Path, there: Path) -> None:
    if os.path.exists(there):
        return
    with files.opened(path, MAX_BYTES) as source, writing(there), atomic.replacing(there) as file:
        shutil.copyfileobj(source, file)
