r"""Density-ratio resampling of repeated variables: every draw is chosen among candidates by an adversary's ratio.

After the training, the families φ are fixed, and copies of the adversaries and of their reader are trained further:
their parameters ξ descend eq. 7 of Karaletsos 2016 without a gradient penalty. Contexts are simulated, so that both
chains have the same separator S and the same evidence at a repeat r, and the logit converges to the log-ratio

.. math:: e^{d(v, S, e_r)} \to \frac{p(v \mid S, e_r)}{q(v \mid S, e_r)}.

A draw of v_r is one of M candidates from q(· | S, e_r), the i-th with a probability proportional to
:math:`e^{d(v_i, S, e_r)}`. Where q is near p, log q − log p of the chosen value is 1 / M of that of a candidate, to
first order. A chosen value is in the separators of the variables that are drawn after it.

The training is in :mod:`ampbench.amp.templates.ratio_training`.

References:
    Rubin 1987, *A noniterative sampling/importance resampling alternative to the data augmentation algorithm*,
    doi:10.2307/2289460.
    Azadi, Olsson, Darrell, Goodfellow, Odena 2019, *Discriminator rejection sampling*, arXiv:1810.06758.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import torch
from torch import Tensor, nn

from ampbench.amp.comparisons import LocalComparison, TuplesBySite
from ampbench.amp.engine import Trained
from ampbench.amp.refinement import estimator
from ampbench.amp.templates.batches import Batch, separator_size
from ampbench.amp.templates.chain import Draw, TemplateBottomUp
from ampbench.amp.templates.views import DRAWS, Reader, TemplateViews, factor_of, framed_by, moments
from ampbench.graph.axes import shape
from ampbench.graph.template import Cell, TemplateFactor
from ampbench.interfaces import HasLogRatio, Tuples
from ampbench.interfaces import state as states
from ampbench.networks import Adversary

CANDIDATES = 8
"""Candidates for each draw, M."""
MAX_CANDIDATES_AT_ONCE = 1_000_000
"""Candidates of a factor that are held in memory at a time, about, with the draws for their mean and deviation."""


class Ratio(nn.Module):
    """The log-ratio of a factor, by an adversary with a reader.

    Arguments:
        at: the comparison of the factor.
        adversary: estimates the log-ratio of tuples that the reader has read.
        reader: the messages of the evidence.
    """

    def __init__(self, at: LocalComparison, adversary: nn.Module, reader: Reader) -> None:
        super().__init__()
        self.at = at
        self.adversary = adversary
        self.reader = reader

    def forward(self, tuples: Tuples) -> Tensor:
        """Return log p − log q at tuples that the reader has read, (*,)."""
        return estimator(self.at).log_ratio(self.adversary, tuples)

    def __deepcopy__(self, memo: dict[int, Any]) -> Ratio:
        """Return a copy with networks of its own, for the same comparison."""
        return Ratio(self.at, *copy.deepcopy((self.adversary, self.reader), memo))


@dataclass(frozen=True)
class Resampling:
    """The result of the training of the log-ratios.

    Attributes:
        ratios: by the number of the factor, the log-ratio with the lowest held-out loss; those whose loss was never
            below that of d = 0 are missing.
        history: one row per check, with the mean of eq. 7 over held-out simulations for every factor.
    """

    ratios: Mapping[int, Ratio]
    history: Sequence[Mapping[str, float]]


def build_ratios(views: TemplateViews, trained: Trained[TemplateBottomUp] | None = None) -> dict[int, Ratio]:
    """Build the log-ratios, by the number of the factor, with one reader for all.

    They are copies of the adversaries that estimate log-ratios, and new adversaries for other divergences.

    Arguments:
        views: the families and the divergences.
        trained: the result of the training; without it, the parameters are random.
    """
    adversaries, reader = (trained.adversaries, trained.reader) if trained else views.build_adversaries()
    with views.bottom_up.device:
        reader = copy.deepcopy(reader) if isinstance(reader, Reader) else Reader(views.bottom_up.messages.reading)
        reader.requires_grad_(True)
        return {
            number: Ratio(
                at,
                copy.deepcopy(adversary)
                if isinstance(at.divergence, HasLogRatio)
                else Adversary(views.read_features(at)),
                reader,
            )
            for number, (at, adversary) in enumerate(zip(views.comparisons, adversaries, strict=True))
            if at.divergence.refine > 0
        }


def resampling_parts(resampling: Resampling | None) -> dict[str, states.State]:
    """Return the parts of a posterior's state: the log-ratios by the numbers of their factors, and the history."""
    if resampling is None:
        return {}
    ratios = {str(number): ratio.state_dict() for number, ratio in resampling.ratios.items()}
    return {"ratios": states.joined(ratios), "resampling": states.columns(resampling.history)}


