r"""The tuples of both chains at the repeats of a template, and the adversaries' own reading of the evidence.

At a repeat r the tuple of p is :math:`(v_r, S_{v,r})`, that of q has v drawn from the family; d compares

.. math:: \Bigl(\frac{v_r - \mu_r}{\sigma_r},\; S_{v,r},\; \mu_r,\; \log \sigma_r,\; e^\xi_r\Bigr)

with messages :math:`e^\xi` that the adversaries compute by a network of their own, the reader, and mean μ and standard
deviation σ of some draws of the family given S and its own messages. This is a bijection of v given the context, so
that f-divergences do not change. Errors of the family have unit scale for any width of the posterior, and errors of
different repeats, which may compensate in the mixture over repeats, have separate features. With teacher forcing p and
q have the same separators and evidence. If then no d distinguishes the tuples, q(v | S, e) is the exact conditional.

A divergence that compares the chains row by row (a proper scoring rule), or uses the density of the families, needs no
reader. Others compare sets of tuples, and without the evidence could not detect that a family ignores it. If such a
divergence trains no adversary, its reader has fixed random weights.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor, nn

from ampbench.amp.comparisons import AsTheyAre, LocalComparison, TuplesBySite
from ampbench.amp.sites import Site
from ampbench.amp.templates.batches import Batch, gather, separator, separator_size
from ampbench.amp.templates.chain import TemplateBottomUp
from ampbench.amp.templates.messages import Messages
from ampbench.amp.templates.reading import Reading
from ampbench.errors import UsageError
from ampbench.graph.template import Cell, TemplateFactor
from ampbench.interfaces import Divergence, Tuples
from ampbench.interfaces.tuples import Densities

DRAWS = 32
"""Number of draws of a family at each context that give mean and standard deviation."""
MIN_VARIANCE = 1e-8
"""Added to the variance of these draws."""


@dataclass(frozen=True, eq=False)
class Place:
    """The repeats of a batch at which tuples were taken.

    Attributes:
        batch: evidence, and latents of the chain that the tuples are from.
        factor: the inverse factor; None for all together.
        rows: chosen repeats, see :class:`ampbench.amp.templates.batches.Batch`; None for all.
    """

    batch: Batch
    factor: TemplateFactor | None
    rows: Tensor | None


class FamilyDensity(Densities):
    """The family at chosen repeats: its density, differentiable in the messages, and its moments.

    Arguments:
        bottom_up: the families.
        factor: the inverse factor.
        context: returns the contexts with their messages, (*, N, C).
    """

    def __init__(self, bottom_up: TemplateBottomUp, factor: TemplateFactor, context: Callable[[], Tensor]) -> None:
        self.bottom_up = bottom_up
        self.factor = factor
        self.context = context

    def family(self, tuples: Tuples) -> Tensor:
        """Return log q(v | S, e), shape (*, N)."""
        context = self.context()
        return self.bottom_up.log_prob(
            self.factor, tuples.variable, context.expand(*tuples.variable.shape[:-1], context.shape[-1])
        )

    @cached_property
    def moments(self) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of :data:`DRAWS` draws of the family, (*, N, D) each, without gradients."""
        context = self.context()  # with gradients: the messages are kept for the density
        return moments(self.bottom_up.conditional(self.factor), context)

    def likelihood(self, tuples: Tuples) -> Tensor:
        """Raise :class:`UsageError`: the evidence of a repeat may lie in many others."""
        raise UsageError(
            f"the likelihood at the tuples of {self.factor} is not known: messages carry evidence of several repeats; "
            "take a divergence that needs none, such as jsd or kl"
        )


