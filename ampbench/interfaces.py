"""What a plugin implements: Task, Divergence, Family, Method, Posterior, Metric.

Each is an abstract class with few duties. Optional abilities are classes of their own (:class:`HasReference`,
:class:`HasDensity`) and are asked for by type.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from ampbench.errors import UsageError
from ampbench.graph import Graph, join
from ampbench.simulator import Simulator
from ampbench.tuples import Tuples

Progress = Callable[[int, int], None]
"""Called with (steps done, steps in all) while a method fits."""


def silent(done: int, total: int) -> None:
    """Report no progress."""


@dataclass(frozen=True)
class Default:
    """Marks the component that an option takes when the spec does not name one.

    Example:
        ``def __init__(self, divergence: Annotated[Divergence, Default("jsd")])``
    """

    spec: str


class Divergence(ABC):
    """A local divergence between the two chains at one tuple (METHOD: one row of the table of divergences).

    The engine hands both losses the same things: the adversary that :meth:`adversary` built for this tuple, and the
    tuples (x_i, context) of the top-down chain p and of the bottom-up chain q. An adversary maps tuples to logits
    d = log p − log q (or, for feature-based divergences, to features).
    """

    @abstractmethod
    def adversary(self, features: int) -> nn.Module:
        """Build the adversary of a tuple with that many components; without parameters if none is trained."""

    @abstractmethod
    def adversary_loss(self, adversary: nn.Module, p: Tuples, q: Tuples) -> Tensor:
        """Return the scalar that the adversary's parameters ξ descend; q carries no gradient."""

    @abstractmethod
    def family_loss(self, adversary: nn.Module, p: Tuples, q: Tuples) -> Tensor:
        """Return the scalar that the families' parameters φ descend through q."""


class Conditional(nn.Module, ABC):
    """A conditional sampler q(x | context) on the real line to the power of ``features``.

    The engine moves variables to unconstrained, standardised coordinates, so that a family need not know supports.
    """

    @abstractmethod
    def forward(self, context: Tensor) -> Tensor:
        """Draw one reparametrised sample per context: ``(*, C)`` to ``(*, features)``."""


class HasDensity(ABC):
    """The ability of a conditional, or of a posterior, to evaluate its density."""

    @abstractmethod
    def log_prob(self, value: Tensor, context: Tensor) -> Tensor:
        """Return log q(value | context), shape ``(*,)``, for values ``(*, D)`` and contexts ``(*, C)``."""


class Family(ABC):
    """Builds conditionals: ``family(features, context)`` returns a fresh q(x | context) with its own parameters φ."""

    @abstractmethod
    def __call__(self, features: int, context: int) -> Conditional:
        """Build q for a variable of ``features`` components given ``context`` components (which may be 0)."""


class Posterior(ABC):
    """An amortised posterior. Sampling is the only duty: implicit families have no density."""

    @abstractmethod
    def sample(self, observation: Tensor, n: int) -> Tensor:
        """Draw from the posterior.

        Arguments:
            observation: shape (L,): the observed variables' components, joined in topological order.
            n: number of draws.

        Returns:
            Shape (n, D), on the CPU: the latent variables' components, joined in topological order.
        """


class Method(ABC):
    """An inference method: turns simulations under a budget into a posterior."""

    @abstractmethod
    def fit(self, simulator: Simulator, device: torch.device, progress: Progress) -> Posterior:
        """Fit a posterior with at most ``simulator.budget`` simulations.

        The caller has seeded all random number generators. Only this call is inside the clock.
        """


@dataclass(frozen=True)
class Measurement:
    """A metric's value and how it came about: classifier, folds, n, seed, standard error, … (numbers and strings)."""

    value: float
    provenance: Mapping[str, str | int | float] = field(default_factory=dict)


class Metric(ABC):
    """A distance between posterior samples and reference samples."""

    @abstractmethod
    def measure(self, samples: Tensor, reference: Tensor) -> Measurement:
        """Compare samples (n, D) with reference samples (m, D); deterministic.

        Raises:
            MetricError: NaN, too few samples or mismatched dimensions, by name.
        """


@dataclass(frozen=True)
class Observation:
    """An observation x, shape (L,), with the parameters theta, shape (D,), and the seed that made it."""

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

    @abstractmethod
    def published(self) -> Mapping[int, Observation]:
        """The published observations by number; may be empty."""

    def observation(self, number: int) -> Observation:
        """Return a published observation; raises :class:`UsageError` for a number that does not exist."""
        known = self.published()
        if number not in known:
            numbers = ", ".join(map(str, known)) or "none"
            raise UsageError(f"unknown observation {number!r} of task {type(self).__name__}; known: {numbers}")
        return known[number]

    def fresh_observation(self, seed: int) -> Observation:
        """Return a new observation with parameters from the prior; not counted against any budget."""
        simulator = Simulator(self.graph, self.observed, budget=1, seed=seed)
        values = simulator.sample(1)
        return Observation(
            x=join(values, simulator.observed)[0],
            theta=join(values, simulator.latents)[0],
            seed=seed,
        )


class HasReference(ABC):
    """The ability of a task to sample its exact posterior."""

    @abstractmethod
    def reference(self, observation: Tensor, n: int, seed: int) -> Tensor:
        """Draw n exact posterior samples, shape (n, D), for an observation of shape (L,); deterministic."""
