"""Trackers: plugins of the life-cycle hooks. An environment variable for each tracker enables it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from ampbench.hookspecs import hookimpl
from ampbench_trackers.environment import DIAGNOSTICS, TENSORBOARD

if TYPE_CHECKING:
    from ampbench.interfaces import Posterior
    from ampbench.results import Run


@hookimpl
def fit_finished(run: Run, posterior: Posterior) -> None:
    """Write the training curves and the diagnosis of the fit, each if its environment variable is set."""
    curves, diagnoses = os.environ.get(TENSORBOARD), os.environ.get(DIAGNOSTICS)
    if curves:
        from ampbench_trackers.curves import write

        write(Path(curves), run, posterior)
    if diagnoses:
        from ampbench_trackers.diagnoses import write_diagnosis

        diagnosis = write_diagnosis(Path(diagnoses), run, posterior)
        if curves and diagnosis is not None:
            from ampbench_trackers.curves import write_table

            write_table(Path(curves), run, "diagnosis", diagnosis)
