"""Posterior samples of runs: stored ones, or else drawn from one fit and stored."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from ampbench.errors import ResultsError, SamplesError
from ampbench.faults import pass_interruption
from ampbench.graph.precision import stored
from ampbench.graph.prior import not_finite, wrong_type
from ampbench.interfaces import Posterior, Sequential, UnfinishedFitError
from ampbench.interfaces.events import Sampling
from ampbench.results import Run
from ampbench.results.record import Draw
from ampbench.running.context import Context
from ampbench.running.failures import Failure, failure
from ampbench.running.fitting import Fit, fit_or_restore, fit_to_observation, restored_fit
from ampbench.seeding import derive, seeded


@dataclass(frozen=True)
class Drawn:
    """The posterior samples of one observation.

    Attributes:
        samples: shape (n, D), single precision.
        draw: how they were made.
        posterior: what they were drawn from; None if they were stored, and no fit is.
    """

    samples: np.ndarray
    draw: Draw
    posterior: Posterior | None = None


def draw_all(context: Context) -> dict[Run, Drawn | Failure]:
    """Return posterior samples of each run: stored ones, or else of one fit for all runs that lack them.

    Raises:
        ResultsError: the store cannot be written.
    """
    stored = {run: found for run in context.runs if (found := context.services.store.draw(run))}
    lacking = [run for run in context.runs if run not in stored]
    posterior = _restored_posterior(context) if stored else None
    outcome: dict[Run, Drawn | Failure] = {
        run: Drawn(samples, draw, posterior) for run, (draw, samples) in stored.items()
    }
    if not lacking:
        return outcome
    try:
        fitted = fit_or_restore(context, lacking[0])
    except ResultsError:
        raise
    except UnfinishedFitError as error:
        context.services.call_hook("fit_finished", run=lacking[0], posterior=error.posterior)
        return outcome | dict.fromkeys(lacking, failure(error))
    except BaseException as error:
        pass_interruption(error)
        return outcome | dict.fromkeys(lacking, failure(error))
    return outcome | {run: _draw(context, run, fitted) for run in lacking}


def valid_samples(samples: object, n: int, names: tuple[str, ...], where: str = "") -> Tensor:
    """Return posterior samples on the CPU, detached, in single precision unless rounding would lose information.

    Arguments:
        samples: what a posterior returned, expected to be a tensor (n, D).
        n: how many samples were asked for.
        names: of theta's D components.
        where: the observation, for the message.

    Raises:
        SamplesError: they are no tensor of floating-point numbers, have another shape, or hold NaN or infinite values.
    """
    at = f" {where}" if where else ""
    if found := wrong_type(samples, n, len(names)):
        raise SamplesError(
            f"the posterior returned {found} for {n} samples{at}, expected ({n}, D) with D = {len(names)}"
            ", floating-point numbers in a tensor"
        )
    assert isinstance(samples, Tensor)
    if not bool(samples.isfinite().all()):
        raise SamplesError(not_finite(samples, names) + at)
    return stored(samples.detach().cpu())


def _restored_posterior(context: Context) -> Posterior | None:
    """Return the posterior of the stored fit, if a metric may ask it for more than its stored samples."""
    run = context.runs[0]
    if not context.asks_posterior(run):
        return None
    try:
        fitted = restored_fit(context, run)
    except BaseException as error:  # the method cannot be built; metrics that ask the posterior report that it lacks
        pass_interruption(error)
        return None
    return fitted.posterior if fitted else None


def _draw(context: Context, run: Run, fitted: Fit) -> Drawn | Failure:
    """Sample the posterior of one observation, and store the samples."""
    try:
        x = context.task.numbered(run.observation).x
        if isinstance(fitted.posterior, Sequential):
            fitted = fit_to_observation(context, run, fitted.posterior, fitted.origin)
        context.services.listener(Sampling(run))
        start = time.perf_counter()
        with seeded(derive(run.seed, "posterior", run.observation)):
            drawn = fitted.posterior.sample(x, run.samples)
            seconds = time.perf_counter() - start
        samples = valid_samples(drawn, run.samples, context.parameters).numpy()
    except BaseException as error:
        pass_interruption(error)
        return failure(error)
    draw = Draw(sample_seconds=seconds, **vars(fitted.origin))
    context.services.store.put_draw(run, samples, draw)
    return Drawn(samples, draw, fitted.posterior)
