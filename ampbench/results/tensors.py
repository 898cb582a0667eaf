"""Serialization of named tensors in numpy's npz format, which holds numbers only and no executable code.

References:
    Harris et al. 2020, *Array programming with NumPy*, doi:10.1038/s41586-020-2649-2;
    https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from ampbench import npz

if TYPE_CHECKING:
    from torch import Tensor


def dump(tensors: Mapping[str, Tensor]) -> bytes:
    """Return the bytes of tensors on any device; equal tensors give equal bytes.

    Raises:
        TypeError: a value is not a tensor, or has a dtype that numpy lacks, such as bfloat16.

    Example:
        >>> import torch
        >>> parse(dump({"theta": torch.ones(2)}))
        {'theta': tensor([1., 1.])}
    """
    from torch import Tensor  # importing torch takes a second, and most commands read no samples

    for name, tensor in tensors.items():
        if not isinstance(tensor, Tensor):
            raise TypeError(f"{name!r} is a {type(tensor).__name__}, not a tensor")
    buffer = io.BytesIO()
    arrays: dict[str, Any] = {name: tensor.detach().cpu().numpy() for name, tensor in tensors.items()}
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def parse(content: bytes) -> dict[str, Tensor]:
    """Return the tensors that :func:`dump` wrote, without unpickling; damaged input raises exceptions of many types.

    The tensors are copied into memory allocated by torch, since its alignment may change the last digits of a matrix
    product.
    """
    return read(io.BytesIO(content))


def read(file: BinaryIO) -> dict[str, Tensor]:
    """Return the tensors of a file that is open for reading; see :func:`parse`."""
    import torch

    return {name: torch.from_numpy(array).clone() for name, array in npz.read_arrays(file).items()}


def read_samples(file: BinaryIO) -> np.ndarray:
    """Read posterior samples (n, D); raises ValueError for anything else, and errors of many types."""
    samples = npz.read_arrays(file, names=["theta"])["theta"]
    if samples.ndim != 2 or samples.dtype not in (np.float16, np.float32, np.float64):
        raise ValueError(f"its samples are {samples.dtype} of shape {samples.shape}, where floats (n, D) should be")
    if not np.isfinite(samples).all():
        raise ValueError("its samples have NaN or infinite values")
    return samples
