"""Looking after stores: check what is in one, merge several, clean up.

All three work while others write: nothing that a writer has begun within :data:`GRACE` is touched, and a file system's
own clock decides what that means, so that a wrong clock of one machine removes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from ampbench.errors import ResultsError
from ampbench.results import atomic
from ampbench.results.checksums import Damage, writing
from ampbench.results.store import FAILED, GOOD, Store, Stored, check_array, check_state, is_good

GRACE = 3600.0
"""Seconds for which an unfinished or unreferenced file is believed to be in use."""


@dataclass(frozen=True)
class Inventory:
    """What is in a store.

    Attributes:
        good, failed: numbers of sound records.
        unchecked: records of schema 1, which have no checksum.
        bare: good records whose samples are not there; their numbers count.
        damages: files that cannot be believed.
        leftovers: files that nothing refers to: unfinished ones, superseded failures, samples of no record.
        fits: kept fits.
        fit_bytes: how large their files are together.
    """

    good: int = 0
    failed: int = 0
    unchecked: int = 0
    bare: int = 0
    damages: tuple[Damage, ...] = ()
    leftovers: tuple[Path, ...] = ()
    fits: int = 0
    fit_bytes: int = 0


@dataclass
class Merged:
    """What became of the records of the sources.

    Attributes:
        copied: records that were copied.
        present: records for which the target had one that is as good.
        different: the keys of those of them whose numbers differ.
        damages: files of the sources that were left out.
    """

    copied: int = 0
    present: int = 0
    different: list[str] = field(default_factory=list)
    damages: list[Damage] = field(default_factory=list)


def check(store: Store) -> Inventory:
    """Read everything in a store, samples included, and compare it with its checksums; changes nothing."""
    _exists(store)
    kept = list(map(store.read_fit, _fits(store)))
    read = [
        *map(store.read, _records(store)),
        *map(store.read_draw, _draws(store)),
        *kept,
        *map(check_state, _states(store)),
        *map(check_array, _arrays(store)),
    ]
    found = list(store.scan())
    sound = [each for each in found if isinstance(each, Stored)]
    good = [each for each in sound if each.record.ok]
    return Inventory(
        good=len(good),
        failed=len(sound) - len(good),
        unchecked=sum(each.schema == 1 for each in sound),
        bare=sum(not each.samples or not store.array(each.samples).exists() for each in good),
        damages=tuple(each for each in read if isinstance(each, Damage)),
        leftovers=tuple(_leftovers(store)),
        fits=sum(isinstance(each, tuple) for each in kept),
        fit_bytes=sum(path.stat().st_size for path in (*_fits(store), *_states(store))),
    )


def merge(sources: Sequence[Store], target: Store) -> Merged:
    """Copy all sound records, with samples, draws and kept fits, into another store.

    A good result that is there already stays, even if a source has other numbers under the same key (another processor
    may give other last digits); it is named in ``different``. Failures do not take the place of anything.

    Raises:
        ResultsError: a source does not exist, or the target cannot be written.
    """
    for source in sources:
        _exists(source)
    target.prepare()
    outcome = Merged()
    for source in sources:
        for path in _records(source):
            _merge_record(source, target, path, outcome)
        for path in _draws(source):
            _merge_pair(path, source, target, Store.read_draw, Store.array, check_array, outcome)
        for path in _fits(source):
            _merge_pair(path, source, target, Store.read_fit, Store.state, check_state, outcome)
    return outcome


def collect(
    store: Store, failed: bool = False, damaged: bool = False, fits: bool = False, dry: bool = False
) -> list[Path]:
    """Remove what no reader would miss, if nobody has touched it for :data:`GRACE` seconds; return what was removed.

    Arguments:
        store: where.
        failed: failures too, however young.
        damaged: damaged files too, however young.
        fits: kept fits too, however young; an observation that is asked for later costs a fit then.
        dry: remove nothing.
    """
    _exists(store)
    now = _now(store)
    unused = {path for path in _leftovers(store) if _is_old(path, now)}
    unwanted: set[Path] = set()
    if damaged:
        unwanted |= {damage.path for damage in check(store).damages}
    if failed:
        unwanted |= {path for path in _records(store) if _is_failure(store.read(path))}
    if fits:
        unwanted |= {*_fits(store), *_states(store)}
    doomed = sorted(unused | unwanted)
    if dry:
        return doomed
    return [path for path in doomed if (path in unwanted or _is_old(path, now)) and _remove(store, path)]


def _remove(store: Store, path: Path) -> bool:
    """Remove a file, and the folder of its run if that is empty then; say whether it was there."""
    if not path.exists():
        return False
    with writing(path):
        path.unlink(missing_ok=True)
    if path.parent.parent == store.runs:
        with suppress(OSError):  # it is not empty
            path.parent.rmdir()
    return True


def _is_old(path: Path, now: float) -> bool:
    """Whether nobody has touched a file for a while; looked at again before it goes, for it may be in use by then."""
    try:
        return now - path.stat().st_mtime > GRACE
    except FileNotFoundError:
        return False


def _records(store: Store) -> list[Path]:
    return [path for key in store.all_keys() for name in (GOOD, FAILED) if (path := store.runs / key / name).exists()]


def _draws(store: Store) -> list[Path]:
    return sorted(store.draws.glob("[!.]*.json"))


def _fits(store: Store) -> list[Path]:
    return sorted(store.fits.glob("[!.]*.json"))


def _states(store: Store) -> list[Path]:
    return sorted(store.fits.glob("[!.]*.npz"))


def _arrays(store: Store) -> list[Path]:
    return sorted(store.arrays.glob("[!.]*.npz"))


def _is_failure(found: Stored | Damage | None) -> bool:
    return isinstance(found, Stored) and not found.record.ok


def _leftovers(store: Store) -> Iterator[Path]:
    """Unfinished files, failures beside good results, and samples and states that nothing refers to."""
    runs = (store.runs / key for key in store.all_keys())
    for folder in (store.runs, *runs, store.draws, store.fits, store.arrays):
        yield from sorted(folder.glob(f"{atomic.TEMPORARY}*"))
    used = {found[1] for found in map(store.read_draw, _draws(store)) if isinstance(found, tuple)}
    for path in _records(store):
        found = store.read(path)
        if isinstance(found, Stored):
            used.add(found.samples)
            if path.name == FAILED and is_good(store.find(path.parent.name)):
                yield path
    yield from (path for path in _arrays(store) if path.stem not in used)
    kept = {found[1] for found in map(store.read_fit, _fits(store)) if isinstance(found, tuple)}
    yield from (path for path in _states(store) if path.stem not in kept)


def _now(store: Store) -> float:
    """The time by the clock of the file system."""
    probe = store.directory / f"{atomic.TEMPORARY}clock"
    with writing(store.directory):
        atomic.write(probe, b"")
        now = probe.stat().st_mtime
        probe.unlink()
    return now


def _exists(store: Store) -> None:
    if not store.directory.is_dir():
        raise ResultsError(f"there is no results directory {str(store.directory)!r}")


def _merge_record(source: Store, target: Store, path: Path, outcome: Merged) -> None:
    found = source.read(path)
    if isinstance(found, Stored):
        there = target.find(found.record.run.key)
        if isinstance(there, Stored) and (there.record.ok or not found.record.ok):
            outcome.present += 1
            if there.record.ok and found.record.ok and there.record.metrics != found.record.metrics:
                outcome.different.append(found.record.run.key)
        elif _copy_content(source.array(found.samples), target.array(found.samples), check_array, outcome):
            old = path.with_name("samples.npz")
            if found.schema == 1 and old.exists():
                _copy(old, target.runs / path.parent.name / old.name)
            _copy(path, target.runs / path.parent.name / path.name)
            outcome.copied += 1
    elif found:
        outcome.damages.append(found)


def _merge_pair(
    path: Path,
    source: Store,
    target: Store,
    read: Callable[[Store, Path], tuple[object, str] | Damage | None],
    place: Callable[[Store, str], Path],
    check: Callable[[Path], Damage | None],
    outcome: Merged,
) -> None:
    """Copy a file that says how another one came about, and that other one, which is named by its content."""
    found = read(source, path)
    if isinstance(found, Damage):
        outcome.damages.append(found)
        return
    there = target.directory / path.relative_to(source.directory)
    if not found or isinstance(read(target, there), tuple):
        return
    if _copy_content(place(source, found[1]), place(target, found[1]), check, outcome):
        _copy(path, there)


def _copy_content(path: Path, there: Path, check: Callable[[Path], Damage | None], outcome: Merged) -> bool:
    """Copy a file that is named by its content, if there is one, and say whether it is sound."""
    if not path.exists():
        return True
    if damage := check(path):
        outcome.damages.append(damage)
        return False
    if not there.exists() or check(there):
        _copy(path, there)
    return True


def _copy(path: Path, there: Path) -> None:
    with writing(there):
        atomic.write(there, path.read_bytes())
