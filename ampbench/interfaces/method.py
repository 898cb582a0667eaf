"""Methods, the posteriors that they fit, and the abilities of both.

A method turns simulations under a budget into a posterior; sampling is a posterior's only duty. Every other ability (a
density, a training history, a state that can be stored, a diagnosis) is a class of its own and is asked for by type.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ampbench.errors import TrainingError, UsageError
from ampbench.graph import Simulator
from ampbench.seeding import derive, seeded

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


class HasDensity(ABC):
    """The ability of a conditional, or of a posterior, to evaluate its density."""

    @abstractmethod
    def log_prob(self, value: Tensor, context: Tensor) -> Tensor:
        """Return log q(value | context), shape ``(*,)``, for values ``(*, D)`` and contexts ``(*, C)``."""


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
        """A column ``step``, and one for each number that was followed; see :mod:`ampbench.interfaces.history`."""


class HasState(ABC):
    """The ability of a posterior to be kept: a method that is a :class:`CanRestore` makes it again from its state."""

    @abstractmethod
    def state(self) -> Mapping[str, Tensor]:
        """Return all that was learned: tensors by names that the method chooses, on any device."""


class CanDiagnose(ABC):
    """The ability of a posterior, or of a learned model, to say where it does not fit."""

    @abstractmethod
    def diagnose(self) -> DataFrame:
        """Test the fit on what was held out: one row per local tuple; see :func:`ampbench.amp.diagnostics.diagnose`."""


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


class UnfinishedFitError(TrainingError):
    """Training broke down after its first checkpoint.

    Attributes:
        posterior: the posterior of the best checkpoint.
    """

    def __init__(self, message: str, posterior: Posterior) -> None:
        super().__init__(message)
        self.posterior = posterior


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


def fit(method: Method, source: Simulator, device: str = "cpu", progress: Progress = silent) -> Posterior:
    """Fit a method that you made yourself; all randomness follows from the simulator's seed."""
    with seeded(derive(source.seed, "fit")):
        return method.fit(source, torch.device(device), progress)


def rebuild(method: Method, source: Simulator, state: Mapping[str, Tensor], device: str = "cpu") -> Posterior:
    """Make a posterior again from its state, without a simulation; raises :class:`UsageError` if that does not fit."""
    if not isinstance(method, CanRestore):
        raise UsageError(f"a posterior of {type(method).__name__} cannot be made again from its state; fit it anew")
    model = Simulator(source.graph, source.observed, 0, source.seed)
    with seeded(derive(source.seed, "restore")):
        return method.restore(model, state, torch.device(device))


def by_observation(log_prob: Callable[[Tensor, Tensor], Tensor], theta: Tensor, x: Tensor) -> Tensor:
    """Return log q(theta_i | x_i), shape (n,), on the CPU, asking once for each different observation.

    Arguments:
        log_prob: from parameters (m, D) and one observation (L,) to m values.
        theta: shape (n, D).
        x: shape (n, L).
    """
    observations, which = torch.unique(x, dim=0, return_inverse=True)
    density = torch.empty(len(theta))
    for number, observation in enumerate(observations):
        density[which == number] = log_prob(theta[which == number], observation).detach().cpu()
    return density
