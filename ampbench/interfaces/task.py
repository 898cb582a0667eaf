"""Tasks: inference problems with numbered observations, and what they may know of their posteriors."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from ampbench.errors import UsageError
from ampbench.graph import Graph, Simulator, join
from ampbench.interfaces.golden import Golden
from ampbench.interfaces.method import Method


class Oracle(ABC):
    """The ability of a method to be told the task, and so its exact posterior: for reference points only."""

    @abstractmethod
    def with_task(self, task: Task) -> Method:
        """Return the method that knows the task; raises :class:`UsageError` if the task has no reference."""


@dataclass(frozen=True)
class Observation:
    """An observation x, shape (L,), with the parameters theta, shape (D,), and the seed that made it.

    Nobody knows the parameters of real data: its theta is NaN throughout, and its seed -1.
    """

    x: Tensor
    theta: Tensor
    seed: int


class Task(ABC):
    """An inference problem.

    Attributes:
        version: raised when a change alters results, so that old and new results are never mixed.
        source: where the task was defined.
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
        """Names of the variables to infer, in topological order: theta is their components, joined."""
        return self.graph.latents(self.observed)

    def observations(self) -> Mapping[int, Observation]:
        """The task's numbered observations: published ones, or else fresh ones of the seeds 1 to 10."""
        return {number: self.observation(number) for number in range(1, 11)}

    def numbered(self, number: int) -> Observation:
        """Return a numbered observation; raises :class:`UsageError` for a number that does not exist."""
        known = self.observations()
        if number not in known:
            numbers = ", ".join(map(str, known)) or "none"
            raise UsageError(f"unknown observation {number!r} of task {type(self).__name__}; known: {numbers}")
        return known[number]

    def observation(self, seed: int) -> Observation:
        """Return a fresh observation with parameters from the prior; there is one for each seed, without limit."""
        simulator = Simulator(self.graph, self.observed, budget=1, seed=seed)
        values = simulator.sample(1)
        return Observation(
            x=join(values, simulator.observed)[0],
            theta=join(values, simulator.latents)[0],
            seed=seed,
        )

    def check_observation(self, observation: Tensor) -> Tensor:
        """Return an observation that has this task's shape; raises :class:`UsageError` for any other."""
        return check_observation(observation, self.graph.size(self.observed))


class HasGolden(ABC):
    """The ability of a task to say what an independent implementation of it produced."""

    @abstractmethod
    def golden(self) -> Golden:
        """Return the golden statistics of prior and simulator."""


class ShipsReference(ABC):
    """The ability of a task to hand out stored reference samples of its numbered observations."""

    @abstractmethod
    def shipped_reference(self, number: int) -> Tensor:
        """Return the stored samples, shape (n, D), of a numbered observation; deterministic."""


class HasReference(ABC):
    """The ability of a task to sample its exact posterior.

    Attributes:
        algorithm: how, in a few words, for the info file of stored samples.
    """

    algorithm: str = "exact sampling"

    @abstractmethod
    def reference(self, observation: Tensor, n: int, seed: int) -> Tensor:
        """Draw n exact posterior samples, shape (n, D), for an observation of shape (L,); deterministic.

        Raises:
            UsageError: the observation has another shape, or is not finite.
            SimulationError: the observation is practically impossible under the prior.
        """


class HasLikelihood(ABC):
    """The ability of a task to evaluate its likelihood; methods never see it, certification does.

    Attributes:
        noisy_likelihood: whether it is an unbiased estimate of the likelihood, of which the logarithm is taken.
    """

    noisy_likelihood: bool = False

    @abstractmethod
    def log_likelihood(self, theta: Tensor, x: Tensor) -> Tensor:
        """Return log p(x | theta) up to a function of x alone, shape (n,).

        Arguments:
            theta: shape (n, D), or (1, D) for one that all observations share.
            x: shape (n, L), or (L,) for one that all parameters share.
        """


def check_observation(observation: Tensor, features: int | None) -> Tensor:
    """Return an observation of shape (features,), finite; ``features`` None accepts any length.

    Raises:
        UsageError: another shape, NaN or infinite values; the message says which.
    """
    if observation.ndim != 1 or len(observation) != (features or len(observation)):
        expected = f"({'L' if features is None else features},)"
        raise UsageError(f"the observation has shape {tuple(observation.shape)}, expected {expected}")
    if bad := (~torch.isfinite(observation)).nonzero().flatten().tolist():
        raise UsageError(
            f"the observation holds NaN or infinite values: component {bad[0]} is {float(observation[bad[0]])}"
            + (f", and {len(bad) - 1} more" if len(bad) > 1 else "")
        )
    return observation
