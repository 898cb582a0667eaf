"""Fits of an assessment, and their draws at many observations, in this process or in child processes.

The user's model is not sent to a child process, since few functions can be pickled: the child receives a description of
the model, such as ``mymodel:simulator``, and imports the model itself.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor

from ampbench import registry
from ampbench.assess.lc2st import lc2st
from ampbench.errors import SimulationWarning, UsageError
from ampbench.graph import Failed, Graph, Simulator, join, probe_simulators
from ampbench.graph.prior import parameter_names
from ampbench.interfaces import Limits, Method, Posterior, Progress, Sequential, silent
from ampbench.registry import Registry
from ampbench.running.calls import StartStep, call_in_child
from ampbench.running.fitting import timed_fit
from ampbench.running.sampling import valid_samples
from ampbench.seeding import derive, seeded
from ampbench.simulations import Simulations, StoredSimulator

HELD_OUT_DRAWS = 99
"""Number of posterior draws at each held-out simulation."""

OBSERVATION_DRAWS = 500
"""Number of posterior draws at the user's own observation."""

Model = tuple[Graph, tuple[str, ...]]
"""A graph, and the names of its observed variables."""


@dataclass(frozen=True)
class EvaluationSet:
    """The observations at which every posterior is sampled.

    They are numpy arrays, since torch keeps a file open for each tensor that it sends to another process.

    Attributes:
        observations: held-out observations, shape (B, L).
        observation: the user's own observation, shape (L,), or None.
        seed: seed of fits and draws.
        training: stored simulations, by the names of the variables, of which a fit uses the first ones; None to
            simulate for each budget anew.
        failed: what becomes of failed simulations; see :mod:`ampbench.graph.failures`.
        codes: codes of failed simulations, shape (2, L), or None.
    """

    observations: np.ndarray
    observation: np.ndarray | None
    seed: int
    training: Mapping[str, np.ndarray] | None = None
    failed: Failed = "error"
    codes: np.ndarray | None = None

    def source(self, model: Model, budget: int) -> Simulator:
        """Return the simulator from which a fit draws."""
        seed = derive(self.seed, "assess", "budget", budget)
        if self.training is None:
            codes = None if self.codes is None else torch.tensor(self.codes)
            return Simulator(*model, budget, seed, self.failed, codes)
        return StoredSimulator(*model, budget, seed, Simulations.of(self.training, "the training simulations"))


@dataclass(frozen=True)
class Drawn:
    """Posterior draws of a fit, and its cost.

    Attributes:
        draws: draws at the held-out observations, shape (HELD_OUT_DRAWS, B, D).
        at_observation: draws at the user's own observation, shape (OBSERVATION_DRAWS, D), or None.
        warning: texts of the fit's warnings, or "".
        spent: number of simulations used.
        fit_seconds: duration of the fit, in seconds.
        sample_seconds: mean duration of drawing at one observation, in seconds.
        failures: number of these simulations that failed.
    """

    draws: np.ndarray
    at_observation: np.ndarray | None
    warning: str
    spent: int
    fit_seconds: float
    sample_seconds: float
    failures: int = 0


@dataclass(frozen=True)
class Simulated:
    """Held-out simulations; they are numpy arrays for the reason of :class:`EvaluationSet`.

    Attributes:
        theta: true parameters, shape (B, D).
        x: simulated observations, shape (B, L).
        failures: number of simulations that failed, which are left out or coded.
        codes: codes of failed simulations, shape (2, L), or None.
    """

    theta: np.ndarray
    x: np.ndarray
    failures: int = 0
    codes: np.ndarray | None = None


Fit = Callable[[EvaluationSet, str, int, Progress], Drawn]
"""A function of an evaluation set, a method's spec, a budget and a progress callback that fits the method and draws
from its posterior. Every exception counts as a failure of the fit."""


def simulate(
    model: Model, n: int, seed: int, failed: Failed = "error", least: int = 1, codes: Tensor | None = None
) -> Simulated:
    """Return n simulations, fewer if failed ones are dropped, after :func:`ampbench.graph.probe_simulators`.

    Arguments:
        model: a graph and the names of its observed variables.
        n: number of simulations.
        seed: of all random numbers.
        failed: what becomes of failed simulations.
        least: how many must succeed.
        codes: of failed simulations, shape (2, L); None to choose them.

    Raises:
        SimulationError: the simulator returned something unusable, or fewer than ``least`` simulations are left.
    """
    probe_simulators(model[0], seed, n, tolerant=failed != "error")
    return drawn_from(Simulator(*model, n, seed, failed, codes), least)


def drawn_from(source: Simulator, least: int = 1) -> Simulated:
    """Return all simulations of a source; raises :class:`SimulationError` if fewer than ``least`` are left."""
    values = source.require(source.sample(source.remaining), least)
    codes = None if source.codes is None else source.codes.numpy()
    return Simulated(
        join(values, source.latents).numpy(), join(values, source.observed).numpy(), source.failures, codes
    )


