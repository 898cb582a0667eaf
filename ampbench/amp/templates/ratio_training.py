r"""The training of the log-ratios by which draws of repeated variables are chosen.

The families φ are fixed, and the parameters ξ of an adversary per factor, and of a reader, descend eq. 7 of Karaletsos
2016,

.. math:: \operatorname{E}_p \log(1 + e^{-d}) + \operatorname{E}_q \log(1 + e^{d}),

without a gradient penalty, at the repeats that a step takes; see :mod:`ampbench.amp.templates.resampling`. Held-out
simulations choose the checkpoint of each factor, and the end of this training. A factor whose held-out loss is not
lower than that of d = 0, 2 log 2, has no log-ratio.

References:
    Karaletsos 2016, *Adversarial message passing for graphical models*, arXiv:1612.05048.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from ampbench.amp.comparisons import LocalComparison, TuplesBySite
from ampbench.amp.engine import Trained
from ampbench.amp.optimisation import Descent
from ampbench.amp.refinement import CHECKS, HELD_OUT_PARTICLES, LEARNING_RATE, PATIENCE, LowestLoss
from ampbench.amp.templates.batches import Batch
from ampbench.amp.templates.chain import TemplateBottomUp
from ampbench.amp.templates.resampling import Ratio, Resampling, build_ratios
from ampbench.amp.templates.sources import TemplateSimulations
from ampbench.amp.templates.views import TemplateViews
from ampbench.interfaces import Progress
from ampbench.networks import classification_loss


def resampling_steps(views: TemplateViews, steps: int) -> int:
    """Return the number of steps of this training, at most, given that of the families' training.

    It is 0 for a global adversary, whose ratio chooses no values of single factors.
    """
    if not all(len(at.factors) == 1 for at in views.comparisons):
        return 0
    return round(max(at.divergence.refine for at in views.comparisons) * steps)


def train_ratios(
    views: TemplateViews,
    trained: Trained[TemplateBottomUp],
    source: TemplateSimulations,
    batch_size: int,
    steps: int,
    progress: Progress,
) -> Resampling:
    """Train the log-ratios of all factors whose divergence asks for resampling, against fixed families.

    Arguments:
        views: the families, as they were trained, and the divergences.
        trained: the result of the training.
        source: simulations for the training, and held-out ones for the checks.
        batch_size: simulations per step, at most.
        steps: maximal number of steps.
        progress: called after every step.

    Raises:
        TrainingError: a loss or its gradient became NaN or infinite.
    """
    built = build_ratios(views, trained)
    ratios = list(built.values())
    descent = Descent("adversary", nn.ModuleList(ratios).parameters(), LEARNING_RATE, steps)
    patience = PATIENCE * steps / max(ratio.at.divergence.refine for ratio in ratios)
    best = {ratio: LowestLoss[Ratio]() for ratio in ratios}
    history: list[Mapping[str, float]] = []
    for step in range(steps + 1):
        if step % max(1, steps // CHECKS) == 0 or step == steps:
            losses = _held_out(views, ratios, source.held_out)
            history.append(
                {"step": step} | {f"held-out adversary loss {each.at}": loss for each, loss in losses.items()}
            )
            for each, loss in losses.items():
                best[each].offer(each, loss, step)
            if all(step - each.step >= patience for each in best.values()):
                break
        if step < steps:
            drawn = source.top_down(batch_size)
            descent.descend(_losses(ratios, *_both(views, drawn, 1)), step + 1)
            progress(step + 1, steps)
    return Resampling({number: kept for number, each in built.items() if (kept := best[each].network)}, history)


@torch.no_grad()
def _held_out(views: TemplateViews, ratios: Sequence[Ratio], held_out: Sequence[Batch]) -> dict[Ratio, float]:
    """Return the mean loss of every factor over blocks of held-out simulations."""
    rows = [_losses(ratios, *_both(views, batch, HELD_OUT_PARTICLES)) for batch in held_out]
    return {ratio: float(torch.stack([row[ratio.at] for row in rows]).mean()) for ratio in ratios}


@torch.no_grad()
def _both(views: TemplateViews, drawn: Batch, particles: int) -> tuple[TuplesBySite, TuplesBySite]:
    """Return the tuples of both chains at the chosen repeats, with simulated contexts."""
    return views.top_down(drawn), views.forced(drawn, particles)


def _losses(ratios: Sequence[Ratio], p: TuplesBySite, q: TuplesBySite) -> dict[LocalComparison, Tensor]:
    """Return eq. 7, the classification loss of every log-ratio."""
    p, q = ratios[0].reader.read(p, q, [ratio.at for ratio in ratios])
    return {ratio.at: classification_loss(ratio, p[ratio.at], q[ratio.at]) for ratio in ratios}
