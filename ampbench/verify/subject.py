"""The subject of a certification: a task's simulations, draws and densities, each a function of the seed."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from ampbench.errors import GraphError
from ampbench.graph import Graph, Simulator, component_names, join, split
from ampbench.graph.unconstrained import Unconstrained
from ampbench.interfaces import HasLikelihood, HasReference, Observation, Task
from ampbench.seeding import derive, seeded
from ampbench.verify.finding import SkipCheck


@dataclass(frozen=True)
class Effort:
    """Sample sizes of the checks.

    Attributes:
        simulations: number of joint simulations, and of simulations at each golden theta.
        batches: number of small batches that are tested for equal distributions.
        steps: number of pairs of thetas at which the likelihood is tested.
        draws: number of reference draws for one observation.
        proposals: number of draws of the importance sampler.
        judged: number of numbered observations, and of fresh ones, at which the reference is tested.
        chains: number of Markov chains of the second sampler.
        rounds: largest number of rounds, of ten moves each, of the second sampler.
        observations: number of observations of simulation-based calibration.
    """

    simulations: int = 20_000
    batches: int = 16
    steps: int = 12
    draws: int = 10_000
    proposals: int = 20_000
    judged: int = 2
    chains: int = 500
    rounds: int = 40
    observations: int = 150


QUICK_EFFORT = Effort(
    simulations=4000, batches=8, steps=6, draws=4000, proposals=8000, judged=1, chains=200, rounds=30, observations=60
)


@dataclass(frozen=True)
class Subject:
    """A task, with the seed and the effort of its certification.

    Attributes:
        task: the task.
        seed: seed from which all random numbers of the certification follow.
        effort: the sample sizes.
    """

    task: Task
    seed: int = 0
    effort: Effort = Effort()

    def derive(self, *purpose: object) -> int:
        """Return the seed for one purpose, below 2³¹ so that any generator accepts it."""
        return derive(self.seed, "verify", *purpose) % 2**31

    def simulate(self, n: int, theta: Tensor | None, *purpose: object) -> tuple[Tensor, Tensor]:
        """Draw theta (n, D) and x (n, L); if a theta (D,) is given, all rows have this theta."""
        source = Simulator(self.task.graph, self.task.observed, n, self.derive("simulate", *purpose))
        given = None
        if theta is not None:
            parts = theta.expand(n, -1).split([self.sizes[name] for name in source.latents], dim=1)
            given = dict(zip(source.latents, parts, strict=True))
        values = source.sample(n, given)
        return join(values, source.latents), join(values, source.observed)

    def prior(self, n: int, *purpose: object) -> Tensor:
        """Draw theta (n, D) from the prior, without the cost of simulating x where possible."""
        nodes = [self.task.graph[name] for name in self.task.latents]
        if {parent for node in nodes for parent in node.parents} - set(self.task.latents):
            return self.simulate(n, None, "prior", *purpose)[0]  # a latent variable depends on an observed one
        with seeded(self.derive("prior", *purpose)):
            return join(Graph(*nodes).sample(n), self.task.latents).detach()

    def fresh(self, *purpose: object) -> Observation:
        """Return an observation simulated for one purpose."""
        return self.task.observation(self.derive("observation", *purpose))

    def judged(self, most: int = 10) -> list[tuple[str, Observation]]:
        """Return the labelled observations at which the reference is tested: numbered ones, and as many fresh ones."""
        count = min(self.effort.judged, most)
        numbered = [(f"observation {number}", each) for number, each in self.task.observations().items()][:count]
        return numbered + [(f"fresh observation {i}", self.fresh("judged", i)) for i in range(1, count + 1)]

    @cached_property
    def sizes(self) -> dict[str, int]:
        """The number of components of every variable, found by two simulations."""
        values = Simulator(self.task.graph, self.task.observed, 2, self.derive("sizes")).sample(2)
        return {name: value.shape[1] for name, value in values.items()}

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Names of theta's components."""
        return component_names(self.latent_sizes)

    @cached_property
    def observed_names(self) -> tuple[str, ...]:
        """Names of the observation's components."""
        return component_names({name: self.sizes[name] for name in self.task.graph.check(self.task.observed)})

    @cached_property
    def latent_sizes(self) -> dict[str, int]:
        """The number of components of each latent variable, in topological order."""
        return {name: self.sizes[name] for name in self.task.latents}

    @cached_property
    def unconstrained(self) -> Unconstrained:
        """Unconstrained coordinates of theta.

        Raises:
            SkipCheck: a latent variable is discrete, or its support has no coordinates.
        """
        graph = self.task.graph
        try:
            return Unconstrained([(name, graph[name].support, self.sizes[name]) for name in self.task.latents])
        except GraphError as error:
            raise SkipCheck(str(error)) from error

    def reference(self, x: Tensor, n: int, *purpose: object) -> Tensor:
        """Return n draws from the reference, (n, D); raise :class:`SkipCheck` if the task has none."""
        if not isinstance(self.task, HasReference):
            raise SkipCheck("the task has no reference")
        return self.task.reference(x, n, self.derive("reference", *purpose))

    def draws(self, label: str, x: Tensor) -> Tensor:
        """Return the reference draws at a labelled observation of :meth:`judged`; several checks share them."""
        if label not in self._drawn:
            self._drawn[label] = self.reference(x, self.effort.draws, label)
        return self._drawn[label]

    @cached_property
    def _drawn(self) -> dict[str, Tensor]:
        return {}

    @property
    def likelihood(self) -> HasLikelihood:
        """The task as one with a likelihood; raises :class:`SkipCheck` if it has none."""
        if not isinstance(self.task, HasLikelihood):
            raise SkipCheck("the task has no likelihood")
        return self.task

    @property
    def noisy(self) -> bool:
        """Whether the task's likelihood is an unbiased estimate."""
        return isinstance(self.task, HasLikelihood) and self.task.noisy_likelihood

    def log_likelihood(self, theta: Tensor, x: Tensor) -> Tensor:
        """Return log p(x | theta) in float64, shape (n,), for theta (n, D) or (1, D) and x (n, L) or (L,).

        Raises:
            ValueError: the task returned another shape.
            ArithmeticError: the task returned NaN.
        """
        with seeded(self.derive("likelihood")):
            value = self.likelihood.log_likelihood(theta.double(), x.double()).detach().double().cpu()
        rows = max(len(theta), len(x) if x.ndim == 2 else 1)
        if value.shape != (rows,):
            raise ValueError(
                f"log_likelihood has shape {tuple(value.shape)}, expected ({rows},) "
                f"for theta {tuple(theta.shape)} and x {tuple(x.shape)}"
            )
        if bad := int(value.isnan().sum()):
            raise ArithmeticError(f"log_likelihood is NaN in {bad} of {len(value)} rows")
        return value

    def log_prior(self, theta: Tensor) -> Tensor:
        """Return log p(theta), shape (n,); raise :class:`SkipCheck` if a latent variable has no density."""
        values = split(theta.float(), self.latent_sizes)
        try:
            return self.task.graph.log_prob(values, self.task.latents).detach().double()
        except GraphError as error:
            raise SkipCheck(f"the prior has no density: {error}") from error

    def log_posterior(self, u: Tensor, x: Tensor) -> Tensor:
        """Return the unnormalised log posterior density of unconstrained coordinates u (n, D′), shape (n,)."""
        theta, jacobian = self.unconstrained.decode(u)
        log_prior = self.log_prior(theta) + jacobian
        result = torch.full_like(log_prior, -torch.inf)
        inside = torch.isfinite(log_prior)
        if bool(inside.any()):  # a likelihood need not exist outside the prior's support
            result[inside] = log_prior[inside] + self.log_likelihood(theta[inside], x)
        return result
