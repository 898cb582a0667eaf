"""The content of a report: frozen values, whose texts are printable, on one line, and of anybody.

Texts come from records, plugins and paths. They are made printable once, where the content is gathered
(:func:`ampbench.text.line`), so that no format has to think of controls, separators of lines or marks of direction;
each format escapes its own markup.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ampbench.reporting.compare import Summary
from ampbench.reporting.leaderboard import Leaderboard

NONE = "none"
"""Family and divergence of methods that have none."""


@dataclass(frozen=True)
class Source:
    """A results directory, bundle or exported file: its path, and the number of its results."""

    path: str
    results: int


@dataclass(frozen=True)
class Method:
    """A method of the report.

    Attributes:
        spec: the method's spec as requested, and the group's name if it is another group's.
        label: a short name, distinct from those of the other methods.
        divergence, family: names of its divergence and family, or several of them, or :data:`NONE`.
    """

    spec: str
    label: str
    divergence: str
    family: str


@dataclass(frozen=True)
class Draws:
    """Some posterior samples of a run, shape (n, d), of the components that a pair plot shows."""

    method: str
    budget: int
    seed: int
    theta: NDArray[np.float64]


@dataclass(frozen=True)
class Pairs:
    """Samples of several methods for one observation.

    Attributes:
        observation: its number.
        names: names of the d components that are shown, of ``size`` in all.
        size: number of components of theta.
        truth: the parameters that the observation was simulated with, shape (d,); None if they are unknown.
        reference: reference samples, shape (m, d); None if the task has no reference.
        draws: samples of methods.
    """

    observation: int
    names: tuple[str, ...]
    size: int
    truth: NDArray[np.float64] | None
    reference: NDArray[np.float64] | None
    draws: tuple[Draws, ...]


@dataclass(frozen=True)
class Coverage:
    """How often central intervals of a method's posterior samples contain the true parameters.

    Attributes:
        method, budget: the method.
        runs: number of runs that were counted.
        observations: number of their observations, which are independent.
        frequency: for each of :data:`ampbench.report.samples.LEVELS` the frequency over runs and components.
    """

    method: str
    budget: int
    runs: int
    observations: int
    frequency: tuple[float, ...]


@dataclass(frozen=True)
class Task:
    """A task of the report.

    Attributes:
        spec: the task's spec.
        summary: a sentence about it; empty if its plugin is not installed.
        source: its publication.
        labels: what its plugin says about it, such as the number of components of theta.
        pairs: samples for a pair plot; None if no samples are stored.
        coverage: calibration from stored samples; empty if there are none, or the true parameters are unknown.
        remarks: what could not be shown, and why.
    """

    spec: str
    summary: str
    source: str
    labels: Mapping[str, str]
    pairs: Pairs | None = None
    coverage: tuple[Coverage, ...] = ()
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Content:
    """All that a report shows.

    Attributes:
        sources: where the results came from.
        written: time of writing, in UTC.
        version: version of ampbench.
        frame: the results, one row per run; the methods of other groups are marked.
        requests: the specs of the metrics that each run asked for, by key.
        summary: comparison of the methods.
        boards: leaderboards across tasks.
        methods: the methods, sorted by spec.
        tasks: the tasks, sorted by spec.
        published: our scores and comparable published ones, with the columns of
            :data:`ampbench.results.schema.PUBLISHED_COMPARISON`.
        strongest: the strongest published scores, with the columns of :data:`ampbench.results.schema.STRONGEST`.
        remarks: what is missing, left out or not comparable.
    """

    sources: tuple[Source, ...]
    written: str
    version: str
    frame: pd.DataFrame
    requests: Mapping[str, tuple[str, ...]]
    summary: Summary
    boards: tuple[Leaderboard, ...]
    methods: tuple[Method, ...]
    tasks: tuple[Task, ...]
    published: pd.DataFrame
    strongest: pd.DataFrame
    remarks: tuple[str, ...]
