"""Training curves for TensorBoard, written when a fit has ended, successfully or not.

The curves of a fit are in ``DIR/tensorboard/LABEL``: one per column of the posterior's history, grouped by player. The
observations of a task share a fit, and so its curves; a repetition of the fit replaces them. Task, budget, seed, method
and each option of the method are hyperparameters: TensorBoard sorts and filters by the hyperparameters that differ.

References:
    TensorBoard, https://www.tensorflow.org/tensorboard; ``torch.utils.tensorboard``,
    https://docs.pytorch.org/docs/stable/tensorboard.html
"""

from __future__ import annotations

import hashlib
import math
import re
from pathlib import Path
from typing import TYPE_CHECKING

from ampbench.errors import PluginError
from ampbench.interfaces import HasHistory, Posterior
from ampbench.results import Run
from ampbench.spec import Spec
from ampbench_trackers.environment import TENSORBOARD

if TYPE_CHECKING:
    from pandas import DataFrame
    from torch.utils.tensorboard import SummaryWriter

MAX_DESCRIPTION_CHARS = 120
"""Maximum length of a fit's description in the name of its folder; file systems allow names of 255 characters."""


def write(folder: Path, run: Run, posterior: Posterior) -> None:
    """Write the history of a posterior; write nothing if it has none.

    Raises:
        PluginError: tensorboard is not installed.
    """
    if not isinstance(posterior, HasHistory):
        return
    history = posterior.history
    with _writer(folder, run, purge_step=0) as writer:  # hides the curves of an earlier repetition of the fit
        writer.add_text("run", f"{run.task}, {run.resolved}, budget {run.budget}, seed {run.seed}", 0)
        _add_hyperparameters(writer, run)
        for column in history.columns.drop("step"):
            tag = column.replace(" ", "/", 1)  # TensorBoard groups by the part before the slash, the player
            for step, value in zip(history["step"], history[column], strict=True):
                if math.isfinite(value):
                    writer.add_scalar(tag, value, step)


def write_table(folder: Path, run: Run, name: str, table: DataFrame) -> None:
    """Write a table into the folder of the fit's curves, shown under "Text"; raises as :func:`write`."""
    cells = [table.columns, ["---"] * len(table.columns), *table.round(3).astype(str).to_numpy()]
    lines = ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in cells]
    with _writer(folder, run) as writer:
        writer.add_text(name, "\n".join(lines), 0)


def _writer(folder: Path, run: Run, purge_step: int | None = None) -> SummaryWriter:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise PluginError(
            f"{TENSORBOARD} is set to {str(folder)!r}, but tensorboard is not installed: "
            f"pip install 'ampbench[tensorboard]', or unset {TENSORBOARD}"
        ) from error
    return SummaryWriter(str(folder / "tensorboard" / label(run)), purge_step=purge_step)


def _add_hyperparameters(writer: SummaryWriter, run: Run) -> None:
    """Write task, budget, seed, method and each option of the method as hyperparameters.

    ``writer.add_hparams`` would write an additional run and declare an experiment; without a declared experiment,
    TensorBoard's table has the columns of all runs.
    """
    from torch.utils.tensorboard.summary import hparams

    method = Spec.parse(run.resolved)
    fit = {"task": run.task, "method": method.name, "budget": run.budget, "seed": str(run.seed)}  # a seed is a label
    _, started, ended = hparams(dict(method.options) | fit, {})
    for summary in (started, ended):
        writer.file_writer.add_summary(summary)  # type: ignore[attr-defined]  # torch sets file_writer after __init__


def label(run: Run) -> str:
    """Return the name of a fit's folder: a description of limited length, and a hash of the fit's complete key."""
    description = re.sub(r"[^\w.=,()-]+", "_", f"{run.task}_budget{run.budget}_seed{run.seed}_{run.method}")
    digest = hashlib.sha256("\n".join(map(str, run.fit_key)).encode()).hexdigest()
    return f"{description[:MAX_DESCRIPTION_CHARS]}_{digest[:8]}"
