"""What happens between a sweep and the workers of a dask scheduler; needs distributed.

Dask brings each job to a free worker, and to another one if that is lost. There,
:func:`ampbench.running.worker.isolated` does the work in a child process and writes results into the shared results
directory, so that dask carries notices only, and nothing is lost with a worker, a connection or the scheduler: what is
not stored is submitted again.

============================  =======================================================================================
a worker is lost              dask gives its job to another one; after ``distributed.scheduler.allowed-failures``
                              losses (3) the job's runs are recorded as ``killed``
the scheduler is lost         the sweep waits for one at the same address, ``patience`` seconds, and submits the rest
Ctrl-C                        the jobs are cancelled; workers notice within a second, and end their children
============================  =======================================================================================

References:
    Rocklin 2015, *Dask: Parallel Computation with Blocked Algorithms and Task Scheduling*, SciPy,
    https://distributed.dask.org.
"""

from __future__ import annotations

import multiprocessing
import queue
import socket
import time
import traceback
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any

from distributed import Client, Future, KilledWorker, get_worker

from ampbench import registry
from ampbench.errors import AmpbenchError, UsageError
from ampbench.interfaces import Job
from ampbench.interfaces.events import Event, Finished, Listener, Note, both
from ampbench.results import Record, Run
from ampbench.results.store import Store
from ampbench.running import runner
from ampbench.running.context import Services
from ampbench.running.executors import methods_import
from ampbench.running.failures import Failure
from ampbench.running.process import start_server
from ampbench.running.worker import isolated
from ampbench_dask.environment import DAEMON
from ampbench_dask.notices import decode, encode

POLL = 0.2
"""Seconds between two looks at the futures, if nothing is heard."""
SYNC = 30.0
"""Seconds that a result may take to be seen here, on network file systems."""
GONE = ("lost", "cancelled")
"""What becomes of a future whose scheduler is lost."""


def connect(address: str, patience: float, listener: Listener) -> Client:
    """Connect to a scheduler, and wait for it; raises :class:`AmpbenchError` if it does not answer."""
    began, said = time.monotonic(), False
    while True:
        try:
            return Client(address, timeout="5s", set_as_default=False)
        except (OSError, TimeoutError, ValueError) as error:
            if isinstance(error, ValueError):
                raise UsageError(f"{address!r} is no address of a dask scheduler: {error}") from error
            if time.monotonic() - began > patience:
                raise AmpbenchError(
                    f"no dask scheduler answers at {address} for {patience:g} s; start it, or set patience=SECONDS; "
                    "what is finished is stored, and the same command continues"
                ) from error
            if not said:
                listener(Note(f"waiting for a dask scheduler at {address}"))
                said = True
            time.sleep(1)


def serve(connected: Callable[[], Client], jobs: Sequence[Job], listener: Listener) -> None:
    """Work on jobs until each run has a record, with one scheduler after the other if need be.

    Arguments:
        connected: returns a client; called again when the scheduler was lost.
        jobs: what to do.
        listener: told how it goes, from this thread.
    """
    heard: set[Run] = set()

    def once(event: Event) -> None:
        """Pass on each result once, however often its job was done."""
        if isinstance(event, Finished):
            if event.record.run in heard:
                return
            heard.add(event.record.run)
        listener(event)

    left = list(jobs)
    while left:
        with _closing(connected()) as client:
            _session(client, left, once)
        left = [replace(job, runs=rest) for job in left if (rest := tuple(r for r in job.runs if r not in heard))]
        if left:
            listener(Note(f"the dask scheduler was lost; {len(left)} fits are submitted again"))


