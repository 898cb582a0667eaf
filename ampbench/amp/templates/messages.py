r"""Messages: learned features of the evidence in, inside and after every repeat.

With :math:`o_r` the evidence of a repeat r in its own cell, and :math:`r^+` the repeats that follow r,

.. math::
    e_r &= f\bigl(o_r, \{\bar m_c\}\bigr) & \text{in a plate, or outside all axes,} \\
    e_r &= \mathrm{GRU}\bigl(o_r, \{\bar m_c\};\; e_{r^+}\bigr) & \text{along a chain, from its end to its start,} \\
    e_r &= \mathrm{GRU}\bigl(o_r, \{\bar m_c\};\; \operatorname{mean} e_{r^+}\bigr)
        & \text{over a tree, from its leaves to its root,}

where the message :math:`\bar m_c` of an inner cell c to its outer repeat is the mean of e over the repeats of a plate,
or e of the first repeat of a chain or tree, with the number of repeats. A mean does not depend on the order of the
repeats, so that the messages of plates do not. Families and adversaries have messages of their own: an adversary whose
only evidence were the messages of the families could not detect that these ignore the evidence.

References:
    Zaheer et al. 2017, *Deep sets*, arXiv:1703.06114.
    Krishnan, Shalit, Sontag 2017, *Structured inference networks for nonlinear state space models*, arXiv:1609.09869.
    Cho et al. 2014, *Learning phrase representations using RNN encoder-decoder*, arXiv:1406.1078.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn

from ampbench.amp.templates.batches import Batch
from ampbench.graph import Graph
from ampbench.graph.axes import Previous, Tree
from ampbench.graph.template import Cell
from ampbench.networks import ResidualMLP

LOG_COUNT_SCALE = 3.0
"""The logarithm of the number of repeats is divided by it, so that it is of the order of 1 for a hundred."""


class Messages(nn.Module):
    """The messages in a batch.

    Arguments:
        graph: the model.
        names: the variables that are read: all observed ones, or all variables of a global adversary.
        sizes: number of coordinates of each variable.
        width: H, number of features.

    Attributes:
        outputs: by cell, the number of features of its messages; cells without evidence have none.
    """

    def __init__(self, graph: Graph, names: Iterable[str], sizes: Mapping[str, int], width: int) -> None:
        super().__init__()
        self.graph = graph
        self.width = width
        chosen = list(names)
        self.own: dict[Cell, list[str]] = {cell: [] for cell in cells(graph)}
        for name in chosen:
            self.own[graph[name].along].append(name)
        for node in graph.nodes:
            lagged = [parent for parent in node.parents if isinstance(parent, Previous) and parent in chosen]
            self.own[node.along] += [name for name in dict.fromkeys(lagged) if name not in self._lagged(node.along)]
        self.outputs: dict[Cell, int] = {}
        self.networks = nn.ModuleDict()
        for cell in sorted(self.own, key=len, reverse=True):
            inner = sum(width + 1 for other in self._inner(cell) if self.outputs[other])
            inputs = sum(self._size(name, sizes) for name in self.own[cell]) + inner
            self.outputs[cell] = width + inputs if inputs else 0
            if inputs:
                self.networks[_key(cell)] = _network(cell, inputs, width)

    def forward(self, batch: Batch) -> dict[Cell, Tensor]:
        """Return e with its inputs, (B, R_1, …, outputs), for every cell with evidence."""
        found: dict[Cell, Tensor] = {}
        messages: dict[Cell, Tensor] = {}
        for cell in sorted(self.own, key=len, reverse=True):
            if not self.outputs[cell]:
                continue
            parts = [self._evidence(batch, name, cell) for name in self.own[cell]]
            parts += [messages[other] for other in self._inner(cell) if other in messages]
            inputs = torch.cat(parts, dim=-1)
            features = self._features(cell, batch, inputs)
            found[cell] = torch.cat([features, inputs], dim=-1)
            if cell:
                messages[cell] = self._message(cell, batch, features)
        return found

    def _lagged(self, cell: Cell) -> list[str]:
        return [name for name in self.own[cell] if isinstance(name, Previous)]

    def _inner(self, cell: Cell) -> list[Cell]:
        return [other for other in self.own if other and other[:-1] == cell]

    def _size(self, name: str, sizes: Mapping[str, int]) -> int:
        node = self.graph[name]
        return sizes[name] + node.incomplete + isinstance(name, Previous)

    def _evidence(self, batch: Batch, name: str, cell: Cell) -> Tensor:
        """Return the values of a variable, and 1 or 0 for those that are there."""
        parts = [batch.values[name], *([batch.present[name]] if name in batch.present else [])]
        value = torch.cat(parts, dim=-1)
        if not isinstance(name, Previous):
            return value
        above = cell[-1].before(batch.sizes[cell[-1].name]).to(value.device)
        there = (above >= 0).to(value)[:, None].expand(*value.shape[:-1], 1)
        return torch.cat([value.index_select(-2, above.clamp(min=0)) * there, there], dim=-1)

    def _features(self, cell: Cell, batch: Batch, inputs: Tensor) -> Tensor:
        network = self.networks[_key(cell)]
        if isinstance(network, ResidualMLP):
            return network(inputs)
        axis = cell[-1]
        rows = inputs.flatten(0, -3)
        if isinstance(network, nn.GRU):
            backwards, _ = network(rows.flip(1))
            return backwards.flip(1).reshape(*inputs.shape[:-1], self.width)
        assert isinstance(axis, Tree)
        assert isinstance(network, nn.GRUCell)
        above = rows.new_zeros(len(rows), 1, self.width)
        levels = []
        for level in reversed(axis.levels(batch.sizes[axis.name])):
            part = rows[:, level.start : level.stop]
            state = above.expand(-1, part.shape[1], -1)
            here = network(part.flatten(0, 1), state.flatten(0, 1)).unflatten(0, part.shape[:2])
            levels.append(here)
            if level.start:
                above = here.unflatten(1, (-1, axis.branching)).mean(2)
        return torch.cat(levels[::-1], dim=1).reshape(*inputs.shape[:-1], self.width)

    def _message(self, cell: Cell, batch: Batch, features: Tensor) -> Tensor:
        """Return the message to the outer repeat, (*, B, R_1, …, H + 1)."""
        axis = cell[-1]
        weights = features.new_ones(*features.shape[:-1], 1)
        if axis.linked:
            message = features[..., 0, :]
        else:
            masks = [batch.present.get(name) for name in self.own[cell]]
            if masks and all(mask is not None for mask in masks):
                weights = torch.stack([mask.expand_as(weights) for mask in masks if mask is not None]).amax(0)
            message = (weights * features).sum(-2) / weights.sum(-2).clamp(min=1)
        return torch.cat([message, weights.sum(-2).log1p() / LOG_COUNT_SCALE], dim=-1)


def cells(graph: Graph) -> list[Cell]:
    """Return the axes of all variables, and the outer axes of these."""
    found = {node.along[:depth] for node in graph.nodes for depth in range(len(node.along) + 1)}
    return sorted(found, key=lambda cell: (len(cell), [axis.name for axis in cell]))


def _key(cell: Cell) -> str:
    return "/".join(["outside", *(axis.name.replace(".", "_") for axis in cell)])


def _network(cell: Cell, inputs: int, width: int) -> nn.Module:
    if not cell or not cell[-1].linked:
        return ResidualMLP(inputs, width, width, depth=2)
    if isinstance(cell[-1], Tree):
        return nn.GRUCell(inputs, width)
    return nn.GRU(inputs, width, batch_first=True)
