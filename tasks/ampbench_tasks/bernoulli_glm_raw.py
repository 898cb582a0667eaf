"""Bernoulli GLM, raw: the observation is the spike train instead of its sufficient statistics.

Prior, simulator and posterior are those of :mod:`ampbench_tasks.bernoulli_glm`; a method has to learn the statistics.

References:
    Gonçalves et al. 2020, *Training deep neural density estimators to identify mechanistic models of neural
    dynamics*, doi:10.7554/eLife.56261.
    Lueckmann et al. 2021, *Benchmarking simulation-based inference*, arXiv:2101.04653, T.6.
"""

from __future__ import annotations

from functools import cached_property
from typing import final

from torch import Tensor
from torch.distributions import constraints

from ampbench.graph import Graph, density, simulator
from ampbench_tasks import bernoulli_glm
from ampbench_tasks.classic import Classic


@final
class BernoulliGLMRaw(Classic):
    """Bernoulli GLM with raw data: theta of size 10, x of size 100."""

    folder, samples_folder = "bernoulli_glm_raw", "bernoulli_glm"
    version = "1"
    source = "Gonçalves et al. 2020; Lueckmann et al. 2021, T.6"
    algorithm = "adaptive importance sampling with weighted acceptance"

    @cached_property
    def graph(self) -> Graph:
        """The graph theta → x."""
        binary = constraints.independent(constraints.boolean, 1)
        x = simulator("x", bernoulli_glm.spikes, ["theta"], binary, size=bernoulli_glm.BINS)
        return Graph(density("theta", bernoulli_glm.prior()), x)

    def log_likelihood(self, theta: Tensor, x: Tensor) -> Tensor:
        """Return the log-likelihood of the spike train, computed from its sufficient statistics."""
        return bernoulli_glm.log_likelihood(theta, x @ bernoulli_glm.design().to(x))

    def reference(self, observation: Tensor, n: int, seed: int) -> Tensor:
        """Draw exactly from the posterior by importance sampling, shape (n, 10)."""
        return bernoulli_glm.posterior(self.check_observation(observation) @ bernoulli_glm.design(), n, seed)
