"""Jobs in child processes: a fault of a plugin costs the runs of its own fit only.

A job is one fit with the runs that share it. A child process executes it and writes every result to the store; it sends
events only through the pipe, so that no result is lost with the connection. The parent limits the time of each step
(the fit; sampling or measuring at one observation), and records how the child ended.

=====================================  ==================================================================
an exception, NaN, too few samples     the child records the failure and continues with the next run
too much memory                        the allocation fails at the limit, as an exception, with the same effect
a step takes too long                  the parent kills the child, records ``timeout``, continues in a new child
``os._exit``, a segmentation fault     the parent records ``crashed``, continues in a new child
``kill -9``, a lost machine            the parent starts the job again, at most ``retries`` times
a life-cycle hook does any of this     a note; the parent starts the job again, without the hooks of this plugin
=====================================  ==================================================================

See :mod:`ampbench.running.process` for how a child is started and limited. A new child does not compute again what is
stored. If a child ends during the fit, all runs of the fit have failed; if it ends later, the run of the observation at
hand has failed. If a child ends before the samples of all runs were drawn, and the fit is not stored, the new child
must repeat the fit, which counts as a retry. When no retry is left, the remaining runs are recorded as ``not-run``.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial

from ampbench import registry
from ampbench.interfaces.events import Event, Finished, Fitting, Listener, Measuring, Note, Sampling
from ampbench.interfaces.executor import Job
from ampbench.results import Run
from ampbench.results.store import Store
from ampbench.running import jobs, runner
from ampbench.running.child import STEP_INTERVAL, Send
from ampbench.running.context import Services
from ampbench.running.failures import Failure
from ampbench.running.hook_calls import Apart, HookWatch
from ampbench.running.hooks import Calling, call_in_worker
from ampbench.running.process import Clock, Ending, Stop, last_output, run_in_child
from ampbench.running.runlog import RunLog, log_path
from ampbench.running.throttle import Throttle


@dataclass(frozen=True)
class _EarlyEnd:
    """The end of a child before its work was complete.

    Attributes:
        failure: the failure to record for the runs at fault.
        at_fault: the runs that the child was executing.
        fitted: whether a new child needs no fit: all samples were drawn, or the fit is stored.
        calling: the life-cycle hook that it was calling, which then is at fault instead of the runs.
    """

    failure: Failure
    at_fault: Sequence[Run]
    fitted: bool
    calling: Calling | None = None


def isolated(job: Job, listener: Listener, stop: Stop | None = None) -> None:
    """Execute a job in child processes; returns when each of its runs has a record.

    Arguments:
        job: the job; its runs that have a good result in the store are skipped.
        listener: called with each event.
        stop: when it is set, the child is killed and :class:`ampbench.running.process.Stopped` raised.

    Raises:
        ResultsError: the store cannot be written.
        PluginError: a plugin is broken.
    """
    stop = stop or threading.Event()
    store = Store(job.results)
    hooks = Apart(job.results, job.limits, stop)
    retries = job.limits.retries
    todo = jobs.pending(job.runs, store)
    while todo:
        todo, end = _attempt(replace(job, runs=tuple(todo)), listener, stop, hooks)
        if end is None:
            return
        if end.calling:
            _leave_out(end.calling, end.failure, hooks, store, listener)
            continue
        lost = end.failure.kind == "killed"
        repeats = lost or not end.fitted
        again = retries > 0 or not repeats
        retries -= repeats
        if not (lost and again):
            todo = [run for run in todo if run not in end.at_fault]
            _fail(end.at_fault, end.failure, job, store, listener, hooks)
        if todo and not again:
            reason = f"not reached: the process of its fit ended {job.limits.retries + 1} times; {end.failure.message}"
            _fail(todo, Failure("not-run", reason), job, store, listener, hooks)
            return
        if todo:
            listener(Note(f"{end.failure.message}, at {end.at_fault[0]}; {len(todo)} runs of this fit are tried again"))


def _attempt(job: Job, listener: Listener, stop: Stop, hooks: Apart) -> tuple[list[Run], _EarlyEnd | None]:
    """Run one child until it ends; returns the runs without a record, and how the child ended if that was early."""
    store, log = Store(job.results), RunLog(log_path(job.results, job.runs[0]))
    watch = _Watch(job, listener)
    output = log.path.with_suffix(".out")
    work = partial(_execute, job, frozenset(hooks.left_out))
    ending = run_in_child(work, job.limits, output, watch.hooks.on_message, watch.clock, stop)
    end = watch.end(ending) if ending else None
    if end:
        log.write("lost", kind=end.failure.kind, message=end.failure.message)
        for run in job.runs:  # the record is stored, but the child ended before it sent the event
            if run not in watch.finished and store.done(run) and (record := store.get(run.key)):
                watch.on_event(Finished(record))
    return [run for run in job.runs if run not in watch.finished], end


class _Watch:
    """The parent's view of a child, from its events."""

    def __init__(self, job: Job, listener: Listener) -> None:
        self.job, self.listener = job, listener
        self.finished: set[Run] = set()
        self.clock = Clock(job.limits.seconds)
        self.hooks = HookWatch(job.limits, self.clock, self.on_event)
        self._at: Sequence[Run] = ()
        self._drawn = False

    def on_event(self, event: Event) -> None:
        """Follow the progress of the child, and pass the event on."""
        match event:
            case Fitting():
                self._begin_step((), "the fit")
            case Sampling(run):
                self._begin_step((run,), "sampling the posterior")
            case Measuring(run, what):
                self._begin_step((run,), f"measuring ({what})", drawn=True)
            case Finished(record):
                self.finished.add(record.run)
        self.listener(event)

    def end(self, ending: Ending) -> _EarlyEnd:
        """Return the runs at fault: that of the observation at hand, or, during the fit, all that lack samples."""
        store = Store(self.job.results)
        left = [run for run in self.job.runs if run not in self.finished]
        at_fault = [run for run in self._at or left if run in left and (self._at or store.draw(run) is None)]
        fitted = self._drawn or (bool(self._at) and store.fitted(self.job.runs[0]))
        return _EarlyEnd(Failure(ending.kind, ending.message), at_fault or left, fitted, self.hooks.calling)

    def _begin_step(self, at: Sequence[Run], doing: str, drawn: bool = False) -> None:
        """Begin a step with a time limit of its own: the fit; sampling at an observation; measuring it."""
        self.clock.step((at, drawn), doing)
        self._at, self._drawn = at, drawn


