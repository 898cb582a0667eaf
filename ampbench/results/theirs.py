"""Results of other groups: bundles that lie, as they were published, in the folder ``bundles`` of a results directory.

A result that equals one that is there already is shown once: first one's own, then those of the bundles in the order
of their origins. Two results of one run that differ are shown apart if their origins differ. If one group published two
good ones, nobody can tell which is meant, and the second bundle is refused.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import accumulate
from pathlib import Path

from ampbench import files
from ampbench.errors import ResultsError, ResultsWarning
from ampbench.results import atomic
from ampbench.results.bundle import Bundle, open_store
from ampbench.results.checksums import Damage, writing
from ampbench.results.entries import Entries, joined
from ampbench.results.origins import OURS
from ampbench.results.packed import MAX_BYTES
from ampbench.results.record import Record
from ampbench.results.store import BUNDLE_SUFFIX, STUDY_FILE, Store, Stored
from ampbench.results.survey import survey


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
        licence: SPDX expression of their licence; "" if it is not stated.
        added: number of results that the directory did not have.
        present: number of results that equal one that was there, and are kept once.
        repeated: number of results of runs of which the directory has another result of one's own; both are kept.
        different: keys of those whose scores differ from one's own.
    """

    origin: str
    licence: str = ""
    added: int = 0
    present: int = 0
    repeated: int = 0
    different: tuple[str, ...] = ()


@dataclass(frozen=True)
class Gathered:
    """All results of a results directory or a bundle.

    Attributes:
        entries: the results, each once.
        origins: the origin of each.
        stores: the store that holds each.
    """

    entries: Entries
    origins: Sequence[str]
    stores: Sequence[Store]

    def __iter__(self) -> Iterator[tuple[str, Stored]]:
        """Make the records of all results, each with its origin."""
        return ((origin, self.entries.stored(i)) for i, origin in enumerate(self.origins))


def gathered(path: Path) -> Gathered:
    """Return all results of a results directory or a bundle, each with its origin.

    Warns:
        ResultsWarning: files of the directory are damaged, and left out.

    Raises:
        ResultsError: there is neither directory nor bundle, the bundle is damaged, or two bundles of one group
            contradict each other.
    """
    found: list[tuple[Part, Entries]] = []
    for part in parts(path):
        taken = survey(part.store)
        if taken.damages and isinstance(part.store, Bundle) and part.store.directory != path:
            _warn_of_bundle(str(taken.damages[0]), part.store)
            continue
        part.store.warn_of(taken.damages, stacklevel=3)
        found.append((part, taken.entries))
    if len(found) == 1:
        ((only, entries),) = found
        return Gathered(entries, [only.origin] * len(entries), [only.store] * len(entries))
    chosen = _chosen(found)
    whole = reduce(joined, (entries for _, entries in found))
    starts = [0, *accumulate(len(entries) for _, entries in found)]
    return Gathered(
        whole.take([starts[p] + i for p, i in chosen]),
        [found[p][0].origin for p, _ in chosen],
        [found[p][0].store for p, _ in chosen],
    )


def _chosen(found: Sequence[tuple[Part, Entries]]) -> list[tuple[int, int]]:
    """Return the results to show, each as the number of its part and its position there, grouped by run."""
    places: dict[str, list[tuple[int, int]]] = {}
    for p, (_, entries) in enumerate(found):
        for i, key in enumerate(entries["key"]):
            places.setdefault(key, []).append((p, i))
    return [place for of_run in places.values() for place in (_several(found, of_run) if len(of_run) > 1 else of_run)]


