"""Writing of bundles: equal records, and an equal publisher, make equal bytes.

Entries are sorted, and have neither dates nor owners. Text is deflated; samples are compressed already, and stored. A
bundle with the same contents is not written again, whichever versions of ampbench and zlib it was made by.
"""

from __future__ import annotations

import hashlib
import os
import warnings
import zipfile
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ampbench import files
from ampbench.errors import ResultsError, ResultsWarning, UsageError
from ampbench.results import atomic, manifest
from ampbench.results.archive import MAX_ENTRIES, MAX_TOTAL_BYTES
from ampbench.results.checksums import Damage, writing
from ampbench.results.manifest import FORMAT, About, Manifest
from ampbench.results.packed import Packed
from ampbench.results.provenance import versions as versions_here
from ampbench.results.record import Record
from ampbench.results.store import BUNDLE_SUFFIX, FAILURE_FILE, OLD_SAMPLES_FILE, RECORD_FILE, Store, Stored
from ampbench.results.survey import contradiction

EPOCH = (1980, 1, 1, 0, 0, 0)
"""The earliest date of the zip format, which all entries have."""
PERMISSIONS = 0o100644
"""Of a regular file that everybody may read."""


@dataclass(frozen=True)
class Held:
    """A result, and the store that holds it."""

    store: Store
    stored: Stored

    @property
    def key(self) -> str:
        """The key of the run."""
        return self.stored.record.run.key

    def is_before(self, other: Held) -> bool:
        """Whether another result of this run is preferred: a good one to a failure, else the one finished later."""
        mine, theirs = self.stored.record, other.stored.record
        return (mine.ok, mine.finished) < (theirs.ok, theirs.finished)

    def contradicts(self, other: Held) -> bool:
        """Whether both are good, and differ in more than what checks found."""
        mine, theirs = (replace(each.stored.record, checks=None) for each in (self, other))
        return mine.ok and theirs.ok and mine != theirs


def held(stores: Sequence[Store]) -> list[Held]:
    """Return the results of several stores, each run once, in the order of their keys.

    Warns:
        ResultsWarning: two stores have different good results of one run; the one that finished later is returned.

    Raises:
        ResultsError: a record is damaged.
    """
    chosen: dict[str, Held] = {}
    for store in stores:
        differing: dict[Path, list[str]] = {}
        for each in _sound(store):
            other = chosen.setdefault(each.key, each)
            if each.contradicts(other):
                differing.setdefault(other.store.directory, []).append(each.key)
            if other.is_before(each):
                chosen[each.key] = each
        for where, keys in differing.items():
            warnings.warn(contradiction(where, store.directory, keys), ResultsWarning, stacklevel=2)
    return [chosen[key] for key in sorted(chosen)]


def repeated(found: Sequence[Held]) -> list[Held]:
    """Return the results of which a later one answers the same request, with other versions or defaults.

    A good result is preferred to a failure, as of one run.
    """
    last: dict[tuple[object, ...], Held] = {}
    for each in found:
        other = last.setdefault(_request(each), each)
        if other.is_before(each):
            last[_request(each)] = each
    return [each for each in found if last[_request(each)] is not each]


def _request(each: Held) -> tuple[object, ...]:
    run = each.stored.record.run
    return run.task, run.method, run.budget, run.seed, run.observation, run.samples, run.metrics


def _sound(store: Store) -> list[Held]:
    """Return the results of a store; raises :class:`ResultsError` if one is damaged."""
    found = list(store.scan())
    if damages := [each for each in found if isinstance(each, Damage)]:
        raise ResultsError(
            f"{len(damages)} of {len(found)} records in {store.directory} are damaged, so that it is not published: "
            f"{damages[0]}; run again what is damaged, or remove it by 'ampbench store gc --damaged'"
        )
    return [Held(store, each) for each in found if isinstance(each, Stored)]


def publish(
    found: Sequence[Held],
    path: Path,
    about: About,
    texts: Callable[[Manifest], Mapping[str, str]],
    samples: bool = False,
    without: Sequence[Held] = (),
) -> tuple[Manifest, bool]:
    """Write results into a bundle, atomically; a bundle that is there is replaced, unless it has the same contents.

    Arguments:
        found: the results to publish.
        path: the bundle.
        about: what the publisher says.
        texts: given the manifest without files, returns the files of text by name: citation and references.
        samples: whether to publish posterior samples too, of the results whose samples are stored.
        without: results that the bundle that is there may lose.

    Returns:
        the manifest, and whether the bundle was written.

    Raises:
        UsageError: the path does not end in ``.zip``, there are no results, too many for a bundle, or fewer than in the
            bundle that is there.
        ResultsError: a file of the store is damaged, the file that is there is no bundle, or the bundle cannot be
            written.
    """
    if path.suffix != BUNDLE_SUFFIX:
        raise UsageError(f"the name of a bundle ends in {BUNDLE_SUFFIX}, by which all commands know one: {str(path)!r}")
    if not found:
        raise UsageError("there are no results to publish; run 'ampbench run' first")
    places = {each.store.name(place): (each.store, place) for each in found for place in _places(each, samples)}
    names = dict(sorted(places.items()))
    described = _described([each.stored.record for each in found], about, samples)
    if (old := _replaced(path, names, {each.key for each in without})) and _whole(
        described, old.ampbench, names, texts
    ) == old:
        return old, False
    own = _encoded(texts, described)
    if len(names) + len(own) + 1 > MAX_ENTRIES:
        raise UsageError(
            f"a bundle holds {MAX_ENTRIES:,} files, and these results have {len(names):,}; publish a part of them by "
            "--select, or leave out the samples by --no-samples"
        )
    with writing(path), atomic.replacing(path) as file, zipfile.ZipFile(file, "w", allowZip64=False) as archive:
        digests, total = {}, 0
        for name, content in own.items():
            digests[name] = _add(archive, name, content)
        for name, (store, place) in names.items():
            content = _content(store, place)
            total += len(content)
            if total > MAX_TOTAL_BYTES:
                raise UsageError(f"a bundle holds {MAX_TOTAL_BYTES:,} bytes; publish a part by --select, or no samples")
            digests[name] = _add(archive, name, content)
        whole = described.model_copy(update={"files": digests})
        _add(archive, manifest.NAME, whole.dump())
    return whole, True


