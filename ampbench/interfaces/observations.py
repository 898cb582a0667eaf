"""Arguments of posteriors, in the types in which people have them: observations, parameters, and numbers of draws.

An observation is a tensor, an array, a list, a row of a table, or a mapping from variables to these; on any device, of
any real type. Its shape is (L,) or that of one simulation, such as (28, 28), with an axis of several observations in
front if there are several. One observation in such an axis, (1, L), is one observation. Where failed
simulations were coded, NaN and infinite values of an observation are coded too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ampbench.counts import count
from ampbench.errors import UsageError
from ampbench.interfaces.description import Description


def number_of_draws(n: object) -> int:
    """Return a number of draws as an ``int``; ``(1000,)``, a shape of one dimension, is 1000.

    Raises:
        UsageError: the number is not whole, or less than 1, or a shape has several dimensions.
    """
    if isinstance(n, Sequence) and not isinstance(n, str | bytes):
        if len(n) != 1:
            raise UsageError(f"the number of draws is the shape {tuple(n)}; give one number, such as 1000")
        n = n[0]
    return count("the number of draws", n)


def observations(value: object, description: Description | None) -> tuple[Tensor, bool]:
    """Return observations as rows (m, L) on the CPU, and whether there were several.

    Arguments:
        value: the observations; see above.
        description: of the posterior; without one, the last axis has the L components.

    Raises:
        UsageError: the value holds no real numbers, or has another shape; the message names both shapes.
    """
    if isinstance(value, Mapping):
        return _joined(value, description)
    tensor = real(value, "the observation", None if description is None else description.dtype)
    if description is None:
        return _rows(tensor, ())
    rows, several = _rows(tensor, description.shape, description.features)
    return _coded(rows, description), several


def _coded(rows: Tensor, description: Description) -> Tensor:
    """Return rows (m, L) with codes in the place of NaN and infinite values, if simulations were coded."""
    if description.codes is None:
        return rows
    return torch.where(rows.isfinite(), rows, description.codes.mean(0).to(rows))


def real(value: object, what: str, dtype: torch.dtype | None = None) -> Tensor:
    """Return real numbers as a tensor on the CPU.

    Arguments:
        value: a tensor, or whatever numpy takes for an array.
        what: the value, for the message.
        dtype: the type of the result; double precision only raises the precision of other types than floating ones.
            None keeps the type of tensors.

    Raises:
        UsageError: the value holds no real numbers; the message names the type and the next step.
    """
    tensor = value.detach().cpu() if isinstance(value, Tensor) else _from_array(value, what)
    if tensor.is_complex():
        raise UsageError(f"{what} has complex numbers ({tensor.dtype}); give real and imaginary parts as components")
    if dtype is None:
        return tensor if isinstance(value, Tensor) else tensor.to(torch.get_default_dtype())
    keep = dtype == torch.float64 and tensor.is_floating_point()
    return tensor if keep else tensor.to(dtype)


def _from_array(value: object, what: str) -> Tensor:
    if value is None or isinstance(value, str | bytes):
        raise UsageError(f"{what} is {value!r}; give numbers, such as a list, an array or a tensor")
    try:
        if isinstance(value, Sequence) and value and all(isinstance(each, Tensor) for each in value):
            return torch.stack([each.detach().cpu() for each in value])
        array = _masked_as_nan(value)
        if array.dtype.kind not in "fiubc":
            array = _numbers(array)
        wide = array if array.dtype.kind == "c" else array.astype(np.float64)
        return torch.from_numpy(np.ascontiguousarray(wide))
    except (TypeError, ValueError, RuntimeError) as error:
        raise UsageError(
            f"{what} is a {type(value).__name__} that is no array of numbers ({_first_line(error)}); give a list, an "
            "array or a tensor of numbers, all rows of one length"
        ) from None


def _masked_as_nan(value: Any) -> np.ndarray:
    if isinstance(value, np.ma.MaskedArray):
        return np.ma.filled(value.astype(np.float64), np.nan)
    return np.asarray(value)


def _numbers(array: np.ndarray) -> np.ndarray:
    """Return an array of objects, such as a row of a table of several types, as numbers."""
    if array.dtype.kind != "O":
        raise TypeError(f"its values have the type {array.dtype}")
    if bad := [each for each in array.ravel().tolist() if isinstance(each, str | bytes | complex)]:
        raise TypeError(f"it holds {bad[0]!r}")
    return array.astype(np.float64)


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]


def _joined(given: Mapping[Any, object], description: Description | None) -> tuple[Tensor, bool]:
    """Join observations that are given by variable."""
    names = description.observed if description else tuple(given)
    if missing := sorted(set(names).symmetric_difference(given)):
        raise UsageError(
            f"the observation has the variables {', '.join(map(str, given)) or 'none'}, expected {', '.join(names)}: "
            f"{missing[0]!r} is missing or unknown"
        )
    parts, several = [], []
    for name in names:
        shape = description.shapes.get(name, ()) if description else ()
        size = description.sizes.get(name) if description else None
        tensor = real(given[name], f"the observation of {name!r}", description.dtype if description else None)
        rows, many = _rows(tensor, shape or (() if size is None else (size,)), size, f"the observation of {name!r}")
        parts.append(rows)
        several.append(many)
    if len({len(each) for each in parts}) > 1:
        counts = ", ".join(f"{name} {len(each)}" for name, each in zip(names, parts, strict=True))
        raise UsageError(f"the variables have different numbers of observations: {counts}; give as many of each")
    rows = torch.cat(parts, -1)
    return _coded(rows, description) if description else rows, any(several)


def _rows(
    tensor: Tensor, shape: tuple[int, ...], size: int | None = None, what: str = "the observation"
) -> tuple[Tensor, bool]:
    """Return rows (m, L) of a tensor of shape (L,), (m, L), of a simulation, or of m simulations."""
    if tensor.ndim == 0:
        tensor = tensor[None]
    if size is None:
        if tensor.ndim > 2:
            raise UsageError(f"{what} has shape {tuple(tensor.shape)}, expected (L,) or (m, L) for m observations")
        if not tensor.numel():
            raise UsageError(f"{what} has shape {tuple(tensor.shape)}, which holds no number")
        one = tensor.ndim == 1 or len(tensor) == 1
    else:
        forms = {(size,), shape}
        fits = [form for form in forms if tuple(tensor.shape[tensor.ndim - len(form) :]) == form]
        extra = [tensor.ndim - len(form) for form in fits]
        if not fits or min(extra) > 1 or not tensor.numel():
            raise UsageError(f"{what} has shape {tuple(tensor.shape)}, expected {_expected(shape, size)}")
        one = min(extra) == 0 or len(tensor) == 1
        tensor = tensor.reshape(-1, size)
    return (tensor.reshape(1, -1) if one else tensor), not one


def _expected(shape: tuple[int, ...], size: int) -> str:
    """Return the shapes that are accepted, in words."""
    own = shape if len(shape) > 1 else (size,)
    flat = f", ({size},)" if len(shape) > 1 else ""
    return f"{own}{flat} or ({', '.join(map(str, ('m', *own)))}) for m observations"
