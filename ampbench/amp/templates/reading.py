"""What the messages of a template read in every cell, and the numbers of their features."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from ampbench.graph import Graph
from ampbench.graph.axes import Previous
from ampbench.graph.template import Cell


@dataclass(frozen=True, eq=False)
class Reading:
    """The variables that messages read, and the sizes of the messages.

    Attributes:
        graph: the model.
        width: H, number of learned features.
        own: by cell, the variables that are read there; those of a repeat before as :class:`Previous`.
        inputs: by cell with evidence, the innermost first, the number of inputs of the network.
    """

    graph: Graph
    width: int
    own: Mapping[Cell, Sequence[str]]
    inputs: Mapping[Cell, int]

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
        found = cls(graph, width, own, {})
        inputs: dict[Cell, int] = {}
        for cell in sorted(own, key=len, reverse=True):
            count = sum(found.size(name, sizes) for name in own[cell])
            count += sum(found.pooled(other, inputs[other]) for other in found.inner(cell) if other in inputs)
            if count:
                inputs[cell] = count
        return cls(graph, width, own, inputs)

    def outputs(self, cell: Cell) -> int:
        """Return the number of features of a cell's messages with their inputs; cells without evidence have none."""
        return self.width + self.inputs[cell] if cell in self.inputs else 0

    def inner(self, cell: Cell) -> list[Cell]:
        """Return the cells directly inside a cell."""
        return [other for other in self.own if other and other[:-1] == cell]

    def size(self, name: str, sizes: Mapping[str, int]) -> int:
        """Return the number of inputs of a variable: its coordinates, and 1 or 0 where it may have no value."""
        return sizes[name] + self.graph[name].incomplete + isinstance(name, Previous)

    def pooled(self, cell: Cell, inputs: int) -> int:
        """Return the number of features of the message to the outer repeat."""
        return (self.width if cell[-1].linked else 2 * (self.width + inputs)) + 1

    def plates(self, cell: Cell, sizes: Mapping[str, int]) -> list[slice]:
        """Return the columns of the messages of the plates directly inside a cell, among the cell's outputs."""
        start, found = self.width + sum(self.size(name, sizes) for name in self.own[cell]), []
        for other in self.inner(cell):
            if other in self.inputs:
                stop = start + self.pooled(other, self.inputs[other])
                if not other[-1].linked:
                    found.append(slice(start, stop))
                start = stop
        return found


def cells(graph: Graph) -> list[Cell]:
    """Return the axes of all variables, and the outer axes of these."""
    found = {node.along[:depth] for node in graph.nodes for depth in range(len(node.along) + 1)}
    return sorted(found, key=lambda cell: (len(cell), [axis.name for axis in cell]))
