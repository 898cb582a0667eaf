"""The weights of the mixture: stacking by held-out simulations of the true model.

Densities are compared by the logarithmic score. Implicit families have draws only, and are compared by the log-distance
score; the part of resampled draws, which needs densities, is then missing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from ampbench.amp.factors.fitting import LearnedFactor
from ampbench.amp.factors.posterior import RESAMPLED, FactorPosterior, Stacking, posterior_of
from ampbench.amp.factors.reweighting import Reweighting
from ampbench.amp.posterior import AMPDensity, AMPPosterior
from ampbench.graph import Graph, Simulator, join
from ampbench.statistics.stacking import kernel_means, stack_densities, stack_kernels

SCORED = 500
"""Held-out simulations, at most, by which the weights are found."""
SCORE_DRAWS = 32
"""Draws of an implicit family for each of them."""
MIN_WEIGHT = 0.01
"""Parts with smaller weights are left out."""


def reweighting_of(inverses: Mapping[str, AMPPosterior], model: Graph, simulator: Simulator) -> Reweighting | None:
    """Return the selection by the density of the surrogate among draws of the inverses; None if one has no density."""
    known = [each for each in inverses.values() if isinstance(each, AMPDensity)]
    if len(known) < len(inverses):
        return None
    sizes = known[0].sizes
    latents, observed = ({name: sizes[name] for name in names} for names in (simulator.latents, simulator.observed))
    return Reweighting(known, model, latents, observed)


@torch.no_grad()
def stack(
    inverses: Mapping[str, AMPPosterior],
    factors: Sequence[LearnedFactor],
    model: Graph,
    simulator: Simulator,
    held_out: Mapping[str, Tensor],
    draws: int,
) -> FactorPosterior:
    """Return the mixture with the best score.

    Arguments:
        inverses: the trained inverses, by part.
        factors: the learned factors.
        model: the surrogate.
        simulator: names the latent and the observed variables.
        held_out: simulations, one tensor (n, D_i) per variable.
        draws: number of draws of the surrogate.
    """
    theta, x = (join(held_out, names)[:SCORED] for names in (simulator.latents, simulator.observed))
    reweighting = reweighting_of(inverses, model, simulator)
    if reweighting is None:
        scale = theta.std(0).clamp_min(torch.finfo(theta.dtype).tiny)
        drawn = [torch.stack([q.sample(each, SCORE_DRAWS) for each in x], dim=1) / scale for q in inverses.values()]
        weights, scores = _by_draws(list(inverses), torch.stack(drawn), theta / scale)
    else:
        densities = {name: q.log_prob(theta, x) for name, q in inverses.items() if isinstance(q, AMPDensity)}
        weights, scores = _by_densities(densities | {RESAMPLED: reweighting.log_prob(theta, x)})
    return posterior_of(inverses, factors, Stacking(weights, scores, draws), reweighting)


def _by_densities(found: Mapping[str, Tensor]) -> tuple[dict[str, float], dict[str, float]]:
    """Return the weights of parts with log-densities of shape (N,), and the scores."""
    densities = torch.stack(list(found.values()), dim=1).double().nan_to_num(nan=-torch.inf, neginf=-torch.inf)
    weights = _without_small(stack_densities(densities))
    mixed = (densities + weights.log()).logsumexp(1)
    scores = {name: -float(column.mean()) for name, column in zip(found, densities.T, strict=True)}
    return _named(found, weights), {**scores, "stacked": -float(mixed.mean())}


def _by_draws(names: Sequence[str], samples: Tensor, truth: Tensor) -> tuple[dict[str, float], dict[str, float]]:
    """Return the weights of parts with draws (K, M, N, D), and the scores."""
    accuracy, spread = kernel_means(samples, truth)
    weights = _without_small(stack_kernels(accuracy, spread))
    alone = accuracy - spread.diagonal() / 2
    mixed = weights.to(accuracy) @ accuracy - weights.to(spread) @ spread @ weights.to(spread) / 2
    return _named(names, weights), {**dict(zip(names, alone.tolist(), strict=True)), "stacked": float(mixed)}


def _without_small(weights: Tensor) -> Tensor:
    kept = torch.where(weights < MIN_WEIGHT, 0.0, weights)
    return kept / kept.sum()


def _named(names: Mapping[str, Tensor] | Sequence[str], weights: Tensor) -> dict[str, float]:
    return {name: weight for name, weight in zip(names, weights.tolist(), strict=True) if weight}
