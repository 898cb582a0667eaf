r"""Density-ratio resampling: posterior draws are chosen among draws of the families by an estimated density ratio.

The gradient of a family loss moves samples along continuous paths. Between two sharp modes there is no such path, so
that the probabilities of the modes stay wrong after the modes have become sharp, although the adversary estimates them
better. Therefore, after the training of the families, φ is fixed and the adversary is trained further: its parameters ξ
descend eq. 7 of Karaletsos 2016 without a gradient penalty. Since both chains have the same evidence x, its logit d
converges to the log-ratio,

.. math:: e^{d(z)} \to \frac{p(z \mid x)}{q(z \mid x)}.

To draw n posterior samples, N candidates z_i are drawn from q(· | x), and each is selected with the inclusion
probability

.. math:: \pi_i = \min(1, e^{d_i} / c), \qquad \sum_i \pi_i = n.

The second equation defines the ceiling c: ratios are truncated only as far as the number of candidates requires. The
selection is by systematic sampling, whose inclusion probabilities are exactly π; the n draws are distinct.

Resampling is done if a single tuple has all inferred variables; for repeated variables see
:mod:`ampbench.amp.templates.resampling`. If the divergence estimates a log-ratio, its trained adversary is trained
further; otherwise a new adversary is trained. Held-out simulations choose the checkpoint and the end of this training.
If no checkpoint has a lower held-out loss than d = 0, draws are not resampled.

References:
    Azadi, Olsson, Darrell, Goodfellow, Odena 2019, *Discriminator rejection sampling*, arXiv:1810.06758.
    Turner, Hung, Frank, Saatci, Yosinski 2019, *Metropolis-Hastings generative adversarial networks*, arXiv:1811.11357.
    Madow 1949, *On the theory of systematic sampling, II*, doi:10.1214/aoms/1177729988.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Generic, TypeVar

import torch
from torch import Tensor, nn

from ampbench.amp.chains import BottomUp
from ampbench.amp.comparisons import LocalComparison, Reading, bottom_up_view, features, top_down_view, view
from ampbench.amp.optimisation import Descent
from ampbench.amp.sources import Simulations
from ampbench.graph import Factor
from ampbench.interfaces import HasLogRatio, Progress, Tuples
from ampbench.networks import Adversary, classification_loss

Module = TypeVar("Module", bound=nn.Module)

CANDIDATES_PER_DRAW = 8
"""Candidates for each selected draw."""
MIN_CANDIDATES = 64
"""Candidates at least, however few draws are asked for."""
MAX_CANDIDATES_AT_ONCE = 100_000
"""Candidates that are held in memory at a time, about."""
LEARNING_RATE = 5e-4
"""Peak learning rate of the adversary."""
CHECKS = 40
"""Number of times that the held-out loss is computed."""
PATIENCE = 0.75
"""The training stops after this share of the families' training without a lower held-out loss.

Some adversaries do not improve for a third of that training before they do.
"""
HELD_OUT_PARTICLES = 8
"""Draws of q for each held-out simulation."""


IGNORANT = 2 * math.log(2)
"""Eq. 7 for d = 0."""


class LowestLoss(Generic[Module]):
    """The network with the lowest held-out loss; None while no loss is below that of d = 0."""

    def __init__(self) -> None:
        self.network: Module | None = None
        self.loss = IGNORANT
        self.step = 0

    def offer(self, network: Module, loss: float, step: int) -> None:
        """Keep a copy of a network, without gradients, if its loss is the lowest."""
        if loss < self.loss:
            self.network, self.loss, self.step = copy.deepcopy(network).requires_grad_(False), loss, step


@dataclass(frozen=True)
class Refinement:
    """The result of training the adversary against fixed families.

    Attributes:
        adversary: the adversary with the lowest held-out loss; None if no loss was below 2 log 2, the loss of d = 0.
        history: one row per check, with the mean of eq. 7 over held-out simulations.
    """

    adversary: nn.Module | None
    history: Sequence[Mapping[str, float]]


def refinement_steps(comparisons: Sequence[LocalComparison], steps: int) -> int:
    """Return the number of steps of this training, given the number of steps of the families' training.

    It is 0 unless there is a single tuple, with all inferred variables, and its divergence asks for resampling.
    """
    return round(comparisons[0].divergence.refine * steps) if len(comparisons) == 1 else 0


def build_refiner(bottom_up: BottomUp, comparison: LocalComparison) -> nn.Module:
    """Build the adversary that estimates the log-ratio: the divergence's own if it estimates one, or else a new one."""
    width = features(bottom_up, comparison)
    with bottom_up.device:
        if isinstance(comparison.divergence, HasLogRatio):
            return comparison.divergence.adversary(width)
        if comparison.refiner_reading is None:
            return Adversary(width)
        variables = sum(bottom_up.sizes[name] for name in comparison.site.variables)
        return _Behind(comparison.refiner_reading, variables)