def _session(client: Client, jobs: Sequence[Job], listener: Listener) -> None:
    """Submit jobs and listen, until all are done or the scheduler is lost."""
    topic = f"ampbench-{uuid.uuid4().hex}"
    notices: queue.SimpleQueue[Event] = queue.SimpleQueue()

    def hear(notice: tuple[float, str]) -> None:
        with suppress(ValueError):  # a notice that cannot be read costs nothing
            notices.put(decode(notice[1]))

    client.subscribe_topic(topic, hear)
    imports = methods_import(jobs)
    waiting: dict[Future[Any], Job] = {
        client.submit(work, job, topic, imports, key=f"{topic}-{job.runs[0].fit_digest}", pure=False): job
        for job in jobs
    }
    try:
        while waiting:
            with suppress(queue.Empty):
                listener(notices.get(timeout=POLL))
                continue
            for future in [future for future in waiting if future.done()]:
                if future.status in GONE:
                    return
                _settle(future, waiting.pop(future), listener)
    except BaseException:
        with suppress(Exception):
            client.cancel(list(waiting), force=True)
        raise


def _settle(future: Future[Any], job: Job, listener: Listener) -> None:
    """Make sure that each run of a job that is over has a record, and that it was told."""
    error = future.exception()
    if isinstance(error, AmpbenchError):
        raise error
    if error is not None:
        _fail(job, error, listener)
        return
    told = {record.run: record for record in future.result()}
    store = Store(job.results)
    for run in job.runs:
        listener(Finished(_seen(run, store, told.get(run))))


def _seen(run: Run, store: Store, told: Record | None) -> Record:
    """Wait until a result that a worker has stored is seen here."""
    until = time.monotonic() + SYNC
    while (record := store.get(run.key)) is None:
        if time.monotonic() > until:
            raise AmpbenchError(
                f"a worker has stored {run}, but there is nothing in {store.directory} on {socket.gethostname()}; "
                "put the results into a directory that all machines share: --results DIR"
            )
        time.sleep(0.5)
    return told or record


def _fail(job: Job, error: BaseException, listener: Listener) -> None:
    """Record that a job could not be done: it has cost too many workers, or dask could not run it."""
    kind = "killed" if isinstance(error, KilledWorker) else "error"
    text = " ".join(str(error).split())
    failure = Failure(kind, f"{type(error).__name__}: {text}", "".join(traceback.format_exception(error)))
    store = Store(job.results)
    services = Services(registry.load(), store, job.device, listener)
    for run in runner.pending(job.runs, store):
        drawn = store.draw(run)
        runner.record_failure(run, failure, services, drawn[0] if drawn else None)
    for run in job.runs:
        if record := store.get(run.key):
            listener(Finished(record))


def work(job: Job, topic: str, imports: Sequence[str]) -> list[Record]:
    """What a dask worker does: all of a job that has no result yet; returns the new records."""
    if multiprocessing.current_process().daemon:
        raise UsageError(f"this dask worker may not have child processes; start it as {DAEMON}=False dask worker …")
    if not job.results.is_dir():
        raise UsageError(
            f"the results directory {job.results} does not exist on {socket.gethostname()}; "
            "choose one that all machines share: --results DIR"
        )
    worker = get_worker()
    records: list[Record] = []

    def tell(event: Event) -> None:
        with suppress(Exception):  # a notice that does not arrive costs nothing
            worker.log_event(topic, encode(event))

    def collect(event: Event) -> None:
        if isinstance(event, Finished):
            records.append(event.record)

    start_server(imports, job.limits.threads)
    isolated(job, both(tell, collect), _Cancelled(worker, worker.get_current_task()))
    return records


class _Cancelled:
    """Whether dask wants a task no more; asked as a threading.Event is."""

    def __init__(self, worker: Any, key: object) -> None:
        self._worker, self._key = worker, key

    def is_set(self) -> bool:
        task = self._worker.state.tasks.get(self._key)
        return task is None or task.state == "cancelled"


@contextmanager
def _closing(client: Client) -> Iterator[Client]:
    """Close a client without waiting for a scheduler that is gone."""
    try:
        yield client
    finally:
        with suppress(Exception):
            client.close(timeout=2)
