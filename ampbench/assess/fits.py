"""A fit and what it draws at many observations: here, or in a process of its own.

A model of the user's own is not sent to the other process, since few functions could be: what is sent is how to read
it, such as ``mymodel:simulator``, and the child imports it anew.
"""

from __future__ import annotations

import sysconfig
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ampbench import registry
from ampbench.assess.lc2st import lc2st
from ampbench.errors import AmpbenchError, FitWarning, SamplesError, UsageError
from ampbench.graph import Graph, Simulator, join
from ampbench.interfaces import Limits, Method, Posterior, Progress, Sequential, silent
from ampbench.registry import Registry
from ampbench.running.preload import ALWAYS, preload
from ampbench.running.process import Clock, Send, confined, last_words
from ampbench.seeding import derive, seeded

DRAWS = 99
"""Posterior draws for each held-out simulation."""
HERE = 500
"""Posterior draws at the user's own observation."""
EVERY = 0.2
"""Seconds between two notices about the steps of a fit."""

Model = Callable[[], tuple[Graph, tuple[str, ...]]]
"""Returns a graph and the names of its observed variables; picklable, unlike most graphs."""


@dataclass(frozen=True)
class Question:
    """What is asked of every fit: arrays, since torch hands tensors to other processes by open files.

    Attributes:
        observations: shape (B, L).
        here: the user's own observation, shape (L,), or None.
        features: D, the number of components of theta.
        seed: every number follows from it.
    """

    observations: np.ndarray
    here: np.ndarray | None
    features: int
    seed: int


@dataclass(frozen=True)
class Drawn:
    """What a fit has drawn, and what it took.

    Attributes:
        draws: shape (DRAWS, B, D).
        here: at the user's own observation, shape (HERE, D), or None.
        warning: what the fit warned of, or "".
        spent: simulations.
        fit_seconds: time of the fit.
        sample_seconds: mean time of drawing for one observation.
    """

    draws: np.ndarray
    here: np.ndarray | None
    warning: str
    spent: int
    fit_seconds: float
    sample_seconds: float


class FitError(AmpbenchError):
    """There is no fit; the message says why.

    Attributes:
        output: the end of what its process printed, or where it crashed.
    """

    def __init__(self, message: str, output: str = "") -> None:
        super().__init__(message)
        self.output = output


Fit = Callable[[Question, str, int, Progress], Drawn]
"""Fits the method of a spec with a budget, and draws; told of progress. Whatever it raises is the fit's failure."""


