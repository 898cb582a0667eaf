r"""Messages: learned features of the evidence in, inside and after every repeat.

With :math:`o_r` the evidence of a repeat r in its own cell, and :math:`r^+` the repeats that follow r,

.. math::
    e_r &= f\bigl(o_r, \{\bar m_c\}\bigr) & \text{in a plate, or outside all axes,} \\
    e_r &= \mathrm{GRU}\bigl(o_r, \{\bar m_c\};\; e_{r^+}\bigr) & \text{along a chain, from its end to its start,} \\
    e_r &= \mathrm{GRU}\bigl(o_r, \{\bar m_c\};\; \operatorname{mean} e_{r^+}\bigr)
        & \text{over a tree, from its leaves to its root,}

where the message :math:`\bar m_c` of an inner cell c to its outer repeat is, with the number R of repeats,

.. math::
    \bar m_c &= (\operatorname{mean}(e, o),\, \operatorname{sd}(e, o),\, (1 + R)^{-1/2}) & \text{of a plate,} \\
    \bar m_c &= (e_1,\, (1 + R)^{-1/2}) & \text{of a chain or tree, with its first repeat.}

Mean and standard deviation do not depend on the order of the repeats, so that the messages of plates do not. The
feature of R is bounded, so that networks can be used on more repeats than those of their training. Families and
adversaries have messages of their own: an adversary whose only evidence were the messages of the families could not
detect that these ignore the evidence.

References:
    Zaheer et al. 2017, *Deep sets*, arXiv:1703.06114.
    Corso et al. 2020, *Principal neighbourhood aggregation for graph nets*, arXiv:2004.05718 (several moments).
    Krishnan, Shalit, Sontag 2017, *Structured inference networks for nonlinear state space models*, arXiv:1609.09869.
    Cho et al. 2014, *Learning phrase representations using RNN encoder-decoder*, arXiv:1406.1078.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ampbench.amp.templates.batches import Batch
from ampbench.amp.templates.reading import Reading
from ampbench.graph.axes import Previous, Tree
from ampbench.graph.template import Cell
from ampbench.networks import ResidualMLP

MIN_VARIANCE = 1e-6
"""Added to the variance over repeats, so that the standard deviation of equal values has a gradient."""


class Messages(nn.Module):
    """The messages in a batch.

    Arguments:
        reading: what is read, and the sizes.
    """

    def __init__(self, reading: Reading) -> None:
        super().__init__()
        self.reading = reading
        self.networks = nn.ModuleDict({_key(cell): _network(cell, reading) for cell in reading.inputs})

    def forward(self, batch: Batch) -> dict[Cell, Tensor]:
        """Return e with its inputs, (B, R_1, …, outputs), for every cell with evidence."""
        found: dict[Cell, Tensor] = {}
        messages: dict[Cell, Tensor] = {}
        for cell in self.reading.inputs:
            parts = [self._evidence(batch, name, cell) for name in self.reading.own[cell]]
            parts += [messages[other] for other in self.reading.inner(cell) if other in messages]
            inputs = torch.cat(parts, dim=-1)
            found[cell] = torch.cat([self._features(cell, batch, inputs), inputs], dim=-1)
            if cell:
                messages[cell] = self._message(cell, batch, found[cell])
        return found

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
            there = self._there(cell, batch)
            if there is None:
                return network(inputs)
            features = inputs.new_zeros(*inputs.shape[:-1], self.reading.width)
            some = there.expand(*inputs.shape[:-1], 1).squeeze(-1) > 0
            return features.masked_scatter(some[..., None], network(inputs[some]))
        axis = cell[-1]
        rows = inputs.flatten(0, -3)
        if isinstance(network, nn.GRU):
            backwards, _ = network(rows.flip(1))
            return backwards.flip(1).reshape(*inputs.shape[:-1], self.reading.width)
        assert isinstance(axis, Tree)
        assert isinstance(network, nn.GRUCell)
        above = rows.new_zeros(len(rows), 1, self.reading.width)
        levels = []
        for level in reversed(axis.levels(batch.sizes[axis.name])):
            part = rows[:, level.start : level.stop]
            state = above.expand(-1, part.shape[1], -1)
            here = network(part.flatten(0, 1), state.flatten(0, 1)).unflatten(0, part.shape[:2])
            levels.append(here)
            if level.start:
                above = here.unflatten(1, (-1, axis.branching)).mean(2)
        return torch.cat(levels[::-1], dim=1).reshape(*inputs.shape[:-1], self.reading.width)

    def _message(self, cell: Cell, batch: Batch, found: Tensor) -> Tensor:
        """Return the message to the outer repeat, (B, R_1, …, M), of features with their inputs, (B, R_1, …, R, F)."""
        axis = cell[-1]
        weights = found.new_ones(*found.shape[:-1], 1)
        if axis.linked:
            message = found[..., 0, : self.reading.width]
        else:
            there = self._there(cell, batch)
            weights = weights if there is None else there.expand_as(weights)
            message = moments(found, weights)
        return torch.cat([message, (1 + weights.sum(-2)).rsqrt()], dim=-1)

    def _there(self, cell: Cell, batch: Batch) -> Tensor | None:
        """Return 1 where a variable of the cell has a value, and 0 elsewhere, (B, R_1, …, 1); None if all have one."""
        masks = [batch.present.get(name) for name in self.reading.own[cell]]
        found = [mask for mask in masks if mask is not None]
        return torch.stack(torch.broadcast_tensors(*found)).amax(0) if masks and len(found) == len(masks) else None


def moments(value: Tensor, weights: Tensor) -> Tensor:
    """Return weighted means and standard deviations over repeats: (*, R, D) and (*, R, 1) to (*, 2 D)."""
    total = weights.sum(-2).clamp(min=1)
    mean = (weights * value).sum(-2) / total
    variance = (weights * (value - mean[..., None, :]).square()).sum(-2) / total
    return torch.cat([mean, (variance + MIN_VARIANCE).sqrt()], dim=-1)


def _key(cell: Cell) -> str:
    return "/".join(["outside", *(axis.name.replace(".", "_") for axis in cell)])


def _network(cell: Cell, reading: Reading) -> nn.Module:
    inputs, width = reading.inputs[cell], reading.width
    if not cell or not cell[-1].linked:
        return ResidualMLP(inputs, width, width, depth=2)
    if isinstance(cell[-1], Tree) and cell[-1].branching > 1:
        return nn.GRUCell(inputs, width)
    return nn.GRU(inputs, width, batch_first=True)
