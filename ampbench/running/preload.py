"""Preloading: modules that take seconds to import are imported once for all workers, when this module is imported.

The workers of :mod:`ampbench.running.process` are forked from a server process that imports this module. Environment
variables, which only the server sees, have the names of the modules to import, and the number of the process whose
workers they are; see :mod:`ampbench.running.guardian`. A module that fails to import is skipped: the run that needs it
reports the error.

No preloaded module may initialise a GPU, since CUDA contexts cannot be used after a fork.
"""

from __future__ import annotations

import importlib
import io
import os
import warnings
from collections.abc import Iterable
from contextlib import redirect_stdout

from ampbench.faults import pass_interruption
from ampbench.running.guardian import guard

PRELOAD, OWNER = "AMPBENCH_PRELOAD", "AMPBENCH_OWNER"
"""Environment variables: the names of modules, separated by commas; the number of the process that owns the server."""
ALWAYS = ("torch._dynamo",)
"""Module that torch imports with the first optimiser, in three seconds."""


def preload(modules: Iterable[str]) -> None:
    """Import modules, without their output; a module that fails to import is skipped."""
    for name in modules:
        try:
            with redirect_stdout(io.StringIO()), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                importlib.import_module(name)
        except BaseException as error:
            pass_interruption(error)


if owner := os.environ.pop(OWNER, ""):
    guard(int(owner))
preload(filter(None, os.environ.pop(PRELOAD, "").split(",")))
