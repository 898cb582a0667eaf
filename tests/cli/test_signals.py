"""Signals that interrupt a command: SIGTERM, and SIGHUP when its terminal is closed."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import time

import pytest

from ampbench.cli.interruption import Terminated, exit_status, interruptible

WAITS = """
import sys, time
from ampbench.cli.interruption import exit_status, interruptible
try:
    with interruptible():
        print("ready", flush=True)
        time.sleep(60)
except KeyboardInterrupt as error:
    word, code = exit_status(error)
    print(word, flush=True)
    sys.exit(code)
"""


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_interrupts_once(number: signal.Signals, code: int) -> None:
    """A second one does not interrupt the clean-up; afterwards the handlers are those of before."""
    before, cleaned = signal.getsignal(number), []

    def work() -> None:
        with interruptible():
            try:
                os.kill(os.getpid(), number)
                time.sleep(10)
            finally:
                os.kill(os.getpid(), signal.SIGTERM)
                os.kill(os.getpid(), signal.SIGHUP)
                time.sleep(0.1)
                cleaned.append(True)

    with pytest.raises(Terminated) as caught:
        work()
    assert cleaned
    assert exit_status(caught.value) == ("terminated", code)
    assert signal.getsignal(number) == before


def test_an_ignored_signal_stays_ignored() -> None:
    """As nohup wants it."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with interruptible():
            os.kill(os.getpid(), signal.SIGHUP)
            time.sleep(0.1)
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_closed_terminal_ends_a_command_in_order() -> None:
    """The output of the command afterwards goes nowhere."""
    ours, theirs = pty.openpty()
    command = subprocess.Popen(
        [sys.executable, "-c", WAITS], stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True
    )
    os.close(theirs)
    assert b"ready" in os.read(ours, 100)
    os.close(ours)
    command.send_signal(signal.SIGHUP)  # the kernel sends it to the session of a controlling terminal
    assert command.wait(timeout=30) == 129
