"""How long a run may take, by what stored runs took.

A mean over the nearest runs there are: of a fit those of the same task, method and budget, or else those of the method
and budget on other tasks; of sampling those of the same task, method and budget, or else all of the method; of
judging those of the same task, metrics and number of samples, whatever the method. Where there is none it is unknown.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable
from statistics import fmean
from typing import NamedTuple

from ampbench.results import Record, Run


class Duration(NamedTuple):
    """Mean wall-clock seconds, and whether they are of the same task, method and budget."""

    seconds: float
    same: bool


class Durations:
    """What stored runs took; failed ones do not count.

    Arguments:
        records: of a store.
    """

    def __init__(self, records: Iterable[Record]) -> None:
        fits: defaultdict[Hashable, dict[Hashable, float]] = defaultdict(dict)
        sampling: defaultdict[Hashable, list[float]] = defaultdict(list)
        judging: defaultdict[Hashable, list[float]] = defaultdict(list)
        for record in records:
            if record.ok:
                run = record.run
                for key in (_cell(run), _method(run)):
                    fits[key][run.fit_key] = record.fit_seconds
                for key in (_cell(run), run.resolved):
                    sampling[key].append(record.sample_seconds)
                judging[_judges(run)].append(record.metric_seconds)
        self._fits = {key: fmean(seconds.values()) for key, seconds in fits.items()}
        self._sampling = {key: fmean(seconds) for key, seconds in sampling.items()}
        self._judging = {key: fmean(seconds) for key, seconds in judging.items()}

    def fit(self, run: Run) -> Duration | None:
        """Of the fit that this run's posterior comes from; None if unknown."""
        return _nearest(self._fits, _cell(run), _method(run))

    def observation(self, run: Run) -> Duration | None:
        """Of drawing and judging the samples of this run; None if unknown."""
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
    """The mean of the cell, or else of the others."""
    if cell in seconds:
        return Duration(seconds[cell], same=True)
    return Duration(seconds[other], same=False) if other in seconds else None
