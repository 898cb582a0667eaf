"""Posteriors and their abilities.

Sampling is a posterior's only duty. Every other ability (a density, a training history, a state that can be stored, a
diagnosis) is a class of its own and is asked for by type.

An implementation gets tensors of one observation and whole numbers. People give lists, arrays and tables, of several
observations too: :class:`Posterior` converts the arguments before an implementation sees them
(:mod:`ampbench.interfaces.observations`).
"""

from __future__ import annotations

import copy
import functools
import pickle
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ampbench.errors import UsageError
from ampbench.faults import message, pass_interruption
from ampbench.interfaces.description import Description
from ampbench.interfaces.observations import number_of_draws, observations, real
from ampbench.interfaces.rich import facts
from ampbench.interfaces.summaries import summary_table

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from pandas import DataFrame

Progress = Callable[[int, int], None]
"""Called with (steps done, steps in total) during a fit."""


def silent(done: int, total: int) -> None:
    """Ignore progress."""


class HasDensity(ABC):
    """Ability of a conditional, or of a posterior: its density can be evaluated."""

    @abstractmethod
    def log_prob(self, value: Tensor, context: Tensor) -> Tensor:
        """Return log q(value | context), shape ``(*,)``, for values ``(*, D)`` and contexts ``(*, C)``."""


class Posterior(ABC):
    """An amortised posterior q(theta | x). It must be able to sample; a density is an ability, :class:`HasDensity`.

    Implementations of ``sample``, ``log_prob`` and ``fit_to`` get the types of their signatures. Callers may give other
    ones: observations and parameters as lists, arrays or tables of any real type, and several observations (m, L) or
    (m, 28, 28) at once, for which draws have shape (m, n, D); see :mod:`ampbench.interfaces.observations`.

    Attributes:
        description: method, budget and variables; :func:`ampbench.fit` sets it. None if it is not known.
    """

    description: Description | None = None

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

    def summary(self, observation: Tensor, n: int = 1000) -> DataFrame:
        """Return mean, standard deviation and quantiles of each component of theta, one row each, from n draws.

        Raises:
            UsageError: several observations are given, or the posterior has no description.
        """
        return summary_table(self.one_sample(observation, n), self.known.names)

    def predict(self, observation: Tensor, n: int) -> Tensor:
        """Draw from the posterior predictive p(x' | x): simulate at n draws of theta.

        Returns:
            Simulations, shape (n, L), or (n, 28, 28) as the simulator returned them; (m, n, …) for m observations.

        Raises:
            SimulationError: the simulator returned something unusable.
            UsageError: the posterior has no description.
        """
        return self.known.simulate(self.sample(observation, n))

    def plot(self, observation: Tensor, n: int = 1000) -> Figure:
        """Return a pair plot of n draws of theta, a figure of matplotlib.

        Raises:
            UsageError: matplotlib is not installed, or as :meth:`summary` does.
        """
        from ampbench.figures.pairs import pair_plot

        return pair_plot(self.one_sample(observation, n), self.known.names)

    def plot_predictive(self, observation: Tensor, n: int = 100) -> Figure:
        """Return a plot of n simulations of the posterior predictive, with the observation; a figure of matplotlib.

        Raises:
            UsageError, SimulationError: as :meth:`plot` and :meth:`predict` do.
        """
        from ampbench.figures.predictive import predictive_plot

        rows, _ = observations(observation, self.known)
        predicted = self.known.simulate(self.one_sample(observation, n))
        names = self.known.observed_names(rows.shape[1])
        return predictive_plot(predicted, rows[0].reshape(predicted.shape[1:]), names)

    def one_sample(self, observation: Tensor, n: int) -> Tensor:
        """Draw (n, D) as :meth:`sample` does; raises :class:`UsageError` if several observations are given."""
        drawn = self.sample(observation, n)
        if drawn.ndim == 3:
            raise UsageError(f"{len(drawn)} observations are given, but a table or plot is of one; call it for each")
        return drawn

    @property
    def known(self) -> Description:
        """The description; raises :class:`UsageError` if there is none."""
        if self.description is None:
            raise UsageError(
                f"this {type(self).__name__} has no description of its variables; take a posterior that "
                "ampbench.infer, ampbench.fit or ampbench.restore returned"
            )
        return self.description

    def __init_subclass__(cls, **options: Any) -> None:
        """Let the methods of an implementation convert their arguments."""
        super().__init_subclass__(**options)
        for name, converted in _CONVERTED.items():
            if name in cls.__dict__:
                setattr(cls, name, converted(cls.__dict__[name]))

    def __repr__(self) -> str:
        return f"<{type(self).__name__}{f' of {self.description}' if self.description else ''}>"

    def _repr_html_(self) -> str:
        """Return what notebooks show: the facts of the description, and what this posterior can do."""
        known = {} if self.description is None else self.description.facts()
        can = {
            "density": "log_prob(theta, x)" if isinstance(self, HasDensity) else "none: samples only",
            "observations": "one for each fit" if isinstance(self, Sequential) else "any number for one fit",
            "diagnosis": "diagnose()" if isinstance(self, CanDiagnose) else "none",
            "file": "ampbench.save" if isinstance(self, HasState) else "cannot be saved",
        }
        return facts(type(self).__name__, known | can)

    def __copy__(self) -> Posterior:
        made = type(self).__new__(type(self))
        made.__dict__.update(self.__dict__)
        return made

    def __deepcopy__(self, memo: dict[int, Any]) -> Posterior:
        made = type(self).__new__(type(self))
        memo[id(self)] = made
        made.__dict__.update(copy.deepcopy(self.__dict__, memo))
        return made

    def __getstate__(self) -> dict[str, Any]:
        """Return the attributes for pickle, joblib and torch.save.

        Raises:
            UsageError: they hold what cannot be pickled, such as a simulator that is a lambda.
        """
        for name, value in self.__dict__.items():
            try:
                pickle.dumps(value)
            except UsageError:
                raise
            except BaseException as error:  # pickle raises errors of many types
                pass_interruption(error)
                raise UsageError(
                    f"this {type(self).__name__} cannot be pickled: its {name.lstrip('_')} holds a function or an "
                    f"object that has no name in a module ({message(error)}); define simulator and prior at the top of "
                    "a module, or write the posterior by ampbench.save(posterior, path), and read it by "
                    "ampbench.restore"
                ) from None
        return self.__dict__.copy()


