"""The variables that the messages of a template read in every cell, and the numbers of their features."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from ampbench.graph import Graph
from ampbench.graph.axes import Previous
from ampbench.graph.template import Cell


@dataclass(frozen=True, eq=False)
class Reading:
    """The variables that messages read, and the sizes of the messages.

    Attributes:
        graph: the model.
        sizes: number of coordinates of each variable.
        width: H, number of learned features.
        own: by cell, the variables that are read there; those of a repeat before as :class:`Previous`.
    """

    graph: Graph
    sizes: Mapping[str, int]
    width: int
    own: Mapping[Cell, Sequence[str]]

    @classmethod
    def of(cls, graph: Graph, names: Iterable[str], sizes: Mapping[str, int], width: int) -> Reading:
        """Return the reading of some variables.

        Arguments:
            graph: the model.
            names: the variables: all observed ones, or all variables of a global adversary.
            sizes: number of coordinates of each variable.
            width: H.
        """
        own: dict[Cell, list[str]] = {cell: [] for cell in cells(graph)}
        chosen = list(names)
        for name in chosen:
            own[graph[name].along].append(name)
        for node in graph.nodes:
            lagged = [parent for parent in node.parents if isinstance(parent, Previous) and parent in chosen]
            known = [name for name in own[node.along] if isinstance(name, Previous)]
            own[node.along] += [name for name in dict.fromkeys(lagged) if name not in known]
        return cls(graph, sizes, width, own)

    @cached_property
    def inputs(self) -> Mapping[Cell, int]:
        """By cell with evidence, the innermost first, the number of inputs of its network."""
        counts = ((cell, self._count(cell)) for cell in sorted(self.own, key=len, reverse=True))
        return {cell: count for cell, count in counts if count}

    def outputs(self, cell: Cell) -> int:
        """Return the number of features of a cell's messages with their inputs; cells without evidence have none."""
        count = self._count(cell)
        return self.width + count if count else 0

    def inner(self, cell: Cell) -> list[Cell]:
        """Return the cells directly inside a cell."""
        return [other for other in self.own if other and other[:-1] == cell]

    def plates(self, cell: Cell) -> list[slice]:
        """Return the columns of the messages of the plates directly inside a cell, among the cell's outputs."""
        start, found = self.width + self._own_count(cell), []
        for other in self.inner(cell):
            stop = start + self._pooled(other)
            if stop > start and not other[-1].linked:
                found.append(slice(start, stop))
            start = stop
        return found

    def _count(self, cell: Cell) -> int:
        return self._own_count(cell) + sum(map(self._pooled, self.inner(cell)))

    def _own_count(self, cell: Cell) -> int:
        """Return the number of coordinates of a cell's variables, with 1 or 0 where they may have no value."""
        own = self.own[cell]
        return sum(self.sizes[name] + self.graph[name].incomplete + isinstance(name, Previous) for name in own)

    def _pooled(self, cell: Cell) -> int:
        """Return the number of features of the message to the outer repeat."""
        outputs = self.outputs(cell)
        return outputs and (self.width if cell[-1].linked else 2 * outputs) + 1


def cells(graph: Graph) -> list[Cell]:
    """Return the axes of all variables, and the outer axes of these."""
    found = {node.along[:depth] for node in graph.nodes for depth in range(len(node.along) + 1)}
    return sorted(found, key=lambda cell: (len(cell), [axis.name for axis in cell]))
