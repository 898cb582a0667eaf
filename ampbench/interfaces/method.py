"""Methods, the posteriors that they fit, and the abilities of both.

A method turns simulations under a budget into a posterior; sampling is a posterior's only duty. Every other ability (a
density, a training history, a state that can be stored, a diagnosis) is a class of its own and is asked for by type.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ampbench.errors import TrainingError, UsageError
from ampbench.graph import Graph, Simulator
from ampbench.seeding import derive, seeded

if TYPE_CHECKING:
    from pandas import DataFrame

Progress = Callable[[int, int], None]
"""Called with (steps done, steps in total) during a fit."""


def silent(done: int, total: int) -> None:
    """Ignore progress."""


@dataclass(frozen=True)
class Default:
    """The default component of an option whose type is an interface.

    Example:
        ``def __init__(self, divergence: Annotated[Divergence, Default("jsd")])``
    """

    spec: str


class HasDensity(ABC):
    """Ability of a conditional, or of a posterior: its density can be evaluated."""

    @abstractmethod
    def log_prob(self, value: Tensor, context: Tensor) -> Tensor:
        """Return log q(value | context), shape ``(*,)``, for values ``(*, D)`` and contexts ``(*, C)``."""


class Posterior(ABC):
    """An amortised posterior q(theta | x). It must be able to sample; a density is an ability, :class:`HasDensity`."""

    @abstractmethod
    def sample(self, observation: Tensor, n: int) -> Tensor:
        """Draw from the posterior.

        Arguments:
            observation: x, shape (L,): the components of the observed variables, joined in topological order.
            n: number of draws.

        Returns:
            Draws of theta, shape (n, D), on the CPU. Theta has the components of the latent variables in topological
            order.
        """


class HasHistory(ABC):
    """Ability of a posterior: it has a training history."""

    @property
    @abstractmethod
    def history(self) -> DataFrame:
        """The training history: a column ``step``, and one column for each recorded quantity.

        See :mod:`ampbench.interfaces.history`.
        """


class HasState(ABC):
    """Ability of a posterior: it has a state, from which a method that is a :class:`CanRestore` builds it again."""

    @abstractmethod
    def state(self) -> Mapping[str, Tensor]:
        """Return all learned quantities: tensors, on any device, by names that the method chooses."""


class CanDiagnose(ABC):
    """Ability of a posterior, or of a learned model: it can be tested on held-out data, tuple by tuple."""

    @abstractmethod
    def diagnose(self) -> DataFrame:
        """Test the fit on held-out simulations or data; returns one row per local tuple.

        See :func:`ampbench.amp.diagnostics.diagnose` for the columns.
        """


class Method(ABC):
    """An inference method: it fits a posterior to simulations under a budget.

    Attributes:
        imports: modules that :meth:`fit` imports. They are loaded before the time of the fit is measured, and once for
            all workers.
    """

    imports: tuple[str, ...] = ()

    @abstractmethod
    def fit(self, simulator: Simulator, device: torch.device, progress: Progress) -> Posterior:
        """Fit a posterior with at most ``simulator.budget`` simulations.

        The caller has seeded all random number generators. The time of a fit is the time of this call.
        """


class CanRestore(ABC):
    """Ability of a method: it builds a posterior from its state, without simulations."""

    @abstractmethod
    def restore(self, simulator: Simulator, state: Mapping[str, Tensor], device: torch.device) -> Posterior:
        """Return the posterior that had this state. Seeded alike, it draws the numbers that the first one drew.

        Arguments:
            simulator: the model, with a budget of 0.
            state: what :meth:`HasState.state` returned, on the CPU.
            device: as in :meth:`Method.fit`.

        Raises:
            UsageError: the state belongs to another method or model; the message names both.
        """


class ReadsGaps:
    """Ability of a method: it learns from observed variables with missing entries; see :mod:`ampbench.graph.gaps`."""


class HasRevision(ABC):
    """Ability of a method: its numbers changed for some models, while the version of its package did not."""

    @abstractmethod
    def revision(self, graph: Graph, observed: Sequence[str]) -> str:
        """Return a label for the keys of runs on a model, such as ``amp-inverse==2``; "" if its numbers are unchanged.

        Arguments:
            graph: the model.
            observed: names of the observed variables.
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
    """A posterior that was fitted to one observation.

    Attributes:
        posterior: the posterior.
        simulations: the number of simulations that the fit drew.
    """

    posterior: Posterior
    simulations: int


class Sequential(ABC):
    """Ability of a posterior: it is fitted to each observation separately.

    Sequential methods choose their simulations by the observation. Their :meth:`Method.fit` draws no simulations; each
    call of :meth:`fit_to` draws from a fresh simulator with the whole budget. Time and number of simulations are
    therefore recorded for each observation.
    """

    @abstractmethod
    def fit_to(self, observation: Tensor, progress: Progress) -> Fitted:
        """Fit to an observation x, shape (L,), with at most ``budget`` simulations.

        The caller has seeded all random number generators.
        """


def fit(method: Method, source: Simulator, device: str = "cpu", progress: Progress = silent) -> Posterior:
    """Fit a method; the seed of the simulator determines all random numbers.

    CPU threads are not limited here; see :func:`ampbench.threads.limited_threads`.

    Raises:
        UsageError: an observed variable has gaps, which the method does not read.
    """
    if source.gaps and not isinstance(method, ReadsGaps):
        raise UsageError(
            f"{type(method).__name__} does not read missing entries, which {source.gaps[0]!r} may have; take 'amp', "
            "'npe', 'fmpe', 'npse', 'nre' or 'rejection-abc', or let the simulator return no NaN, and drop gaps"
        )
    with seeded(derive(source.seed, "fit")):
        return method.fit(source, torch.device(device), progress)


def rebuild(method: Method, source: Simulator, state: Mapping[str, Tensor], device: str = "cpu") -> Posterior:
    """Build a posterior from its state, without simulations.

    Raises:
        UsageError: the method cannot restore posteriors, or the state belongs to another method or model.
    """
    if not isinstance(method, CanRestore):
        raise UsageError(f"a posterior of {type(method).__name__} cannot be made again from its state; fit it anew")
    model = Simulator(source.graph, source.observed, 0, source.seed)
    with seeded(derive(source.seed, "restore")):
        return method.restore(model, state, torch.device(device))


def by_observation(log_prob: Callable[[Tensor, Tensor], Tensor], theta: Tensor, x: Tensor) -> Tensor:
    """Return log q(theta_i | x_i), shape (n,), on the CPU, by one call of ``log_prob`` per distinct observation.

    Arguments:
        log_prob: maps parameters (m, D) and one observation (L,) to log-densities (m,).
        theta: shape (n, D).
        x: shape (n, L).
    """
    observations, which = torch.unique(x, dim=0, return_inverse=True)
    density = torch.empty(len(theta))
    for number, observation in enumerate(observations):
        density[which == number] = log_prob(theta[which == number], observation).detach().to(density)
    return density