def described(posterior: Posterior, description: Description) -> Posterior:
    """Return a posterior with its description."""
    if isinstance(posterior, Posterior):  # a plugin may return anything, which is refused where it is used
        posterior.__dict__["description"] = description
    return posterior


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


class HasEffectiveShare(ABC):
    """Ability of a posterior: its draws are resampled by importance weights."""

    @abstractmethod
    def effective_share(self, observation: Tensor) -> float:
        """Return the effective sample size of the weights at an observation (L,), divided by the number of draws."""


class CanDiagnose(ABC):
    """Ability of a posterior, or of a learned model: it can be tested on held-out data, tuple by tuple."""

    @abstractmethod
    def diagnose(self) -> DataFrame:
        """Test the fit on held-out simulations or data; returns one row per local tuple.

        See :func:`ampbench.amp.diagnostics.diagnose` for the columns.
        """


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


def _sampling(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    @functools.wraps(function)
    def sample(self: Posterior, observation: object, n: object, **options: Any) -> Tensor:
        number = number_of_draws(n)
        rows, several = observations(observation, self.description)
        drawn = [function(self, row, number, **options) for row in rows]
        return torch.stack(drawn) if several else drawn[0]

    return sample


def _scoring(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    @functools.wraps(function)
    def log_prob(self: Posterior, value: object, context: object) -> Tensor:
        theta = real(value, "theta")
        if theta.ndim == 1:
            return log_prob(self, theta[None], context)[0]
        x = context
        if not isinstance(context, Tensor) or context.shape[:-1] != theta.shape[:-1]:
            x, several = observations(context, self.description)
            if several and len(x) != len(theta):
                raise UsageError(
                    f"theta has shape {tuple(theta.shape)}, but there are {len(x)} observations; give one, or one for "
                    "each row of theta"
                )
            x = x if several else x[0].expand(*theta.shape[:-1], -1)
        return function(self, theta, x)

    return log_prob


def _fitting(function: Callable[..., Fitted]) -> Callable[..., Fitted]:
    @functools.wraps(function)
    def fit_to(self: Posterior, observation: object, progress: Progress = silent) -> Fitted:
        rows, several = observations(observation, self.description)
        if several:
            raise UsageError(
                f"{len(rows)} observations are given, but a sequential method is fitted to one; loop over them"
            )
        found = function(self, rows[0], progress)
        if self.description is not None and isinstance(found, Fitted):
            described(found.posterior, self.description)
        return found

    return fit_to


_CONVERTED: Mapping[str, Callable[[Callable[..., Any]], Callable[..., Any]]] = {
    "sample": _sampling,
    "log_prob": _scoring,
    "fit_to": _fitting,
}
"""By name of a method, what converts its arguments."""