def simulations(model: tuple[Graph, tuple[str, ...]], n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Simulate n times: theta (n, D) and x (n, L)."""
    source = Simulator(*model, n, seed)
    values = source.sample(n)
    return join(values, source.latents).numpy(), join(values, source.observed).numpy()


def fit_here(
    model: tuple[Graph, tuple[str, ...]],
    methods: Registry,
    device: str,
    question: Question,
    text: str,
    budget: int,
    progress: Progress,
    sampling: Callable[[], None] = lambda: None,
) -> Drawn:
    """Fit in this process, and draw at all observations; partially applied it is a :data:`Fit`.

    Arguments:
        model: a graph and the names of its observed variables.
        methods: where methods come from.
        device: any torch device.
        question: what to draw.
        text: the method's spec.
        budget: number of simulations.
        progress: told of the fit's steps.
        sampling: called when the fit is over.

    Raises:
        UsageError: the method is sequential.
        SamplesError: the posterior's draws are NaN, infinite, or of another shape.
    """
    method: Method = methods.build("methods", text)
    preload((*ALWAYS, *method.imports))  # what it costs to import a library is no property of the method
    source = Simulator(*model, budget, derive(question.seed, "assess", "budget", budget))
    start = time.perf_counter()
    with seeded(derive(source.seed, "fit")), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("ignore")
        warnings.simplefilter("always", FitWarning)
        posterior = method.fit(source, torch.device(device), progress)
    fitted = time.perf_counter()
    if isinstance(posterior, Sequential):
        raise UsageError(
            f"a sequential method spends its whole budget on each observation, here {len(question.observations)} "
            "times over; take its amortised form"
        )
    sampling()
    draws = _draws(posterior, question)
    drawn = time.perf_counter()
    here = None
    if question.here is not None:
        here = _draw(posterior, question.here, HERE, "here", "at your observation", question)
    return Drawn(
        draws,
        here,
        "; ".join(str(each.message) for each in caught),
        source.spent,
        fitted - start,
        (drawn - fitted) / len(question.observations),
    )


def _draws(posterior: Posterior, question: Question) -> np.ndarray:
    """Draw for each observation, (DRAWS, B, D)."""
    each = [
        _draw(posterior, x, DRAWS, i, f"at held-out simulation {i}", question)
        for i, x in enumerate(question.observations)
    ]
    return np.stack(each, axis=1)


def _draw(posterior: Posterior, x: np.ndarray, n: int, which: object, where: str, question: Question) -> np.ndarray:
    """Draw for one observation, (n, D); raises :class:`SamplesError` for what cannot be judged."""
    with seeded(derive(question.seed, "assess", "draws", which)):
        samples: Tensor = posterior.sample(torch.from_numpy(x), n)
    expected = (n, question.features)
    if tuple(samples.shape) != expected:
        raise SamplesError(f"the posterior returned shape {tuple(samples.shape)}, expected {expected}, {where}")
    if bad := int((~torch.isfinite(samples)).any(1).sum()):
        raise SamplesError(f"{bad} of {n} posterior samples are NaN or infinite, {where}")
    return samples.detach().cpu().numpy().astype(x.dtype)


class Isolated:
    """Does the work in processes of their own, so that a fault costs its own fit only.

    Arguments:
        model: how the child gets the model.
        limits: what each child may use; a killed one is not started again.
        device: any torch device.
    """

    def __init__(self, model: Model, limits: Limits, device: str) -> None:
        self._model, self._limits, self._device = model, limits, device

    def simulations(self, n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """See :func:`simulations`; raises :class:`FitError`."""
        return self._answer(partial(_simulate, self._model, n, seed), silent)

    def fit(self, question: Question, text: str, budget: int, progress: Progress) -> Drawn:
        """See :func:`fit_here`; raises :class:`FitError`."""
        return self._answer(partial(_fit, self._model, self._device, question, text, budget), progress)

    def lc2st(
        self, theta: Tensor, x: Tensor, draws: Tensor, observation: Tensor, here: Tensor, trials: int, seed: int
    ) -> float:
        """See :func:`ampbench.assess.lc2st.lc2st`; raises :class:`FitError`."""
        arrays = [each.numpy() for each in (theta, x, draws, observation, here)]
        p: float = self._answer(partial(_lc2st, arrays, trials, seed), silent)
        return p

    def _answer(self, work: Callable[[Send], None], progress: Progress) -> Any:
        clock = Clock(self._limits.seconds)
        answers = []

        def hear(message: object) -> None:
            match message:
                case _Step(doing, done, total):
                    clock.step(doing, doing)
                    progress(done, total)
                case _:
                    answers.append(message)

        with TemporaryDirectory(prefix="ampbench-") as folder:
            output = Path(folder) / "output"
            ending = confined(work, self._limits, output, hear, clock, threading.Event())
            printed = last_words(output)
        if ending:
            raise FitError(ending.message, printed)
        (answer,) = answers
        if isinstance(answer, _Failed):
            raise FitError(answer.message, printed)
        return answer


@dataclass(frozen=True)
class _Step:
    """What a child is doing."""

    doing: str
    done: int = 0
    total: int = 0


@dataclass(frozen=True)
class _Failed:
    """Why there is no answer."""

    message: str


def _simulate(model: Model, n: int, seed: int, send: Send) -> None:
    """What a child does that simulates."""
    send(_Step("simulating"))
    _send(send, lambda: simulations(model(), n, seed))


def _fit(model: Model, device: str, question: Question, text: str, budget: int, send: Send) -> None:
    """What a child does that fits."""
    send(_Step("the fit"))
    said = time.monotonic()

    def progress(done: int, total: int) -> None:
        nonlocal said
        if done == total or time.monotonic() - said > EVERY:
            said = time.monotonic()
            send(_Step("the fit", done, total))

    def sampling() -> None:
        send(_Step("sampling the posterior"))

    _send(send, lambda: fit_here(model(), registry.load(), device, question, text, budget, progress, sampling))


def _lc2st(arrays: Sequence[np.ndarray], trials: int, seed: int, send: Send) -> None:
    """What a child does that tests a fit at the user's own observation."""
    send(_Step("the test at your observation"))
    theta, x, draws, observation, here = map(torch.from_numpy, arrays)
    _send(send, lambda: lc2st(theta, x, draws, observation, here, trials, seed))


def _send(send: Send, answer: Callable[[], object]) -> None:
    """Send an answer, or why there is none."""
    try:
        message = answer()
    except (Exception, SystemExit) as error:
        message = _Failed(describe(error))
    send(message)


def describe(error: BaseException) -> str:
    """Say on one line what went wrong, and, where it was not foreseen, in which line of whose code."""
    text = " ".join(str(error).split())
    if isinstance(error, AmpbenchError):
        return text
    return f"{type(error).__name__}: {text}{_place(error)}"


def _place(error: BaseException) -> str:
    """The innermost line that belongs to no library: most likely it is the user's."""
    libraries = tuple(sysconfig.get_paths()[name] for name in ("stdlib", "purelib", "platlib"))
    frames = traceback.extract_tb(error.__traceback__)
    own = [each for each in frames if not each.filename.startswith(libraries)] or frames
    return f" ({Path(own[-1].filename).name}, line {own[-1].lineno}, in {own[-1].name})" if own else ""
