r"""Axes: the repetition of variables in plates, along chains, and over trees.

A variable ``along=(a, b)`` is repeated along axis a, and within each repeat along axis b. Repeats are numbered
0, 1, …; their values stand in a tensor of shape (n, R_a, R_b, D). The repeats of a plate have no links; those of a
chain and of a tree do:

======== ==================== =======================================
axis     repeats              a repeat r > 0 follows
======== ==================== =======================================
plate    R = size             none
chain    R = size             r − 1
tree     all vertices, where  ⌊(r − 1) / branching⌋: vertices are
         size is the depth    numbered level by level, root first
======== ==================== =======================================

A size is a number, or a range from which every simulation of a training takes one: networks that see many sizes serve
all of them, and larger ones.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from ampbench.counts import count, whole
from ampbench.errors import GraphError, UsageError


@dataclass(frozen=True)
class Axis(ABC):
    """A direction of repetition.

    Arguments:
        name: unique among the axes of a graph.
        size: a number, or the smallest and the largest one.

    Raises:
        GraphError: a size is no whole number above 0, or a range is empty.
    """

    name: str
    size: int | tuple[int, int]

    def __post_init__(self) -> None:
        try:
            low, high = (whole("size", each) for each in self.bounds)
        except (IndexError, UsageError):
            low, high = 0, 0
        if not 0 < low <= high:
            raise GraphError(
                f"axis {self.name!r} has the size {self.size}; give a number above 0, or two, the smaller one first"
            )
        object.__setattr__(self, "size", (low, high) if isinstance(self.size, tuple | list) else low)

    @property
    def bounds(self) -> tuple[int, int]:
        """The smallest and the largest size."""
        return (self.size[0], self.size[1]) if isinstance(self.size, tuple | list) else (self.size, self.size)

    @abstractmethod
    def repeats(self, size: int) -> int:
        """Return R, the number of repeats."""

    def before(self, size: int) -> Tensor:
        """Return for every repeat the one that it follows, shape (R,); −1 for none."""
        return torch.full((self.repeats(size),), -1)

    @property
    def linked(self) -> bool:
        """Whether repeats follow others."""
        return False

    def levels(self, size: int) -> list[range]:
        """Return repeats in groups that can be drawn at once: those of one group follow repeats of the group before."""
        return [range(self.repeats(size))]

    def distances(self, size: int) -> Tensor:
        """Return the distances of every repeat to the first and to the last ones in links, shape (R, 2)."""
        return torch.zeros(self.repeats(size), 2)


@dataclass(frozen=True)
class Plate(Axis):
    """Repeats that are exchangeable given the variables outside.

    Example:
        >>> school = Plate("school", size=(3, 100))
    """

    def repeats(self, size: int) -> int:
        """Return the size."""
        return size


@dataclass(frozen=True)
class Chain(Axis):
    """Repeats that follow one another, such as times."""

    def repeats(self, size: int) -> int:
        """Return the size."""
        return size

    def before(self, size: int) -> Tensor:
        """Return r − 1."""
        return torch.arange(-1, size - 1)

    def levels(self, size: int) -> list[range]:
        """Return single repeats."""
        return [range(r, r + 1) for r in range(size)]

    def distances(self, size: int) -> Tensor:
        """Return r and R − 1 − r."""
        place = torch.arange(size, dtype=torch.get_default_dtype())
        return torch.stack([place, size - 1 - place], dim=1)

    @property
    def linked(self) -> bool:
        """Whether repeats follow others: yes."""
        return True


@dataclass(frozen=True)
class Tree(Axis):
    """The vertices of a regular tree, whose size is its depth: the number of steps from the root to the leaves.

    Arguments:
        branching: children of each inner vertex.
    """

    branching: int = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.branching < 1:
            raise GraphError(f"axis {self.name!r} has the branching {self.branching}; give a number above 0")

    def repeats(self, size: int) -> int:
        """Return the number of vertices."""
        return sum(self.branching**level for level in range(size + 1))

    def before(self, size: int) -> Tensor:
        """Return the parents of the vertices."""
        above = torch.div(torch.arange(self.repeats(size)) - 1, self.branching, rounding_mode="floor")
        return above.clamp(min=-1)

    @property
    def linked(self) -> bool:
        """Whether repeats follow others: yes."""
        return True

    def distances(self, size: int) -> Tensor:
        """Return the depth of every vertex, and its distance to the leaves."""
        levels = self.levels(size)
        depth = torch.cat([torch.full((len(level),), float(i)) for i, level in enumerate(levels)])
        return torch.stack([depth, size - depth], dim=1)

    def levels(self, size: int) -> list[range]:
        """Return the vertices of every level, the root's first.

        Example:
            >>> Tree("clade", 2).levels(2)
            [range(0, 1), range(1, 3), range(3, 7)]
        """
        starts = [self.repeats(level) if level >= 0 else 0 for level in range(-1, size + 1)]
        return [range(start, stop) for start, stop in pairwise(starts)]


class Previous(str):
    """The name of a parent, in the repeat that the present one follows; made by :func:`previous`."""

    __slots__ = ()


def previous(name: str) -> Previous:
    """Return the parent ``name`` in the repeat before, along the innermost axis of the child.

    Example:
        >>> from ampbench.graph import Chain, Graph, density
        >>> from torch.distributions import Independent, Normal
        >>> def step(before):
        ...     return Independent(Normal(0.9 * before, 0.5), 1)
        >>> first = Independent(Normal(torch.zeros(1), torch.ones(1)), 1)
        >>> walk = Graph(density("z", step, [previous("z")], along=[Chain("time", 10)], first=first))
        >>> walk.sample(4)["z"].shape
        torch.Size([4, 10, 1])
    """
    return Previous(name)


def sizes_within(axes: Iterable[Axis], given: Mapping[str, int]) -> dict[str, int]:
    """Return the size of every axis: the given one, or that of an axis with a single size.

    Raises:
        GraphError: an unknown axis, a size below 1, or none for an axis that has several.
    """
    known = {axis.name: axis for axis in axes}
    if unknown := sorted(given.keys() - known.keys()):
        raise GraphError(f"unknown axis {unknown[0]!r}; this graph has {', '.join(known) or 'none'}")
    sizes = {}
    for name, axis in known.items():
        low, high = axis.bounds
        if name not in given and low < high:
            raise GraphError(f"axis {name!r} has sizes from {low} to {high}; name one, such as {{{name!r}: {high}}}")
        try:
            sizes[name] = count("size", given.get(name, low))
        except UsageError as error:
            raise GraphError(f"axis {name!r} got the size {given[name]!r}; give a whole number above 0") from error
    return sizes


def size_at(axis: Axis, share: float) -> int:
    """Return a size of an axis; ``share`` in [0, 1) is its place in the range, on a logarithmic scale.

    Example:
        >>> [size_at(Plate("school", (3, 100)), share) for share in (0.0, 0.5, 0.999)]
        [3, 17, 100]
    """
    low, high = axis.bounds
    scaled = math.log(low) + share * (math.log(high + 1) - math.log(low))
    return min(high, int(math.exp(scaled) + 1e-9))


def shape(along: Iterable[Axis], sizes: Mapping[str, int]) -> tuple[int, ...]:
    """Return the number of repeats along every axis."""
    return tuple(axis.repeats(sizes[axis.name]) for axis in along)
