"""Copies of the values that user code and this package would otherwise share.

A simulator may work in place on its argument, and may overwrite in its next call the array that it returned; a caller
may overwrite the bounds of a prior. Values cross the border to user code as copies, so that nothing of this changes the
values on the other side.
"""

from __future__ import annotations

import copy
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.distributions import Distribution, constraints
from torch.distributions.transforms import Transform, _InverseTransform

Law = TypeVar("Law", bound=Distribution | constraints.Constraint)


def copied(value: Tensor) -> Tensor:
    """Return a copy, through which gradients pass; it has the strides of the value unless its elements share memory.

    The strides are kept because torch chooses its loops by them, and the last bits of a result depend on the loop.

    Example:
        >>> part = torch.zeros(3, 4)[:, :2]
        >>> copied(part).stride(), copied(part[:1].expand(3, 2)).stride()
        ((4, 1), (2, 1))
    """
    if _overlaps(value):
        return value.clone(memory_format=torch.contiguous_format)
    return torch.empty_strided(value.shape, value.stride(), dtype=value.dtype, device=value.device).copy_(value)


def own(law: Law) -> Law:
    """Return a copy of a distribution or constraint with tensors of its own; the object itself if it has no copy.

    The constraints that exist once, such as ``constraints.real``, stay the same objects, by which they are recognised.
    """
    known: dict[int, Any] = {}
    known |= {id(each): each for each in vars(constraints).values() if isinstance(each, constraints.Constraint)}
    try:
        for inverse in _inverses(law):  # whose copies by torch have no function
            known[id(inverse)] = copy.deepcopy(inverse.inv, known).inv
        return copy.deepcopy(law, known)
    except Exception:  # such as a tensor with a history of gradients, or the handle of a file
        return law


def _inverses(law: Distribution | constraints.Constraint) -> list[_InverseTransform]:
    """Return the inverses among the transforms that a distribution or constraint is made of."""
    found: list[_InverseTransform] = []
    seen: set[int] = set()
    left: list[Any] = [law]
    while left:
        part = left.pop()
        if isinstance(part, _InverseTransform):
            found.append(part)
        elif id(part) not in seen:
            seen.add(id(part))
            if isinstance(part, list | tuple):
                left += part
            elif isinstance(part, Distribution | constraints.Constraint | Transform):
                left += vars(part).values()
    return found


def _overlaps(value: Tensor) -> bool:
    """Return whether two elements may have one place in memory."""
    extent = 0  # the distance of the last element of the inner dimensions
    for stride, size in sorted(zip(value.stride(), value.shape, strict=True)):
        if size > 1 and stride <= extent:
            return True
        extent += stride * max(size - 1, 0)
    return False