class _Behind(nn.Module):
    """A new adversary that reads the context through a network."""

    def __init__(self, reading: Reading, variables: int) -> None:
        super().__init__()
        self.reading = reading
        self.adversary = Adversary(variables + reading.features)

    def forward(self, tuples: Tuples) -> Tensor:
        return self.adversary(replace(tuples, context=self.reading(tuples.context)))


def refine(
    bottom_up: BottomUp,
    comparison: LocalComparison,
    adversary: nn.Module,
    source: Simulations,
    batch_size: int,
    steps: int,
    progress: Progress,
) -> Refinement:
    """Train an adversary against fixed families.

    Arguments:
        bottom_up: the families.
        comparison: the single local comparison; ``refine`` of its divergence is above 0.
        adversary: the trained adversary of the divergence. If it estimates a log-ratio, a copy of it is trained
            further.
        source: simulations for the training, and held-out simulations for the checks.
        batch_size: simulations per step.
        steps: maximal number of steps.
        progress: called after every step.

    Raises:
        TrainingError: the loss or its gradient became NaN or infinite.
    """
    if isinstance(comparison.divergence, HasLogRatio):
        adversary = copy.deepcopy(adversary)
    else:
        adversary = build_refiner(bottom_up, comparison)
    descent = Descent("adversary", adversary.parameters(), LEARNING_RATE, steps)
    p_held, q_held = _both_tuples(bottom_up, comparison, source.held_out, source, HELD_OUT_PARTICLES)
    patience = PATIENCE * steps / comparison.divergence.refine
    best, history = LowestLoss[nn.Module](), []
    for step in range(steps + 1):
        if step % max(1, steps // CHECKS) == 0 or step == steps:
            with torch.no_grad():
                loss = float(_classification(comparison, adversary, p_held, q_held))
            history.append({"step": step, "held-out adversary loss": loss})
            best.offer(adversary, loss, step)
            if step - best.step >= patience:
                break
        if step < steps:
            p, q = _both_tuples(bottom_up, comparison, source.top_down(batch_size), source, 1)
            descent.descend({comparison: _classification(comparison, adversary, p, q)}, step + 1)
            progress(step + 1, steps)
    return Refinement(best.network, history)


@torch.no_grad()
def _both_tuples(
    bottom_up: BottomUp, comparison: LocalComparison, rows: Mapping[str, Tensor], source: Simulations, particles: int
) -> tuple[Tuples, Tuples]:
    """Return the tuples of both chains for rows of simulations, with ``particles`` draws of q for each row."""
    evidence = source.evidence(rows, len(next(iter(rows.values()))))
    p = top_down_view(rows, [comparison])
    q = bottom_up_view(bottom_up, evidence, [comparison], particles)
    return p[comparison], q[comparison]


def _classification(comparison: LocalComparison, adversary: nn.Module, p: Tuples, q: Tuples) -> Tensor:
    """Return eq. 7, the classification loss of the estimated log-ratio."""
    return classification_loss(partial(estimator(comparison).log_ratio, adversary), p, q)


def estimator(comparison: LocalComparison) -> HasLogRatio:
    """Return the object that computes the log-ratio from the adversary: the divergence, or the plain output."""
    return comparison.divergence if isinstance(comparison.divergence, HasLogRatio) else HasLogRatio()


class Resampled:
    """A bottom-up chain whose draws are resampled; its interface is that of :class:`~ampbench.amp.chains.BottomUp`.

    Arguments:
        bottom_up: the families.
        comparison: the single local comparison.
        adversary: the adversary that estimates the log-ratio.
    """

    def __init__(self, bottom_up: BottomUp, comparison: LocalComparison, adversary: nn.Module) -> None:
        self.bottom_up = bottom_up
        self.comparison = comparison
        self.adversary = adversary

    def __call__(self, evidence: Mapping[str, Tensor], particles: int) -> dict[str, Tensor]:
        """Infer all latents from evidence, (B, D_i) per variable: (particles, B, D_i) per variable."""
        return self.through(self.bottom_up.chains[frozenset(evidence)], evidence, particles)

    @torch.no_grad()
    def through(self, factors: Iterable[Factor], given: Mapping[str, Tensor], particles: int) -> dict[str, Tensor]:
        """Sample some factors in turn, given the values (B, D_i) of other variables; see :meth:`__call__`."""
        rows = len(next(iter(given.values())))
        at_once = max(1, MAX_CANDIDATES_AT_ONCE // (CANDIDATES_PER_DRAW * rows))
        sizes = [min(at_once, particles - start) for start in range(0, particles, at_once)]
        drawn = [self._draw(factors, given, size) for size in sizes]
        return {name: torch.cat([each[name] for each in drawn]) for name in drawn[0]}

    def _draw(self, factors: Iterable[Factor], given: Mapping[str, Tensor], particles: int) -> dict[str, Tensor]:
        values = self.bottom_up.through(factors, given, max(MIN_CANDIDATES, CANDIDATES_PER_DRAW * particles))
        log_ratio = estimator(self.comparison).log_ratio(self.adversary, view(values, self.comparison))
        selected = systematic(inclusion(log_ratio, particles))
        return {
            name: value.gather(0, selected[..., None].expand(-1, -1, value.shape[-1])) for name, value in values.items()
        }


def inclusion(log_weights: Tensor, n: int) -> Tensor:
    r"""Return the inclusion probabilities π = min(1, w / c) with Σ π = n.

    Arguments:
        log_weights: log w, up to a constant for each column, shape (N, B).
        n: number of candidates to select, n ≤ N.

    Returns:
        Shape (N, B), in double precision.

    Example:
        >>> inclusion(torch.tensor([[0.0], [0.0], [9.0]]), 2).flatten().tolist()
        [0.5, 0.5, 1.0]
    """
    weights = (log_weights.double() - log_weights.amax(0)).exp().clamp_min(torch.finfo(torch.double).tiny)
    ordered = weights.sort(dim=0, descending=True).values
    rest = ordered.flip(0).cumsum(0).flip(0)  # sum of all but the k largest, which have π = 1
    left = n - torch.arange(len(weights), device=weights.device, dtype=weights.dtype)[:, None]
    fits = (ordered * left <= rest) | (left <= 0)
    first = fits.to(torch.uint8).argmax(0, keepdim=True)
    ceiling = rest.gather(0, first) / (n - first)
    return (weights / ceiling).clamp_max(1.0)


def systematic(probabilities: Tensor) -> Tensor:
    """Select rows of every column by systematic sampling.

    Arguments:
        probabilities: inclusion probabilities, shape (N, B); every column sums to one whole number n.

    Returns:
        Indices of the selected rows, shape (n, B), increasing and distinct.
    """
    total = probabilities.cumsum(0)
    n = round(float(total[-1, 0]))
    marks = torch.arange(n, device=total.device, dtype=total.dtype)[:, None] + torch.rand_like(total[:1])
    found = torch.searchsorted(total.T.contiguous(), marks.T.contiguous(), right=True).T
    return found.clamp_max(len(total) - 1)
