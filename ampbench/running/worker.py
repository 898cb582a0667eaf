"""A fit and its observations in a process of their own, so that whatever a plugin does costs its own runs only.

A job is one fit with the runs that share it. It is worked on by a child process, which writes every result into the
store itself; what comes back through the pipe is only a notice, so that no result is lost with a connection. The parent
watches that each step (the fit; sampling or measuring one observation) ends in time, and how the child ends.

=====================================  ==================================================================
an exception, NaN, too few samples     the child records the failure and goes on
too much memory                        the same: the allocation fails, as an exception, at the limit
a step takes too long                  the parent kills the child, records ``timeout``; the others go on
``os._exit``, a segmentation fault     the parent records ``crashed``; the others go on
``kill -9``, a lost machine            nobody's fault: the job is started again, at most ``retries`` times
=====================================  ==================================================================

How a child is started, limited and watched is told in :mod:`ampbench.running.process`. "The others go on" in a new
child. What is stored, or drawn, is not computed again. If the child ended while it was fitting, all runs of the fit
have failed; if later, the one observation that it was at. A job whose child ended before its samples were drawn needs
its fit again, unless that is kept, so that this is counted as a retry too; where none is left, what was not reached is
recorded as ``not-run``.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial

from ampbench import registry
from ampbench.interfaces.events import Event, Finished, Fitting, Listener, Measuring, Note, Sampling
from ampbench.interfaces.executor import Job
from ampbench.results import Run
from ampbench.results.store import Store
from ampbench.running import runner
from ampbench.running.child import Send
from ampbench.running.context import Services
from ampbench.running.failures import Failure
from ampbench.running.process import Clock, Ending, Stop, last_output, run_in_child
from ampbench.running.runlog import RunLog, log_path
from ampbench.running.throttle import Throttle

STEP_INTERVAL = 0.2
"""Seconds between two notices about the steps of a fit."""


@dataclass(frozen=True)
class _End:
    """How a child ended before it was through.

    Attributes:
        failure: what to record for the runs at fault.
        at_fault: those that it was working on.
        fitted: whether its samples were drawn, or its fit is kept, so that starting again costs no fit.
    """

    failure: Failure
    at_fault: Sequence[Run]
    fitted: bool


def isolated(job: Job, listener: Listener, stop: Stop | None = None) -> None:
    """Work on a job in child processes; returns when each of its runs has a record.

    Arguments:
        job: what to do; runs that have a good result by now are passed over.
        listener: told how it goes.
        stop: when it is set, the child is killed and :class:`Stopped` raised.

    Raises:
        ResultsError: the store cannot be written.
        PluginError: a plugin is broken.
    """
    stop = stop or threading.Event()
    store = Store(job.results)
    retries = job.limits.retries
    todo = runner.pending(job.runs, store)
    while todo:
        todo, end = _attempt(replace(job, runs=tuple(todo)), listener, stop)
        if end is None:
            return
        lost = end.failure.kind == "killed"
        repeats = lost or not end.fitted
        again = retries > 0 or not repeats
        retries -= repeats
        if not (lost and again):
            todo = [run for run in todo if run not in end.at_fault]
            _fail(end.at_fault, end.failure, job, store, listener)
        if todo and not again:
            reason = f"not reached: the process of its fit ended {job.limits.retries + 1} times; {end.failure.message}"
            _fail(todo, Failure("not-run", reason), job, store, listener)
            return
        if todo:
            listener(Note(f"{end.failure.message}, at {end.at_fault[0]}; {len(todo)} runs of this fit are tried again"))


def _attempt(job: Job, listener: Listener, stop: Stop) -> tuple[list[Run], _End | None]:
    """Run one child until it ends; returns the runs that have no record yet."""
    store, log = Store(job.results), RunLog(log_path(job.results, job.runs[0]))
    watch = _Watch(job, listener)
    output = log.path.with_suffix(".out")
    ending = run_in_child(partial(_execute, job), job.limits, output, watch.hear, watch.clock, stop)
    end = watch.end(ending) if ending else None
    if end:
        log.write("lost", kind=end.failure.kind, message=end.failure.message)
        for run in job.runs:  # stored, but the child did not live to tell
            if run not in watch.finished and store.done(run) and (record := store.get(run.key)):
                watch.hear(Finished(record))
    return [run for run in job.runs if run not in watch.finished], end


class _Watch:
    """What the parent knows of a child from its notices."""

    def __init__(self, job: Job, listener: Listener) -> None:
        self.job, self.listener = job, listener
        self.finished: set[Run] = set()
        self.clock = Clock(job.limits.seconds)
        self._at: Sequence[Run] = ()
        self._drawn = False

    def hear(self, event: Event) -> None:
        """Note what a child tells, and pass it on."""
        match event:
            case Fitting():
                self._step_is((), "the fit")
            case Sampling(run):
                self._step_is((run,), "sampling the posterior")
            case Measuring(run, what):
                self._step_is((run,), f"measuring ({what})", drawn=True)
            case Finished(record):
                self.finished.add(record.run)
        self.listener(event)

    def end(self, ending: Ending) -> _End:
        """Say who was at fault: the observation at hand, or, while it was fitted, those that still lack samples."""
        store = Store(self.job.results)
        left = [run for run in self.job.runs if run not in self.finished]
        at_fault = [run for run in self._at or left if run in left and (self._at or store.draw(run) is None)]
        fitted = self._drawn or (bool(self._at) and store.fitted(self.job.runs[0]))
        return _End(Failure(ending.kind, ending.message), at_fault or left, fitted)

    def _step_is(self, at: Sequence[Run], doing: str, drawn: bool = False) -> None:
        """A step that takes its own time: the fit; sampling an observation; measuring it."""
        self.clock.step((at, drawn), doing)
        self._at, self._drawn = at, drawn


def _fail(runs: Iterable[Run], failure: Failure, job: Job, store: Store, listener: Listener) -> None:
    services = Services(registry.load(), store, job.device, listener)
    for run in runs:
        drawn = store.draw(run)
        log = log_path(job.results, run)
        trace = f"{failure.message}\nlog: {log}\n{last_output(log.with_suffix('.out'))}"
        runner.record_failure(run, replace(failure, traceback=trace), services, drawn[0] if drawn else None)


def _execute(job: Job, send: Send) -> None:
    """Execute the runs of a job in the child."""
    notices = _Notices(send, RunLog(log_path(job.results, job.runs[0])))
    runner.execute(job.runs, Services(registry.load(), Store(job.results), job.device, notices))


class _Notices:
    """A listener at the child's end of the pipe, and the log."""

    def __init__(self, send: Send, log: RunLog) -> None:
        self._send, self._log = send, log
        self._throttle = Throttle(STEP_INTERVAL)

    def __call__(self, event: Event) -> None:
        self._log(event)
        if isinstance(event, Fitting) and 0 < event.done < event.total and not self._throttle.due():
            return
        self._send(event)
