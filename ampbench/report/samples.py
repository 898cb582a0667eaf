"""Stored posterior samples for the report: pair plots of one observation, and calibration over the stored runs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from ampbench.graph.prior import parameter_names
from ampbench.interfaces import HasReference, ShipsReference, Task
from ampbench.metrics.references import reference_samples
from ampbench.report.content import Coverage, Draws, Pairs
from ampbench.seeding import derive
from ampbench.statistics.calibration import coverage, rank_statistics
from ampbench.text import line

MAX_COMPONENTS = 5
"""Largest number of components of theta in a pair plot."""
MAX_POINTS = 300
"""Largest number of points of a distribution in a pair plot."""
MAX_DISTRIBUTIONS = 24
"""Largest number of methods and budgets in the pair plots of a task."""
MAX_RANK_DRAWS = 1000
"""Largest number of draws among which the true parameters are ranked."""
LEVELS = tuple(i / 20 for i in range(1, 20))
"""Levels of the central intervals of which the coverage is shown."""


@dataclass(frozen=True)
class Run:
    """A run with stored samples; ``load`` reads them, shape (n, D), or returns None if they are missing or damaged."""

    method: str
    budget: int
    seed: int
    observation: int
    load: Callable[[], NDArray[np.floating] | None]


def pairs(task: Task, runs: Sequence[Run]) -> Pairs | None:
    """Return samples for a pair plot: those of the observation of which most runs have samples, and of the first seed.

    Raises whatever the task raises.
    """
    numbers = [run.observation for run in runs]
    observation = min(set(numbers), key=lambda number: (-numbers.count(number), number))
    first: dict[tuple[int, str], Run] = {}
    for run in sorted(runs, key=lambda run: (-run.budget, run.method, run.seed)):
        if run.observation == observation:
            first.setdefault((run.budget, run.method), run)
    names = parameter_names(task.graph, task.latents)
    shown = min(len(names), MAX_COMPONENTS)
    drawn = [
        Draws(run.method, run.budget, run.seed, _thinned(theta, shown))
        for run in list(first.values())[:MAX_DISTRIBUTIONS]
        if (theta := run.load()) is not None
    ]
    truth = task.numbered(observation).theta.double().numpy()[:shown]
    reference = None
    if isinstance(task, HasReference | ShipsReference):
        reference = _thinned(reference_samples(task, observation, MAX_POINTS).numpy(), shown)
    if not drawn:
        return None
    known = truth if np.isfinite(truth).all() else None
    return Pairs(observation, tuple(map(line, names[:shown])), len(names), known, reference, tuple(drawn))


def coverages(task: Task, runs: Sequence[Run], most: int) -> tuple[tuple[Coverage, ...], int]:
    """Return the coverage of each method and budget, and the number of these that were left out.

    Arguments:
        task: the task, whose observations hold the true parameters; those of real data are left out.
        runs: its runs with samples; of the runs of one method, budget and observation, the first seed is used.
        most: largest number of files to read; the largest budgets come first.
    """
    observations = task.observations()
    truths = {number: each.theta for number, each in observations.items() if bool(each.theta.isfinite().all())}
    groups: dict[tuple[int, str], dict[int, Run]] = {}
    for run in sorted(runs, key=lambda run: (-run.budget, run.method, run.seed)):
        if run.observation in truths:
            groups.setdefault((run.budget, run.method), {}).setdefault(run.observation, run)
    found: list[Coverage] = []
    left = most
    for (budget, method), each in groups.items():
        left -= len(each)
        if left < 0 and found:
            return tuple(found), len(groups) - len(found)
        ranks = list(_ranks(each.values(), truths))
        if ranks:
            u = torch.cat(ranks)
            frequency = tuple(float(coverage(u[:, None], level)[0]) for level in LEVELS)
            found.append(Coverage(method, budget, len(ranks), len(ranks), frequency))
    return tuple(found), 0


def _ranks(runs: Iterable[Run], truths: dict[int, torch.Tensor]) -> Iterator[torch.Tensor]:
    for run in runs:
        theta = run.load()
        truth = truths[run.observation].double()
        if theta is not None and theta.shape[1] == len(truth):
            generator = torch.Generator().manual_seed(derive(0, "report", run.observation))
            yield rank_statistics(truth, torch.as_tensor(theta[:MAX_RANK_DRAWS]).double(), generator)


def _thinned(theta: NDArray[np.floating], components: int) -> NDArray[np.float64]:
    """Return up to MAX_POINTS evenly spaced draws of the first components."""
    step = max(1, len(theta) // MAX_POINTS)
    return theta[::step][:MAX_POINTS, :components].astype(np.float64)
