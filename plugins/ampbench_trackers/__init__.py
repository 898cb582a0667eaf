"""Trackers: plugins of the life-cycle hooks. An environment variable for each tracker enables it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from ampbench.hookspecs import hookimpl
from ampbench_trackers.environment import DIAGNOSTICS, MLFLOW, TENSORBOARD

if TYPE_CHECKING:
    from ampbench.interfaces import Posterior
    from ampbench.results import Record, Run


@hookimpl
def run_started(run: Run) -> None:
    """Show the run in MLflow, if its environment variable is set."""
    if folder := os.environ.get(MLFLOW):
        from ampbench_trackers.experiments import begin

        begin(Path(folder), run)


@hookimpl
def fit_finished(run: Run, posterior: Posterior) -> None:
    """Write the training curves and the diagnosis of the fit, each if its environment variable is set."""
    curves, diagnoses = os.environ.get(TENSORBOARD), os.environ.get(DIAGNOSTICS)
    if experiments := os.environ.get(MLFLOW):
        from ampbench_trackers.experiments import write_curves

        write_curves(Path(experiments), run, posterior)
    if curves:
        from ampbench_trackers.curves import write

        write(Path(curves), run, posterior)
    if diagnoses:
        from ampbench_trackers.diagnoses import write_diagnosis

        diagnosis = write_diagnosis(Path(diagnoses), run, posterior)
        if curves and diagnosis is not None:
            from ampbench_trackers.curves import write_table

            write_table(Path(curves), run, "diagnosis", diagnosis)


@hookimpl
def run_finished(run: Run, record: Record) -> None:
    """Write scores and failure of the run for MLflow, if its environment variable is set."""
    if folder := os.environ.get(MLFLOW):
        from ampbench_trackers.experiments import end

        end(Path(folder), run, record)
