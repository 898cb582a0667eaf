"""Estimated durations of runs, from the durations of stored runs.

The estimate is a mean over the most similar stored runs. For a fit these have its task, method and budget, or else its
method and budget; for sampling they have its task, method and budget, or else its method; for metrics they have its
task, metrics and number of samples. Without such runs a duration is unknown.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable
from statistics import fmean
from typing import NamedTuple

from ampbench.results import Run
from ampbench.results.entries import SECONDS, Entries


class Duration(NamedTuple):
    """A mean of wall-clock seconds; ``same`` if it is over runs of the same task, method and budget."""

    seconds: float
    same: bool


class Timing(NamedTuple):
    """The wall-clock seconds of a run, as in :class:`ampbench.results.Record`."""

    run: Run
    fit_seconds: float
    sample_seconds: float
    metric_seconds: float

    @classmethod
    def of(cls, entries: Entries, i: int) -> Timing:
        """Return the timing of a stored record."""
        return cls(entries.run(i), *(float(entries[name][i]) for name in SECONDS))


class Durations:
    """Mean durations of the runs of a store.

    Arguments:
        timings: of the good results of the store.
    """

    def __init__(self, timings: Iterable[Timing]) -> None:
        fits: defaultdict[Hashable, dict[Hashable, float]] = defaultdict(dict)
        sampling: defaultdict[Hashable, list[float]] = defaultdict(list)
        judging: defaultdict[Hashable, list[float]] = defaultdict(list)
        for run, fit, sampled, judged in timings:
            for key in (_cell(run), _method(run)):
                fits[key][run.fit_key] = fit
            for key in (_cell(run), run.resolved):
                sampling[key].append(sampled)
            judging[_judges(run)].append(judged)
        self._fits = {key: fmean(seconds.values()) for key, seconds in fits.items()}
        self._sampling = {key: fmean(seconds) for key, seconds in sampling.items()}
        self._judging = {key: fmean(seconds) for key, seconds in judging.items()}

    def fit(self, run: Run) -> Duration | None:
        """Return the estimated duration of the fit of a run; None if unknown."""
        return _nearest(self._fits, _cell(run), _method(run))

    def observation(self, run: Run) -> Duration | None:
        """Return the estimated duration of sampling and measuring a run; None if unknown."""
        sampling, judging = _nearest(self._sampling, _cell(run), run.resolved), self._judging.get(_judges(run))
        if sampling is None or judging is None:
            return None
        return Duration(sampling.seconds + judging, sampling.same)


def _cell(run: Run) -> Hashable:
    return run.task, run.resolved, run.budget


def _method(run: Run) -> Hashable:
    return run.resolved, run.budget


def _judges(run: Run) -> Hashable:
    return run.task, run.metrics, run.samples


def _nearest(seconds: dict[Hashable, float], cell: Hashable, other: Hashable) -> Duration | None:
    """Return the mean for a cell, or else for the other key; None if there is neither."""
    if cell in seconds:
        return Duration(seconds[cell], same=True)
    return Duration(seconds[other], same=False) if other in seconds else None
