"""The files in a bundle, read in place: every one is compared with the manifest when it is read.

The meaning of the files is not known here: :class:`ampbench.results.bundle.Bundle` is the store in a bundle, and
:class:`ampbench.results.store.Store` reads the bundle in a results directory as if its files lay there.
"""

from __future__ import annotations

import errno
import hashlib
import io
import os
import re
import weakref
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cached_property
from pathlib import Path, PurePosixPath

from ampbench import files
from ampbench.errors import ResultsError
from ampbench.results import manifest, stamps
from ampbench.results.archive import Archive, shown
from ampbench.results.checksums import MAX_RECORD_BYTES, Damage
from ampbench.results.manifest import Manifest
from ampbench.results.stamps import Stamp

CITATION, REFERENCES = "CITATION.cff", "references.bib"
ALLOWED = {
    re.compile(re.escape(manifest.NAME)): manifest.MAX_BYTES,
    re.compile(f"{re.escape(CITATION)}|{re.escape(REFERENCES)}"): files.MAX_TEXT_BYTES,
    re.compile(r"runs/[0-9a-f]{20}/(record|failure)\.json|draws/[0-9a-f]{20}\.json"): MAX_RECORD_BYTES,
    re.compile(r"samples/[0-9a-f]{64}\.npz|runs/[0-9a-f]{20}/samples\.npz"): files.MAX_DATA_BYTES,
}
"""The names of the files of a bundle, with the largest size of each."""
MAX_BYTES = files.MAX_DATA_BYTES
"""Largest bundle."""
ID_DIGITS = 12


class Packed:
    """The files in a bundle.

    Arguments:
        path: the bundle.

    Attributes:
        manifest: the manifest.

    Raises:
        ResultsError: the file is no bundle, or is damaged, hostile or of another format; the message names entry,
            reason and next step.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with ExitStack() as stack:
            try:
                self._file = stack.enter_context(files.opened(path, MAX_BYTES))
                self._archive = Archive(self._file, ALLOWED)
                self.manifest = self._read_manifest()
            except (OSError, ValueError, KeyError) as error:
                raise ResultsError(_refusal(path, error)) from error
            weakref.finalize(self, stack.pop_all().close)

    def __contains__(self, name: str) -> bool:
        return name in self.manifest.files

    @cached_property
    def id(self) -> str:
        """The first digits of the SHA-256 of the manifest, which is that of all contents."""
        return hashlib.sha256(self._archive.read(manifest.NAME)).hexdigest()[:ID_DIGITS]

    def _read_manifest(self) -> Manifest:
        if manifest.NAME not in self._archive.entries:
            raise ValueError(f"it has no {manifest.NAME}; 'ampbench publish' writes bundles")
        found = Manifest.parse(self._archive.read(manifest.NAME))
        held = self._archive.entries.keys() - {manifest.NAME}
        for name in sorted(held ^ found.files.keys()):
            where = ("it", manifest.NAME) if name in held else (f"its {manifest.NAME}", "it")
            raise ValueError(f"{where[0]} has {shown(name)}, and {where[1]} has not; get the bundle again")
        return found

    def content(self, name: str) -> bytes:
        """Return the content of a file; raises ValueError if it does not match the manifest, KeyError if missing."""
        content = self._archive.read(name)
        if hashlib.sha256(content).hexdigest() != self.manifest.files[name]:
            raise ValueError(f"its content does not match the SHA-256 in {manifest.NAME}; get the bundle again")
        return content

    def damages(self) -> list[Damage]:
        """Compare all files with the manifest, and return those that differ."""
        found = []
        for name in self.manifest.files:
            try:
                self.content(name)
            except ValueError as error:
                found.append(Damage.of(self.path / name, error))
        return found

    @contextmanager
    def opened(self, name: str, limit: int) -> Iterator[io.BytesIO]:
        """Open a file of the bundle in memory; raises as :func:`ampbench.files.opened` does."""
        path = self.path / name
        if name not in self:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
        size = self._archive.entries[name].file_size
        if size > limit:
            raise files.UnusualFileError(errno.EFBIG, f"it has {size:,} bytes, more than {limit:,}", str(path))
        yield io.BytesIO(self.content(name))

    def names(self, folder: str) -> list[str]:
        """Return the names in a folder of the bundle."""
        return self._folders.get(folder, [])

    @cached_property
    def _folders(self) -> dict[str, list[str]]:
        """The names in each folder."""
        found: dict[str, dict[str, None]] = {}
        for name in self.manifest.files:
            path = PurePosixPath(name)
            for child in (path, *path.parents[:-1]):
                found.setdefault(child.parent.as_posix(), {})[child.name] = None
        return {folder: list(names) for folder, names in found.items()}

    def stamp(self, name: str) -> Stamp | None:
        """Return the stamp of the bundle, if it has a file of this name."""
        return stamps.of(os.fstat(self._file.fileno())) if name in self else None


def _refusal(path: Path, error: Exception) -> str:
    if isinstance(error, OSError):
        return f"cannot read the bundle {path}: {error.strerror or error}; check path and permissions"
    return (
        f"the bundle {path} is refused: {error}. Get it again, or ask its publisher: 'ampbench publish' writes bundles"
    )
