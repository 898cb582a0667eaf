r"""Supports of vectors, with the bijections from the real line that coordinates need.

:class:`Blocks` joins supports of vectors, such as a simplex beside a real line; :class:`Restricted` is the part of a
support where a density is positive, for which there is no bijection: draws outside are rejected.

References:
    Stan Development Team 2024, *Stan reference manual*, constraint transforms, https://mc-stan.org/docs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import groupby
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.distributions import biject_to, constraints
from torch.distributions.constraints import Constraint
from torch.distributions.transforms import Transform

LOWER, UPPER = "lower_bound", "upper_bound"


class Integers(Constraint):
    """All whole numbers."""

    is_discrete = True
    event_dim = 0

    def check(self, value: Tensor) -> Tensor:
        """Return which values are whole, of the shape of the values."""
        return value % 1 == 0

    def __repr__(self) -> str:
        return "Integers()"


integers = Integers()


class Blocks(Constraint):
    """Vectors (*, D) whose blocks have supports of their own, at least one of which is a support of vectors.

    Arguments:
        parts: the supports of the blocks, with event dimension 1.
        sizes: the numbers of components of the blocks.
    """

    event_dim = 1

    def __init__(self, parts: Sequence[Constraint], sizes: Sequence[int]) -> None:
        self.cseq = list(parts)  # the name in torch's constraints.cat
        self.sizes = list(sizes)
        super().__init__()

    @property
    def is_discrete(self) -> bool:  # type: ignore[override]
        """Whether some block is discrete."""
        return any(part.is_discrete for part in self.cseq)

    def check(self, value: Tensor) -> Tensor:
        """Return which values (*, D) are inside, shape (*,)."""
        cut = value.split(self.sizes, -1)
        return torch.stack([part.check(each) for part, each in zip(self.cseq, cut, strict=True)]).all(0)

    def __repr__(self) -> str:
        return f"Blocks({self.cseq}, {self.sizes})"


class HasLogProb(Protocol):
    """A log density."""

    def log_prob(self, value: Tensor) -> Tensor:
        """Return the log density, shape (n,), at values (n, D)."""


class Restricted(Constraint):
    """The part of a support in which a density is positive.

    Its bijection is that of the whole support, so that draws in its coordinates may lie outside: reject these.

    Arguments:
        whole: the support, with event dimension 1.
        law: a distribution over vectors, whose density it is; anything with its ``log_prob``.
    """

    event_dim = 1

    def __init__(self, whole: Constraint, law: HasLogProb) -> None:
        self.whole = whole
        self.law = law
        super().__init__()

    @property
    def is_discrete(self) -> bool:  # type: ignore[override]
        """Whether the whole support is discrete."""
        return bool(self.whole.is_discrete)

    def check(self, value: Tensor) -> Tensor:
        """Return which values (*, D) are inside, shape (*,)."""
        rows = value.reshape(-1, value.shape[-1])
        inside: Tensor = self.whole.check(rows)
        positive = _is_positive(self.law, rows[inside].cpu()).to(rows.device)
        return inside.masked_scatter(inside, positive).reshape(value.shape[:-1])

    def __repr__(self) -> str:
        return f"Restricted({self.whole!r})"


def _is_positive(law: HasLogProb, rows: Tensor) -> Tensor:
    """Return where a density is positive, shape (n,), at values (n, D); a law may raise errors where it is not."""
    if not len(rows):
        return torch.zeros(0, dtype=torch.bool)
    try:
        with torch.no_grad():
            return law.log_prob(rows) > -torch.inf
    except ValueError:  # torch's distributions raise it for values outside their supports
        if len(rows) == 1:
            return torch.zeros(1, dtype=torch.bool)
        return torch.cat([_is_positive(law, half) for half in rows.split(-(-len(rows) // 2))])


class BlocksTransform(Transform):
    """The bijections of :class:`Blocks`, side by side; a block of a simplex has one coordinate less than components."""

    bijective = True

    def __init__(self, blocks: Blocks) -> None:
        super().__init__()
        self.parts = [biject_to(part) for part in blocks.cseq]
        self.sizes = blocks.sizes
        self.free = [
            part.inverse_shape(torch.Size([size]))[-1] for part, size in zip(self.parts, self.sizes, strict=True)
        ]
        self.domain = constraints.real_vector
        self.codomain = blocks

    def _call(self, x: Tensor) -> Tensor:
        return torch.cat([part(each) for part, each in zip(self.parts, x.split(self.free, -1), strict=True)], -1)

    def _inverse(self, y: Tensor) -> Tensor:
        return torch.cat([part.inv(each) for part, each in zip(self.parts, y.split(self.sizes, -1), strict=True)], -1)

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        """Return log |det dy/dx|, shape (*,), at coordinates x (*, D′) and values y (*, D)."""
        cut = zip(self.parts, x.split(self.free, -1), y.split(self.sizes, -1), strict=True)
        return torch.stack([part.log_abs_det_jacobian(a, b) for part, a, b in cut]).sum(0)

    def forward_shape(self, shape: Any) -> torch.Size:
        """Return the shape (*, D) of values for coordinates (*, D′)."""
        return torch.Size([*shape[:-1], sum(self.sizes)])

    def inverse_shape(self, shape: Any) -> torch.Size:
        """Return the shape (*, D′) of coordinates for values (*, D)."""
        return torch.Size([*shape[:-1], sum(self.free)])


biject_to.register(Blocks, BlocksTransform)
biject_to.register(Restricted, lambda part: biject_to(part.whole))


def reaches_outside(support: Constraint) -> bool:
    """Return whether the bijection of a support also reaches values outside, which must be rejected.

    Example:
        >>> reaches_outside(constraints.simplex)
        False
    """
    support = elementwise(support)
    return isinstance(support, Restricted) or any(map(reaches_outside, getattr(support, "cseq", ())))


def elementwise(support: Constraint) -> Constraint:
    """Return the constraint of single components, if there is one, since constraints of one kind can be joined."""
    while isinstance(support, constraints.independent):
        support = support.base_constraint
    return support


def joined(parts: Sequence[Constraint], sizes: Sequence[int]) -> Constraint:
    """Return the support of vectors that join blocks; an ``independent`` one, as sbi needs to see whole events.

    Arguments:
        parts: the supports of the blocks; of single components if there are such.
        sizes: the numbers of components of the blocks.

    Example:
        >>> joined([constraints.real, constraints.simplex], [1, 2]).check(torch.tensor([7.0, 0.25, 0.75]))
        tensor(True)
    """
    if len(parts) == 1:
        return constraints.independent(parts[0], 1 - parts[0].event_dim)
    if not any(part.event_dim for part in parts):
        return constraints.independent(constraints.cat(parts, -1, sizes), 1)
    return constraints.independent(Blocks([constraints.independent(p, 1 - p.event_dim) for p in parts], sizes), 0)


def between(low: Sequence[float], high: Sequence[float], is_discrete: bool = False) -> Constraint:
    """Return the support of single components between closed bounds, which may be infinite.

    The bounds are numbers, which torch compares with values in the precision of the values.

    Example:
        >>> between([0.0, 2.0], [math.inf, 3.0]).check(torch.tensor([[7.0, 2.5], [-1.0, 2.5]]))
        tensor([[ True,  True],
                [False,  True]])
    """
    one = _whole_between if is_discrete else _between
    runs = [(pair, len(list(same))) for pair, same in groupby(zip(low, high, strict=True))]
    parts = [one(*pair) for pair, _ in runs]
    return parts[0] if len(parts) == 1 else constraints.cat(parts, -1, [size for _, size in runs])


def _between(low: float, high: float) -> Constraint:
    if (low, high) == (0, 1):
        return constraints.unit_interval
    if low == -math.inf:
        return constraints.real if high == math.inf else constraints.less_than(high)
    if high == math.inf:
        return constraints.greater_than_eq(low) if low else constraints.nonnegative
    return constraints.interval(low, high)


def _whole_between(low: float, high: float) -> Constraint:
    if (low, high) == (0, 1):
        return constraints.boolean
    if low == -math.inf:
        return integers
    if high == math.inf:
        return type(constraints.nonnegative_integer)(int(low)) if low else constraints.nonnegative_integer
    return constraints.integer_interval(int(low), int(high))


def bounds(support: Constraint) -> tuple[Any, Any]:
    """Return the bounds of the components of a support, numbers or tensors; infinite where there is none."""
    support = elementwise(support)
    return getattr(support, LOWER, -math.inf), getattr(support, UPPER, math.inf)


def with_bounds(support: Constraint, change: Callable[[str, Any], Any]) -> Constraint:
    """Return the support of single components whose bounds are functions of these: of their names and values."""
    support = elementwise(support)
    names = [name for name in (LOWER, UPPER) if hasattr(support, name)]
    if not names:
        return support
    return type(support)(*(change(name, getattr(support, name)) for name in names))
