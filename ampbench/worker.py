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

"The others go on" in a new child. What is stored, or drawn, is not computed again. If the child ended while it was
fitting, all runs of the fit have failed; if later, the one observation that it was at. A job whose child ended before
its samples were drawn needs its fit again, so that this is counted as a retry too; where none is left, what was not
reached is recorded as ``not-run``.

Children are forked from a server process (multiprocessing's ``forkserver``) that has torch imported and nothing else
done: a child costs 0.02 s instead of the 3 s of a fresh interpreter, and inherits no threads, locks or GPU. The memory
limit is ``RLIMIT_DATA``, for the reasons in docs/decisions/0010-execution.md.

References:
    Python documentation, *multiprocessing: contexts and start methods*,
    https://docs.python.org/3/library/multiprocessing.html
    *getrlimit(2)*, *prctl(2)*, Linux manual pages, https://man7.org/linux/man-pages/man2/getrlimit.2.html
"""

from __future__ import annotations

import ctypes
import faulthandler
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from multiprocessing import connection, forkserver
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Protocol

import torch
from threadpoolctl import threadpool_limits

from ampbench import registry, runner
from ampbench.errors import AmpbenchError
from ampbench.events import Event, Finished, Fitting, Listener, Measuring, Note, Sampling
from ampbench.preload import PRELOAD
from ampbench.run import Run
from ampbench.runlog import RunLog, place
from ampbench.runner import Failure
from ampbench.store import Store

POLL = 0.2
"""Seconds after which the parent looks up: at the clock, and whether it should stop."""
START = 300.0
"""Seconds that a child may take to begin: the first one waits until the server has imported everything."""
EVERY = 0.2
"""Seconds between two notices about the steps of a fit."""
LONGEST = 4000
"""Characters of a child's output that are kept with a failure."""
GIBIBYTE = 2**30
OUTSIDE = (signal.SIGKILL, signal.SIGTERM, signal.SIGHUP, signal.SIGINT)
"""Signals that a process does not send to itself: somebody, or the system when memory is short."""
LOST, NO_MEMORY = 255, 77
"""Exit statuses: the fork server has gone, and its children with it; a child ran out of memory even for its report."""


@dataclass(frozen=True)
class Limits:
    """What a worker may use.

    Attributes:
        threads: CPU threads of torch and of the linear algebra below numpy.
        seconds: wall-clock time of each step: a fit; sampling one observation; measuring it.
        memory: GiB of private memory of the process, where the system can limit it (Linux); None for no limit.
        retries: how often a job is started again after its process was killed.
    """

    threads: int = 1
    seconds: float | None = None
    memory: float | None = None
    retries: int = 2


@dataclass(frozen=True)
class Job:
    """One fit: all that a worker on any machine needs to know.

    Attributes:
        runs: they share the fit.
        results: the results directory, an absolute path.
        device: any torch device.
        limits: what the worker may use.
    """

    runs: tuple[Run, ...]
    results: Path
    device: str = "cpu"
    limits: Limits = field(default_factory=Limits)


class Stop(Protocol):
    """Says whether a job should stop, as a :class:`threading.Event` does."""

    def is_set(self) -> bool:
        """Whether it should."""


class Stopped(Exception):  # noqa: N818 — not an error
    """The job was stopped from outside."""


@dataclass(frozen=True)
class _End:
    """How a child ended before it was through.

    Attributes:
        failure: what to record for the runs at fault.
        at_fault: those that it was working on.
        drawn: whether it had come to measuring, so that starting again costs no fit.
    """

    failure: Failure
    at_fault: Sequence[Run]
    drawn: bool


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
        repeats = lost or not end.drawn
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


class _Server:
    """The process that children are forked from: what it has loaded, and how many threads its libraries may start."""

    def __init__(self) -> None:
        self._lock = threading.Lock()  # the environment belongs to all threads
        self._environment: Mapping[str, str] = {}
        self.prepare((), 1)

    def prepare(self, modules: Iterable[str], threads: int) -> None:
        """Choose what the next server has, if this one has gone or there is none yet."""
        names = ["ampbench.worker", "sklearn.neural_network", *runner.ALWAYS, *modules]
        limits = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
        self._environment = {PRELOAD: ",".join(names), **dict.fromkeys(limits, str(threads))}

    def start(self, child: ForkServerProcess | None = None) -> None:
        """Start a child, and the server before it if there is none."""
        path = os.pathsep.join(each or os.getcwd() for each in sys.path)  # the server must find what this process does
        with self._lock, _environment({**self._environment, "PYTHONPATH": path}):
            multiprocessing.set_forkserver_preload(["ampbench.preload"])
            forkserver.ensure_running()
            if child:
                child.start()


_SERVER = _Server()


def start_server(modules: Iterable[str], threads: int) -> None:
    """Start the process that children are forked from, so that it imports modules meanwhile; the first call decides."""
    _SERVER.prepare(modules, threads)
    _SERVER.start()


def _attempt(job: Job, listener: Listener, stop: Stop) -> tuple[list[Run], _End | None]:
    """Run one child until it ends; returns the runs that have no record yet."""
    store, log = Store(job.results), RunLog(place(job.results, job.runs[0]))
    watch = _Watch(job, listener)
    receiver, sender = multiprocessing.Pipe(duplex=False)
    child = multiprocessing.get_context("forkserver").Process(target=_child, args=(job, sender), name="ampbench worker")
    try:
        try:
            _SERVER.start(child)
        except (OSError, EOFError) as error:  # the fork server is gone; the next start makes a new one
            end: _End | None = watch.end("killed", f"no worker process could be started: {error}")
        else:
            sender.close()
            end = _follow(child, receiver, watch, stop)
    finally:
        receiver.close()
        _kill(child)
    if end:
        log.write("lost", kind=end.failure.kind, message=end.failure.message)
        for run in job.runs:  # stored, but the child did not live to tell
            if run not in watch.finished and store.done(run) and (record := store.get(run.key)):
                watch.hear(Finished(record))
    return [run for run in job.runs if run not in watch.finished], end


def _follow(child: ForkServerProcess, receiver: Connection, watch: _Watch, stop: Stop) -> _End | None:
    """Listen to a child until it has ended, one way or the other."""
    while True:
        ready = connection.wait([receiver, child.sentinel], timeout=POLL)
        if receiver in ready:
            with suppress(EOFError, OSError):
                watch.hear(receiver.recv())
                continue
        if stop.is_set():
            raise Stopped
        if late := watch.late():
            return watch.end("timeout", late)
        if child.sentinel in ready or receiver in ready:
            child.join()
            return None if watch.through else watch.end(*_cause(child.exitcode))


@dataclass(frozen=True)
class _Through:
    """The last notice of a child: it is through with its job, or something is wrong that concerns all jobs."""

    error: AmpbenchError | None = None


class _Watch:
    """What the parent knows of a child from its notices."""

    def __init__(self, job: Job, listener: Listener) -> None:
        self.job, self.listener = job, listener
        self.finished: set[Run] = set()
        self.through = False
        self._doing, self._begun = "the start of its worker process", False
        self._at: Sequence[Run] = ()
        self._drawn = False
        self._since = time.monotonic()  # not wall-clock time, which may jump

    def hear(self, event: Event | _Through) -> None:
        match event:
            case _Through(error):
                self.through = True
                if error:
                    raise error
            case Fitting():
                self._step_is((), "the fit")
            case Sampling(run):
                self._step_is((run,), "sampling the posterior")
            case Measuring(run, what):
                self._step_is((run,), f"measuring ({what})", drawn=True)
            case Finished(record):
                self.finished.add(record.run)
        if not isinstance(event, _Through):
            self.listener(event)

    def late(self) -> str:
        """Return what takes longer than it may, "" if nothing does."""
        allowed = self.job.limits.seconds if self._begun else START
        if allowed is None or time.monotonic() - self._since <= allowed:
            return ""
        return f"{self._doing} took longer than the {allowed:g} s allowed"

    def end(self, kind: str, message: str) -> _End:
        """Say who was at fault: the observation at hand, or, while it was fitted, those that still lack samples."""
        store = Store(self.job.results)
        left = [run for run in self.job.runs if run not in self.finished]
        at_fault = [run for run in self._at or left if run in left and (self._at or store.draw(run) is None)]
        return _End(Failure(kind, message), at_fault or left, self._drawn)

    def _step_is(self, at: Sequence[Run], doing: str, drawn: bool = False) -> None:
        """A step that takes its own time: the fit; sampling an observation; measuring it."""
        if not self._begun or (at, drawn) != (self._at, self._drawn):
            self._since = time.monotonic()
        self._at, self._drawn, self._doing, self._begun = at, drawn, doing, True


def _cause(status: int | None) -> tuple[str, str]:
    """What an exit status says about a child that was not through: a kind of failure, and a message."""
    if status is None or status == LOST:
        return "killed", "its worker process was lost"
    if status == NO_MEMORY:
        return "memory", "its worker process ran out of memory"
    if status >= 0:
        return "crashed", f"its worker process ended itself with exit status {status}"
    name = signal.Signals(-status).name
    if -status in OUTSIDE:
        return "killed", f"its worker process was killed by {name}, by hand or by the system when memory is short"
    return "crashed", f"its worker process crashed with {name}"


def _fail(runs: Iterable[Run], failure: Failure, job: Job, store: Store, listener: Listener) -> None:
    plugins = registry.load()
    for run in runs:
        drawn = store.draw(run)
        where = place(job.results, run)
        record = Failure(failure.kind, failure.message, f"{failure.message}\nlog: {where}\n{_last_words(where)}")
        runner.fail(run, record, plugins, store, job.device, listener, drawn[0] if drawn else None)


def _last_words(log: Path) -> str:
    """The end of what a child printed; if it crashed, where it was."""
    with suppress(OSError):
        text = log.with_suffix(".out").read_text(encoding="utf-8", errors="replace")
        before, modules, after = text.rpartition("\nExtension modules:")  # where faulthandler tells no more
        text = before if modules else after
        return text[-LONGEST:]
    return ""


def _kill(child: ForkServerProcess) -> None:
    """End a child and whatever it has started."""
    if child.pid is not None and child.is_alive():
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(child.pid, signal.SIGKILL)
        child.kill()
        child.join()


def _child(job: Job, sender: Connection) -> None:
    """The child process: everything that may go wrong happens below here."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides what Ctrl-C means
    with suppress(PermissionError):
        os.setsid()  # so that what a plugin starts can be ended with it
    _die_with_parent()
    log = place(job.results, job.runs[0])
    _redirect(log.with_suffix(".out"))
    _limit_memory(job.limits.memory)
    notices = _Notices(sender, RunLog(log))
    try:
        torch.set_num_threads(job.limits.threads)
        with threadpool_limits(job.limits.threads):
            runner.execute(job.runs, registry.load(), Store(job.results), job.device, notices)
    except AmpbenchError as error:
        sender.send(_Through(error))
    except MemoryError as error:
        error.__traceback__ = None  # whose frames hold on to what filled it
        os._exit(NO_MEMORY)
    else:
        sender.send(_Through())


class _Notices:
    """A listener at the child's end of the pipe, and the log."""

    def __init__(self, sender: Connection, log: RunLog) -> None:
        self._sender, self._log = sender, log
        self._said = 0.0

    def __call__(self, event: Event) -> None:
        self._log(event)
        if isinstance(event, Fitting) and 0 < event.done < event.total:
            if time.monotonic() - self._said < EVERY:
                return
            self._said = time.monotonic()
        try:
            self._sender.send(event)
        except OSError:  # nobody listens any more; it must not look like a fault of the plugin that reports progress
            os._exit(LOST)


def _die_with_parent() -> None:
    """End this process as soon as the fork server ends, which ends with the parent, however it ends (Linux)."""
    if sys.platform == "linux":
        set_parent_death_signal = 1
        ctypes.CDLL(None).prctl(set_parent_death_signal, signal.SIGKILL, 0, 0, 0)


def _redirect(path: Path) -> None:
    """Send what plugins print, and where they crash, to a file of their own."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        target = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    except OSError:  # nowhere to write it: the store will say so
        target = os.open(os.devnull, os.O_WRONLY)
    sys.stdout.flush()
    for stream in (1, 2):
        os.dup2(target, stream)
    os.close(target)
    faulthandler.enable()


def _limit_memory(gibibytes: float | None) -> None:
    """Make allocations beyond the limit fail, as MemoryError or torch's error."""
    if gibibytes is not None and sys.platform == "linux":
        import resource

        limit = int(gibibytes * GIBIBYTE)
        resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))


@contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
