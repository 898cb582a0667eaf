"""Tasks: inference problems with numbered observations, and the abilities of tasks, such as exact posteriors."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ampbench.counts import whole
from ampbench.errors import UsageError
from ampbench.graph import Graph, Simulator, join
from ampbench.interfaces.golden import Golden
from ampbench.interfaces.method import Method


class Oracle(ABC):
    """Ability of a method: it knows the task, and so its exact posterior. For reference points only."""

    @abstractmethod
    def with_task(self, task: Task) -> Method:
        """Return the method with knowledge of a task.

        Raises:
            UsageError: the task has no reference posterior.
        """


@dataclass(frozen=True)
class Observation:
    """An observation.

    Attributes:
        x: shape (L,).
        theta: the parameters that x was simulated with, shape (D,); NaN for real data.
        seed: the seed of the simulation; -1 for real data.
    """

    x: Tensor
    theta: Tensor
    seed: int


class Task(ABC):
    """An inference problem.

    Attributes:
        version: raised with every change that alters results, so that old and new results are not mixed.
        source: the publication that defines the task.
        observed: names of the observed variables; all others are inferred.
    """

    version: str
    source: str
    observed: tuple[str, ...] = ("x",)

    @property
    @abstractmethod
    def graph(self) -> Graph:
        """The model."""

    @property
    def latents(self) -> tuple[str, ...]:
        """Names of the variables to infer, in topological order; theta joins their components in this order."""
        return self.graph.latents(self.observed)

    def observations(self) -> Mapping[int, Observation]:
        """Return the numbered observations: published ones, or else simulations with the seeds 1 to 10."""
        return {number: self.observation(number) for number in range(1, 11)}

    def numbered(self, number: int) -> Observation:
        """Return a copy of a numbered observation; raises :class:`UsageError` for a number that does not exist."""
        known, number = self.observations(), whole("observation", number)
        if number not in known:
            numbers = ", ".join(map(str, known)) or "none"
            raise UsageError(f"unknown observation {number!r} of task {type(self).__name__}; known: {numbers}")
        found = known[number]
        return replace(found, x=found.x.clone(), theta=found.theta.clone())

    def observation(self, seed: int) -> Observation:
        """Simulate an observation, with parameters from the prior; every seed gives another one."""
        simulator = Simulator(self.graph, self.observed, budget=1, seed=seed)
        values = simulator.sample(1)
        return Observation(
            x=join(values, simulator.observed)[0],
            theta=join(values, simulator.latents)[0],
            seed=simulator.seed,
        )

    def check_observation(self, observation: Tensor) -> Tensor:
        """Return the observation if its shape is that of this task; raises :class:`UsageError` otherwise."""
        gaps = any(self.graph[name].gaps for name in self.observed)
        return check_observation(observation, self.graph.size(self.observed), gaps)


class HasGolden(ABC):
    """Ability of a task: it has golden statistics, which an independent implementation produced."""

    @abstractmethod
    def golden(self) -> Golden:
        """Return the golden statistics of prior and simulator; see :mod:`ampbench.interfaces.golden`."""


class ShipsReference(ABC):
    """Ability of a task: reference samples of its numbered observations are stored with it."""

    @abstractmethod
    def shipped_reference(self, number: int) -> Tensor:
        """Return the stored samples, shape (n, D), of a numbered observation; deterministic."""


class HasReference(ABC):
    """Ability of a task: its exact posterior can be sampled.

    Attributes:
        algorithm: the sampling algorithm in a few words, for the info file of stored samples.
    """

    algorithm: str = "exact sampling"

    @abstractmethod
    def reference(self, observation: Tensor, n: int, seed: int) -> Tensor:
        """Draw n exact posterior samples, shape (n, D), for an observation of shape (L,); deterministic.

        Raises:
            UsageError: the observation has another shape, or is not finite.
            SimulationError: the observation has practically no probability under the prior.
        """


class HasLikelihood(ABC):
    """Ability of a task: its likelihood can be evaluated. Certification uses the likelihood; methods have no access.

    Attributes:
        noisy_likelihood: whether :meth:`log_likelihood` is the logarithm of an unbiased estimate of the likelihood.
        max_likelihood_rows: largest number of simulations with which certification tests a likelihood that is costly
            for several observations; None if it is not.
    """

    noisy_likelihood: bool = False
    max_likelihood_rows: int | None = None

    @abstractmethod
    def log_likelihood(self, theta: Tensor, x: Tensor) -> Tensor:
        """Return log p(x | theta) up to a function of x alone, shape (n,).

        Arguments:
            theta: shape (n, D), or (1, D): one parameter vector for all observations.
            x: shape (n, L), or (L,): one observation for all parameter vectors.
        """


def check_observation(observation: Tensor, features: int | None, gaps: bool = False) -> Tensor:
    """Return the observation if it is finite and of shape (features,); ``features`` None accepts any length.

    Arguments:
        observation: x.
        features: L.
        gaps: whether entries may be missing, as NaN; see :mod:`ampbench.graph.gaps`.

    Raises:
        UsageError: another shape, NaN or infinite values; the message says which.
    """
    if observation.ndim != 1 or len(observation) != (features or len(observation)):
        expected = f"({'L' if features is None else features},)"
        raise UsageError(f"the observation has shape {tuple(observation.shape)}, expected {expected}")
    wrong = observation.isinf() if gaps else ~torch.isfinite(observation)
    if bad := wrong.nonzero().flatten().tolist():
        raise UsageError(
            f"the observation holds NaN or infinite values: component {bad[0]} is {float(observation[bad[0]])}"
            + (f", and {len(bad) - 1} more" if len(bad) > 1 else "")
        )
    return observation
