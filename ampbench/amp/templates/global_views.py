r"""One adversary for all variables of a template at once, to compare with local ones (Karaletsos 2016, section 3.1).

The adversary reads latents and evidence by messages, as :mod:`ampbench.amp.templates.messages` defines them for the
evidence, and judges the features e of the outermost cell,

.. math:: d(x_1, \dots, x_I) = D_\xi\bigl(e^\xi(x_1, \dots, x_I)\bigr).

The bottom-up chain is drawn as a whole, from the evidence alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from torch import Tensor, nn

from ampbench.amp.comparisons import LocalComparison, TuplesBySite
from ampbench.amp.sites import Site
from ampbench.amp.templates.batches import Batch
from ampbench.amp.templates.chain import TemplateBottomUp
from ampbench.amp.templates.messages import Messages
from ampbench.amp.templates.reading import Reading
from ampbench.amp.templates.views import Place, TemplateViews
from ampbench.errors import UsageError
from ampbench.interfaces import Divergence, Tuples


@dataclass(frozen=True, eq=False)
class GlobalViews(TemplateViews):
    """The tuples of all variables; see :class:`ampbench.amp.templates.views.TemplateViews`."""

    @classmethod
    def of(cls, bottom_up: TemplateBottomUp, divergences: Mapping[str, Divergence]) -> GlobalViews:
        """Return views with a single comparison.

        Raises:
            UsageError: the variables have several divergences, or theirs compares the chains row by row.
        """
        divergence = next(iter(divergences.values()))
        if any(each is not divergence for each in divergences.values()):
            raise UsageError("scope=global has a single divergence; give no divergence to single variables")
        if divergence.paired or divergence.likelihood:
            raise UsageError(
                f"divergence {type(divergence).__name__} has no adversary; scope=global compares adversaries, take jsd"
            )
        names = tuple(dict.fromkeys(factor.variable for factor in bottom_up.factors))
        site = Site(names, bottom_up.observed)
        comparison = LocalComparison(str(site), site, frozenset(bottom_up.observed), bottom_up.factors, divergence)
        return cls(bottom_up, divergences, [comparison])

    def build_adversaries(self) -> tuple[list[nn.Module], nn.Module]:
        """Build ξ: one adversary on the features of the reader, and the adversary's messages of all variables."""
        families, comparison = self.bottom_up, self.comparisons[0]
        names = (*comparison.site.variables, *families.observed)
        reading = Reading.of(families.graph, names, families.sizes, families.messages.reading.width)
        with families.device:
            return [comparison.divergence.adversary(reading.outputs(()))], GlobalReader(Messages(reading))

    def top_down(self, drawn: Batch) -> TuplesBySite:
        """Return the simulations as tuples, (B, 0) before the reader adds its features."""
        return {self.comparisons[0]: _unread(drawn, drawn.values)}

    def forced(self, drawn: Batch, particles: int) -> TuplesBySite:
        """Sample the whole chain: a global adversary has no contexts that could be simulated."""
        return self.inferred(drawn, particles)

    def inferred(self, evidence: Batch, particles: int) -> TuplesBySite:
        """Sample the whole bottom-up chain.

        Raises:
            UsageError: there are several particles.
        """
        if particles != 1:
            raise UsageError(f"scope=global takes particles=1, got {particles}")
        drawn = {name: value[0] for name, value in self.bottom_up(evidence, 1).items()}
        return {self.comparisons[0]: _unread(evidence, drawn)}


def _unread(batch: Batch, values: Mapping[str, Tensor]) -> Tuples:
    empty = next(iter(batch.values.values())).new_zeros(len(batch), 0)
    together = batch.with_values(values)
    return Tuples(empty, empty, place=Place(together, None, None))


class GlobalReader(nn.Module):
    """The messages of all variables, latents included."""

    def __init__(self, messages: Messages) -> None:
        super().__init__()
        self.messages = messages

    def forward(self, p: TuplesBySite, q: TuplesBySite) -> tuple[TuplesBySite, TuplesBySite]:
        """Return tuples of the features of the outermost cell, (B, H)."""
        return {at: self._read(each) for at, each in p.items()}, {at: self._read(each) for at, each in q.items()}

    def _read(self, tuples: Tuples) -> Tuples:
        assert isinstance(tuples.place, Place)
        return replace(tuples, variable=self.messages(tuples.place.batch)[()])
