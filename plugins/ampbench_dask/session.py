"""Execution of jobs on the workers of a dask scheduler; needs distributed.

Dask assigns each job to a free worker, and to another worker if that one is lost. On the worker,
:func:`ampbench.running.worker.isolated` executes the job in a child process and writes results into the shared results
directory. Dask transmits events and copies of records only, so that no stored result is lost with a worker, a
connection or the scheduler. Runs without a stored result are submitted again.

============================  =======================================================================================
a worker is lost              dask assigns its job to another worker; after more than
                              ``distributed.scheduler.allowed-failures`` losses (3) the runs of the job are recorded
                              as ``killed``
the scheduler is lost         the sweep waits ``patience`` seconds for a scheduler at the same address, and submits the
                              unfinished runs; workers detect this within a second, and end with their child processes
Ctrl-C                        the jobs are cancelled; workers detect this within a second, and end their child processes
============================  =======================================================================================

References:
    Rocklin 2015, *Dask: Parallel Computation with Blocked Algorithms and Task Scheduling*, SciPy,
    https://distributed.dask.org.
"""

from __future__ import annotations

import logging
import multiprocessing
import queue
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any

from distributed import Client, Future, KilledWorker, Status, get_worker

from ampbench import registry
from ampbench.errors import AmpbenchError, UsageError
from ampbench.faults import named, trace
from ampbench.interfaces import Job
from ampbench.interfaces.events import Event, Finished, Listener, Note, both
from ampbench.results import Record, Run
from ampbench.results.store import Store
from ampbench.running import jobs, runner
from ampbench.running.context import Services
from ampbench.running.executors import methods_import
from ampbench.running.failures import Failure
from ampbench.running.hook_calls import Apart
from ampbench.running.process import start_server
from ampbench.running.worker import isolated
from ampbench_dask.environment import DAEMON
from ampbench_dask.notices import decode, encode
from ampbench_dask.probe import probe
from ampbench_dask.security import Credentials

POLL_INTERVAL_S = 0.2
"""Seconds between two checks of the futures while no events arrive."""
SYNC_TIMEOUT_S = 30.0
"""Maximum delay in seconds until a worker's result is visible to this process, on network file systems."""
ENDING = (Status.closing, Status.closed, Status.failed)
"""Statuses of a worker that will not return results."""
LOST_STATUSES = ("lost", "cancelled")
"""Statuses of a future after its scheduler was lost."""


def connect(address: str, credentials: Credentials, patience: float, listener: Listener) -> Client:
    """Return a client of a scheduler, waiting for it if need be.

    Raises:
        UsageError: what answers is no scheduler that accepts the credentials, and whose own are accepted.
        AmpbenchError: the scheduler does not answer for ``patience`` seconds.
    """
    start, announced = time.monotonic(), False
    while True:
        try:
            probe(address, credentials)
            return Client(address, timeout="5s", set_as_default=False, security=credentials.security)
        except OSError as error:
            if time.monotonic() - start > patience:
                raise AmpbenchError(
                    f"no dask scheduler answers at {address} for {patience:g} s ({error}); start it, "
                    "or set patience=SECONDS; finished runs are stored, and the same command continues the sweep"
                ) from error
            if not announced:
                listener(Note(f"waiting for a dask scheduler at {address}: {error}"))
                announced = True
            time.sleep(1)


