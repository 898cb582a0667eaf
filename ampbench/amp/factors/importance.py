r"""Importance resampling: posterior draws are chosen among draws of the families by the density of the surrogate.

With the surrogate :math:`\hat p`, the posterior that it implies is known up to a constant. Draws of q have the weights

.. math:: w(\theta) = \frac{\hat p(\theta, x)}{q(\theta \mid x)}, \qquad
          \hat p(x) = \mathbb E_{q(\theta \mid x)}\, w(\theta),

and are selected as in :mod:`ampbench.amp.refinement`, with the weight in the place of the adversary's ratio. The
logarithmic score of the posterior of the surrogate at a held-out simulation (θ*, x*) is

.. math:: -\log \hat p(\theta^* \mid x^*) = -\log q(\theta^* \mid x^*) - \log w(\theta^*) + \log \hat p(x^*).

References:
    Rubin 1988, *Using the SIR algorithm to simulate posterior distributions*, Bayesian Statistics 3.
    Dax et al. 2023, *Neural importance sampling for rapid and reliable gravitational-wave inference*, arXiv:2210.05686.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ampbench.amp.chains import BottomUp
from ampbench.graph import Factor, Graph
from ampbench.graph.coordinates import Coordinates

SCORED = 500
"""Held-out simulations, at most, by which the score is estimated."""
PARTICLES = 256
"""Draws of q for each of them."""


@dataclass(frozen=True)
class ImportanceRatio:
    """The function from coordinates of all variables, (N, B, D_i), to log w, shape (N, B).

    Attributes:
        model: the surrogate, each of whose factors has a density.
        coordinates: of all variables.
        bottom_up: the families, each of which has a density.
        factors: the inverse, without barren factors.
        observed: names of the evidence.
    """

    model: Graph
    coordinates: Mapping[str, Coordinates]
    bottom_up: BottomUp
    factors: Sequence[Factor]
    observed: Sequence[str]

    @torch.no_grad()
    def __call__(self, values: Mapping[str, Tensor]) -> Tensor:
        """Return log w."""
        latents = [factor.variable for factor in self.factors]
        log_q = self.bottom_up.log_prob(values, self.factors).cpu()
        decoded = {name: self.coordinates[name].decode(values[name].cpu()) for name in (*latents, *self.observed)}
        for name in latents:  # from the density of the coordinates to that of the values
            log_q = log_q + self.coordinates[name].log_slope(decoded[name])
        shape = log_q.shape
        rows = {name: value.expand(*shape, -1).flatten(0, -2) for name, value in decoded.items()}
        log_p = self.model.log_prob(rows, (*latents, *self.observed)).reshape(shape)
        return (log_p - log_q).to(next(iter(values.values())))


@torch.no_grad()
def improvement(ratio: ImportanceRatio, held_out: Mapping[str, Tensor]) -> tuple[float, float]:
    """Return by how much the logarithmic score falls if draws are resampled, and the effective sample size.

    Arguments:
        ratio: the weights.
        held_out: held-out simulations, one tensor (n, D_i) per variable, in network coordinates.

    Returns:
        The mean fall of the score in nats, and the mean of 1 / (N Σ w̃²) with normalised weights w̃.
    """
    rows = {name: value[:SCORED] for name, value in held_out.items()}
    drawn = ratio.bottom_up({name: rows[name] for name in ratio.observed}, PARTICLES)
    log_w = ratio(drawn).double()
    evidence = log_w.logsumexp(0) - math.log(PARTICLES)
    at_truth = ratio({name: value[None] for name, value in rows.items()})[0].double()
    share = (2 * log_w.logsumexp(0) - (2 * log_w).logsumexp(0)).exp() / PARTICLES
    return float((at_truth - evidence).mean()), float(share.nan_to_num(0.0).mean())