@dataclass(frozen=True, eq=False)
class TemplateViews:
    """The tuples of both chains; see :class:`ampbench.amp.comparisons.Views`.

    Attributes:
        bottom_up: the families.
        divergences: by variable, the divergence of its factors.
        comparisons: the local comparisons.
    """

    bottom_up: TemplateBottomUp
    divergences: Mapping[str, Divergence]
    comparisons: Sequence[LocalComparison]

    @classmethod
    def of(cls, bottom_up: TemplateBottomUp, divergences: Mapping[str, Divergence]) -> TemplateViews:
        """Return views with one comparison per factor."""
        comparisons = []
        for factor in bottom_up.factors:
            site = Site((factor.variable,), (*factor.separator, *factor.outer, "evidence"))
            divergence = divergences[factor.variable]
            comparisons.append(LocalComparison(str(factor), site, frozenset(bottom_up.observed), (factor,), divergence))
        return cls(bottom_up, divergences, comparisons)

    def build_adversaries(self) -> tuple[list[nn.Module], nn.Module]:
        """Build ξ, on the device of the families: one adversary per factor, and their own messages."""
        with self.bottom_up.device:
            adversaries = [at.divergence.adversary(self._features(at)) for at in self.comparisons]
            read = [xi for at, xi in zip(self.comparisons, adversaries, strict=True) if is_read(at.divergence)]
            reader = Reader(self.bottom_up.messages.reading) if read else AsTheyAre()
        trained = any(list(adversary.parameters()) for adversary in read)
        return adversaries, reader.requires_grad_(trained)

    def _features(self, at: LocalComparison) -> int:
        return self.read_features(at) if is_read(at.divergence) else sum(self._own(factor_of(at)))

    def read_features(self, at: LocalComparison) -> int:
        """Return the number of components of a tuple that a reader has read."""
        variable, separated = self._own(factor_of(at))
        return 3 * variable + separated + self.bottom_up.messages.reading.outputs(factor_of(at).cell)

    def _own(self, factor: TemplateFactor) -> tuple[int, int]:
        """Return the numbers of components of a variable and of its separator."""
        families = self.bottom_up
        return families.sizes[factor.variable], separator_size(factor, families.graph, families.sizes)

    def top_down(self, drawn: Batch) -> TuplesBySite:
        """Return the tuples of simulations at the chosen repeats, (N, ·)."""
        shared = _Shared(self.bottom_up, drawn)
        return {at: self._tuple(at, drawn, shared) for at in self.comparisons}

    def forced(self, drawn: Batch, particles: int) -> TuplesBySite:
        """Sample the families at the chosen repeats, with simulated separators, (L, N, ·)."""
        shared, tuples = _Shared(self.bottom_up, drawn), {}
        for at in self.comparisons:
            p = self._tuple(at, drawn, shared)
            context = shared.context(factor_of(at))
            value = self.bottom_up.conditional(factor_of(at))(context.expand(particles, *context.shape))
            tuples[at] = replace(p, variable=value, context=p.context.expand(particles, *p.context.shape))
        return tuples

    def inferred(self, evidence: Batch, particles: int) -> TuplesBySite:
        """Sample the whole bottom-up chain, and return its tuples at the chosen repeats, (L, N, ·)."""
        drawn = evidence.with_values(self.bottom_up(evidence, particles))
        shared = _Shared(self.bottom_up, drawn)
        return {at: self._tuple(at, drawn, shared) for at in self.comparisons}

    def _tuple(self, at: LocalComparison, drawn: Batch, shared: _Shared) -> Tuples:
        factor = factor_of(at)
        rows, graph = drawn.rows[factor], self.bottom_up.graph
        variable = gather(drawn.values[factor.variable], rows, len(factor.cell))
        context = separator(drawn, factor, rows, graph)
        density = FamilyDensity(self.bottom_up, factor, lambda: shared.context(factor))
        return Tuples(variable, context.expand(*variable.shape[:-1], -1), density, Place(drawn, factor, rows))


class _Shared:
    """The messages of a batch, which are computed once, when they are first asked for."""

    def __init__(self, bottom_up: TemplateBottomUp, batch: Batch) -> None:
        self.bottom_up = bottom_up
        self.batch = batch
        self._messages: dict[Cell, Tensor] | None = None

    def context(self, factor: TemplateFactor) -> Tensor:
        """Return the contexts of a factor at the chosen repeats, (N, C)."""
        if self._messages is None:
            self._messages = self.bottom_up.messages(self.batch)
        return self.bottom_up.context(self.batch, self._messages, factor, self.batch.rows[factor])


