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

DIAGNOSTICS = "AMPBENCH_DIAGNOSTICS"
"""The folder below which the diagnosis of every fit is written."""


@hookimpl
def fit_finished(run: Run, posterior: Posterior) -> None:
    """Write the training curves of the fit, and its diagnosis, if someone asked for them."""
    if folder := os.environ.get(TENSORBOARD):
        from ampbench_trackers.curves import write

        write(Path(folder), run, posterior)
    if folder := os.environ.get(DIAGNOSTICS):
        from ampbench_trackers.diagnoses import write_diagnosis

        write_diagnosis(Path(folder), run, posterior)
