r"""The bottom-up chain of a template: one conditional for all repeats of a latent.

.. math:: q(X_L \mid X_O) = \prod_v \prod_r q_\phi(v_r \mid S_{v,r}, e_r)

with the separator S (:mod:`ampbench.graph.template`) and messages e of the evidence
(:mod:`ampbench.amp.templates.messages`). All repeats of a plate are drawn at once; those of a chain in turn, and those
of a tree level by level.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from ampbench.amp.templates.batches import Batch, gather, positions, repeats_along, separator, separator_size
from ampbench.amp.templates.messages import Messages
from ampbench.errors import UsageError
from ampbench.graph import Graph
from ampbench.graph.axes import Axis, Previous, Tree
from ampbench.graph.template import Cell, TemplateFactor
from ampbench.interfaces import Family, HasDensity


class TemplateBottomUp(nn.Module):
    """The families of a template, with their messages.

    Arguments:
        graph: the model.
        observed: names of the observed variables.
        factors: the inverse factors, in sampling order; barren ones have no family.
        sizes: number of coordinates of each variable.
        families: by variable, the family that builds the conditionals of its factors.
        width: number of features of a message.
    """

    def __init__(
        self,
        graph: Graph,
        observed: Sequence[str],
        factors: Sequence[TemplateFactor],
        sizes: Mapping[str, int],
        families: Mapping[str, Family],
        width: int,
    ) -> None:
        super().__init__()
        self.graph = graph
        self.observed = tuple(observed)
        self.factors = tuple(factor for factor in factors if not factor.barren)
        self.sizes = dict(sizes)
        self.messages = Messages(graph, observed, sizes, width)
        self.conditionals = nn.ModuleList(
            families[factor.variable](sizes[factor.variable], self.context_size(factor)) for factor in self.factors
        )
        self._places = {factor: place for place, factor in enumerate(self.factors)}
        self.register_buffer("_anchor", torch.empty(0), persistent=False)

    @property
    def device(self) -> torch.device:
        """The device of the parameters."""
        anchor: Tensor = self._anchor  # type: ignore[assignment]
        return anchor.device

    def context_size(self, factor: TemplateFactor) -> int:
        """Return the number of components of a factor's context."""
        return separator_size(factor, self.graph, self.sizes) + self.messages.outputs[factor.cell]

    def conditional(self, factor: TemplateFactor) -> nn.Module:
        """Return the conditional of a factor."""
        return self.conditionals[self._places[factor]]

    def context(self, batch: Batch, messages: Mapping[Cell, Tensor], factor: TemplateFactor, rows: Tensor) -> Tensor:
        """Return the contexts of chosen repeats, (*, N, C): separator and message."""
        above = separator(batch, factor, rows, self.graph)
        if factor.cell not in messages:
            return above
        message = gather(messages[factor.cell], rows, len(factor.cell))
        return torch.cat([above, message.expand(*above.shape[:-1], -1)], dim=-1)

    def log_prob(self, factor: TemplateFactor, value: Tensor, context: Tensor) -> Tensor:
        """Return log q(v | context), shape (*,).

        Raises:
            UsageError: the family has no density.
        """
        conditional = self.conditional(factor)
        if not isinstance(conditional, HasDensity):
            raise UsageError(
                f"the family of {factor} has no density, but its divergence needs one; "
                "take a family with a density, such as gaussian, mixture or flow"
            )
        return conditional.log_prob(value, context)

    def forward(self, batch: Batch, particles: int) -> dict[str, Tensor]:
        """Infer all latents from the evidence in a batch.

        Arguments:
            batch: its observed values are the evidence; other values are not used.
            particles: L, number of samples for each simulation.

        Returns:
            By latent, values of shape (L, B, R_1, …, D).
        """
        evidence = {name: batch.values[name] for name in self.observed}
        known = Batch(batch.sizes, evidence, batch.present, {})
        messages = self.messages(known)
        for cell in dict.fromkeys(factor.cell for factor in self.factors):
            known = known.with_values(self._draw(known, messages, cell, particles))
        return {factor.variable: known.values[factor.variable] for factor in self.factors}

    def _draw(self, known: Batch, messages: Mapping[Cell, Tensor], cell: Cell, particles: int) -> dict[str, Tensor]:
        """Draw all latents of a cell, (L, B, R_1, …, D) each."""
        if not cell:
            return self._draw_level(known, messages, cell, None, {}, (particles, len(known)))
        outer, axis = repeats_along(cell[:-1], known.sizes), cell[-1]
        before = axis.before(known.sizes[axis.name])
        parts: list[dict[str, Tensor]] = []
        start = 0  # of the level before
        for level in levels(axis, known.sizes[axis.name]):
            rows = torch.arange(level.start, level.stop)
            chosen = (before[rows] - start).clamp(min=0).to(self.device)
            above = {name: value.index_select(-2, chosen) for name, value in parts[-1].items()} if parts else {}
            shape = (particles, len(known), *outer, len(level))
            parts.append(self._draw_level(known, messages, cell, level, above, shape))
            start = level.start
        return {name: torch.cat([part[name] for part in parts], dim=-2) for name in parts[0]}

    def _draw_level(
        self,
        known: Batch,
        messages: Mapping[Cell, Tensor],
        cell: Cell,
        level: range | None,
        above: Mapping[str, Tensor],
        shape: tuple[int, ...],
    ) -> dict[str, Tensor]:
        """Draw the latents of one level of a cell, given those of the level before it, (L, B, R_1, …, D) each."""
        linked = bool(cell) and cell[-1].linked
        now: dict[str, Tensor] = {}
        for factor in self.factors:
            if factor.cell != cell or (linked and factor.first == bool(above)):
                continue
            parts = [self._separated(known, name, above, now, shape) for name in (*factor.separator, *factor.outer)]
            if linked and level is not None:
                axis = cell[-1]
                parts.append(positions(axis, known.sizes[axis.name])[level.start : level.stop].to(self.device))
            if cell in messages:
                message = messages[cell]
                parts.append(message if level is None else message[..., level.start : level.stop, :])
            context = torch.cat([part.expand(*shape, -1) for part in parts], dim=-1) if len(parts) > 1 else parts[0]
            drawn = self.conditional(factor)(context.expand(*shape, -1).flatten(1, -2))
            now[factor.variable] = drawn.reshape(*shape, -1)
        return now

    def _separated(
        self,
        known: Batch,
        name: str,
        above: Mapping[str, Tensor],
        now: Mapping[str, Tensor],
        shape: tuple[int, ...],
    ) -> Tensor:
        """Return the values of a variable in the separator of one level, and 1 or 0 for those that are there."""
        if isinstance(name, Previous):
            return above[name]
        if name in now:
            return now[name]
        value = known.values[name]
        if name in known.present:
            value = torch.cat([value, known.present[name].expand(*value.shape[:-1], 1)], dim=-1)
        inner = len(shape) - 2 - len(self.graph[name].along)
        return value.reshape(*value.shape[:-1], *(1,) * inner, value.shape[-1])


def levels(axis: Axis, size: int) -> list[range]:
    """Return repeats in groups that can be drawn at once: those of one group follow repeats of the group before."""
    if isinstance(axis, Tree):
        return axis.levels(size)
    return [range(r, r + 1) for r in range(axis.repeats(size))] if axis.linked else [range(axis.repeats(size))]
