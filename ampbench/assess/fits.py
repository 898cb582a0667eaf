"""Fits of an assessment, and their draws at many observations: in this process, or in a child process each.

A model of the user's own is not sent to the child, since few functions can be pickled: the child is told how to read
the model, such as ``mymodel:simulator``, and imports it anew.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor

from ampbench import registry
from ampbench.assess.lc2st import lc2st
from ampbench.errors import UsageError
from ampbench.graph import Graph, Simulator, join
from ampbench.graph.prior import parameter_names
from ampbench.interfaces import Limits, Method, Posterior, Progress, Sequential
from ampbench.registry import Registry
from ampbench.running.calls import StartStep, call_in_child
from ampbench.running.fitting import timed_fit
from ampbench.running.sampling import valid_samples
from ampbench.seeding import derive, seeded

HELD_OUT_DRAWS = 99
"""Posterior draws for each held-out simulation."""
OBSERVATION_DRAWS = 500
"""Posterior draws at the user's own observation."""

Model = tuple[Graph, tuple[str, ...]]
"""A graph, and the names of its observed variables."""


@dataclass(frozen=True)
class EvaluationSet:
    """Where the posterior of every fit is sampled: arrays, since torch hands tensors to other processes by open files.

    Attributes:
        observations: held-out ones, shape (B, L).
        observation: the user's own, shape (L,), or None.
        seed: every number follows from it.
    """

    observations: np.ndarray
    observation: np.ndarray | None
    seed: int


@dataclass(frozen=True)
class Drawn:
    """Posterior draws of a fit, and its cost.

    Attributes:
        draws: shape (HELD_OUT_DRAWS, B, D).
        at_observation: at the user's own observation, shape (OBSERVATION_DRAWS, D), or None.
        warning: texts of the fit's warnings, or "".
        spent: simulations.
        fit_seconds: time of the fit.
        sample_seconds: mean time of drawing for one observation.
    """

    draws: np.ndarray
    at_observation: np.ndarray | None
    warning: str
    spent: int
    fit_seconds: float
    sample_seconds: float


Fit = Callable[[EvaluationSet, str, int, Progress], Drawn]
"""Fits the method of a spec with a budget, and draws; told of progress. Whatever it raises is the fit's failure."""


def simulate(model: Model, n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Simulate n times: theta (n, D) and x (n, L)."""
    source = Simulator(*model, n, seed)
    values = source.sample(n)
    return join(values, source.latents).numpy(), join(values, source.observed).numpy()


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
    """Fit in this process, and draw at all observations; partially applied it is a :data:`Fit`.

    Arguments:
        model: a graph and the names of its observed variables.
        methods: where methods come from.
        device: any torch device.
        evaluation: where to draw.
        spec: the method.
        budget: number of simulations.
        progress: told of the fit's steps.
        sampling: called when the fit is over.

    Raises:
        UsageError: the method is sequential.
        SamplesError: the posterior's draws are NaN, infinite, or of another shape.
    """
    method: Method = methods.build("methods", spec)
    simulator = Simulator(*model, budget, derive(evaluation.seed, "assess", "budget", budget))
    new = timed_fit(method, simulator, device, progress)
    if isinstance(new.posterior, Sequential):
        raise UsageError(
            f"a sequential method spends its whole budget on each observation, here {len(evaluation.observations)} "
            "times over; take its amortised form"
        )
    sampling()
    names = parameter_names(simulator.graph, simulator.latents)
    start = time.perf_counter()
    draws = _draws(new.posterior, names, evaluation)
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
    )


def _draws(posterior: Posterior, names: tuple[str, ...], evaluation: EvaluationSet) -> np.ndarray:
    """Draw at each held-out observation, (HELD_OUT_DRAWS, B, D)."""
    each = [
        _draw(posterior, x, HELD_OUT_DRAWS, names, evaluation.seed, number)
        for number, x in enumerate(evaluation.observations)
    ]
    return np.stack(each, axis=1)


def _draw(
    posterior: Posterior, x: np.ndarray, n: int, names: tuple[str, ...], seed: int, which: int | str
) -> np.ndarray:
    """Draw for one observation, (n, D): number ``which`` of the held-out ones, or the user's own, "here"."""
    with seeded(derive(seed, "assess", "draws", which)):
        samples: Tensor = posterior.sample(torch.from_numpy(x), n)
    where = "at your observation" if which == "here" else f"at held-out simulation {which}"
    return valid_samples(samples, n, names, where).numpy().astype(x.dtype)


class Isolated:
    """Does the work of an assessment in child processes, so that a fault costs its own fit only.

    Arguments:
        read: returns the model; picklable, unlike most graphs.
        limits: what each child may use.
        device: any torch device.
    """

    def __init__(self, read: Callable[[], Model], limits: Limits, device: str) -> None:
        self._read, self._limits, self._device = read, limits, device

    def simulate(self, n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """See :func:`simulate`; raises :class:`ampbench.running.calls.CallError`."""
        return call_in_child(partial(_simulate, self._read, n, seed), self._limits)

    def fit(self, evaluation: EvaluationSet, spec: str, budget: int, progress: Progress) -> Drawn:
        """See :func:`fit_and_draw`; raises :class:`ampbench.running.calls.CallError`."""
        return call_in_child(partial(_fit, self._read, self._device, evaluation, spec, budget), self._limits, progress)

    def lc2st(
        self, theta: Tensor, x: Tensor, draws: Tensor, observation: Tensor, own: Tensor, trials: int, seed: int
    ) -> float:
        """See :func:`ampbench.assess.lc2st.lc2st`; raises :class:`ampbench.running.calls.CallError`."""
        arrays = [each.numpy() for each in (theta, x, draws, observation, own)]
        return call_in_child(partial(_lc2st, arrays, trials, seed), self._limits)


def _simulate(read: Callable[[], Model], n: int, seed: int, start: StartStep) -> tuple[np.ndarray, np.ndarray]:
    start("simulating")
    return simulate(read(), n, seed)


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
