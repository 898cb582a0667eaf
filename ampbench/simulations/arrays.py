"""Stored simulations: one array of rows for each variable; row i of all of them is one draw of the model."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ampbench.errors import UsageError


@dataclass(frozen=True)
class Simulations:
    """Simulations that exist already.

    Attributes:
        values: by the name of a variable, such as theta and x, its values, shape (n, D_i).
        origin: where they come from, for messages.
        names: of the components of theta, if the source names them.

    Raises:
        UsageError: there is no row, the variables have different numbers of rows, or a value is NaN or infinite; the
            message names the variable and the row, of which the first is row 0.

    Example:
        >>> stored = Simulations.of({"theta": [[0.1], [0.2]], "x": [3.0, 4.0]}, "the given arrays")
        >>> len(stored), {name: tuple(value.shape) for name, value in stored.values.items()}
        (2, {'theta': (2, 1), 'x': (2, 1)})
    """

    values: Mapping[str, Tensor]
    origin: str
    names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        rows = {name: len(value) for name, value in self.values.items()}
        if len(set(rows.values())) > 1:
            counts = ", ".join(f"{name} has {count:,} rows" for name, count in rows.items())
            raise UsageError(f"{self.origin}: {counts}; row i of each must belong to one simulation")
        if not rows or not len(self):
            raise UsageError(f"{self.origin} hold no simulation; give at least one row of each variable")
        for name, value in self.values.items():
            _check_finite(name, value, self.origin)

    @classmethod
    def of(cls, arrays: Mapping[str, Any], origin: str) -> Simulations:
        """Return simulations from arrays of any kind; see :func:`rows_of`."""
        return cls({name: rows_of(name, value, origin) for name, value in arrays.items()}, origin)

    def __len__(self) -> int:
        return len(next(iter(self.values.values())))

    @property
    def checksum(self) -> str:
        """Twelve hexadecimal digits that change with any value."""
        digest = hashlib.sha256()
        for name, value in self.values.items():
            digest.update(f"{name} {tuple(value.shape)} {value.dtype}".encode() + value.numpy().tobytes())
        return digest.hexdigest()[:12]

    def take(self, rows: Tensor | slice) -> Simulations:
        """Return some rows, given their numbers."""
        return replace(self, values={name: value[rows] for name, value in self.values.items()})

    def arrays(self) -> dict[str, np.ndarray]:
        """Return numpy arrays by name, for another process."""
        return {name: value.numpy() for name, value in self.values.items()}


def rows_of(name: str, value: Any, origin: str) -> Tensor:
    """Return an array of numbers as a tensor (n, D); the numbers of a row with more dimensions are flattened.

    Arguments:
        name: of the variable, for messages.
        value: a tensor, a numpy array, a pandas frame or series, or nested lists.
        origin: where it comes from, for messages.

    Raises:
        UsageError: it holds no numbers, or is no array.
    """
    fault = f"{origin}: {name} is a {type(value).__name__}"
    try:
        array = value.detach().cpu().numpy() if isinstance(value, Tensor) else np.asarray(value)
    except (TypeError, ValueError, RuntimeError) as error:
        raise UsageError(f"{fault} that is no array of numbers ({error}); give one row per simulation") from error
    if array.dtype == object:
        array = _unboxed(array)
    if array.dtype == bool:
        array = array.astype(float)
    if not np.issubdtype(array.dtype, np.integer) and not np.issubdtype(array.dtype, np.floating):
        raise UsageError(f"{fault} of {array.dtype}, not of real numbers; give one row of numbers per simulation")
    if array.ndim == 0 or not array.size:
        raise UsageError(
            f"{fault} of shape {array.shape}, which has no row of numbers; give shape (n, D), one row per simulation"
        )
    supported = array.dtype.newbyteorder("=") if array.dtype.itemsize in (1, 2, 4, 8) else np.float64
    if np.issubdtype(array.dtype, np.unsignedinteger):
        supported = np.float64
    return torch.from_numpy(np.array(array, dtype=supported, order="C")).reshape(len(array), -1)


def _unboxed(array: np.ndarray) -> np.ndarray:
    """Return objects as numbers, missing ones as NaN, if all are, as in a frame of several types; texts are none."""
    objects = [np.nan if each is None or type(each).__name__ == "NAType" else each for each in array.ravel()]
    if not all(isinstance(each, int | float | np.integer | np.floating | np.bool_) for each in objects):
        return array
    return np.array(objects, dtype=float).reshape(array.shape)


def _check_finite(name: str, value: Tensor, origin: str) -> None:
    bad = ~value.isfinite()
    rows = bad.any(1).nonzero().flatten().tolist()
    if not rows:
        return
    component = int(bad[rows[0]].nonzero()[0])
    raise UsageError(
        f"{origin}: {name} has NaN or infinite values in {len(rows):,} of {len(value):,} rows; the first is "
        f"{float(value[rows[0], component])} in row {rows[0]}, component {component} (both counted from 0). Remove "
        "these rows from all variables, or replace failed outputs by a finite code"
    )
