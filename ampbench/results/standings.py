"""The standing of runs in a store: which have a good result, which failed, and which files are damaged.

A run counts as done only if its samples, where they are stored, match their checksum. As the records are
(:mod:`ampbench.results.survey`), samples are verified once, and not again until the stamp of their file changes.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from ampbench.results import index
from ampbench.results.checksums import Damage
from ampbench.results.entries import Entries, objects
from ampbench.results.stamps import Stamp, is_settled
from ampbench.results.store import Store
from ampbench.results.survey import NEW_SHARE, survey

MIN_NEW = 50
"""Smallest number of new files of samples for which the index is written; each takes milliseconds to verify."""


@dataclass(frozen=True)
class Standings:
    """The standing of runs.

    Attributes:
        entries: the undamaged records of the store, in the order of their keys.
        places: the position of each of them, by the key of its run.
        damages: of runs that were asked for, the damage of record or samples, by key.
        others: damages of the records of other runs.
    """

    entries: Entries
    places: Mapping[str, int]
    damages: Mapping[str, Damage]
    others: tuple[Damage, ...]

    def done(self, key: str) -> bool:
        """Whether a good, undamaged result is stored."""
        return key not in self.damages and key in self.places and self.entries["status"][self.places[key]] == "ok"


def standings(store: Store, keys: Collection[str], names: Collection[str] = ()) -> Standings:
    """Return the standing of runs.

    Arguments:
        store: the store, or a bundle.
        keys: the keys of the runs.
        names: the columns that are needed, beside those of :func:`ampbench.results.survey.survey` and ``digest``.

    Raises:
        ResultsError: the folder of runs cannot be read.
    """
    taken = survey(store, {"digest", *names})
    places = {key: i for i, key in enumerate(taken.entries["key"])}
    damages = {each.path.parent.name: each for each in taken.damages}
    others = tuple(each for key, each in damages.items() if key not in keys)
    digests = taken.entries["digest"]
    of_runs = {key: digests[places[key]] for key in keys if key in places and digests[places[key]]}
    damaged = _damaged(store, dict.fromkeys(of_runs.values()))
    damages = {key: each for key, each in damages.items() if key in keys}
    damages |= {key: damaged[digest] for key, digest in of_runs.items() if digest in damaged}
    return Standings(taken.entries, places, damages, others)


def _damaged(store: Store, digests: Iterable[str]) -> dict[str, Damage]:
    """Return the damages of files of samples; a missing file is none."""
    place, began_ns = index.place(store.directory, "samples"), time.time_ns()
    held = index.read(place, {"key"}) if place else None
    known = {} if held is None else index.stamps_of(held)
    kept: dict[str, Stamp] = {}
    found: dict[str, Damage] = {}
    new = 0
    for digest in digests:
        name = f"samples/{digest}.npz"
        if (stamp := store.stamp(name)) is None:
            continue
        if stamp != known.get(digest):
            if damage := store.check_array(store.array(digest)):
                found[digest] = damage
                continue
            if stamp != store.stamp(name) or not is_settled(stamp, began_ns):
                continue
            new += 1
        kept[digest] = stamp
    if place and new >= max(MIN_NEW, NEW_SHARE * len(known)):
        kept = {**known, **kept}
        index.write(place, Entries({"key": objects(list(kept)), **index.columns_of(list(kept.values()))}))
    return found