def serve(connected: Callable[[], Client], jobs: Sequence[Job], listener: Listener) -> None:
    """Execute jobs until each run has a record; connect again whenever the scheduler is lost.

    Arguments:
        connected: returns a client; called again after the scheduler was lost.
        jobs: the jobs.
        listener: called with each event, from this thread.
    """
    finished: set[Run] = set()

    def once(event: Event) -> None:
        """Forward events, but each run's ``Finished`` only once, even if its job was executed repeatedly."""
        if isinstance(event, Finished):
            if event.record.run in finished:
                return
            finished.add(event.record.run)
        listener(event)

    remaining = list(jobs)
    while remaining:
        with _quiet(), _closing(connected()) as client:
            _session(client, remaining, once)
        remaining = [
            replace(job, runs=rest) for job in remaining if (rest := tuple(r for r in job.runs if r not in finished))
        ]
        if remaining:
            listener(Note(f"the dask scheduler was lost; {len(remaining)} fits are submitted again"))


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the tracebacks that dask logs for a lost connection out of the terminal; a note says that it was lost."""
    logger = logging.getLogger("distributed.client")
    before, logger.disabled = logger.disabled, True
    try:
        yield
    finally:
        logger.disabled = before


def _session(client: Client, jobs: Sequence[Job], listener: Listener) -> None:
    """Submit jobs and forward their events, until all jobs are done or the scheduler is lost."""
    topic = f"ampbench-{uuid.uuid4().hex}"
    notices: queue.SimpleQueue[Event] = queue.SimpleQueue()

    def receive(notice: tuple[float, str]) -> None:
        with suppress(ValueError):  # an unreadable event is ignored: results come from the store
            notices.put(decode(notice[1]))

    client.subscribe_topic(topic, receive)
    imports = methods_import(jobs)
    waiting: dict[Future[Any], Job] = {
        client.submit(work, job, topic, imports, key=f"{topic}-{job.runs[0].fit_digest}", pure=False): job
        for job in jobs
    }
    if not client.scheduler_info()["workers"]:
        listener(Note("the dask scheduler has no workers yet; the runs begin when one connects"))
    try:
        while waiting:
            with suppress(queue.Empty):
                listener(notices.get(timeout=POLL_INTERVAL_S))
                continue
            for future in [future for future in waiting if future.done()]:
                if future.status in LOST_STATUSES:
                    return
                _settle(future, waiting.pop(future), listener)
    except BaseException:
        with suppress(Exception):
            client.cancel(list(waiting), force=True)
        raise


def _settle(future: Future[Any], job: Job, listener: Listener) -> None:
    """Call the listener with the record of each run of a job that has ended; record failures of the job itself.

    Raises:
        AmpbenchError: the worker refused the job, or its results are not visible to this process.
    """
    error = future.exception()
    if isinstance(error, AmpbenchError):
        raise error
    if error is not None:
        _fail(job, error, listener)
        return
    returned = {record.run: record for record in future.result()}
    store = Store(job.results)
    for run in job.runs:
        listener(Finished(_stored_record(run, store, returned.get(run))))


def _stored_record(run: Run, store: Store, returned: Record | None) -> Record:
    """Wait until the record that a worker has stored is visible; return the worker's copy if there is one.

    Raises:
        AmpbenchError: the record is not visible after ``SYNC_TIMEOUT_S``.
    """
    deadline = time.monotonic() + SYNC_TIMEOUT_S
    while (record := store.get(run.key)) is None:
        if time.monotonic() > deadline:
            raise AmpbenchError(
                f"a worker has stored {run}, but it is not in {store.directory} on {socket.gethostname()}; "
                "put the results into a directory that all machines share: --results DIR"
            )
        time.sleep(0.5)
    return returned or record


def _fail(job: Job, error: BaseException, listener: Listener) -> None:
    """Record failures of a job's unfinished runs: its worker was lost too often, or dask could not execute it."""
    kind = "killed" if isinstance(error, KilledWorker) else "error"
    told = Failure(kind, named(error), trace(error))
    store = Store(job.results)
    hooks = Apart(job.results, job.limits, threading.Event())
    services = Services(registry.load(), store, job.device, listener, hooks)
    for run in jobs.pending(job.runs, store):
        drawn = store.draw(run)
        runner.record_failure(run, told, services, drawn[0] if drawn else None)
    for run in job.runs:
        if record := store.get(run.key):
            listener(Finished(record))


def work(job: Job, topic: str, imports: Sequence[str]) -> list[Record]:
    """Execute the unfinished runs of a job, on a dask worker, and return their records.

    Raises:
        UsageError: the worker may not have child processes, or does not have the results directory.
    """
    if multiprocessing.current_process().daemon:
        raise UsageError(f"this dask worker may not have child processes; start it as {DAEMON}=False dask worker …")
    if not job.results.is_dir():
        raise UsageError(
            f"the results directory {job.results} does not exist on {socket.gethostname()}; "
            "choose one that all machines share: --results DIR"
        )
    worker = get_worker()
    records: list[Record] = []

    def send(event: Event) -> None:
        with suppress(Exception):  # a lost event is harmless: results are in the store
            worker.log_event(topic, encode(event))

    def collect(event: Event) -> None:
        if isinstance(event, Finished):
            records.append(event.record)

    start_server(imports, job.limits.threads)
    isolated(job, both(send, collect), _Cancelled(worker, worker.get_current_task()))
    return records


class _Cancelled:
    """Whether dask has cancelled or forgotten a task, or its worker is ending; a :class:`threading.Event` to read.

    A worker that has lost its scheduler waits for its threads before it ends.
    """

    def __init__(self, worker: Any, key: object) -> None:
        self._worker, self._key = worker, key

    def is_set(self) -> bool:
        if self._worker.status in ENDING:
            return True
        task = self._worker.state.tasks.get(self._key)
        return task is None or task.state == "cancelled"


@contextmanager
def _closing(client: Client) -> Iterator[Client]:
    """Close a client at the end, without waiting for a lost scheduler."""
    try:
        yield client
    finally:
        with suppress(Exception):
            client.close(timeout=2)
