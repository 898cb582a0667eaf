"""Fits: restored from the store, or else made under the budget, timed and stored.

A fit is shared by all observations of a task; a sequential method is fitted to each observation anew.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from ampbench.counts import whole
from ampbench.errors import FitWarning, PluginError, ResultsError
from ampbench.faults import describe, message, pass_interruption
from ampbench.graph import Simulator
from ampbench.interfaces import CanRestore, HasState, Method, Posterior, Progress, Sequential, fit, rebuild
from ampbench.interfaces.events import Fitting
from ampbench.results import Run
from ampbench.results.checksums import Damage
from ampbench.results.provenance import commit, versions
from ampbench.results.record import Origin
from ampbench.running.context import Context
from ampbench.running.preload import ALWAYS, preload
from ampbench.seeding import derive, seeded


@dataclass(frozen=True)
class TimedFit:
    """A new fit.

    Attributes:
        posterior: what the method returned.
        seconds: wall-clock time of the fit, without importing libraries.
        simulations: how many the method drew.
        warnings: texts of its :class:`ampbench.errors.FitWarning`.
    """

    posterior: Posterior
    seconds: float
    simulations: int
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class Fit:
    """A fit that several observations share, and how it was made."""

    posterior: Posterior
    origin: Origin


def timed_fit(method: Method, simulator: Simulator, device: str, progress: Progress) -> TimedFit:
    """Fit a method to a simulator; all randomness follows from the simulator's seed."""
    preload((*ALWAYS, *method.imports))  # the time of importing a library is no property of the method
    start = time.perf_counter()
    with _fit_warnings() as texts:
        posterior = fit(method, simulator, device, progress)
        seconds = time.perf_counter() - start
    return TimedFit(posterior, seconds, simulator.spent, tuple(texts))


def fit_or_restore(context: Context, run: Run) -> Fit:
    """Return the stored fit of a group of runs, or else a new one, which is stored if its method can restore it.

    Arguments:
        context: of the group.
        run: the one that notices name.

    Raises:
        ResultsError: the store cannot be written.
    """
    if kept := restored_fit(context, run):
        return kept
    new = _new_fit(context, run)
    if isinstance(context.method, CanRestore) and isinstance(new.posterior, HasState):
        _keep(context, run, new.posterior, new.origin)
    context.services.call_hook("fit_finished", run=run, posterior=new.posterior)
    return new


def restored_fit(context: Context, run: Run) -> Fit | None:
    """Return the stored fit of a group of runs; None if there is none, and with a note if it cannot be restored."""
    if not isinstance(context.method, CanRestore):
        return None
    found = context.services.store.fit(run)
    if isinstance(found, Damage):
        context.services.note(f"{run}: {found}; the kept fit is left aside")
    if not isinstance(found, tuple):
        return None
    origin, state = found
    preload((*ALWAYS, *context.method.imports))
    try:
        return Fit(rebuild(context.method, context.simulator(), state, context.services.device), origin)
    except BaseException as error:
        pass_interruption(error)
        context.services.note(f"{run}: the kept fit cannot be restored, and is left aside: {describe(error)}")
        return None


def fit_to_observation(context: Context, run: Run, posterior: Sequential, origin: Origin) -> Fit:
    """Fit a sequential method to the observation of a run; time and simulations are those of this observation."""
    listener, x = context.services.listener, context.task.numbered(run.observation).x
    listener(Fitting(run))
    start = time.perf_counter()
    with seeded(derive(run.seed, "fit", run.observation)):
        found = posterior.fit_to(x, lambda done, total: listener(Fitting(run, done, total)))
    seconds = time.perf_counter() - start
    simulations = whole("simulations", found.simulations)
    if not 0 <= simulations <= run.budget:
        raise PluginError(f"{type(posterior).__name__} counts {simulations} simulations of a budget of {run.budget}")
    return Fit(found.posterior, replace(origin, fit_seconds=seconds, simulations=simulations))


def _new_fit(context: Context, run: Run) -> Fit:
    services = context.services

    def progress(done: int, total: int) -> None:
        services.listener(Fitting(run, done, total))

    method = context.method
    services.listener(Fitting(run))
    new = timed_fit(method, context.simulator(), services.device, progress)
    for text in new.warnings:
        services.note(f"{run}: {text}")
    return Fit(new.posterior, Origin(new.seconds, new.simulations, services.device, versions(), commit()))


def _keep(context: Context, run: Run, posterior: HasState, origin: Origin) -> None:
    """Store a fit; that it cannot be stored costs nothing else, unless the store cannot be written at all."""
    try:
        context.services.store.put_fit(run, posterior.state(), origin)
    except ResultsError:
        raise
    except BaseException as error:
        pass_interruption(error)
        context.services.note(f"{run}: the fit cannot be kept: {describe(error)}")


@contextmanager
def _fit_warnings() -> Iterator[list[str]]:
    """Collect the texts of fit warnings; other warnings are given after the block, as they would have been."""
    texts: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", FitWarning)
        yield texts
    for each in caught:
        if isinstance(each.message, FitWarning):
            texts.append(message(each.message))
        else:
            warnings.warn_explicit(each.message, each.category, each.filename, each.lineno)