def _replaced(path: Path, names: Collection[str], without: Collection[str]) -> Manifest | None:
    """Return the manifest of the bundle that is to be replaced, if there is one.

    Raises:
        UsageError: it has good results that the new one would not have.
        ResultsError: the file is no bundle, or a damaged one.
    """
    if not os.path.lexists(path):
        return None
    try:
        old = Packed(path).manifest
    except ResultsError as error:
        raise ResultsError(f"{error}; it is not replaced: remove it, or give another name by --output") from error
    good = (name for name in old.files if name.endswith(f"/{RECORD_FILE}"))
    if lost := sorted(name for name in good if name not in names and name.split("/")[1] not in without):
        raise UsageError(
            f"{path} has {len(lost)} results that would be lost, such as {lost[0]}; publish it too: ampbench publish "
            f"{path} … -o {path}, or give another name by --output"
        )
    return old


def _whole(
    described: Manifest,
    version: str,
    names: Mapping[str, tuple[Store, Path]],
    texts: Callable[[Manifest], Mapping[str, str]],
) -> Manifest:
    """Return the manifest with files that a version of ampbench would write."""
    mine = described.model_copy(update={"ampbench": version})
    digests = {name: _sha256(text) for name, text in _encoded(texts, mine).items()}
    digests |= {name: _sha256(_content(store, place)) for name, (store, place) in names.items()}
    return mine.model_copy(update={"files": digests})


def _encoded(texts: Callable[[Manifest], Mapping[str, str]], described: Manifest) -> dict[str, bytes]:
    return {name: text.encode() for name, text in texts(described).items()}


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _places(held: Held, samples: bool) -> list[Path]:
    """Return the paths of a result's files."""
    store, found = held.store, held.stored
    run = found.record.run
    folder = store.runs / run.key
    places = [folder / (RECORD_FILE if found.record.ok else FAILURE_FILE)]
    if samples:
        draw = store.draws / f"{run.draw_key}.json"
        old = folder / OLD_SAMPLES_FILE
        drawn = store.read_draw(draw)
        digests = {found.samples, drawn[1] if isinstance(drawn, tuple) else ""} - {""}
        wanted = [*map(store.array, digests), draw, *([] if found.samples else [old])]
        places += [path for path in wanted if store.exists(path)]
    return places


def _described(records: Sequence[Record], about: About, samples: bool) -> Manifest:
    """Return the manifest without files."""
    versions: defaultdict[str, set[str]] = defaultdict(set)
    for record in records:
        for package, version in record.versions.items():
            versions[package].add(version)
    good = sum(record.ok for record in records)
    return Manifest(
        **about.model_dump(),
        format=FORMAT,
        ampbench=versions_here().get("ampbench", "unknown"),
        results=good,
        failures=len(records) - good,
        samples=samples,
        finished=max(record.finished for record in records),
        versions={package: sorted(several) for package, several in sorted(versions.items())},
        files={},
    )


def _content(store: Store, path: Path) -> bytes:
    """Return the content of a file of the store; raises :class:`ResultsError` if it is damaged."""
    if path.parent == store.arrays and (damage := store.check_array(path)):
        raise ResultsError(f"{damage}; run it again, or remove it by 'ampbench store gc --damaged'")
    try:
        with store.opened(path, files.MAX_DATA_BYTES) as file:
            return file.read(files.MAX_DATA_BYTES + 1)
    except (OSError, ValueError) as error:
        raise ResultsError(f"cannot publish {path}: {getattr(error, 'strerror', None) or error}") from error


def _add(archive: zipfile.ZipFile, name: str, content: bytes) -> str:
    """Write an entry, and return the SHA-256 of its content."""
    entry = zipfile.ZipInfo(name, EPOCH)
    entry.create_system = 3  # Unix, on every system
    entry.external_attr = PERMISSIONS << 16
    entry.compress_type = zipfile.ZIP_STORED if name.endswith(".npz") else zipfile.ZIP_DEFLATED
    archive.writestr(entry, content, compresslevel=9)
    return _sha256(content)
