"""Methods, which turn simulations under a budget into a posterior, and their abilities.

See :mod:`ampbench.interfaces.posterior`.
"""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ampbench.devices import usable_device
from ampbench.errors import FitWarning, TrainingError, UsageError
from ampbench.graph import Graph, Simulator
from ampbench.interfaces.description import Description
from ampbench.interfaces.posterior import Posterior, Progress, described, silent
from ampbench.seeding import derive, seeded


@dataclass(frozen=True)
class Default:
    """The default component of an option whose type is an interface.

    Example:
        ``def __init__(self, divergence: Annotated[Divergence, Default("jsd")])``
    """

    spec: str


class Method(ABC):
    """An inference method: it fits a posterior to simulations under a budget.

    Attributes:
        imports: modules that :meth:`fit` imports. They are loaded before the time of the fit is measured, and once for
            all workers.
        drop_bias: why the posterior is wrong, at an observation that did not fail, if failed simulations are left out;
            "" if it is right, as it is where p(theta | x) is learned from pairs (theta, x) alone. Such simulators are
            refused by the others; see :mod:`ampbench.graph.failures`.
        code_bias: why the posterior is wrong if failed simulations are coded; "" if it is right. The others warn.
    """

    imports: tuple[str, ...] = ()
    code_bias: str = ""
    drop_bias: str = "it does not declare that its posterior stays right without them (Method.drop_bias)"

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


def fit(
    method: Method, source: Simulator, device: str | torch.device = "cpu", progress: Progress = silent, spec: str = ""
) -> Posterior:
    """Fit a method; the seed of the simulator determines all random numbers.

    CPU threads are not limited here; see :func:`ampbench.threads.limited_threads`.

    Arguments:
        method: the method.
        source: the model, with budget and seed.
        device: any torch device.
        progress: called with (steps done, steps in total).
        spec: of the method, for the description of the posterior.

    Raises:
        UsageError: the device cannot be used here, an observed variable has gaps, which the method does not read, or
            failed simulations are to be left out, which would bias this method.

    Warns:
        FitWarning: see :func:`warn_of_codes`.
    """
    where = usable_device(device)
    if source.gaps and not isinstance(method, ReadsGaps):
        raise UsageError(
            f"{type(method).__name__} does not read missing entries, which {source.gaps[0]!r} may have; take 'amp', "
            "'npe', 'fmpe', 'npse', 'nre' or 'rejection-abc', or let the simulator return no NaN, and drop gaps"
        )
    if source.failed == "drop" and method.drop_bias:
        raise UsageError(
            f"{type(method).__name__} cannot leave failed simulations out: {method.drop_bias}; take failed='code', or "
            "a method that learns p(theta | x) itself, such as 'npe' or 'amp'"
        )
    with seeded(derive(source.seed, "fit")):
        posterior = method.fit(source, where, progress)
    warn_of_codes(method, source)
    return described(posterior, Description.of(source, spec or type(method).__name__))


def warn_of_codes(method: Method, source: Simulator) -> None:
    """Warn if simulations failed and were coded, which biases the method.

    Warns:
        FitWarning: the message has the reason, and the next step.
    """
    if source.failed == "code" and source.failures and method.code_bias:
        told = f"{source.failures} of {source.spent} simulations failed and were coded"
        warnings.warn(f"{told}, but {method.code_bias}", FitWarning, stacklevel=2)


def rebuild(
    method: Method, source: Simulator, state: Mapping[str, Tensor], device: str | torch.device = "cpu"
) -> Posterior:
    """Build a posterior from its state, without simulations.

    Raises:
        UsageError: the method cannot restore posteriors, or the state belongs to another method or model, or the device
            cannot be used here.
    """
    if not isinstance(method, CanRestore):
        raise UsageError(f"a posterior of {type(method).__name__} cannot be made again from its state; fit it anew")
    model = Simulator(source.graph, source.observed, 0, source.seed)
    where = usable_device(device)
    with seeded(derive(source.seed, "restore")):
        posterior = method.restore(model, state, where)
    return described(posterior, Description.of(source, type(method).__name__))
