"""What a plugin implements: Task, Divergence, Family, Method, Posterior, Metric.

Each is an abstract class with few duties. Optional abilities are classes of their own (:class:`HasReference`,
:class:`HasLikelihood`, :class:`HasDensity`, …) and are asked for by type.

A component whose numbers come from another package than torch and numpy names it in a class attribute, such as
``packages = ("scikit-learn",)``: a result belongs to the versions that it was computed with.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, final

import torch
from torch import Tensor, nn

from ampbench.errors import MetricError, UsageError
from ampbench.golden import Golden
from ampbench.graph import Graph, Simulator, join
from ampbench.tuples import Tuples

if TYPE_CHECKING:
    from pandas import DataFrame

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

    Attributes:
        paired: whether row i of both tuples must share the evidence, as in a scoring rule; there are no such pairs when
            a model is learned from data.
        likelihood: whether the families are fitted by their density, at p's tuples alone. Where all divergences are so,
            nothing is drawn from q in training, and the checkpoint is chosen by the held-out density.
        refine: for how long at most, as a share of the training, an adversary goes on alone when the families are
            trained, so that its log-ratio can thin their draws (:mod:`ampbench.refinement`); 0: not at all.
    """

    paired: bool = False
    likelihood: bool = False
    refine: float = 0.0

    @abstractmethod
    def adversary(self, features: int) -> nn.Module:
        """Build the adversary of a tuple with that many components; without parameters if none is trained."""

    @abstractmethod
    def adversary_loss(self, adversary: nn.Module, p: Tuples, q: Tuples) -> Tensor:
        """Return the scalar that the adversary's parameters ξ descend; q carries no gradient."""

    @abstractmethod
    def family_loss(self, adversary: nn.Module, p: Tuples, q: Tuples) -> Tensor:
        """Return the scalar that the families' parameters φ descend through q."""


class HasLogRatio:
    """The ability of a divergence: what its adversary learns is the log-ratio of the chains at the tuple.

    Diagnostics rely on it: where it is positive the adversary takes the tuple for the model's, and 0 is as good as can
    be. A potential, a feature map, or a ratio up to a function of the context (eq. 10) is none.
    """

    def log_ratio(self, adversary: nn.Module, tuples: Tuples) -> Tensor:
        """Return the estimate of log p(tuple) − log q(tuple), shape ``(*,)``: most adversaries put out just that."""
        return adversary(tuples)


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


class HasHistory(ABC):
    """The ability of a posterior to show how its training went."""

    @property
    @abstractmethod
    def history(self) -> DataFrame:
        """A column ``step``, and one for each number that was followed; see :mod:`ampbench.history`."""


class HasState(ABC):
    """The ability of a posterior to be kept: a method that is a :class:`CanRestore` makes it again from its state."""

    @abstractmethod
    def state(self) -> Mapping[str, Tensor]:
        """Return all that was learned: tensors by names that the method chooses, on any device."""


class CanDiagnose(ABC):
    """The ability of a posterior, or of a learned model, to say where it does not fit."""

    @abstractmethod
    def diagnose(self) -> DataFrame:
        """Test the fit on what was held out: one row per local tuple; see :func:`ampbench.diagnostics.diagnose`."""


class Method(ABC):
    """An inference method: turns simulations under a budget into a posterior.

    Attributes:
        imports: modules that ``fit`` imports when it is called. They are loaded before the clock starts, and once for
            all workers.
    """

    imports: tuple[str, ...] = ()

    @abstractmethod
    def fit(self, simulator: Simulator, device: torch.device, progress: Progress) -> Posterior:
        """Fit a posterior with at most ``simulator.budget`` simulations.

        The caller has seeded all random number generators. Only this call is inside the clock.
        """


class CanRestore(ABC):
    """The ability of a method to make a posterior again, without a simulation."""

    @abstractmethod
    def restore(self, simulator: Simulator, state: Mapping[str, Tensor], device: torch.device) -> Posterior:
        """Return the posterior that had this state: from the same seed, it draws the same numbers.

        Arguments:
            simulator: the model; its budget is 0, so that nothing can be drawn from it.
            state: what :meth:`HasState.state` returned, on the CPU.
            device: as in :meth:`Method.fit`.

        Raises:
            UsageError: the state is that of another method, or of another model; the message names both.
        """


@dataclass(frozen=True)
class Fitted:
    """A posterior that was fitted to one observation, and the number of simulations that it took."""

    posterior: Posterior
    simulations: int


class Sequential(ABC):
    """The ability of a posterior to be fitted to each observation anew.

    Sequential methods choose their simulations by the observation. ``fit`` then spends nothing: the whole budget is
    spent here, once for each observation, from a fresh simulator. Time and count therefore belong to the observation.
    """

    @abstractmethod
    def fit_to(self, observation: Tensor, progress: Progress) -> Fitted:
        """Fit to an observation of shape (L,), with at most the budget's number of simulations.

        The caller has seeded all random number generators.
        """


class Oracle(ABC):
    """The ability of a method to be told the task, and so its exact posterior: for reference points only."""

    @abstractmethod
    def told(self, task: Task) -> Method:
        """Return the method that knows the task; raises :class:`UsageError` if the task has no reference."""


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


class BatchedMetric(ABC):
    """The ability of a metric to measure several pairs of sample sets together, faster than one by one."""

    @abstractmethod
    def measure_many(self, pairs: Sequence[tuple[Tensor, Tensor]]) -> list[Measurement | MetricError]:
        """Compare several (samples, reference); the values are those of :meth:`Metric.measure`, up to rounding.

        Long training may amplify rounding, up to the size of the value's standard error.

        Returns:
            One entry per pair: its measurement, or the error that :meth:`Metric.measure` would raise, so that one bad
            pair does not cost the others.
        """


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
        return tuple(name for name in self.graph.names if name not in self.observed)

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


@dataclass(frozen=True)
class Setting:
    """Where posterior samples come from.

    Attributes:
        task: the task.
        observation: with its theta, if that is known.
        posterior: None if the samples were stored earlier, and no fit is kept.
    """

    task: Task
    observation: Observation
    posterior: Posterior | None


class NeedsSetting(Metric):
    """A metric that looks at posterior samples in their setting, and at no reference: forward-only tasks have it too.

    Its :meth:`measure` refuses; whoever measures asks for this type first.
    """

    @abstractmethod
    def measure_in(self, setting: Setting, samples: Tensor) -> Measurement:
        """Judge samples (n, D) of ``setting.posterior`` given ``setting.observation``; deterministic.

        Raises:
            MetricError: bad samples, or a setting without what the metric needs (a density, a gradient, theta).
        """

    @final
    def measure(self, samples: Tensor, reference: Tensor) -> Measurement:
        """Raise :class:`MetricError`."""
        raise MetricError(
            f"{type(self).__name__} needs a task, not reference samples; call measure_in(setting, samples)"
        )


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
