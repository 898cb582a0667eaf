r"""The bottom-up chain of a template: one conditional for all repeats of a latent.

.. math:: q(X_L \mid X_O) = \prod_v \prod_r q_\phi(v_r \mid S_{v,r}, e_r)

with the separator S (:mod:`ampbench.graph.template`) and messages e of the evidence
(:mod:`ampbench.amp.templates.messages`). All repeats of a plate are drawn at once; those of a chain in turn, and those
of a tree level by level.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from ampbench.amp.chains import Conditionals
from ampbench.amp.templates.batches import Batch, gather, positions, separator, separator_size
from ampbench.amp.templates.contraction import contracting
from ampbench.amp.templates.messages import Messages
from ampbench.amp.templates.reading import Reading
from ampbench.graph import Graph
from ampbench.graph.axes import Previous, shape
from ampbench.graph.template import Cell, TemplateFactor
from ampbench.interfaces import Conditional, Family


class Draw:
    """How the values of a factor are drawn: once from its family."""

    def messages(self, known: Batch) -> Mapping[TemplateFactor, Tensor]:
        """Return further messages of the evidence that drawing needs, (B, R_1, …, M) by factor; by default none."""
        return {}

    def at_once(self, known: Batch) -> int:
        """Return the number of draws of all latents that fit into memory together; by default there is no limit."""
        return sys.maxsize

    def __call__(
        self, factor: TemplateFactor, conditional: nn.Module, context: Tensor, message: Tensor | None
    ) -> Tensor:
        """Return values (*, D), given contexts (*, C) and the factor's further messages at their repeats, (*, M)."""
        drawn: Tensor = conditional(context.flatten(1, -2))
        return drawn.reshape(*context.shape[:-1], -1)


@dataclass(frozen=True)
class _Seen:
    """The values that all latents of a cell share.

    Attributes:
        draw: how values are drawn.
        parts: of their contexts, (B, R_1, …, ·) each.
        messages: those of ``draw``, (B, R_1, …, M) by factor.
    """

    draw: Draw
    parts: Sequence[Tensor]
    messages: Mapping[TemplateFactor, Tensor]

    def at(self, repeats: slice) -> _Seen:
        """Return the values at some repeats along the last axis."""
        parts = [part[..., repeats, :] for part in self.parts]
        messages = {factor: message[..., repeats, :] for factor, message in self.messages.items()}
        return replace(self, parts=parts, messages=messages)


class TemplateBottomUp(Conditionals[TemplateFactor]):
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
        self.messages = Messages(Reading.of(graph, observed, sizes, width))
        self.conditionals = nn.ModuleList(self._build(factor, families[factor.variable]) for factor in self.factors)

    def _build(self, factor: TemplateFactor, family: Family) -> Conditional:
        features, before = self.sizes[factor.variable], separator_size(factor, self.graph, self.sizes)
        conditional = family(features, self.context_size(factor))
        if self.graph[factor.variable].support.is_discrete:
            return conditional
        plates = self.messages.reading.plates(factor.cell)
        return contracting(conditional, features, [slice(before + at.start, before + at.stop) for at in plates])

    def context_size(self, factor: TemplateFactor) -> int:
        """Return the number of components of a factor's context."""
        return separator_size(factor, self.graph, self.sizes) + self.messages.reading.outputs(factor.cell)

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
        return self.density(factor).log_prob(value, context)

    def forward(self, batch: Batch, particles: int, draw: Draw | None = None) -> dict[str, Tensor]:
        """Infer all latents from the evidence in a batch.

        Arguments:
            batch: its observed values are the evidence; other values are not used.
            particles: L, number of samples for each simulation.
            draw: how values are drawn; by default from the families.

        Returns:
            By latent, values of shape (L, B, R_1, …, D).
        """
        evidence = {name: batch.values[name] for name in self.observed}
        known = Batch(batch.sizes, evidence, batch.present, {})
        draw = Draw() if draw is None else draw
        messages, further = self.messages(known), draw.messages(known)
        for cell in dict.fromkeys(factor.cell for factor in self.factors):
            here = {factor: message for factor, message in further.items() if factor.cell == cell}
            seen = _Seen(draw, [messages[cell]] if cell in messages else [], here)
            known = known.with_values(self._draw(known, seen, cell, particles))
        return {factor.variable: known.values[factor.variable] for factor in self.factors}

    def _draw(self, known: Batch, seen: _Seen, cell: Cell, particles: int) -> dict[str, Tensor]:
        """Draw all latents of a cell, (L, B, R_1, …, D) each."""
        if not cell:
            return self._draw_level(known, seen, cell, {}, (particles, len(known)))
        outer, axis = shape(cell[:-1], known.sizes), cell[-1]
        size = known.sizes[axis.name]
        if axis.linked:
            seen = replace(seen, parts=[positions(axis, size).to(self.device), *seen.parts])
        before = axis.before(size)
        parts: list[dict[str, Tensor]] = []
        start = 0  # of the level before
        for level in axis.levels(size):
            rows = torch.arange(level.start, level.stop)
            chosen = (before[rows] - start).clamp(min=0).to(self.device)
            above = {name: value.index_select(-2, chosen) for name, value in parts[-1].items()} if parts else {}
            here = seen.at(slice(level.start, level.stop))
            parts.append(self._draw_level(known, here, cell, above, (particles, len(known), *outer, len(level))))
            start = level.start
        return {name: torch.cat([part[name] for part in parts], dim=-2) for name in parts[0]}

    def _draw_level(
        self, known: Batch, seen: _Seen, cell: Cell, above: Mapping[str, Tensor], counts: tuple[int, ...]
    ) -> dict[str, Tensor]:
        """Draw the latents of one level of a cell, given those of the level before it, (L, B, R_1, …, D) each."""
        linked = bool(cell) and cell[-1].linked
        now: dict[str, Tensor] = {}
        for factor in self.factors:
            if factor.cell != cell or (linked and factor.first == bool(above)):
                continue
            parts = [self._separated(known, name, above, now, counts) for name in (*factor.separator, *factor.outer)]
            parts += seen.parts
            context = torch.cat([part.expand(*counts, -1) for part in parts], dim=-1) if len(parts) > 1 else parts[0]
            message = seen.messages[factor].expand(*counts, -1) if factor in seen.messages else None
            now[factor.variable] = seen.draw(factor, self.conditional(factor), context.expand(*counts, -1), message)
        return now

    def _separated(
        self,
        known: Batch,
        name: str,
        above: Mapping[str, Tensor],
        now: Mapping[str, Tensor],
        counts: tuple[int, ...],
    ) -> Tensor:
        """Return the values of a variable in the separator of one level, and 1 or 0 for those that are there."""
        if isinstance(name, Previous):
            return above[name]
        if name in now:
            return now[name]
        value = known.values[name]
        if name in known.present:
            value = torch.cat([value, known.present[name].expand(*value.shape[:-1], 1)], dim=-1)
        inner = len(counts) - 2 - len(self.graph[name].along)
        return value.reshape(*value.shape[:-1], *(1,) * inner, value.shape[-1])