class Reader(nn.Module):
    """The adversaries' own messages of the evidence, shared by the adversaries of all factors.

    Arguments:
        reading: the evidence.
    """

    def __init__(self, reading: Reading) -> None:
        super().__init__()
        self.messages = Messages(reading)

    def forward(self, p: TuplesBySite, q: TuplesBySite) -> tuple[TuplesBySite, TuplesBySite]:
        """Return tuples in the units of the families, whose contexts have the messages at their repeats too.

        Tuples whose divergence needs no reader are returned as they are.
        """
        some = [at for at in p if is_read(at.divergence)]
        found_p, found_q = self.read(p, q, some)
        return {**p, **found_p}, {**q, **found_q}

    def read(
        self, p: TuplesBySite, q: TuplesBySite, some: Iterable[LocalComparison]
    ) -> tuple[TuplesBySite, TuplesBySite]:
        """Return the tuples of some comparisons, see :meth:`forward`."""
        messages = self.messages(_batch(next(iter(p.values()))))
        found_p, found_q = {}, {}
        for at in some:
            forced = _batch(p[at]) is _batch(q[at])  # p has the contexts of q, and the family the same moments
            found_p[at] = _read(p[at], q[at] if forced else p[at], messages)
            found_q[at] = _read(q[at], q[at], messages)
        return found_p, found_q


def _batch(tuples: Tuples) -> Batch:
    assert isinstance(tuples.place, Place)
    return tuples.place.batch


def _read(tuples: Tuples, framed: Tuples, messages: Mapping[Cell, Tensor]) -> Tuples:
    """Return tuples in units of the family at other tuples, with moments and messages in their contexts."""
    place = tuples.place
    assert isinstance(place, Place)
    assert place.factor is not None
    assert place.rows is not None
    assert isinstance(framed.densities, FamilyDensity)
    cell = place.factor.cell
    message = [gather(messages[cell], place.rows, len(cell))] if cell in messages else []
    variable, context = framed_by(framed.densities.moments, tuples.variable, tuples.context, *message)
    return replace(tuples, variable=variable, context=context)


def framed_by(
    found: tuple[Tensor, Tensor], variable: Tensor, context: Tensor, *message: Tensor
) -> tuple[Tensor, Tensor]:
    """Return a tuple in the units of a family, given its mean and standard deviation: (*, D) and (*, C′)."""
    mean, deviation = found
    parts = [context, mean, deviation.log(), *message]
    seen = torch.cat([part.expand(*variable.shape[:-1], -1) for part in parts], dim=-1)
    return (variable - mean) / deviation, seen


@torch.no_grad()
def moments(conditional: nn.Module, context: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and standard deviation of :data:`DRAWS` draws given contexts (*, C), shape (*, D) each."""
    drawn = conditional(context.flatten(0, -2).expand(DRAWS, -1, -1)).unflatten(1, context.shape[:-1])
    return drawn.mean(0), (drawn.var(0) + MIN_VARIANCE).sqrt()


def factor_of(at: LocalComparison) -> TemplateFactor:
    """Return the inverse factor of a comparison."""
    (factor,) = at.factors
    assert isinstance(factor, TemplateFactor)
    return factor


def is_read(divergence: Divergence) -> bool:
    """Return whether a divergence compares sets of tuples, so that these need the evidence."""
    return not (divergence.paired or divergence.likelihood)


def joined(parts: Sequence[Tuples]) -> Tuples:
    """Return tuples of several batches as one, (*, N, ·)."""
    variables, contexts = [part.variable for part in parts], [part.context for part in parts]
    return Tuples(torch.cat(variables, dim=-2), torch.cat(contexts, dim=-2))


def with_messages(tuples: TuplesBySite) -> TuplesBySite:
    """Return tuples whose contexts have the messages of the families, where the reader adds none of its own."""
    found = {}
    for at, each in tuples.items():
        found[at] = each
        if not is_read(at.divergence) and isinstance(each.densities, FamilyDensity):
            context = each.densities.context()
            found[at] = replace(each, context=context.expand(*each.variable.shape[:-1], -1))
    return found
