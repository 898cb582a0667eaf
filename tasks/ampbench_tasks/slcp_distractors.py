r"""SLCP with distractors: the data of SLCP and 92 components of noise, permuted.

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
from torch.distributions import Chi2

from ampbench.graph import Graph, density, simulator
from ampbench_tasks import slcp
from ampbench_tasks.classic import Classic

SIGNAL_SIZE, NOISE_SIZE = 8, 92
COMPONENTS = 20
DEGREES_OF_FREEDOM = 2.0


@final
class SLCPDistractors(Classic):
    """SLCP with distractors: theta of size 5, x of size 100."""

    folder, samples_folder = "slcp_distractors", "slcp"
    version = "1"
    source = "Greenberg et al. 2019; Lueckmann et al. 2021, T.4"
    algorithm = "that of slcp, for the informative components"

    @cached_property
    def graph(self) -> Graph:
        """The graph theta → x."""
        return Graph(density("theta", slcp.prior()), simulator("x", simulate, ["theta"], size=SIGNAL_SIZE + NOISE_SIZE))

    def log_likelihood(self, theta: Tensor, x: Tensor) -> Tensor:
        """Return log p(x | theta) up to a function of x: that of SLCP for the informative components."""
        return slcp.log_likelihood(theta, signal(x))

    def reference(self, observation: Tensor, n: int, seed: int) -> Tensor:
        """Draw exactly from the posterior by importance sampling, shape (n, 5)."""
        return slcp.posterior(signal(self.check_observation(observation)), n, seed)


@dataclass(frozen=True)
class Distractors:
    """The fixed constants of the task: the mixture, and the permutation of the components.

    Attributes:
        locations: shape (20, 92).
        factors: lower scale factors, shape (20, 92, 92).
        order: permutation, shape (100,): x_i is component order_i of (signal, noise).
    """

    locations: Tensor
    factors: Tensor
    order: Tensor


@cache
def distractors() -> Distractors:
    """Draw the fixed constants of the task."""
    generator = np.random.RandomState(42)
    locations = [15 * generator.normal(size=NOISE_SIZE) for _ in range(COMPONENTS)]
    factors = [
        np.tril(generator.normal(size=(NOISE_SIZE, NOISE_SIZE))) + np.diag(np.exp(generator.normal(size=NOISE_SIZE)))
        for _ in range(COMPONENTS)
    ]
    order = generator.permutation(SIGNAL_SIZE + NOISE_SIZE)
    return Distractors(
        torch.from_numpy(np.stack(locations)).float(),
        3 * torch.from_numpy(np.stack(factors)).float(),
        torch.from_numpy(order),
    )


def simulate(theta: Tensor) -> Tensor:
    """Draw x given theta (n, 5), shape (n, 100)."""
    components = torch.cat([slcp.simulate(theta), _noise(len(theta)).to(theta)], dim=1)
    return components[:, distractors().order.to(theta.device)]


def signal(x: Tensor) -> Tensor:
    """Return the eight informative components: (*, 100) to (*, 8)."""
    return x[..., distractors().order.argsort()[:SIGNAL_SIZE].to(x.device)]


def _noise(n: int) -> Tensor:
    """Draw from the mixture, shape (n, 92); the loop over its components avoids a copy of a factor for each draw."""
    constants = distractors()
    chosen = torch.randint(COMPONENTS, (n,))
    normal = torch.randn(n, NOISE_SIZE)
    radius = (Chi2(torch.tensor(DEGREES_OF_FREEDOM)).sample(torch.Size([n, 1])) / DEGREES_OF_FREEDOM).sqrt()
    noise = torch.empty(n, NOISE_SIZE)
    for k in range(COMPONENTS):
        rows = chosen == k
        noise[rows] = constants.locations[k] + normal[rows] @ constants.factors[k].T / radius[rows]
    return noise
