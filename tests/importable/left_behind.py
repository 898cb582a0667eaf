"""Processes that a plugin starts in a worker: each writes its number into a file, and stays."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import NoReturn

from ampbench.running.calls import StartStep

KINDS = ("child", "deaf", "fork", "daemon")
DEAF = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)
PROGRAM = "import os, sys, time; print(os.getpid(), file=open(sys.argv[1], 'a'), flush=True); time.sleep(600)"


def leave(pids: Path, then: str, start: StartStep) -> None:
    """Start a process of each kind, wait until all are there, and end as ``then`` says."""
    start("the work")
    _write(pids)
    for kind in KINDS:
        begin(kind, pids)
    while len(read(pids)) < 1 + len(KINDS):
        time.sleep(0.01)
    finish(then)


def begin(kind: str, pids: Path) -> None:
    """Start a process: a ``child``, a ``deaf`` one that ignores signals, a ``fork`` of this one, or a ``daemon``."""
    command = [sys.executable, "-c", PROGRAM, str(pids)]
    if kind == "child":
        subprocess.Popen(command)
    elif kind == "deaf":
        before = {number: signal.signal(number, signal.SIG_IGN) for number in DEAF}  # which the child inherits
        subprocess.Popen(command, start_new_session=True)
        for number, handler in before.items():
            signal.signal(number, handler)
    elif not os.fork():
        if kind == "daemon":
            os.setsid()
            for number in DEAF:
                signal.signal(number, signal.SIG_IGN)
            if os.fork():
                os._exit(0)
        _stay(pids)


def finish(then: str) -> None:
    """Return, raise, or do not end at all."""
    match then:
        case "raise":
            raise ValueError("cannot work")
        case "exit":
            os._exit(3)
        case "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        case "hang in C":  # holds the interpreter's lock
            ctypes.PyDLL(None).sleep(600)
        case "spin":
            while True:
                pass
        case "ignore signals":
            for number in DEAF:
                signal.signal(number, signal.SIG_IGN)
            time.sleep(600)


def read(pids: Path) -> set[int]:
    """Return the numbers in the file."""
    return {int(line) for line in pids.read_text().splitlines()} if pids.exists() else set()


def _write(pids: Path) -> None:
    with open(pids, "a") as file:
        file.write(f"{os.getpid()}\n")


def _stay(pids: Path) -> NoReturn:
    _write(pids)
    while True:
        time.sleep(600)