def fit_and_draw(
    model: Model,
    methods: Registry,
    device: str,
    evaluation: EvaluationSet,
    spec: str,
    budget: int,
    progress: Progress,
    sampling: Callable[[], object] = lambda: None,
) -> Drawn:
    """Fit in this process, and draw at all observations; with bound first arguments it is a :data:`Fit`.

    Arguments:
        model: a graph and the names of its observed variables.
        methods: source of the methods.
        device: any torch device.
        evaluation: the observations at which the posterior is sampled.
        spec: the method's spec.
        budget: number of simulations.
        progress: progress callback of the fit.
        sampling: called between fit and sampling.

    Raises:
        UsageError: the method is sequential.
        SamplesError: the posterior's draws are NaN, infinite, or of another shape.
    """
    method: Method = methods.build("methods", spec)
    simulator = evaluation.source(model, budget)
    new = timed_fit(method, simulator, device, progress)
    if isinstance(new.posterior, Sequential):
        raise UsageError(
            f"a sequential method spends its whole budget on each observation, here {len(evaluation.observations)} "
            "times over; take its amortised form"
        )
    sampling()
    names = parameter_names(simulator.graph, simulator.latents)
    start = time.perf_counter()
    draws = draws_at_observations(new.posterior, names, evaluation)
    seconds = time.perf_counter() - start
    at_observation = None
    if (x := evaluation.observation) is not None:
        at_observation = _draw(new.posterior, x, OBSERVATION_DRAWS, names, evaluation.seed, "here")
    return Drawn(
        draws,
        at_observation,
        "; ".join(new.warnings),
        new.simulations,
        new.seconds,
        seconds / len(evaluation.observations),
        simulator.failures,
    )


def draws_at_observations(
    posterior: Posterior, names: tuple[str, ...], evaluation: EvaluationSet, progress: Progress = silent
) -> np.ndarray:
    """Return draws at each held-out observation, shape (HELD_OUT_DRAWS, B, D).

    Arguments:
        posterior: the posterior.
        names: of theta's D components.
        evaluation: the observations.
        progress: called with (observations done, B).

    Raises:
        SamplesError: draws are NaN, infinite, or of another shape.
    """
    each: list[np.ndarray] = []
    for number, x in enumerate(evaluation.observations):
        each.append(_draw(posterior, x, HELD_OUT_DRAWS, names, evaluation.seed, number))
        progress(len(each), len(evaluation.observations))
    return np.stack(each, axis=1)


def _draw(
    posterior: Posterior, x: np.ndarray, n: int, names: tuple[str, ...], seed: int, index: int | str
) -> np.ndarray:
    """Return draws (n, D) at one observation: held-out number ``index``, or the user's own for the index "here"."""
    with seeded(derive(seed, "assess", "draws", index)):
        samples: Tensor = posterior.sample(torch.tensor(x), n)
    where = "at your observation" if index == "here" else f"at held-out simulation {index}"
    return valid_samples(samples, n, names, where).numpy().astype(x.dtype)


class IsolatedWorker:
    """Runs each step of an assessment in a child process of its own, so that a crash affects one fit only.

    Arguments:
        read: returns the model; must be picklable, which most graphs are not.
        limits: limits of each child process.
        device: any torch device.
    """

    def __init__(self, read: Callable[[], Model], limits: Limits, device: str) -> None:
        self._read, self._limits, self._device = read, limits, device

    def simulate(self, n: int, seed: int, failed: Failed = "error", least: int = 1) -> Simulated:
        """See :func:`simulate`; raises :class:`ampbench.running.calls.CallError`."""
        found, texts = call_in_child(partial(_simulate, self._read, n, seed, failed, least), self._limits)
        for text in texts:
            warnings.warn(text, SimulationWarning, stacklevel=2)
        return found

    def fit(self, evaluation: EvaluationSet, spec: str, budget: int, progress: Progress) -> Drawn:
        """See :func:`fit_and_draw`; raises :class:`ampbench.running.calls.CallError`."""
        return call_in_child(partial(_fit, self._read, self._device, evaluation, spec, budget), self._limits, progress)

    def lc2st(
        self, theta: Tensor, x: Tensor, draws: Tensor, observation: Tensor, own: Tensor, trials: int, seed: int
    ) -> float:
        """See :func:`ampbench.assess.lc2st.lc2st`; raises :class:`ampbench.running.calls.CallError`."""
        arrays = [each.numpy() for each in (theta, x, draws, observation, own)]
        return call_in_child(partial(_lc2st, arrays, trials, seed), self._limits)


def _simulate(
    read: Callable[[], Model], n: int, seed: int, failed: Failed, least: int, start: StartStep
) -> tuple[Simulated, list[str]]:
    start("simulating")
    model = read()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", SimulationWarning)
        found = simulate(model, n, seed, failed, least)
    return found, [str(each.message) for each in caught if issubclass(each.category, SimulationWarning)]


def _fit(
    read: Callable[[], Model], device: str, evaluation: EvaluationSet, spec: str, budget: int, start: StartStep
) -> Drawn:
    progress = start("the fit")
    methods = registry.load()
    return fit_and_draw(
        read(), methods, device, evaluation, spec, budget, progress, lambda: start("sampling the posterior")
    )


def _lc2st(arrays: Sequence[np.ndarray], trials: int, seed: int, start: StartStep) -> float:
    start("the test at your observation")
    theta, x, draws, observation, own = map(torch.from_numpy, arrays)
    return lc2st(theta, x, draws, observation, own, trials, seed)
