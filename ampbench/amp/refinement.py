r"""The last word of the adversary: draws of the fitted families, thinned by its density ratio.

A family learns through the gradient along its samples, which moves mass along continuous paths only. Between two sharp
modes there is no such path, so that their shares of the mass stay as wrong as they were when the modes became sharp,
although the adversary knows better. So in the end it goes on alone: φ is fixed, ξ descends eq. 7 without a penalty, and

.. math:: e^{d(z)} \to \frac{p(z \mid x)}{q(z \mid x)},

because both chains share the evidence x. Of N candidates z_i from q(· | x) a posterior sample of n keeps each with
probability

.. math:: \pi_i = \min(1, e^{d_i} / c), \qquad \sum_i \pi_i = n;

the second equation defines the ceiling c, so that ratios are cut off no sooner than the number of candidates demands.
The n draws are distinct: they are chosen by systematic sampling, whose inclusion probabilities are just the π.

It is done where all inferred variables are judged at a single tuple. The adversary of the training goes on, or, where
that learned no log-ratio, a new one begins. Held-out simulations choose its checkpoint, and say when it has learned
what it can; if none is better at them than d = 0, nothing is thinned.

References:
    Azadi, Olsson, Darrell, Goodfellow, Odena 2019, *Discriminator rejection sampling*, arXiv:1810.06758.
    Turner, Hung, Frank, Saatci, Yosinski 2019, *Metropolis-Hastings generative adversarial networks*, arXiv:1811.11357.
    Madow 1949, *On the theory of systematic sampling, II*, doi:10.1214/aoms/1177729988.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from ampbench.amp.chains import BottomUp
from ampbench.amp.comparisons import LocalComparison, bottom_up_view, top_down_view, view
from ampbench.amp.optimisation import Descent
from ampbench.amp.sources import Simulations
from ampbench.graph import Factor
from ampbench.interfaces import HasLogRatio, Progress, Tuples
from ampbench.networks import Adversary, classification_loss

CANDIDATES = 8
"""Candidates for every draw that is kept."""
LEAST = 64
"""Fewest candidates for a sample, however small."""
MOST = 100_000
"""Candidates are drawn in turns of about so many, for the sake of memory."""
RATE = 5e-4
"""Peak rate of the adversary while it goes on alone."""
CHECKS = 40
"""How often in all it is judged by held-out simulations."""
PATIENCE = 0.75
"""It stops after so long without a better check, as a share of the training; some learn nothing for a third of it."""
PARTICLES = 8
"""Draws for each of these."""


@dataclass(frozen=True)
class Refinement:
    """What came of the adversary's going on alone.

    Attributes:
        adversary: the best one; None if at no check it beat d = 0.
        history: one row per check, with the mean of eq. 7 over held-out simulations; that of d = 0 is 2 log 2.
    """

    adversary: nn.Module | None
    history: Sequence[Mapping[str, float]]


def refinement_steps(comparisons: Sequence[LocalComparison], steps: int) -> int:
    """Return how many steps an adversary goes on alone after so many of training.

    It is 0 unless a single tuple holds all that is inferred.
    """
    return round(comparisons[0].divergence.refine * steps) if len(comparisons) == 1 else 0


def build_refiner(bottom_up: BottomUp, comparison: LocalComparison) -> nn.Module:
    """Return the adversary that goes on alone, as it is before any training."""
    features = bottom_up.features(comparison.site)
    with bottom_up.device:
        learned = isinstance(comparison.divergence, HasLogRatio)
        return comparison.divergence.adversary(features) if learned else Adversary(features)


def refine(
    bottom_up: BottomUp,
    comparison: LocalComparison,
    adversary: nn.Module,
    source: Simulations,
    batch_size: int,
    steps: int,
    progress: Progress,
) -> Refinement:
    """Let the adversary go on alone, against families that stay as they are.

    Arguments:
        bottom_up: the families.
        comparison: where all that is inferred is judged, by a divergence whose ``refine`` is above 0.
        adversary: the one in training, to start from if it learned a log-ratio; it is left as it is.
        source: simulations to learn from, and held-out ones to choose by.
        batch_size: simulations per step.
        steps: most updates.
        progress: called after every step.

    Raises:
        TrainingError: the loss or its gradient became NaN or infinite.
    """
    if isinstance(comparison.divergence, HasLogRatio):
        adversary = copy.deepcopy(adversary)
    else:
        adversary = build_refiner(bottom_up, comparison)
    descent = Descent("adversary", adversary.parameters(), RATE, steps)
    p_held, q_held = _both_tuples(bottom_up, comparison, source.held_out, source, PARTICLES)
    patience = PATIENCE * steps / comparison.divergence.refine
    best, least, best_at, history = None, 2 * math.log(2), 0, []
    for step in range(steps + 1):
        if step % max(1, steps // CHECKS) == 0 or step == steps:
            with torch.no_grad():
                loss = float(_classification(comparison, adversary, p_held, q_held))
            history.append({"step": step, "held-out adversary loss": loss})
            if loss < least:
                best, least, best_at = copy.deepcopy(adversary).requires_grad_(False), loss, step
            if step - best_at >= patience:
                break
        if step < steps:
            p, q = _both_tuples(bottom_up, comparison, source.top_down(batch_size), source, 1)
            descent.descend({comparison: _classification(comparison, adversary, p, q)}, step + 1)
            progress(step + 1, steps)
    return Refinement(best, history)


@torch.no_grad()
def _both_tuples(
    bottom_up: BottomUp, comparison: LocalComparison, rows: Mapping[str, Tensor], source: Simulations, particles: int
) -> tuple[Tuples, Tuples]:
    evidence = source.evidence(rows, len(next(iter(rows.values()))))
    return top_down_view(rows, [comparison])[comparison], bottom_up_view(bottom_up, evidence, [comparison], particles)[
        comparison
    ]


def _classification(comparison: LocalComparison, adversary: nn.Module, p: Tuples, q: Tuples) -> Tensor:
    """Eq. 7 of the log-ratio."""
    return classification_loss(partial(_ratio(comparison).log_ratio, adversary), p, q)


def _ratio(comparison: LocalComparison) -> HasLogRatio:
    """What reads the log-ratio off an adversary that has gone on alone: of a new one, it is the output."""
    return comparison.divergence if isinstance(comparison.divergence, HasLogRatio) else HasLogRatio()


class Resampled:
    """A bottom-up chain of which only some draws are kept; it is called as :class:`~ampbench.amp.chains.BottomUp` is.

    Arguments:
        bottom_up: the families.
        comparison: where all that is inferred is judged.
        adversary: whose log-ratio decides.
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
        """Draw the variables of some factors in turn, from given values (B, D_i); see :meth:`__call__`."""
        rows = len(next(iter(given.values())))
        at_once = max(1, MOST // (CANDIDATES * rows))
        turns = [min(at_once, particles - start) for start in range(0, particles, at_once)]
        drawn = [self._draw(factors, given, turn) for turn in turns]
        return {name: torch.cat([each[name] for each in drawn]) for name in drawn[0]}

    def _draw(self, factors: Iterable[Factor], given: Mapping[str, Tensor], particles: int) -> dict[str, Tensor]:
        values = self.bottom_up.through(factors, given, max(LEAST, CANDIDATES * particles))
        log_ratio = _ratio(self.comparison).log_ratio(
            self.adversary, view(values, self.comparison.site, self.comparison.densities)
        )
        kept = systematic(inclusion(log_ratio, particles))
        return {
            name: value.gather(0, kept[..., None].expand(-1, -1, value.shape[-1])) for name, value in values.items()
        }


def inclusion(log_weights: Tensor, n: int) -> Tensor:
    r"""Return the probabilities π = min(1, w / c) with Σ π = n.

    Arguments:
        log_weights: shape (N, B), log w up to a constant for each column.
        n: how many of N are to be kept, n ≤ N.

    Returns:
        Shape (N, B), in double precision.

    Example:
        >>> inclusion(torch.tensor([[0.0], [0.0], [9.0]]), 2).flatten().tolist()
        [0.5, 0.5, 1.0]
    """
    weights = (log_weights.double() - log_weights.amax(0)).exp().clamp_min(torch.finfo(torch.double).tiny)
    ordered = weights.sort(dim=0, descending=True).values
    rest = ordered.flip(0).cumsum(0).flip(0)  # what is left if the k largest are kept for sure
    left = n - torch.arange(len(weights), device=weights.device, dtype=weights.dtype)[:, None]
    fits = (ordered * left <= rest) | (left <= 0)
    first = fits.to(torch.uint8).argmax(0, keepdim=True)
    ceiling = rest.gather(0, first) / (n - first)
    return (weights / ceiling).clamp_max(1.0)


def systematic(probabilities: Tensor) -> Tensor:
    """Choose rows of every column by systematic sampling.

    Arguments:
        probabilities: shape (N, B), of being chosen; each column sums to the same whole number n.

    Returns:
        Row numbers, shape (n, B), increasing and distinct.
    """
    total = probabilities.cumsum(0)
    n = round(float(total[-1, 0]))
    marks = torch.arange(n, device=total.device, dtype=total.dtype)[:, None] + torch.rand_like(total[:1])
    found = torch.searchsorted(total.T.contiguous(), marks.T.contiguous(), right=True).T
    return found.clamp_max(len(total) - 1)
