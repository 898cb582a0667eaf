r"""SLCP with distractors: the data of SLCP, hidden among 92 components of noise.

The noise is one draw from an equal mixture of 20 multivariate Student t distributions with two degrees of freedom. Its
locations :math:`15\,\epsilon`, its factors and the permutation of the 100 components come from numpy's legacy
generator with the seed 42, in this order; scale factors are three times a lower triangle of normals plus a
log-normal diagonal. The noise does not depend on theta, so that likelihood and posterior are those of SLCP.

References:
    Greenberg, Nonnenmacher, Macke 2019, *Automatic posterior transformation*, arXiv:1905.07488.
    Lueckmann et al. 2021, *Benchmarking simulation-based inference*, arXiv:2101.04653, T.4.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, cached_property
from typing import final

import numpy as np
import torch
from torch import Tensor

from ampbench.graph import Graph, density, simulator
from ampbench_tasks import slcp
from ampbench_tasks.classic import Classic

SIGNAL, NOISE = 8, 92
COMPONENTS = 20
FREEDOM = 2.0


@final
class SLCPDistractors(Classic):
    """SLCP with distractors: theta of size 5, x of size 100."""

    folder, samples_folder = "slcp_distractors", "slcp"
    version = "1"
    source = "Greenberg et al. 2019; Lueckmann et al. 2021, T.4"
    algorithm = "that of slcp, for the informative components"

    @cached_property
    def graph(self) -> Graph:
        """theta → x."""
        return Graph(density("theta", slcp.prior()), simulator("x", simulate, ["theta"], size=SIGNAL + NOISE))

    def log_likelihood(self, theta: Tensor, x: Tensor) -> Tensor:
        """That of SLCP: the density of the noise is a function of x alone."""
        return slcp.log_likelihood(theta, signal(x))

    def reference(self, observation: Tensor, n: int, seed: int) -> Tensor:
        """Draw exactly by importance sampling, shape (n, 5)."""
        return slcp.posterior(signal(self.check_observation(observation)), n, seed)


@dataclass(frozen=True)
class Distractors:
    """The mixture and the order of the components; the same in every simulation.

    Attributes:
        locations: shape (20, 92).
        factors: lower scale factors, shape (20, 92, 92).
        order: x_i is component order_i of (signal, noise), shape (100,).
    """

    locations: Tensor
    factors: Tensor
    order: Tensor


@cache
def distractors() -> Distractors:
    """Draw the fixed constants of the task."""
    generator = np.random.RandomState(42)
    locations = [15 * generator.normal(size=NOISE) for _ in range(COMPONENTS)]
    factors = [
        np.tril(generator.normal(size=(NOISE, NOISE))) + np.diag(np.exp(generator.normal(size=NOISE)))
        for _ in range(COMPONENTS)
    ]
    order = generator.permutation(SIGNAL + NOISE)
    return Distractors(
        torch.from_numpy(np.stack(locations)).float(),
        3 * torch.from_numpy(np.stack(factors)).float(),
        torch.from_numpy(order),
    )


def simulate(theta: Tensor) -> Tensor:
    """Draw x given theta (n, 5), shape (n, 100)."""
    everything = torch.cat([slcp.simulate(theta), _noise(len(theta)).to(theta)], dim=1)
    return everything[:, distractors().order.to(theta.device)]


def signal(x: Tensor) -> Tensor:
    """The eight informative components: (*, 100) to (*, 8)."""
    return x[..., distractors().order.argsort()[:SIGNAL].to(x.device)]


def _noise(n: int) -> Tensor:
    """Draws of the mixture, shape (n, 92); component by component, so that no factor is copied for each draw."""
    constants = distractors()
    chosen = torch.randint(COMPONENTS, (n,))
    normal = torch.randn(n, NOISE)
    radius = (torch._standard_gamma(torch.full((n, 1), FREEDOM / 2)) * 2 / FREEDOM).sqrt()
    noise = torch.empty(n, NOISE)
    for k in range(COMPONENTS):
        rows = chosen == k
        noise[rows] = constants.locations[k] + normal[rows] @ constants.factors[k].T / radius[rows]
    return noise
