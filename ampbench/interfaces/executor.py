"""Executors: they run jobs, on this machine or on a cluster. A job is a fit with the runs that share it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ampbench.counts import MAX_PARALLEL, count
from ampbench.errors import UsageError
from ampbench.interfaces.events import Listener
from ampbench.results import Run

MAX_MEMORY = 2**20
"""Largest memory limit in GiB, beyond that of any machine."""


@dataclass(frozen=True)
class Limits:
    """Limits of a worker.

    Attributes:
        threads: CPU threads of torch and of the linear algebra below numpy.
        seconds: wall-clock time of each step (a fit; sampling at one observation; measuring it); None for no limit.
        memory: private memory of the process in GiB, on Linux; None for no limit.
        retries: how often a job is started again after its process was killed.
    """

    threads: int = 1
    seconds: float | None = None
    memory: float | None = None
    retries: int = 2

    def __post_init__(self) -> None:
        object.__setattr__(self, "threads", count("threads", self.threads, most=MAX_PARALLEL))
        object.__setattr__(self, "retries", count("retries", self.retries, least=0))
        if self.seconds is not None and not self.seconds > 0:
            raise UsageError(f"seconds must be more than 0, or None for no limit; got {self.seconds}")
        if self.memory is not None and not 0 < self.memory <= MAX_MEMORY:
            raise UsageError(
                f"memory must be more than 0 and at most {MAX_MEMORY} GiB, or None for no limit; got {self.memory}"
            )


@dataclass(frozen=True)
class Job:
    """A fit with the runs that share it, and the conditions under which a worker executes it.

    Attributes:
        runs: the runs, which share one fit.
        results: the results directory, an absolute path.
        device: any torch device.
        limits: threads, time, memory and retries of the worker.
    """

    runs: tuple[Run, ...]
    results: Path
    device: str = "cpu"
    limits: Limits = field(default_factory=Limits)


class Executor(ABC):
    """Runs jobs."""

    @abstractmethod
    def execute(self, jobs: Sequence[Job], listener: Listener) -> None:
        """Run all jobs, and return when every run has a record.

        Arguments:
            jobs: one for each fit.
            listener: called with each event, at least with each finished record, from the calling thread only.

        Raises:
            ResultsError: the store cannot be written.
            KeyboardInterrupt: after Ctrl-C, once all workers have ended.
        """