def _leave_out(calling: Calling, failure: Failure, hooks: Apart, store: Store, listener: Listener) -> None:
    """Leave out a plugin whose hook did not return; the plugins after it hear of a finished run all the same."""
    hooks.leave_out(calling, failure.message, listener)
    if calling.hook == "run_finished" and (record := store.get(calling.run.key)):
        arguments = {"run": calling.run, "record": record}
        hooks.call_rest(calling.plugin, registry.load(), listener, calling.hook, arguments)


def _fail(runs: Iterable[Run], failure: Failure, job: Job, store: Store, listener: Listener, hooks: Apart) -> None:
    """Record a failure for runs whose child ended early."""
    services = Services(registry.load(), store, job.device, listener, hooks)
    for run in runs:
        drawn = store.draw(run)
        log = log_path(job.results, run)
        trace = f"{failure.message}\nlog: {log}\n{last_output(log.with_suffix('.out'))}"
        runner.record_failure(run, replace(failure, traceback=trace), services, drawn[0] if drawn else None)


def _execute(job: Job, left_out: Collection[str], send: Send) -> None:
    """Execute the runs of a job, in the child, without the hooks of some plugins."""
    listener = _ChildListener(send, RunLog(log_path(job.results, job.runs[0])))
    hooks = partial(call_in_worker, left_out, send)
    runner.execute(job.runs, Services(registry.load(), Store(job.results), job.device, listener, hooks))


class _ChildListener:
    """A listener that writes events to the log of the fit, and sends them to the parent."""

    def __init__(self, send: Send, log: RunLog) -> None:
        self._send, self._log = send, log
        self._throttle = Throttle(STEP_INTERVAL)

    def __call__(self, event: Event) -> None:
        self._log(event)
        if isinstance(event, Fitting) and 0 < event.done < event.total and not self._throttle.due():
            return
        self._send(event)
