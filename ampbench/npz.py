"""Reading of numpy's files: shapes and dtypes are read from the headers, and their size is bounded, before the data.

A small compressed file can hold terabytes of zeros, and a header can claim a shape that no memory holds. An entry is
therefore refused unless its header describes as many bytes as the directory of the archive says that it holds, and all
entries together stay within the bound. No object is unpickled.

References:
    https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html.
"""

from __future__ import annotations

import io
import math
import os
import struct
import zipfile
from collections.abc import Collection
from typing import IO, BinaryIO

import numpy as np
from numpy.lib import format as npy

from ampbench.files import MAX_DATA_BYTES

MAX_ARRAYS = 65_535
"""Largest number of arrays in an archive."""
MAX_DIRECTORY_BYTES = 16 * 2**20
"""Largest directory of an archive, which is read as a whole; an entry takes about a hundred bytes."""
MAX_HEADER_BYTES = 16_384
"""Largest size of the header of an array; numpy accepts headers of 10,000 bytes."""
SUFFIX = ".npy"


def read_arrays(
    file: BinaryIO, limit: int = MAX_DATA_BYTES, names: Collection[str] | None = None
) -> dict[str, np.ndarray]:
    """Return the arrays of an npz file by name.

    Arguments:
        file: opened by :func:`ampbench.files.opened`, or in memory.
        limit: the largest number of bytes of all arrays together.
        names: of the arrays to read; None for all.

    Raises:
        ValueError: there are more bytes or arrays, or an entry is no array of numbers or texts; the message names it.
        KeyError: there is no array of a name.
        Exception: of many types, for damaged files.
    """
    check_directory(file)
    with zipfile.ZipFile(file) as archive:
        entries = archive.infolist()
        if len(entries) > MAX_ARRAYS:
            raise ValueError(f"it has {len(entries):,} entries, more than {MAX_ARRAYS:,}")
        found = {entry.filename.removesuffix(SUFFIX): entry for entry in entries}
        wanted = {name: found[name] for name in (found if names is None else names)}
        if len(found) < len(entries):
            raise ValueError("two of its entries have one name")
        total = sum(_size(archive, entry) for entry in wanted.values())
        _refuse_more(total, limit, "its arrays have")
        return {name: _array(archive, entry) for name, entry in wanted.items()}


def read_array(file: BinaryIO, limit: int = MAX_DATA_BYTES) -> np.ndarray:
    """Return the array of an npy file; raises as :func:`read_arrays` does."""
    _refuse_more(_described(file)[1], limit, "its array has")
    file.seek(0)
    return np.asarray(npy.read_array(file, allow_pickle=False))


def check_directory(file: BinaryIO) -> None:
    """Raise ValueError for an archive with a large directory; zipfile reports one without a directory."""
    end = file.seek(0, os.SEEK_END)
    file.seek(max(0, end - 2**16 - 22))  # a comment of at most 65,535 bytes follows the record, which has 22
    last = file.read()
    at = last.rfind(b"PK\x05\x06")
    if at < 0:
        return
    if len(last) < at + 22:
        raise ValueError("the directory of its entries is torn")
    longer = last[max(0, at - 20) : at].startswith(b"PK\x06\x07")  # the directory is described elsewhere, in 64 bits
    if longer or struct.unpack_from("<L", last, at + 12)[0] > MAX_DIRECTORY_BYTES:
        raise ValueError(f"the directory of its entries is larger than {MAX_DIRECTORY_BYTES:,} bytes")


def _size(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> int:
    """Return the number of bytes of an entry's array, if its header agrees with the directory of the archive."""
    if not entry.filename.endswith(SUFFIX):
        raise ValueError(f"its entry {entry.filename!r} is no array; the names of arrays end in {SUFFIX}")
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ValueError(f"its entry {entry.filename!r} is compressed by a method that numpy does not use")
    with archive.open(entry) as stream:
        header, size = _described(stream)
    if header + size != entry.file_size:
        raise ValueError(
            f"its entry {entry.filename!r} has {entry.file_size:,} bytes, and its header describes {header + size:,}"
        )
    return size


def _described(stream: IO[bytes]) -> tuple[int, int]:
    """Return the number of bytes of the header of an array, and of the numbers that it describes."""
    start = io.BytesIO(stream.read(MAX_HEADER_BYTES))  # a longer header ends in an error, without being read
    version = npy.read_magic(start)
    if version not in ((1, 0), (2, 0), (3, 0)):
        raise ValueError(f"its array has format {version}, which is unknown")
    read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    shape, _, dtype = read(start)
    if dtype.hasobject:
        raise ValueError("its array holds Python objects, which are not unpickled: allow_pickle=False")
    if min(shape, default=0) < 0:
        raise ValueError(f"its array has shape {shape}")
    return start.tell(), dtype.itemsize * math.prod(shape) if all(shape) else 0


def _array(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> np.ndarray:
    with archive.open(entry) as stream:
        return np.asarray(npy.read_array(stream, allow_pickle=False))


def _refuse_more(size: int, limit: int, what: str) -> None:
    if size > limit:
        raise ValueError(f"{what} {size:,} bytes, more than {limit:,}")
