"""The executors of this machine: ``local``, a child process for each fit, and ``in-process``.

An executor is a component; the hook ``executors`` adds others. It passes each job, a fit with its runs, to
:func:`ampbench.running.worker.isolated` on some machine that sees the results directory. That function stores each
result where it is made, keeps faults and limits, and may be called again for the same job: what is stored by then is
not computed again. So an executor for another engine needs a few lines, and needs no care for results, only for workers
that vanish.
"""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from typing import final

import joblib
import torch

from ampbench import registry
from ampbench.counts import MAX_PARALLEL, whole
from ampbench.errors import UsageError
from ampbench.faults import pass_interruption
from ampbench.interfaces import Job
from ampbench.interfaces.events import Event, Listener, both
from ampbench.interfaces.executor import Executor
from ampbench.results.store import Store
from ampbench.running import runner
from ampbench.running.context import Services
from ampbench.running.process import start_server
from ampbench.running.runlog import RunLog, log_path
from ampbench.running.worker import isolated
from ampbench.threads import limited_threads

RELAY_INTERVAL = 0.2
"""Seconds between two checks for finished jobs while no event arrives."""


@final
class InProcess(Executor):
    """Executes one run after the other in this process, for debuggers and profilers, without limits or isolation."""

    def execute(self, jobs: Sequence[Job], listener: Listener) -> None:
        """See :class:`Executor`."""
        plugins = registry.load()
        for job in jobs:
            logged = both(listener, RunLog(log_path(job.results, job.runs[0])))
            with limited_threads(job.limits.threads):
                runner.execute(job.runs, Services(plugins, Store(job.results), job.device, logged))


@final
class Local(Executor):
    """Executes each fit in a child process, as many at a time as this machine has cores or GPUs.

    Arguments:
        workers: how many at a time, at most 1024; 0 for as many as there are cores for their threads, or GPUs.
        per_gpu: how many workers share a GPU, if ``workers`` is 0.
    """

    def __init__(self, workers: int = 0, per_gpu: int = 1) -> None:
        workers, per_gpu = whole("workers", workers), whole("per_gpu", per_gpu)
        if not (0 <= workers <= MAX_PARALLEL and 1 <= per_gpu <= MAX_PARALLEL):
            raise UsageError(
                f"workers={workers} and per_gpu={per_gpu} are impossible: 0 or more, and 1 or more; "
                f"both at most {MAX_PARALLEL}"
            )
        self.workers, self.per_gpu = workers, per_gpu

    def execute(self, jobs: Sequence[Job], listener: Listener) -> None:
        """See :class:`Executor`."""
        if not jobs:
            return
        available = devices(jobs[0].device)
        workers = min(self.workers or self._worker_count(jobs[0], available), len(jobs))
        start_server(methods_import(jobs), jobs[0].limits.threads)
        free: queue.SimpleQueue[str] = queue.SimpleQueue()
        for number in range(workers):
            free.put(available[number % len(available)])
        stop = threading.Event()

        def work(job: Job, relay: Relay) -> None:
            device = free.get()
            try:
                isolated(replace(job, device=device), relay, stop)
            finally:
                free.put(device)

        with ThreadPoolExecutor(workers, thread_name_prefix="ampbench") as pool:
            relay = Relay()
            futures = [pool.submit(work, job, relay) for job in jobs]
            try:
                relay.until(futures, listener)
            except BaseException:
                stop.set()
                pool.shutdown(cancel_futures=True)
                relay.drain(listener)
                raise

    def _worker_count(self, job: Job, available: Sequence[str]) -> int:
        if torch.device(job.device).type == "cpu":
            return max(1, joblib.cpu_count() // job.limits.threads)
        return self.per_gpu * len(available)


class Relay:
    """A listener for other threads: it queues events for a listener that belongs to one thread."""

    def __init__(self) -> None:
        self._events: queue.SimpleQueue[Event] = queue.SimpleQueue()

    def __call__(self, event: Event) -> None:
        """Queue an event."""
        self._events.put(event)

    def until(self, futures: Sequence[Future[None]], listener: Listener) -> None:
        """Pass events on until all futures are done; raises what a future raises, at once."""
        waiting = set(futures)
        while waiting:
            with contextlib.suppress(queue.Empty):
                listener(self._events.get(timeout=RELAY_INTERVAL))
            for future in [future for future in waiting if future.done()]:
                waiting.remove(future)
                future.result()
        self.drain(listener)

    def drain(self, listener: Listener) -> None:
        """Pass the queued events on."""
        with contextlib.suppress(queue.Empty):
            while True:
                listener(self._events.get_nowait())


def devices(device: str) -> list[str]:
    """Return all devices of a type, ``cuda:0``, ``cuda:1``, …, if the name has no index; otherwise the device."""
    wanted = torch.device(device)
    if wanted.type == "cpu" or wanted.index is not None:
        return [device]
    count = torch.accelerator.device_count() if torch.accelerator.is_available() else 0
    return [f"{wanted.type}:{index}" for index in range(count)] if count > 1 else [device]


def methods_import(jobs: Sequence[Job]) -> list[str]:
    """Return the modules that the methods of jobs import when they fit."""
    return imports(job.runs[0].resolved for job in jobs)


def imports(methods: Iterable[str]) -> list[str]:
    """Return the modules that methods import when they fit, given their specs."""
    plugins = registry.load()
    modules: dict[str, None] = {}
    for text in dict.fromkeys(methods):
        try:
            modules |= dict.fromkeys(filter(_is_name, plugins.build("methods", text).imports))
        except BaseException as error:  # a method that cannot be built fails in its own run
            pass_interruption(error)
    return list(modules)


def _is_name(module: object) -> bool:
    return isinstance(module, str) and all(part.isidentifier() for part in module.split("."))
