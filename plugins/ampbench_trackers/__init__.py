"""Who watches runs: plugins of the life-cycle hooks. Each is switched on by an environment variable of its own."""

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
    """Write the training curves of the fit, and its diagnosis, if someone asked for them."""
    curves, diagnoses = os.environ.get(TENSORBOARD), os.environ.get(DIAGNOSTICS)
    if curves:
        from ampbench_trackers.curves import write

        write(Path(curves), run, posterior)
    if diagnoses:
        from ampbench_trackers.diagnoses import write_diagnosis

        found = write_diagnosis(Path(diagnoses), run, posterior)
        if curves and found is not None:
            from ampbench_trackers.curves import write_table

            write_table(Path(curves), run, "diagnosis", found)