def _several(found: Sequence[tuple[Part, Entries]], places: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return which results of one run to show."""
    chosen: dict[str, tuple[Stored, tuple[int, int]]] = {}
    for p, i in places:
        part, entries = found[p]
        _choose(part, entries.stored(i), (p, i), chosen)
    return [place for _, place in chosen.values()]


def parts(path: Path) -> list[Part]:
    """Return one's own store and the bundles in a results directory, or the only part of a bundle.

    A bundle in the directory that is damaged is left out with a :class:`ResultsWarning`.
    """
    store = open_store(path)
    if isinstance(store, Bundle):
        return [Part(store.origin, store)]
    held, refused = bundles(store)
    for damage in refused:
        _warn_of_bundle(damage.reason, store)
    return [Part(OURS, store), *(Part(origin_of(bundle), bundle) for bundle in held)]


def bundles(store: Store) -> tuple[list[Bundle], list[Damage]]:
    """Return the bundles in a results directory, sorted by origin, and those that are refused."""
    found, refused = [], []
    for path in store.listed(store.bundles):
        if path.suffix == BUNDLE_SUFFIX and not path.name.startswith("."):
            try:
                found.append(Bundle(path))
            except ResultsError as error:
                refused.append(Damage(path, str(error)))
    return sorted(found, key=origin_of), refused


def published(store: Store) -> tuple[list[Bundle], list[Damage]]:
    """Return the undamaged bundles in a results directory, or the bundle itself, and all damages of bundles.

    The first one in a directory is that of its study, if it has one.
    """
    held, damages = ([store], []) if isinstance(store, Bundle) else _bundles_and_study(store)
    found = []
    for bundle in held:
        damages += (damaged := bundle.damages())
        found += [] if damaged else [bundle]
    return found, damages


def _bundles_and_study(store: Store) -> tuple[list[Bundle], list[Damage]]:
    held, refused = bundles(store.without_study())
    study = store.directory / STUDY_FILE
    try:
        return ([Bundle(study), *held] if os.path.lexists(study) else held), refused
    except ResultsError as error:
        return held, [Damage(study, str(error)), *refused]


def to_adopt(stores: Sequence[Store], ours: bool) -> list[Bundle]:
    """Return the bundles among stores, unless they are ours, and those in the stores.

    Raises:
        ResultsError: a bundle is damaged.
    """
    found: list[Bundle] = []
    for store in stores:
        if isinstance(store, Bundle):
            found += [] if ours else [store]
        else:
            held, refused = bundles(store)
            if refused:
                raise ResultsError(refused[0].reason)
            found += held
    return found


def stores(path: Path, origin: str) -> list[Store]:
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
    bundle.warn_of(bundle.damages())
    target.prepare()
    origin, licence = origin_of(bundle), bundle.manifest.licence
    there = target.bundles / f"{_digest(bundle.directory)}{BUNDLE_SUFFIX}"
    if os.path.exists(there):
        return Adoption(origin, licence, present=len(bundle.all_keys()))
    others = [Part(origin_of(each), each) for each in bundles(target)[0]]
    different, present, repeated = [], 0, 0
    records = list(bundle.records())
    for record in records:
        own = target.find(record.run.key)
        known = [own.record] if isinstance(own, Stored) else []
        known += [other for part in others for other in _of_run(part, record, origin, bundle)]
        if record in known:
            present += 1
        elif isinstance(own, Stored):
            repeated += 1
            if own.record.metrics != record.metrics:
                different.append(record.run.key)
    _copy(bundle.directory, there)
    return Adoption(origin, licence, len(records) - present, present, repeated, tuple(different))


def _of_run(part: Part, record: Record, origin: str, bundle: Bundle) -> list[Record]:
    """Return the result that a part has of a record's run; raises :class:`ResultsError` for a contradiction."""
    found = part.store.find(record.run.key)
    if not isinstance(found, Stored):
        return []
    if part.origin == origin and _contradict(found.record, record):
        raise _contradiction(bundle.directory, part.store.directory, origin, record)
    return [found.record]


def _choose(
    part: Part, found: Stored, place: tuple[int, int], chosen: dict[str, tuple[Stored, tuple[int, int]]]
) -> None:
    """Add a result of a run, unless an equal one is there, or a better one of its origin: a good one, or a later one.

    Arguments:
        part: where the result is.
        found: the result.
        place: the number of its part, and its position there.
        chosen: origin → result of this run, and its place.
    """
    record, mine = found.record, chosen.get(part.origin)
    if any(record == other.record for other, _ in chosen.values()):
        return
    if mine and _contradict(mine[0].record, record):
        raise _contradiction(part.store.directory, "another bundle beside it", part.origin, record)
    if not mine or (record.ok, record.finished) > (mine[0].record.ok, mine[0].record.finished):
        chosen[part.origin] = found, place


def _contradict(one: Record, other: Record) -> bool:
    return one.ok and other.ok and one != other


def _contradiction(path: Path, other: object, origin: str, record: Record) -> ResultsError:
    return ResultsError(
        f"{path} and {other} are both of {origin!r}, and have different results of the run {record.run.key} "
        f"({record.run}); remove the bundle that is out of date, or let the group publish one of them under another "
        "name"
    )


def _warn_of_bundle(reason: str, store: Store) -> None:
    warnings.warn(
        f"left out: {reason}; get it again, merge it, and remove the damaged one: 'ampbench store check --results "
        f"{store.directory}' lists it",
        ResultsWarning,
        stacklevel=4,
    )


def _digest(path: Path) -> str:
    with files.opened(path, MAX_BYTES) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _copy(path: Path, there: Path) -> None:
    with files.opened(path, MAX_BYTES) as source, writing(there), atomic.replacing(there) as file:
        shutil.copyfileobj(source, file)
