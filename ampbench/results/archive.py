"""Reading of zip archives that anybody may have written: the one door through which a bundle is read.

A zip archive can hold paths outside its folder, links, two files of one name, a few kilobytes that inflate to
terabytes, and a directory that contradicts its files. Nothing is extracted here, so that no path of an archive reaches
the file system; the directory is bounded before it is read, every entry is examined before the first one is opened, and
an entry is read up to the size that the directory states. Whoever uses an archive says which names it may hold.

References:
    PKWARE 2022, *APPNOTE: .ZIP File Format Specification*, version 6.3.10.
    Fifield 2019, *A better zip bomb*, WOOT, https://www.usenix.org/conference/woot19/presentation/fifield.
"""

from __future__ import annotations

import re
import stat
import zipfile
from collections.abc import Mapping
from typing import BinaryIO

from ampbench import npz
from ampbench.files import MAX_DATA_BYTES
from ampbench.text import line

MAX_ENTRIES = 65_535
"""Largest number of entries; an archive without the 64-bit extension cannot hold more."""
MAX_TOTAL_BYTES = MAX_DATA_BYTES
"""Largest size of all entries together, inflated."""
MAX_RATIO = 250
"""Largest ratio of the inflated size of an entry to its size in the archive; records reach about 10."""
RATIO_FREE_BYTES = 2**16
"""Inflated size up to which an entry may have any ratio."""
MAX_SHOWN_CHARACTERS = 80
"""Characters of a name that a message shows."""

_ENCRYPTED = 0x1
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


class Archive:
    """A zip archive whose entries were examined.

    Arguments:
        file: opened by :func:`ampbench.files.opened`.
        allowed: the pattern that the whole name of every entry must match, for each pattern the largest inflated size.

    Raises:
        ValueError: the archive is truncated or no archive, or an entry is not allowed; the message names it.
    """

    def __init__(self, file: BinaryIO, allowed: Mapping[re.Pattern[str], int]) -> None:
        npz.check_directory(file)
        file.seek(0)
        try:
            self._archive = zipfile.ZipFile(file)
        except (zipfile.BadZipFile, UnicodeDecodeError, OverflowError, NotImplementedError) as error:
            raise ValueError(f"it is no zip archive, or was cut off while it was copied: {line(str(error))}") from error
        found = self._archive.infolist()
        if len(found) > MAX_ENTRIES:
            raise ValueError(f"it has {len(found):,} entries, more than {MAX_ENTRIES:,}")
        self.entries: dict[str, zipfile.ZipInfo] = {}
        for entry in found:
            if fault := _fault(entry, allowed):
                raise ValueError(f"its entry {shown(entry.orig_filename)} {fault}")
            if entry.filename in self.entries:
                raise ValueError(f"two of its entries have the name {shown(entry.filename)}")
            self.entries[entry.filename] = entry
        if (total := sum(entry.file_size for entry in found)) > MAX_TOTAL_BYTES:
            raise ValueError(f"its entries inflate to {total:,} bytes, more than {MAX_TOTAL_BYTES:,}")

    def read(self, name: str) -> bytes:
        """Return the content of an entry.

        Raises:
            KeyError: there is no entry of this name.
            ValueError: the entry contradicts the directory, or its content the CRC-32.
        """
        entry = self.entries[name]
        try:
            with self._archive.open(entry) as stream:
                content = stream.read(entry.file_size + 1)
        except Exception as error:  # zlib, struct and zipfile raise errors of many types
            raise ValueError(f"its entry {shown(name)} cannot be read: {line(str(error))}") from error
        if len(content) != entry.file_size:
            raise ValueError(f"its entry {shown(name)} has {len(content):,} bytes, not {entry.file_size:,} as stated")
        return content


def shown(name: str) -> str:
    """Return a name for a message: quoted, printable, and shortened.

    Example:
        >>> shown("a" * 100)[-10:]
        "aaaaaaaa…'"
    """
    text = ascii(name) if not name.isprintable() else repr(name)
    return text if len(text) <= MAX_SHOWN_CHARACTERS else f"{text[:MAX_SHOWN_CHARACTERS]}…{text[-1]}"


def _fault(entry: zipfile.ZipInfo, allowed: Mapping[re.Pattern[str], int]) -> str:
    """Return why an entry is refused; "" if it is not."""
    limit = next((size for pattern, size in allowed.items() if pattern.fullmatch(entry.orig_filename)), None)
    if entry.orig_filename.startswith(("/", "\\")) or re.match("[A-Za-z]:", entry.orig_filename):
        return "has an absolute path; an archive that this program writes has none"
    if ".." in re.split(r"[/\\]", entry.orig_filename):
        return "leaves its folder by '..'; an archive that this program writes has no such path"
    if limit is None:
        return "has a name that no file of such an archive has"
    if stat.S_IFMT(entry.external_attr >> 16) not in (0, stat.S_IFREG):
        return "is a link, a folder or a device, where a regular file should be"
    if entry.flag_bits & _ENCRYPTED:
        return "is encrypted; ask for an archive without a password"
    if entry.compress_type not in _METHODS:
        return f"is compressed by method {entry.compress_type}, where 0 (stored) or 8 (deflated) should be"
    if entry.file_size > limit:
        return f"has {entry.file_size:,} bytes, more than {limit:,}"
    if entry.file_size > max(RATIO_FREE_BYTES, MAX_RATIO * entry.compress_size):
        return (
            f"inflates from {entry.compress_size:,} to {entry.file_size:,} bytes, more than {MAX_RATIO} times its size"
        )
    return ""
