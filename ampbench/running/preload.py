"""Modules that take seconds to import, loaded once for all workers: importing this module imports them.

The workers of :mod:`ampbench.running.process` are forked from a server process that has imported this. What it should
load is told by an environment variable, because that is what reaches the server. A module that does not import is left
to who needs it: the error belongs to the run, not to the server.

No module here may touch a GPU: CUDA does not survive a fork.
"""

from __future__ import annotations

import importlib
import io
import os
import warnings
from collections.abc import Iterable
from contextlib import redirect_stdout, suppress

PRELOAD = "AMPBENCH_PRELOAD"
"""Names of modules, with commas between them."""
ALWAYS = ("torch._dynamo",)
"""What torch imports with the first optimiser, for three seconds."""


def preload(modules: Iterable[str]) -> None:
    """Import modules in silence; those that fail are passed over."""
    for name in modules:
        with suppress(Exception), redirect_stdout(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            importlib.import_module(name)


preload(filter(None, os.environ.get(PRELOAD, "").split(",")))
