"""Surveys of a store: all its records, of which those that did not change since the last survey are not read again.

A survey returns what reading all records returns (:meth:`ampbench.results.store.Store.scan`), in much less time: for
each record its file is looked at, and it is read only if its stamp differs from that in the index
(:mod:`ampbench.results.index`). ``ampbench store check`` reads every byte, and so finds damage that changes no stamp,
such as that of a disk.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from heapq import merge
from pathlib import Path

import numpy as np

from ampbench.errors import ResultsWarning
from ampbench.results import index
from ampbench.results.checksums import Damage
from ampbench.results.entries import Builder, Entries, is_exact, joined
from ampbench.results.index import STAMP
from ampbench.results.stamps import UNKNOWN, Stamp, is_settled
from ampbench.results.store import FAILURE_FILE, RECORD_FILE, STUDY_FILE, Store, Stored

MIN_NEW = 500
"""Smallest number of new records for which an index is written; fewer are read in a fraction of a second."""
NEW_SHARE = 0.02
"""Smallest share of new records for which an index is written again."""


@dataclass(frozen=True)
class Survey:
    """The records of a store.

    Attributes:
        entries: the undamaged records, in the order of their keys.
        damages: the damaged files of runs without an undamaged record, in the order of their keys.
    """

    entries: Entries
    damages: Sequence[Damage]

    def __iter__(self) -> Iterator[Stored | Damage]:
        """Make all records, in the order of their keys; the columns of a whole survey are needed."""
        sound = ((key, i) for i, key in enumerate(self.entries["key"]))
        damaged = ((each.path.parent.name, each) for each in self.damages)
        found: Iterable[tuple[str, int | Damage]] = merge(sound, damaged, key=lambda pair: pair[0])
        for _, each in found:
            yield each if isinstance(each, Damage) else self.entries.stored(each)


def survey(store: Store, names: Collection[str] | None = None) -> Survey:
    """Return the records of a store.

    Arguments:
        store: the store, or a bundle.
        names: the columns that are needed, beside ``key`` and ``status``; None for all columns.

    Warns:
        ResultsWarning: folder and study have different good results of one run.

    Raises:
        ResultsError: the folder of runs cannot be read, or its study is damaged.
    """
    return _Survey(store, names).taken()


def contradiction(one: Path, other: Path, keys: Sequence[str]) -> str:
    """Return the remark that two places have different good results of runs, of which the later ones are taken."""
    runs = "1 run" if len(keys) == 1 else f"{len(keys)} runs"
    return (
        f"{one} and {other} have different results of {runs}, such as {keys[0]}; the one that finished later is taken"
    )


class _Survey:
    """A survey that is being made."""

    def __init__(self, store: Store, names: Collection[str] | None) -> None:
        self.store = store
        self.names = None if names is None else {"key", "status", *names}
        self.place = index.place(store.directory)
        self.began_ns = time.time_ns()
        self.builder, self.stamps = Builder(), list[Stamp]()
        self.exact: list[int] = []
        self.contradictory: list[str] = []

    def taken(self) -> Survey:
        known = index.read(self.place, self.names) if self.place else None
        kept, damages = [], []
        expected = {} if known is None else _expected(known)
        for key in self.store.all_keys():
            at, good, stamp = expected.get(key, (0, True, None))
            if stamp is not None and stamp == self._stamp(key, good):
                kept.append(at)
            elif isinstance(found := self._read(key), Damage):
                damages.append(found)
        self._warn_of_contradictions()
        fresh = Entries({**self.builder.entries().columns, **index.columns_of(self.stamps)})
        if self.place and len(self.exact) >= max(MIN_NEW, NEW_SHARE * len(kept)):
            self._write(self.place, known, kept, fresh)
        if self.names is not None:
            fresh = fresh.only({*self.names, *STAMP})
        return Survey(_ordered(joined(known.take(kept), fresh) if known is not None and kept else fresh), damages)

    def _stamp(self, key: str, good: bool) -> Stamp | None:
        """Return the stamp of a good result, or that of a failure beside which there is no other record."""
        record = self.store.stamp(f"runs/{key}/{RECORD_FILE}")
        return record if good else self.store.stamp(f"runs/{key}/{FAILURE_FILE}") if record is None else UNKNOWN

    def _read(self, key: str) -> Stored | Damage | None:
        before = [self._stamp(key, good) for good in (True, False)]
        found = self.store.find(key)
        if isinstance(found, Stored):
            stamp = before[not found.record.ok]
            unchanged = before == [self._stamp(key, good) for good in (True, False)]
            if self.store.contradicts(key):  # it is compared, and named, each time
                self.contradictory.append(key)
                unchanged = False
            if stamp and unchanged and is_settled(stamp, self.began_ns) and is_exact(found.record):
                self.exact.append(self.builder.count)
            self.builder.add(found)
            self.stamps.append(stamp or UNKNOWN)
        return found

    def _warn_of_contradictions(self) -> None:
        if self.contradictory:
            folder, study = self.store.directory, self.store.directory / STUDY_FILE
            told = contradiction(self.store.runs, study, self.contradictory)
            remedy = (
                f"to keep no others: ampbench publish {folder} -o {study}, and ampbench store gc --results {folder}"
            )
            warnings.warn(f"{told}; {remedy}", ResultsWarning, stacklevel=5)

    def _write(self, place: Path, known: Entries | None, kept: Sequence[int], fresh: Entries) -> None:
        """Write the index, of what it held and of what was read."""
        new = fresh.take(self.exact)
        if known is not None and self.names is not None:
            whole = index.read(place)
            names = ("key", *STAMP)  # another process may have written another index meanwhile
            known = whole if whole and all(np.array_equal(whole[name], known[name]) for name in names) else None
        index.write(place, _ordered(joined(known.take(kept), new) if known is not None and kept else new))


def _expected(known: Entries) -> dict[str, tuple[int, bool, Stamp]]:
    """Return position, outcome and stamp of each record of an index, by key."""
    rows = zip(index.stamps_of(known).items(), known.ok.tolist(), strict=True)
    return {key: (i, good, stamp) for i, ((key, stamp), good) in enumerate(rows)}


def _ordered(entries: Entries) -> Entries:
    keys = entries["key"].tolist()
    order = sorted(range(len(keys)), key=keys.__getitem__)
    return entries.take(order)
