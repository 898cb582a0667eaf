"""Bundles: results in one file, to share, which every reading command takes in place of a results directory.

::

    manifest.json                   publisher, licence, versions, and the SHA-256 of every other file
    CITATION.cff, references.bib    how to cite the results; the sources of tasks, methods and metrics
    runs/<key>/record.json          as in a results directory (:mod:`ampbench.results.store`)
    runs/<key>/failure.json
    draws/<draw key>.json           with samples only
    samples/<SHA-256>.npz

A bundle is a zip archive, read in place: nothing is extracted. It is whole or refused: a file that does not match the
manifest is an error, and no other file is shown in its place. The checksums detect damage, not forgery.
"""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from ampbench.errors import ResultsError
from ampbench.results.checksums import Damage, is_directory
from ampbench.results.manifest import Manifest
from ampbench.results.origins import OURS
from ampbench.results.packed import Packed
from ampbench.results.stamps import Stamp
from ampbench.results.store import BUNDLE_SUFFIX, Store


class Bundle(Store):
    """A store in a bundle, for reading.

    Arguments:
        path: the file.

    Attributes:
        packed: the files in it.

    Raises:
        ResultsError: the file is no bundle, or is damaged, hostile or of another format; the message names entry,
            reason and next step.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.packed = Packed(path)

    @property
    def manifest(self) -> Manifest:
        """The manifest."""
        return self.packed.manifest

    @property
    def origin(self) -> str:
        """The group that published the bundle; :data:`OURS` if it names none."""
        return self.manifest.group or OURS

    @property
    def id(self) -> str:
        """The first digits of the SHA-256 of the manifest, which is that of all contents."""
        return self.packed.id

    def damages(self) -> list[Damage]:
        """Compare all files with the manifest, and return those that differ."""
        return self.packed.damages()

    def require(self) -> None:
        """Do nothing: a bundle that does not exist cannot be made."""

    def opened(self, path: Path, limit: int) -> AbstractContextManager[io.BytesIO]:
        """Open a file of the bundle in memory; raises as :func:`ampbench.files.opened` does."""
        return self.packed.opened(self.name(path), limit)

    def names(self, folder: Path) -> list[str]:
        """Return the names in a folder of the bundle."""
        return self.packed.names(self.name(folder))

    def exists(self, path: Path) -> bool:
        """Whether the bundle has a file."""
        return self.name(path) in self.packed

    def stamp(self, name: str) -> Stamp | None:
        """Return the stamp of the bundle, if it has a file of this name."""
        return self.packed.stamp(name)

    def warn_of(self, damages: Sequence[Damage], stacklevel: int = 2) -> None:
        """Raise :class:`ResultsError` if files are damaged: a bundle is whole or refused."""
        if damages:
            more = f", and {len(damages) - 1} more" if len(damages) > 1 else ""
            raise ResultsError(
                f"{damages[0]}{more}; get the bundle again from where it was published: "
                f"'ampbench store check --results {self.directory}' lists what is damaged"
            )


def is_bundle(path: Path) -> bool:
    """Whether a path is a file that is named like a bundle."""
    return path.suffix.lower() == BUNDLE_SUFFIX and os.path.lexists(path) and not is_directory(path)


def open_store(path: Path) -> Store:
    """Return the store of a results directory or a bundle.

    Raises:
        ResultsError: there is neither, or the bundle is refused.
    """
    if is_bundle(path):
        return Bundle(path)
    if is_directory(path):
        return Store(path)
    raise ResultsError(
        f"there is no results directory {str(path)!r}, nor such a bundle; name one by --results: a directory that "
        f"'ampbench run' wrote, or a file {BUNDLE_SUFFIX} of 'ampbench publish'"
    )
