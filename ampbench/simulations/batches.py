"""Batches of simulations, in child processes or in this one.

The parameters of all batches are drawn first, in the calling process. A batch is a function of its parameters and of
its seed, which follows from the seed of the run and the number of the batch. So the numbers depend on the size of a
batch, but not on the number of processes, nor on which batches were stored by an interrupted run.

Each batch has a child process of its own (:mod:`ampbench.running.process`), so that a simulator may hang, crash or
exhaust its memory without harm to other batches. Ctrl-C ends the children at once; after an error in one batch the
others that run are finished and stored, and no new one begins.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import torch

from ampbench.errors import PrecisionWarning, SimulationError, UsageError
from ampbench.faults import pass_interruption
from ampbench.graph import Graph
from ampbench.graph.failures import Report
from ampbench.interfaces import Limits, Progress, silent
from ampbench.running.calls import CallError, StartStep, call_in_child
from ampbench.running.failures import describe_with_line
from ampbench.running.process import Stop, start_server
from ampbench.seeding import seeded
from ampbench.simulations.folder import TOLERANCE, Folder

Arrays = Mapping[str, np.ndarray]
"""Values of variables by name, shape (n, …) each."""

DEFAULT_SIZE = 50
"""Simulations in a batch."""
MAX_OUTPUT_LINES = 5
"""Lines of the output of a failed process that an error shows."""


@dataclass(frozen=True)
class Batch:
    """A batch of simulations.

    Attributes:
        number: of the batch, from 0.
        rows: n, the number of simulations.
        seed: of its random numbers, apart from those of its parameters.
        given: parameters and other values that are known before, shape (n, …) each.
        sizes: the size of every axis, by its name.
        key: its place in a folder: seed of the source, number of the call, number of the batch, rows.
        tolerant: whether simulations may fail.
    """

    number: int
    rows: int
    seed: int
    given: Arrays
    sizes: Mapping[str, int]
    key: str
    tolerant: bool = False

    @property
    def extent(self) -> str:
        """The smallest and largest values of the known variables, for messages."""
        flat = {name: values.reshape(self.rows, -1) for name, values in self.given.items()}
        parts = [f"{name} from {_shown(each.min(0))} to {_shown(each.max(0))}" for name, each in flat.items()]
        return "; ".join(parts) or "no known parameters"


@dataclass(frozen=True)
class Batches:
    """How batches are simulated.

    Attributes:
        size: simulations in a batch; the numbers depend on it.
        workers: child processes at a time; 0 for this process.
        limits: threads, memory and seconds of each batch; they hold in child processes.
        folder: keeps each finished batch, or None.
        progress: called with (simulations done, simulations in total), from the calling thread.
        read: returns the model in a child process, and is picklable; None to send the graph there.
    """

    size: int = DEFAULT_SIZE
    workers: int = 0
    limits: Limits = field(default_factory=Limits)
    folder: Folder | None = None
    progress: Progress = silent
    read: Callable[[], Graph] | None = None

    @property
    def begun(self) -> bool:
        """Whether the folder keeps a batch."""
        return self.folder is not None and self.folder.begun

    def simulate(self, batches: Sequence[Batch], read: Callable[[], Graph]) -> list[Arrays]:
        """Return the values of all variables for each batch; those that the folder keeps are not simulated again.

        Arguments:
            batches: in the order of their rows.
            read: returns the model; picklable if there are workers.

        Raises:
            SimulationError: a batch failed; the message says which, with its parameters, and what is kept.
        """
        kept = {} if self.folder is None else self.folder.read([batch.key for batch in batches])
        found = {batch.number: _belonging(batch, kept[batch.key]) for batch in batches if batch.key in kept}
        left = [batch for batch in batches if batch.number not in found]
        rows, total = sum(batch.rows for batch in batches), len(batches)
        done = rows - sum(batch.rows for batch in left)
        self.progress(done, rows)

        def finished(batch: Batch, values: Arrays) -> None:
            nonlocal done
            found[batch.number] = values
            done += batch.rows
            self.progress(done, rows)

        try:
            if self.workers and left:
                self._in_children(left, read, finished)
            else:
                self._here(left, read, finished)
        except _Failed as error:
            raise SimulationError(
                f"batch {error.batch.number + 1} of {total} failed, {error.batch.rows} simulations of "
                f"{error.batch.extent}: {error}. {self._kept(len(found), total)}"
            ) from error.__cause__
        except KeyboardInterrupt as interruption:
            interruption.add_note(self._kept(len(found), total))
            raise
        return [found[batch.number] for batch in batches]

    def _kept(self, done: int, total: int) -> str:
        if self.folder is None:
            return f"{done} of {total} batches were done and are lost; store=FOLDER keeps them"
        return f"{done} of {total} batches are stored in {str(self.folder.path)!r}, and the same call continues"

    def _store(self, batch: Batch, values: Arrays) -> Arrays:
        if self.folder is not None:
            self.folder.put(batch.key, values)
        return values

    def _here(
        self, batches: Sequence[Batch], read: Callable[[], Graph], finished: Callable[[Batch, Arrays], None]
    ) -> None:
        for batch in batches:
            try:
                values = draw(read(), batch)
            except BaseException as error:
                pass_interruption(error)
                raise _Failed(batch, describe_with_line(error)) from error
            finished(batch, self._store(batch, values))

    def _in_children(
        self, batches: Sequence[Batch], read: Callable[[], Graph], finished: Callable[[Batch, Arrays], None]
    ) -> None:
        start_server(["ampbench.simulations.batches"], self.limits.threads)
        stop = threading.Event()
        with ThreadPoolExecutor(min(self.workers, len(batches)), thread_name_prefix="ampbench") as pool:
            futures = {pool.submit(self._in_child, batch, read, stop): batch for batch in batches}
            reported: set[Future[Arrays]] = set()
            try:
                for future in as_completed(futures):
                    finished(futures[future], future.result())
                    reported.add(future)
            except BaseException as error:
                if not isinstance(error, _Failed):
                    stop.set()
                pool.shutdown(cancel_futures=True)
                for future in futures.keys() - reported:  # those that were running have ended
                    if not future.cancelled() and not future.exception():
                        finished(futures[future], future.result())
                raise

    def _in_child(self, batch: Batch, read: Callable[[], Graph], stop: Stop) -> Arrays:
        try:
            work = partial(_work, batch, read)
            values = call_in_child(work, self.limits, stop=stop, needs_main=False)
        except CallError as error:
            lines = error.output.strip().splitlines()[-MAX_OUTPUT_LINES:]
            said = f"; its output ends: {' / '.join(lines)}" if lines else ""
            raise _Failed(batch, f"{error}{said}") from error
        return self._store(batch, values)


class _Failed(Exception):  # noqa: N818 — it never leaves this module
    """The simulation of a batch failed."""

    def __init__(self, batch: Batch, message: str) -> None:
        super().__init__(message)
        self.batch = batch


def draw(graph: Graph, batch: Batch) -> dict[str, np.ndarray]:
    """Return the values of all variables for a batch, in the precision and the shape that the simulator gave."""
    given = {name: torch.from_numpy(values).clone() for name, values in batch.given.items()}
    report = Report(batch.tolerant)
    with warnings.catch_warnings(), seeded(batch.seed):
        warnings.simplefilter("ignore", PrecisionWarning)  # the rows of all batches together decide
        values = graph.sample(batch.rows, given, batch.sizes, double=graph.names, report=report)
    shapes = {name: (batch.rows, *layout.shape) for name, layout in report.layouts.items()}
    arrays = {name: value.detach().numpy().reshape(shapes.get(name, value.shape)) for name, value in values.items()}
    return {name: np.ascontiguousarray(array) for name, array in arrays.items()}


def _belonging(batch: Batch, values: Arrays) -> Arrays:
    """Return the stored values of a batch, if their parameters are those of the batch up to rounding errors."""
    for name, wanted in batch.given.items():
        allowed = TOLERANCE * float(np.ptp(wanted))
        if values[name].shape != wanted.shape or not np.allclose(values[name], wanted, TOLERANCE, allowed):
            raise UsageError(
                f"the stored batch {batch.number + 1} belongs to other simulations: its first row of {name} is "
                f"{_shown(values[name].reshape(batch.rows, -1)[0])}, and {_shown(wanted.reshape(batch.rows, -1)[0])} "
                "here; the prior has changed: give another store"
            )
    return values


def _work(batch: Batch, read: Callable[[], Graph], start: StartStep) -> dict[str, np.ndarray]:
    start(f"batch {batch.number + 1}")
    return draw(read(), batch)


def _shown(values: np.ndarray) -> str:
    numbers = [f"{value:.4g}" for value in values.tolist()]
    return f"({', '.join(numbers[:6])}{', …' if len(numbers) > 6 else ''})"
