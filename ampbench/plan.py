"""What a sweep has done, what it has still to do, and how long that may take.

The estimate is what stored runs of the same task, method and budget took: the mean time of a fit, once for all
observations that share it, and the mean time of sampling and judging one observation. Where nothing is stored it is
unknown, not guessed.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from statistics import fmean

from ampbench.run import Record, Run
from ampbench.sealed import Damage
from ampbench.store import Store, is_good

STATES = ("done", "failed", "damaged", "drawn", "fitted", "missing")
"""What a run can be.

``drawn``: its posterior samples are stored, and only metrics are to be computed; ``fitted``: its fit is.
"""


@dataclass(frozen=True)
class Planned:
    """A run, and how it stands.

    Attributes:
        state: one of :data:`STATES`; all but the done ones will be run.
        detail: the error of a failed run, what is wrong with a damaged one.
        refit: whether a fit is needed; not if the posterior samples are stored, or the fit is.
        versions: what a result of this run was computed with, if only results of other versions are stored.
    """

    run: Run
    state: str
    detail: str = ""
    refit: bool = True
    versions: tuple[str, ...] = ()


@dataclass(frozen=True)
class Estimate:
    """Seconds of computing, on one worker.

    Attributes:
        seconds: of those fits and runs that something is known about.
        fits, known: how many fits are to be made or judged; for how many of them there is an estimate.
    """

    seconds: float
    fits: int
    known: int


@dataclass(frozen=True)
class Plan:
    """The runs of a sweep, as they stand in a store."""

    runs: tuple[Planned, ...]
    estimate: Estimate

    @property
    def todo(self) -> list[Run]:
        """The runs without a good result."""
        return [planned.run for planned in self.runs if planned.state != "done"]

    def count(self) -> Counter[str]:
        """How many runs there are in each state."""
        return Counter(planned.state for planned in self.runs)


def plan(runs: Sequence[Run], store: Store) -> Plan:
    """Compare runs with what is stored; nothing is written, and damage does not raise."""
    records = list(store.records())
    answers: defaultdict[str, list[Run]] = defaultdict(list)
    for record in records:
        if record.ok:
            answers[record.run.question].append(record.run)
    shared = {run.origin_key: run for run in runs}
    fitted = cache(lambda key: store.fitted(shared[key]))  # read once, not for each observation
    planned = tuple(_planned(run, store, answers[run.question], fitted) for run in runs)
    return Plan(planned, _estimate(planned, records))


def _planned(run: Run, store: Store, answers: Sequence[Run], fitted: Callable[[str], bool]) -> Planned:
    found = store.standing(run)
    if isinstance(found, Damage):
        return Planned(run, "damaged", str(found))
    if is_good(found):
        return Planned(run, "done")
    drawn = store.draw(run) is not None
    refit = not drawn and not fitted(run.origin_key)
    versions = _versions(answers[-1]) if answers else ()
    if found:
        return Planned(run, "failed", found.record.error, refit, versions)
    return Planned(run, "drawn" if drawn else "missing" if refit else "fitted", "", refit, versions)


def _versions(run: Run) -> tuple[str, ...]:
    packages = sorted({*run.packages, *run.metric_packages}) or ["packages unknown"]
    return (f"version {run.task_version} of the task", *packages)


def _estimate(planned: Sequence[Planned], records: Sequence[Record]) -> Estimate:
    """Add up fits and observations that are still to be done."""
    fit, each = _times(records)
    groups: defaultdict[tuple[str, str, int, int], list[Planned]] = defaultdict(list)
    for one in planned:
        if one.state != "done":
            groups[one.run.fit_key].append(one)
    seconds, known = 0.0, 0
    for (task, method, budget, _), members in groups.items():
        what = task, method, budget
        if what in fit:
            known += 1
            seconds += any(one.refit for one in members) * fit[what] + len(members) * each[what]
    return Estimate(seconds, len(groups), known)


def _times(records: Sequence[Record]) -> tuple[dict[tuple[str, str, int], float], dict[tuple[str, str, int], float]]:
    """The mean time of a fit, and of one observation, by task, method and budget."""
    fits: defaultdict[tuple[str, str, int], dict[int, float]] = defaultdict(dict)
    each: defaultdict[tuple[str, str, int], list[float]] = defaultdict(list)
    for record in _well(records):
        what = record.run.task, record.run.resolved, record.run.budget
        fits[what][record.run.seed] = record.fit_seconds
        each[what].append(record.sample_seconds + record.metric_seconds)
    return (
        {what: fmean(seconds.values()) for what, seconds in fits.items()},
        {what: fmean(seconds) for what, seconds in each.items()},
    )


def _well(records: Sequence[Record]) -> Iterator[Record]:
    return (record for record in records if record.ok)
