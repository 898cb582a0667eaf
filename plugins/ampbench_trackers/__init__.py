"""Who watches runs: plugins of the life-cycle hooks. Each is switched on by an environment variable of its own."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from ampbench.hookspecs import hookimpl

if TYPE_CHECKING:
    from ampbench.interfaces import Posterior
    from ampbench.run import Run

TENSORBOARD = "AMPBENCH_TENSORBOARD"
"""The folder below which training curves are written for TensorBoard."""


@hookimpl
def fit_finished(run: Run, posterior: Posterior) -> None:
    """Write the training curves of the fit, if someone asked for them."""
    if folder := os.environ.get(TENSORBOARD):
        from ampbench_trackers.curves import write

        write(Path(folder), run, posterior)
