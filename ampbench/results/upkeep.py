"""Maintenance of stores: check the files of a store, merge several stores, remove unused files.

All three are safe while other processes write: files younger than :data:`GRACE_PERIOD_S` are kept. Their age
is measured by the file system's clock, so that a wrong clock of one machine removes no file.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from ampbench import files
from ampbench.errors import ResultsError
from ampbench.results import atomic
from ampbench.results.bundle import Bundle
from ampbench.results.checksums import Damage, read_checked, writing
from ampbench.results.store import (
    FAILURE_FILE,
    OLD_SAMPLES_FILE,
    RECORD_FILE,
    STUDY_FILE,
    Store,
    Stored,
    is_good,
    refuse_bundle,
)
from ampbench.results.theirs import published

GRACE_PERIOD_S = 3600.0
"""Seconds for which an unfinished or unreferenced file is treated as in use."""


@dataclass(frozen=True)
class Inventory:
    """The content of a store.

    Attributes:
        good, failed: numbers of undamaged records.
        unchecked: records of schema 1, which have no checksum.
        bare: number of good records without stored samples; their scores are valid.
        damages: damaged files.
        leftovers: unreferenced files: unfinished ones, superseded failures and records, samples of no record.
        fits: number of kept fits.
        fit_bytes: total size of their files.
        shared: undamaged bundles in a directory, that of its study and those of other groups; or the bundle itself.
    """

    good: int = 0
    failed: int = 0
    unchecked: int = 0
    bare: int = 0
    damages: tuple[Damage, ...] = ()
    leftovers: tuple[Path, ...] = ()
    fits: int = 0
    fit_bytes: int = 0
    shared: tuple[Bundle, ...] = ()


@dataclass
class MergeReport:
    """The result of a merge.

    Attributes:
        copied: number of records that were copied.
        present: number of records not copied, since the target already has a record of that run (a good one, or a
            failure if the source has a failure too).
        different: keys of good records whose scores differ between source and target.
        sources: for each of these keys the source.
        damages: damaged files of the sources, which were left out.
    """

    copied: int = 0
    present: int = 0
    different: list[str] = field(default_factory=list)
    sources: dict[str, Path] = field(default_factory=dict)
    damages: list[Damage] = field(default_factory=list)


def check(store: Store) -> Inventory:
    """Read all files of a store, samples included, and verify their checksums; no file is changed.

    With a damaged study the files in the folder are counted alone.
    """
    store.require()
    bundles, refused = published(store)
    if any(damage.path.is_relative_to(store.directory / STUDY_FILE) for damage in refused):
        store = store.without_study()
    kept = list(map(store.read_fit, _fits(store)))
    read = [
        *_misplaced(store),
        *map(store.read, _records(store)),
        *map(store.read_draw, _draws(store)),
        *kept,
        *map(store.check_state, _states(store)),
        *map(store.check_array, _arrays(store)),
    ]
    damages = {each.path: each for each in (*read, *refused) if isinstance(each, Damage)}
    found = list(store.scan())
    sound = [each for each in found if isinstance(each, Stored)]
    good = [each for each in sound if each.record.ok]
    return Inventory(
        good=len(good),
        failed=len(sound) - len(good),
        unchecked=sum(each.schema == 1 for each in sound),
        bare=sum(not each.samples or not store.exists(store.array(each.samples)) for each in good),
        damages=tuple(damages.values()),
        leftovers=tuple(filter(os.path.lexists, _leftovers(store))),
        fits=sum(isinstance(each, tuple) for each in kept),
        fit_bytes=sum(map(_size, (*_fits(store), *_states(store)))),
        shared=tuple(bundles),
    )


def merge(sources: Sequence[Store], target: Store) -> MergeReport:
    """Copy all undamaged records, with samples, draws and kept fits, into another store, as one's own.

    A good result in the target is kept, even if a source has other scores under the same key (the last digits may
    depend on the processor); its key is listed in ``different``. A failure replaces no record.

    Raises:
        ResultsError: a source does not exist, or the target cannot be written.
    """
    for source in sources:
        source.require()
    target.prepare()
    outcome = MergeReport()
    for source in sources:
        for path in _records(source):
            _merge_record(source, target, path, outcome)
        for path in _draws(source):
            _merge_pair(path, source, target, Store.read_draw, Store.array, Store.check_array, outcome)
        for path in _fits(source):
            _merge_pair(path, source, target, Store.read_fit, Store.state, Store.check_state, outcome)
    return outcome


def collect(
    store: Store, failed: bool = False, damaged: bool = False, fits: bool = False, dry: bool = False
) -> list[Path]:
    """Remove unreferenced files older than :data:`GRACE_PERIOD_S`; return the removed paths.

    Arguments:
        store: the store.
        failed: also remove failures of any age.
        damaged: also remove damaged files of any age, but no folder in the place of a file.
        fits: also remove kept fits of any age; an observation that is requested later then needs a new fit.
        dry: return the paths, but remove no file.
    """
    refuse_bundle(store.directory)
    store.require()
    now = _now(store)
    unused = {path for path in _leftovers(store) if _is_old(path, now)}
    unwanted: set[Path] = set()
    if damaged:
        unwanted |= {damage.path for damage in check(store).damages if not is_true_folder(damage.path)}
    if failed:
        unwanted |= {path for path in _records(store) if os.path.lexists(path) and _is_failure(store.read(path))}
    if fits:
        unwanted |= {*_fits(store), *_states(store)}
    doomed = sorted(unused | unwanted)
    if dry:
        return doomed
    return [path for path in doomed if (path in unwanted or _is_old(path, now)) and _remove(store, path)]


def _remove(store: Store, path: Path) -> bool:
    """Remove a file, and the folder of its run if it becomes empty; return whether the file existed."""
    if not os.path.lexists(path):
        return False
    with writing(path):
        path.unlink(missing_ok=True)
    if path.parent.parent == store.runs:
        with suppress(OSError):  # it is not empty
            path.parent.rmdir()
    return True


def _is_old(path: Path, now: float) -> bool:
    """Whether a file is older than the grace period; checked again right before removal, since it may be in use."""
    try:
        return now - path.lstat().st_mtime > GRACE_PERIOD_S
    except FileNotFoundError:
        return False


def is_true_folder(path: Path) -> bool:
    """Return whether a path is a folder and no link to one; what is in a folder by mistake is removed by hand."""
    return os.path.isdir(path) and not os.path.islink(path)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:  # it was removed, or is a link to no file
        return 0


def _records(store: Store) -> list[Path]:
    """Return the paths of records, of which one of each run is usually missing."""
    return [store.runs / key / name for key in store.all_keys() for name in (RECORD_FILE, FAILURE_FILE)]


def _draws(store: Store) -> list[Path]:
    return _named(store, store.draws, ".json")


def _fits(store: Store) -> list[Path]:
    return _named(store, store.fits, ".json")


def _states(store: Store) -> list[Path]:
    return _named(store, store.fits, ".npz")


def _arrays(store: Store) -> list[Path]:
    return _named(store, store.arrays, ".npz")


def _named(store: Store, folder: Path, suffix: str) -> list[Path]:
    return [path for path in store.listed(folder) if path.suffix == suffix and not path.name.startswith(".")]


def _misplaced(store: Store) -> Iterator[Damage]:
    """Yield what is not a folder where the folder of a run should be."""
    for path in (store.runs / key for key in store.all_keys()):
        if os.path.lexists(path) and not os.path.isdir(path):
            yield Damage(path, "it is no folder, where the folder of a run should be")


def _is_failure(found: Stored | Damage | None) -> bool:
    return isinstance(found, Stored) and not found.record.ok


def _leftovers(store: Store) -> Iterator[Path]:
    """Yield unfinished files, superseded records, and unreferenced samples and states, some of them in the study."""
    runs = (store.runs / key for key in store.all_keys())
    for folder in (store.runs, *runs, store.draws, store.fits, store.arrays, store.bundles):
        yield from _unfinished(store, folder)
    used = {found[1] for found in map(store.read_draw, _draws(store)) if isinstance(found, tuple)}
    for path in _records(store):
        found = store.read(path)
        if isinstance(found, Stored):
            used.add(found.samples)
            old = path.name == FAILURE_FILE and is_good(store.find(path.parent.name))
            if old or store.is_superseded(path):
                yield path
    yield from (path for path in _arrays(store) if path.stem not in used)
    kept = {found[1] for found in map(store.read_fit, _fits(store)) if isinstance(found, tuple)}
    yield from (path for path in _states(store) if path.stem not in kept)


def _unfinished(store: Store, folder: Path) -> list[Path]:
    try:
        return [path for path in store.listed(folder) if path.name.startswith(atomic.TEMPORARY_PREFIX)]
    except ResultsError:  # it is unreadable, which is the damage of its files
        return []


def _now(store: Store) -> float:
    """Return the time of the file system's clock."""
    probe = store.directory / f"{atomic.TEMPORARY_PREFIX}clock"
    with writing(store.directory):
        atomic.write(probe, b"")
        now = probe.stat().st_mtime
        probe.unlink()
    return now


