"""Executors: where jobs run, each a fit with the runs that share it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ampbench.interfaces.events import Listener
from ampbench.results import Run


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


class Executor(ABC):
    """Works on jobs."""

    @abstractmethod
    def execute(self, jobs: Sequence[Job], listener: Listener) -> None:
        """Work on all jobs, and return when every run has a record.

        Arguments:
            jobs: one for each fit.
            listener: to be told, from the calling thread only, of each record at least.

        Raises:
            ResultsError: the store cannot be written.
            KeyboardInterrupt: after Ctrl-C, when nothing is left running.
        """
