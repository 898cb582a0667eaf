"""Batches of simulations of repeated variables, in network coordinates, and the choice of repeats in a batch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor

from ampbench.errors import UsageError
from ampbench.graph import Graph
from ampbench.graph.axes import Axis, Previous, shape
from ampbench.graph.coordinates import Coordinates
from ampbench.graph.template import TemplateFactor

POSITION_SCALES = (1.0, 4.0, 16.0)
"""Distances to the ends of a chain or tree over which positions are resolved."""


@dataclass(frozen=True, eq=False)
class Batch:
    """Simulations with the same sizes.

    Attributes:
        sizes: the size of every axis.
        values: by variable, network coordinates of shape (B, R_1, …, D), 0 where a repeat has no value.
        present: by variable whose repeats may lack a value, 1 where there is one and 0 elsewhere, (B, R_1, …, 1).
        rows: by factor, the numbers of the chosen repeats: shape (N, 1 + number of axes), with columns for the
            simulation and the repeat along every axis.
    """

    sizes: Mapping[str, int]
    values: Mapping[str, Tensor]
    present: Mapping[str, Tensor]
    rows: Mapping[TemplateFactor, Tensor]

    def __len__(self) -> int:
        return len(next(iter(self.values.values())))

    @property
    def draws(self) -> int:
        """The largest number of repeats of a variable in a simulation."""
        return max(prod(value.shape[1:-1]) for value in self.values.values())

    def take(self, chosen: Tensor) -> Batch:
        """Return some simulations, without chosen repeats."""
        parts = [{name: value[chosen] for name, value in each.items()} for each in (self.values, self.present)]
        return Batch(self.sizes, parts[0], parts[1], {})

    def with_values(self, values: Mapping[str, Tensor]) -> Batch:
        """Return the batch with other values of some variables."""
        return Batch(self.sizes, {**self.values, **values}, self.present, self.rows)


def encode(
    graph: Graph,
    coordinates: Mapping[str, Coordinates],
    values: Mapping[str, Tensor],
    sizes: Mapping[str, int],
    device: torch.device,
) -> Batch:
    """Return values (n, R_1, …, D), NaN where a repeat has none, as a batch."""
    encoded, present = {}, {}
    for name, value in values.items():
        there = ~value.isnan().any(-1, keepdim=True)
        node = graph[name]
        if node.incomplete:
            present[name] = there.to(device, torch.get_default_dtype())
        elif not bool(there.all()):
            raise UsageError(
                f"{int((~there).sum())} repeats of {name!r} are missing, but the model says that none are; give the "
                "variable a range of missing shares, such as missing=(0, 0.5), and fit anew"
            )
        default = coordinates[name].decode(torch.zeros(coordinates[name].size, dtype=value.dtype))
        filled = torch.where(there, value, default)
        encoded[name] = torch.where(there, coordinates[name].encode(filled), 0.0).to(device)
    return Batch(dict(sizes), encoded, present, {})


def learn_coordinates(graph: Graph, blocks: list[Mapping[str, Tensor]]) -> dict[str, Coordinates]:
    """Return the coordinates of every variable, from all repeats of all simulations."""
    found = {}
    for name in graph.names:
        rows = torch.cat([block[name].flatten(0, -2) for block in blocks])
        found[name] = Coordinates(rows[~rows.isnan().any(1)], graph[name].support)
    return found


def choose(factor: TemplateFactor, n: int, sizes: Mapping[str, int], most: int) -> Tensor:
    """Choose repeats of a factor at random, all with equal probability and each at most once.

    Arguments:
        factor: the factor.
        n: number of simulations.
        sizes: the size of every axis.
        most: number of repeats; all of them are taken if there are no more.

    Returns:
        Shape (N, 1 + number of axes), see :class:`Batch`.
    """
    counts = [n, *shape(factor.cell, sizes)]
    if factor.first:
        counts[-1] = 1  # repeat 0 follows none
    if factor.follows:
        counts[-1] -= 1
    total = int(torch.tensor(counts).prod())
    places = torch.randperm(total)[:most] if total > most else torch.arange(total)
    rows = torch.stack(torch.unravel_index(places, counts), dim=1)
    if factor.follows:
        rows[:, -1] += 1
    return rows


def one_each(batch: Batch, factors: Iterable[TemplateFactor]) -> Batch:
    """Return a batch with one repeat of every simulation chosen at random for each factor."""
    rows = {}
    for factor in factors:
        counts, n = shape(factor.cell, batch.sizes), len(batch)
        low = [0] * len(counts)
        if factor.follows:
            low[-1] = 1
        high = (*counts[:-1], 1) if factor.first else counts
        columns = [torch.arange(n), *(torch.randint(a, b, (n,)) for a, b in zip(low, high, strict=True))]
        rows[factor] = torch.stack(columns, dim=1)
    return Batch(batch.sizes, batch.values, batch.present, rows)


def gather(value: Tensor, rows: Tensor, axes: int) -> Tensor:
    """Return the entries (*, N, D) of a value (*, B, R_1, …, R_axes, D) at chosen repeats, also of an inner cell."""
    counts = value.shape[-2 - axes : -1]
    flat = torch.zeros(len(rows), dtype=torch.long)
    for column, count in enumerate(counts):
        flat = flat * count + rows[:, column]
    return value.flatten(-2 - axes, -2).index_select(-2, flat.to(value.device))


def before(axis: Axis, sizes: Mapping[str, int], rows: Tensor) -> Tensor:
    """Return chosen repeats with the last number replaced by that of the repeat before."""
    return torch.cat([rows[:, :-1], axis.before(sizes[axis.name])[rows[:, -1:]]], dim=1)


def positions(axis: Axis, size: int) -> Tensor:
    """Return exp(−d / s) for the distances d of every repeat to both ends of a chain or tree and all scales s, (R, 6).

    The features are bounded, so that networks can be used on longer chains than those of their training.
    """
    distances = axis.distances(size)
    return torch.cat([(-distances / scale).exp() for scale in POSITION_SCALES], dim=-1)


def separator(batch: Batch, factor: TemplateFactor, rows: Tensor, graph: Graph) -> Tensor:
    """Return the values of the separator and of outer evidence at chosen repeats, and their positions, (*, N, C)."""
    parts = []
    for name in (*factor.separator, *factor.outer):
        value, axes = batch.values[name], len(graph[name].along)
        at = before(factor.cell[-1], batch.sizes, rows) if isinstance(name, Previous) else rows
        parts.append(gather(value, at, axes))
        if name in batch.present:
            parts.append(gather(batch.present[name], at, axes))
    if factor.cell and factor.cell[-1].linked:
        axis = factor.cell[-1]
        parts.append(positions(axis, batch.sizes[axis.name])[rows[:, -1]].to(next(iter(batch.values.values()))))
    if not parts:
        return next(iter(batch.values.values())).new_zeros(len(rows), 0)
    lead = max((part.shape[:-1] for part in parts), key=len)
    return torch.cat([part.expand(*lead, -1) for part in parts], dim=-1)


def separator_size(factor: TemplateFactor, graph: Graph, sizes: Mapping[str, int]) -> int:
    """Return the number of components of :func:`separator`, given the number of coordinates of every variable."""
    names = (*factor.separator, *factor.outer)
    own = sum(sizes[name] + graph[name].incomplete for name in names)
    linked = bool(factor.cell) and factor.cell[-1].linked
    return own + 2 * len(POSITION_SCALES) * linked