def _merge_record(source: Store, target: Store, path: Path, outcome: MergeReport) -> None:
    found = source.read(path)
    if isinstance(found, Stored):
        there = target.find(found.record.run.key)
        if isinstance(there, Stored) and (there.record.ok or not found.record.ok):
            outcome.present += 1
            if there.record.ok and found.record.ok and there.record.metrics != found.record.metrics:
                outcome.different.append(found.record.run.key)
                outcome.sources[found.record.run.key] = source.directory
        elif _copy_content(source, target, Store.array, Store.check_array, found.samples, outcome):
            old = path.with_name(OLD_SAMPLES_FILE)
            if found.schema == 1:
                _copy(source, old, target.runs / path.parent.name / old.name, outcome)
            outcome.copied += _copy(source, path, target.runs / path.parent.name / path.name, outcome)
    elif found:
        outcome.damages.append(found)


def _merge_pair(
    path: Path,
    source: Store,
    target: Store,
    read: Callable[[Store, Path], tuple[object, str] | Damage | None],
    place: Callable[[Store, str], Path],
    check: Callable[[Store, Path], Damage | None],
    outcome: MergeReport,
) -> None:
    """Copy a provenance file, and the file of samples or state that it refers to."""
    found = read(source, path)
    if isinstance(found, Damage):
        outcome.damages.append(found)
        return
    there = target.directory / path.relative_to(source.directory)
    if not found or isinstance(read(target, there), tuple):
        return
    if _copy_content(source, target, place, check, found[1], outcome):
        _copy(source, path, there, outcome)


def _copy_content(
    source: Store,
    target: Store,
    place: Callable[[Store, str], Path],
    check: Callable[[Store, Path], Damage | None],
    digest: str,
    outcome: MergeReport,
) -> bool:
    """Copy a content-addressed file if it exists; return whether it is undamaged or missing."""
    path, there = place(source, digest), place(target, digest)
    if damage := check(source, path):
        outcome.damages.append(damage)
        return False
    if not target.exists(there) or check(target, there):
        return _copy(source, path, there, outcome)
    return True


def _copy(source: Store, path: Path, there: Path, outcome: MergeReport) -> bool:
    """Copy a file if it exists; return whether it could be read, or is missing."""

    def content_of() -> bytes:
        with source.opened(path, files.MAX_DATA_BYTES) as file:
            return file.read(files.MAX_DATA_BYTES + 1)

    content = read_checked(path, content_of)
    if isinstance(content, Damage):
        outcome.damages.append(content)
        return False
    if content is not None:
        with writing(there):
            atomic.write(there, content)
    return True