def resampling_from(views: TemplateViews, parts: Mapping[str, states.State]) -> Resampling | None:
    """Build the log-ratios of a state, and load their parameters; None if draws are not resampled."""
    history = states.rows(parts["resampling"])
    if not history:
        return None
    found, ratios = states.parts(parts["ratios"]), {}
    for number, ratio in build_ratios(views).items():
        if own := found[str(number)]:
            ratios[number] = copy.deepcopy(ratio).requires_grad_(False)  # with a reader of its own
            states.load(ratios[number], own, "these log-ratios")
    return Resampling(ratios, history)


class Choice(Draw):
    """Draws that are chosen among candidates.

    Arguments:
        bottom_up: the families.
        resampling: the log-ratios; factors without one are drawn from their families.

    Attributes:
        candidates: number of candidates for each draw; 1 if there are no log-ratios.
    """

    def __init__(self, bottom_up: TemplateBottomUp, resampling: Resampling | None) -> None:
        self.bottom_up = bottom_up
        ratios = resampling.ratios.values() if resampling else ()
        self.ratios = {factor_of(ratio.at): ratio for ratio in ratios}
        self.candidates = CANDIDATES if self.ratios else 1

    def messages(self, known: Batch) -> dict[TemplateFactor, Tensor]:
        """Return the messages of the readers, (B, R_1, …, M) by factor."""
        found = {factor: ratio.reader.messages(known) for factor, ratio in self.ratios.items()}
        return {factor: messages[factor.cell] for factor, messages in found.items() if factor.cell in messages}

    def at_once(self, known: Batch) -> int:
        """Return a number of draws whose candidates are about :data:`MAX_CANDIDATES_AT_ONCE`."""
        if not self.ratios:
            return super().at_once(known)
        most = max(_together(factor.cell, known.sizes) for factor in self.ratios) * len(known)
        return max(1, MAX_CANDIDATES_AT_ONCE // (most * (CANDIDATES + DRAWS)))

    def __call__(
        self, factor: TemplateFactor, conditional: nn.Module, context: Tensor, message: Tensor | None
    ) -> Tensor:
        """Return a chosen candidate for every context, (*, D)."""
        if factor not in self.ratios:
            return super().__call__(factor, conditional, context, message)
        flat = context.flatten(0, -2)
        candidates: Tensor = conditional(flat.expand(CANDIDATES, -1, -1))
        above = flat[:, : separator_size(factor, self.bottom_up.graph, self.bottom_up.sizes)]
        further = [] if message is None else [message.flatten(0, -2)]
        tuples = Tuples(*framed_by(moments(conditional, flat), candidates, above, *further))
        return _chosen(self.ratios[factor](tuples), candidates).reshape(*context.shape[:-1], -1)

    @torch.no_grad()
    def among(self, p: TuplesBySite, q: TuplesBySite) -> TuplesBySite:
        """Return the chosen ones, (1, N, ·), of candidates at chosen repeats, (M, N, ·)."""
        if not self.ratios:
            return q
        found = {}
        for at, tuples in q.items():
            ratio, variable = self.ratios.get(factor_of(at)), tuples.variable[:1]
            if ratio is not None:
                read = ratio.reader.read(p, q, [at])[1][at]
                variable = _chosen(ratio(read), tuples.variable)[None]
            found[at] = replace(tuples, variable=variable, context=tuples.context[:1])
        return found


def _together(cell: Cell, sizes: Mapping[str, int]) -> int:
    """Return the number of repeats of a cell that are drawn together: all of a plate, a level of a chain or tree."""
    levels = cell[-1].levels(sizes[cell[-1].name]) if cell else [range(1)]
    return prod(shape(cell[:-1], sizes)) * max(len(level) for level in levels)


def _chosen(log_weights: Tensor, candidates: Tensor) -> Tensor:
    """Return one of the candidates (M, N, D) for every column, (N, D), by their log-weights (M, N)."""
    chosen = torch.multinomial(log_weights.softmax(0).T, 1).T
    return candidates.gather(0, chosen[..., None].expand(-1, -1, candidates.shape[-1]))[0]
