"""Outputs of simulators: the values that Python code returns, as one tensor with a row for every simulation.

A simulator that was called with n rows of theta may return, for n draws of x:

- an array or tensor of shape (n, L); of shape (n, …), such as images (n, 28, 28) or series (n, T, d), which keep the
  shape of a draw as their layout, and are flattened row by row; or of shape (n,), which is one component;
- a list of n rows, each of which is anything with one shape: numbers, lists, arrays, dictionaries, tuples;
- parts with n rows each, as a dictionary, a named tuple, a data frame, an ``xarray`` data set, a structured array, or a
  tuple of arrays: components are joined in the order of the parts.

A list is one of rows, and never one of parts. A tuple of n arrays of one shape, with n rows each, could be either, and
is refused. Booleans are 0 and 1; masked and missing (``NA``) entries are NaN, which is a failed simulation
(:mod:`ampbench.graph.failures`). Everything else is refused: complex numbers, dates, texts, rows of different lengths,
generators, and other shapes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import reduce
from numbers import Real
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ampbench.errors import SimulationError

WRAPPER = "a simulator of a single theta becomes one of batches by ampbench.one_at_a_time(simulate)"


@dataclass(frozen=True)
class Layout:
    """The layout of a draw before it was flattened.

    Attributes:
        shape: of a draw, such as (28, 28); (L,) for a vector.
        parts: the names of its parts, in order, if they had names.
    """

    shape: tuple[int, ...]
    parts: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"shape {self.shape}" + (f" with the parts {', '.join(self.parts)}" if self.parts else "")


def read_output(source: str, value: object, n: int, size: int | None = None) -> tuple[Tensor, Layout]:
    """Return the output of a simulator as a tensor (n, L), of its own real type and with its gradient, and the layout.

    Arguments:
        source: what returned it, for messages, such as ``node 'x'``.
        value: what was returned for n rows.
        n: number of rows.
        size: L, if it is declared.

    Raises:
        SimulationError: the value cannot be read; the message says what was seen, what is expected, and how to get
            there.

    Example:
        >>> rows, layout = read_output("node 'x'", {"mean": np.zeros(5), "image": torch.ones(5, 2, 2)}, n=5)
        >>> rows.shape, layout.parts
        (torch.Size([5, 5]), ('mean', 'image'))
        >>> read_output("node 'x'", torch.ones(5, 2, 2), n=5)[1].shape
        (2, 2)
    """
    expected = f"({n}, {'D' if size is None else size})"
    try:
        tensor, parts = _read(value, n)
    except _Unreadable as error:
        raise SimulationError(
            f"{source} {error.fault}, expected an array of shape {expected}; {error.advice}"
        ) from error.__cause__
    shape = tuple(tensor.shape)
    if tensor.ndim == 1 and len(tensor) == n:
        tensor = tensor[:, None]
    if tensor.ndim > 2 and len(tensor) == n:
        tensor = tensor.flatten(1)
    if tensor.ndim != 2 or len(tensor) != n or not tensor.shape[1] or tensor.shape[1] != (size or tensor.shape[1]):
        raise SimulationError(f"{source} has shape {shape}, expected {expected}; {_advice(shape, n, size)}")
    return tensor, Layout(shape[1:] or (1,), parts)


def _advice(shape: tuple[int, ...], n: int, size: int | None) -> str:
    """Return how to get from a shape to one with n rows."""
    if shape[:1] == (n,):
        given = "no" if 0 in shape else str(int(np.prod(shape[1:])))
        return f"return {'at least one component' if size is None else f'{size} components'} per row, not {given}"
    if not shape:
        return f"return a row for each of the {n} rows of theta; {WRAPPER}"
    if shape[:2] == (1, n):
        return "drop the first axis: x[0]"
    if shape[1:2] == (n,):
        return "the first axis counts the rows of theta: transpose the output (x.swapaxes(0, 1)), or return a dict"
    return f"the first axis counts the {n} rows of theta; {WRAPPER}"


class _Unreadable(Exception):  # noqa: N818 — it never leaves this module
    """An output that cannot be read.

    Arguments:
        fault: what was seen.
        advice: the next step.
    """

    def __init__(self, fault: str, advice: str) -> None:
        super().__init__(fault, advice)
        self.fault, self.advice = fault, advice

    def inside(self, place: str) -> _Unreadable:
        """Return the error with the place of the fault."""
        return _Unreadable(f"in {place} {self.fault}" if place else self.fault, self.advice)


def _read(value: Any, n: int) -> tuple[Tensor, tuple[str, ...]]:
    """Return a tensor of any shape, and the names of its parts."""
    if isinstance(value, Tensor):
        return _dense(value), ()
    if isinstance(value, np.ndarray) and value.dtype.names:
        return _joined(((name, value[name]) for name in value.dtype.names), n)
    if isinstance(value, Mapping):
        return _joined(value.items(), n)
    library, kind = type(value).__module__.partition(".")[0], type(value).__name__
    if library == "pandas" and getattr(value, "ndim", 0) == 2:
        return _joined(((name, value.iloc[:, i]) for i, name in enumerate(value.columns)), n)
    if library == "xarray" and kind == "Dataset":
        return _joined(value.data_vars.items(), n)
    if isinstance(value, tuple):
        return _from_tuple(value, n)
    return _array(value), ()


def _joined(parts: Iterable[tuple[Any, Any]], n: int) -> tuple[Tensor, tuple[str, ...]]:
    """Join the components of parts with n rows each."""
    names, columns = [], []
    for name, part in parts:
        try:
            tensor, _ = _read(part, n)
        except _Unreadable as error:
            raise error.inside(f"part {name!r}") from error
        if tensor.ndim < 1 or len(tensor) != n:
            seen = tuple(tensor.shape)
            raise _Unreadable(f"has a part {name!r} of shape {seen} instead of ({n}, …)", _advice(seen, n, None))
        names.append(str(name))
        columns.append(tensor.reshape(n, -1))
    if not columns:
        raise _Unreadable("returned no part", "return at least one part, with a row for each row of theta")
    return torch.cat(columns, dim=1), tuple(names)


def _from_tuple(value: tuple[Any, ...], n: int) -> tuple[Tensor, tuple[str, ...]]:
    """Read a tuple as parts, or else as a list of rows."""
    if hasattr(value, "_fields"):
        return _joined(zip(value._fields, value, strict=True), n)
    if not value or not all(row_count(each) == n for each in value):
        return _stacked(list(value)), ()
    if len(value) == n > 1 and len({getattr(each, "shape", (n,)) for each in value}) == 1:  # rows have one shape
        raise _Unreadable(
            f"returned a tuple of {n} arrays of length {n}, which may be {n} rows or {n} parts",
            "return a list of rows, or a dict of parts",
        )
    return _joined(enumerate(value), n)[0], ()


def row_count(value: Any) -> int | None:
    """Return the number of rows of an array or a sequence, or of the parts of a mapping; None if there is none."""
    if isinstance(value, Mapping):
        counts = {row_count(part) for part in value.values()}
        return counts.pop() if len(counts) == 1 else None
    if isinstance(value, list | tuple):
        return len(value)
    shape = getattr(value, "shape", None)
    return shape[0] if isinstance(shape, tuple) and shape else None


def _array(value: Any) -> Tensor:
    """Return a value without parts as a tensor."""
    if isinstance(value, np.ndarray):
        return _from_numpy(value)
    if isinstance(value, list | tuple):
        return _stacked(list(value))
    if type(value).__module__.partition(".")[0] == "pandas" and hasattr(value, "dtype"):
        return _column(value)
    if hasattr(value, "toarray"):  # sparse arrays of scipy
        return _from_numpy(value.toarray())
    if isinstance(value, Real | Decimal) and not hasattr(value, "__array__"):
        return torch.tensor(float(value), dtype=torch.float64)
    if isinstance(value, complex) or hasattr(value, "__array__"):
        try:
            return _from_numpy(np.asarray(value))
        except (TypeError, ValueError, RuntimeError) as error:
            raise _Unreadable(
                f"returned {type(value).__name__}, not a tensor or array ({error})", "convert it"
            ) from error
    if isinstance(value, Iterator):
        raise _Unreadable(f"returned {type(value).__name__}, not a tensor or array", "return list(…) of it")
    if value is None:
        raise _Unreadable("returned None, not a tensor or array", "end the simulator with a return of x")
    raise _Unreadable(
        f"returned {type(value).__name__}, not a tensor or array", "return numbers, a row for each row of theta"
    )


def _dense(value: Tensor) -> Tensor:
    if value.is_nested:
        raise _Unreadable("returned a nested tensor", "pad its rows to one length")
    if value.is_complex():
        raise _Unreadable("returned complex numbers", "return their parts: torch.cat([x.real, x.imag], dim=1)")
    if value.is_meta:
        raise _Unreadable("returned a tensor on the device 'meta', which has no values", "return one on the CPU")
    if value.is_quantized:
        return value.dequantize()
    return value if value.layout == torch.strided else value.to_dense()


def _from_numpy(value: np.ndarray[Any, Any]) -> Tensor:
    kind, dtype = value.dtype.kind, value.dtype
    if kind == "O" and value.ndim:
        return _stacked(value.tolist())
    if kind == "c":
        raise _Unreadable("returned complex numbers", "return their parts: np.concatenate([x.real, x.imag], axis=1)")
    if kind in "mM":
        raise _Unreadable(
            f"returned dates or durations ({dtype})",
            "return numbers: (x - x0) / np.timedelta64(1, 's'), from a time x0",
        )
    if kind not in "biuf":
        seen = "texts" if kind in "US" else f"values of type {dtype}"
        raise _Unreadable(f"returned {seen}, not numbers", "convert them: x.astype(float)")
    if isinstance(value, np.ma.MaskedArray):
        value = np.ma.filled(value.astype(float), np.nan) if np.ma.is_masked(value) else value.data
    if dtype.itemsize > 8 or (kind == "u" and dtype.itemsize > 1):
        return torch.from_numpy(value.astype(float))
    if not (value.flags.writeable and dtype.isnative and all(stride >= 0 for stride in value.strides)):
        value = np.array(value, dtype.newbyteorder("="), order="C")  # torch takes no other layout
    return torch.as_tensor(value)


def _column(series: Any) -> Tensor:
    """Return a series or an index of pandas; missing entries are NaN."""
    import pandas as pd

    if pd.api.types.is_extension_array_dtype(series.dtype) and pd.api.types.is_numeric_dtype(series.dtype):
        return _from_numpy(series.to_numpy(float, na_value=np.nan))
    return _from_numpy(np.asarray(series))


def _stacked(rows: list[Any]) -> Tensor:
    """Return a list as a tensor, which has one more axis than its rows."""
    if not rows:
        raise _Unreadable("returned an empty list", "return a row for each row of theta")
    if all(isinstance(row, Mapping) for row in rows):
        return _from_records(rows)
    if not _has_special(rows):
        try:
            found = np.asarray(rows)
        except (TypeError, ValueError, RuntimeError):  # rows of different lengths
            found = np.empty(0, dtype=object)
        if found.dtype.kind != "O":
            return _from_numpy(found)
    tensors = [_row(f"row {i}" if len(rows) > 1 else "", row) for i, row in enumerate(rows)]
    shapes = [tuple(tensor.shape) for tensor in tensors]
    if odd := [i for i, shape in enumerate(shapes) if shape != shapes[0]]:
        raise _Unreadable(
            f"returned rows of different shapes: row 0 has {shapes[0]}, row {odd[0]} has {shapes[odd[0]]}",
            "let all rows have one shape, such as by padding them to the longest",
        )
    dtype = reduce(torch.promote_types, (tensor.dtype for tensor in tensors))
    return torch.stack([tensor.to(dtype) for tensor in tensors])


def _has_special(rows: list[Any] | tuple[Any, ...]) -> bool:
    """Return whether nested rows hold tensors or masked arrays, of which numpy would lose the type or the mask."""
    return any(
        _has_special(row) if isinstance(row, list | tuple) else isinstance(row, Tensor | np.ma.MaskedArray)
        for row in rows
    )


def _row(place: str, row: Any) -> Tensor:
    try:
        if isinstance(row, Mapping):
            return _from_records([row])[0]
        return _dense(row) if isinstance(row, Tensor) else _array(row)
    except _Unreadable as error:
        raise error.inside(place) from error


def _from_records(rows: list[Any]) -> Tensor:
    """Return dictionaries with the same keys, one for each row, as vectors; values are joined in the order of keys."""
    keys = list(rows[0])
    if not keys:
        raise _Unreadable(
            f"returned {type(rows[0]).__name__}, not a number or an array", "put at least one array into it"
        )
    if odd := next((row for row in rows if list(row) != keys), None):
        raise _Unreadable(
            f"returned rows with the keys {keys} and {list(odd)}", "give all rows the same keys, in one order"
        )
    columns = [_stacked([row[key] for row in rows]).reshape(len(rows), -1) for key in keys]
    return torch.cat(columns, dim=1)
