"""The plan of a sweep: the state of each of its runs in a store, and an estimate of the remaining time.

The estimate counts a fit once for all observations that share it; see :mod:`ampbench.running.durations`.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from ampbench.results import Run
from ampbench.results.checksums import warn_of
from ampbench.results.entries import RUN, SECONDS
from ampbench.results.standings import Standings, standings
from ampbench.results.store import Store
from ampbench.running.durations import Durations, Timing

STATES = ("done", "failed", "damaged", "drawn", "fitted", "missing")
"""States of a run.

``drawn``: its posterior samples are stored, and its metrics are missing; ``fitted``: its fit is stored, its samples are
missing.
"""


@dataclass(frozen=True)
class Planned:
    """A run, and its state in a store.

    Attributes:
        state: one of :data:`STATES`; runs in all states but ``done`` will be executed.
        detail: the error of a failed run, or the damage of a damaged one.
        refit: whether a fit is needed: neither the posterior samples nor the fit are stored.
        versions: if there are results of this run by other versions only, these versions.
    """

    run: Run
    state: str
    detail: str = ""
    refit: bool = True
    versions: tuple[str, ...] = ()


@dataclass(frozen=True)
class Estimate:
    """Estimated computing time on one worker.

    Attributes:
        seconds: the time of all fits, and of their runs, that have an estimate.
        fits, known: number of fits with missing results, and how many of them have an estimate.
        alike: how many of the estimates are from other tasks or budgets.
    """

    seconds: float
    fits: int
    known: int
    alike: int


@dataclass(frozen=True)
class Plan:
    """The runs of a sweep with their states in a store, and the estimate of the remaining time."""

    runs: tuple[Planned, ...]
    estimate: Estimate

    @property
    def todo(self) -> list[Run]:
        """The runs without a good result."""
        return [planned.run for planned in self.runs if planned.state != "done"]

    def count(self) -> Counter[str]:
        """Return the number of runs in each state."""
        return Counter(planned.state for planned in self.runs)


def plan(runs: Sequence[Run], store: Store) -> Plan:
    """Return the plan of runs, given a store; the store is not changed, and damaged files do not raise errors.

    Warns:
        ResultsWarning: records of other runs are damaged; the estimate is made without them.
    """
    found = standings(store, {run.key for run in runs}, names=(*RUN, *SECONDS, "error"))
    warn_of(store.directory, found.others)
    waiting = [run for run in runs if not found.done(run.key)]
    good = [Timing.of(found.entries, i) for i in (np.flatnonzero(found.entries.ok).tolist() if waiting else ())]
    answers = {each.run.question: each.run for each in good}
    shared = {run.origin_key: run for run in waiting}
    fitted = cache(lambda key: store.fitted(shared[key]))  # read once, not for each observation
    planned = tuple(_planned(run, store, found, answers, fitted) for run in runs)
    return Plan(planned, _estimate(planned, Durations(good)))


def _planned(
    run: Run, store: Store, found: Standings, answers: Mapping[str, Run], fitted: Callable[[str], bool]
) -> Planned:
    if damage := found.damages.get(run.key):
        return Planned(run, "damaged", str(damage))
    if found.done(run.key):
        return Planned(run, "done")
    drawn = store.stamp(f"draws/{run.draw_key}.json") is not None and store.draw(run) is not None
    refit = not drawn and not fitted(run.origin_key)
    versions = _versions(answers[run.question]) if run.question in answers else ()
    if run.key in found.places:
        return Planned(run, "failed", found.entries["error"][found.places[run.key]], refit, versions)
    return Planned(run, "drawn" if drawn else "missing" if refit else "fitted", "", refit, versions)


def _versions(run: Run) -> tuple[str, ...]:
    packages = sorted({*run.packages, *run.metric_packages}) or ["packages unknown"]
    return (f"version {run.task_version} of the task", *packages)


def _estimate(planned: Sequence[Planned], durations: Durations) -> Estimate:
    """Sum the estimated times of missing fits and observations."""
    groups: defaultdict[tuple[str, str, int, int], list[Planned]] = defaultdict(list)
    for one in planned:
        if one.state != "done":
            groups[one.run.fit_key].append(one)
    seconds, known, alike = 0.0, 0, 0
    for members in groups.values():
        fit, each = durations.fit(members[0].run), durations.observation(members[0].run)
        if fit and each:
            known += 1
            alike += not (fit.same and each.same)
            seconds += any(one.refit for one in members) * fit.seconds + len(members) * each.seconds
    return Estimate(seconds, len(groups), known, alike)
