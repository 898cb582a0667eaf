"""Writing of bundles: equal records, and an equal publisher, make equal bytes.

Entries are sorted, and have neither dates nor owners. Text is deflated; samples are compressed already, and stored.
"""

from __future__ import annotations

import hashlib
import zipfile
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from ampbench import files
from ampbench.errors import ResultsError, UsageError
from ampbench.results import atomic, manifest
from ampbench.results.archive import MAX_ENTRIES, MAX_TOTAL_BYTES
from ampbench.results.checksums import writing
from ampbench.results.manifest import FORMAT, About, Manifest
from ampbench.results.provenance import versions as versions_here
from ampbench.results.record import Record
from ampbench.results.store import BUNDLE_SUFFIX, FAILURE_FILE, OLD_SAMPLES_FILE, RECORD_FILE, Store, Stored

EPOCH = (1980, 1, 1, 0, 0, 0)
"""The earliest date of the zip format, which all entries have."""
PERMISSIONS = 0o100644
"""Of a regular file that everybody may read."""


def publish(
    store: Store,
    found: Sequence[Stored],
    path: Path,
    about: About,
    texts: Callable[[Manifest], Mapping[str, str]],
    samples: bool = False,
) -> Manifest:
    """Write results into a bundle, atomically; an existing file is replaced.

    Arguments:
        store: the store that holds the results.
        found: the results to publish.
        path: the bundle.
        about: what the publisher says.
        texts: given the manifest without files, returns the files of text by name: citation and references.
        samples: whether to publish posterior samples too, of the results whose samples are stored.

    Raises:
        UsageError: the path does not end in ``.zip``, there are no results, or too many for a bundle.
        ResultsError: a file of the store is damaged, or the bundle cannot be written.
    """
    if path.suffix != BUNDLE_SUFFIX:
        raise UsageError(f"the name of a bundle ends in {BUNDLE_SUFFIX}, by which all commands know one: {str(path)!r}")
    if not found:
        raise UsageError(f"{store.directory} holds no results to publish; run 'ampbench run' first")
    places = sorted({place for each in found for place in _places(store, each, samples)})
    described = _described([each.record for each in found], about, samples)
    own = {name: text.encode() for name, text in texts(described).items()}
    names = {str(place.relative_to(store.directory).as_posix()): place for place in places}
    if len(names) + len(own) + 1 > MAX_ENTRIES:
        raise UsageError(
            f"a bundle holds {MAX_ENTRIES:,} files, and these results have {len(names):,}; publish a part of them by "
            "--select, or leave out the samples by --no-samples"
        )
    with writing(path), atomic.replacing(path) as file, zipfile.ZipFile(file, "w", allowZip64=False) as archive:
        digests, total = {}, 0
        for name, content in own.items():
            digests[name] = _add(archive, name, content)
        for name, place in names.items():
            content = _content(store, place)
            total += len(content)
            if total > MAX_TOTAL_BYTES:
                raise UsageError(f"a bundle holds {MAX_TOTAL_BYTES:,} bytes; publish a part by --select, or no samples")
            digests[name] = _add(archive, name, content)
        whole = described.model_copy(update={"files": digests})
        _add(archive, manifest.NAME, whole.dump())
    return whole


def _places(store: Store, found: Stored, samples: bool) -> list[Path]:
    """Return the paths of a result's files."""
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
    return hashlib.sha256(content).hexdigest()
