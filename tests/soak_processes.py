"""Programs that the soak test starts, ends and looks after; see ``tests/soak.py``."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

import psutil

MARK = "AMPBENCH_SOAK"
"""Environment variable by which the processes of a launch, and all that they start, are found."""


@dataclass
class Launch:
    """A program that the soak starts, and starts again after a kill.

    Attributes:
        role: its name in the output.
        command: arguments of Python.
        environment: variables in addition to those of this process.
        folder: for the files with its output.
        process: the present process, or None before the first start.
        mark: value of :data:`MARK` in the environment of the present process and of all that it starts.
        memory: pairs of the time and the memory in MiB of the process itself.
    """

    role: str
    command: Sequence[str]
    environment: Mapping[str, str]
    folder: Path
    process: subprocess.Popen[bytes] | None = None
    mark: str = ""
    starts: int = 0
    memory: list[tuple[float, float]] = field(default_factory=list)

    def start(self) -> None:
        """Start it, in a session of its own, as a terminal does."""
        self.starts += 1
        self.mark = f"{self.role} {self.starts} {uuid4().hex}"
        with self.output.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", *self.command],
                env=os.environ | self.environment | {MARK: self.mark},
                cwd=self.folder,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    @property
    def output(self) -> Path:
        """The file with the output of all starts."""
        return self.folder / f"{self.role.replace(' ', '-')}.out"

    def ended(self) -> int | None:
        """Return the exit status, or None while it runs."""
        return self.process.poll() if self.process else None

    def left(self) -> list[psutil.Process]:
        """Return all processes with the mark of the present start."""
        return [each for each in psutil.process_iter() if _mark(each) == self.mark]

    def follow(self) -> None:
        """Note the memory."""
        with suppress(psutil.Error):
            if self.process and self.process.poll() is None:
                used = psutil.Process(self.process.pid).memory_info().rss / 2**20
                self.memory.append((time.monotonic(), used))


def _mark(process: psutil.Process) -> str | None:
    try:
        return None if process.status() == psutil.STATUS_ZOMBIE else process.environ().get(MARK)
    except psutil.Error:
        return None


def runs_fit(process: psutil.Process) -> bool:
    """Whether a process is forked from a fork server, which is itself not killed here."""
    try:
        parent = process.parent()
        return parent is not None and _is_server(parent) and _is_server(process)
    except psutil.Error:
        return False


def _is_server(process: psutil.Process) -> bool:
    return "multiprocessing.forkserver" in " ".join(process.cmdline())
