"""Training curves for TensorBoard, written when a fit has ended, also one that broke down.

The curves of a fit lie in ``DIR/tensorboard/LABEL``: one per column of the posterior's history, grouped by player. The
observations of a task share a fit, and so its curves; the same fit made again replaces them. Task,
budget, seed, method and each of its options are hyperparameters: TensorBoard sorts and filters by those that differ.

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

LONGEST = 120
"""Characters of a fit's description in the name of its folder; file systems allow 255."""


def write(folder: Path, run: Run, posterior: Posterior) -> None:
    """Write the history of a posterior; one without a history leaves nothing.

    Raises:
        PluginError: tensorboard is not installed.
    """
    if not isinstance(posterior, HasHistory):
        return
    history = posterior.history
    with _writer(folder, run, purge_step=0) as writer:  # hides the curves of an earlier fit
        writer.add_text("run", f"{run.task}, {run.resolved}, budget {run.budget}, seed {run.seed}", 0)
        _add_hyperparameters(writer, run)
        for column in history.columns.drop("step"):
            tag = column.replace(" ", "/", 1)  # TensorBoard groups by what comes before the slash: the player
            for step, value in zip(history["step"], history[column], strict=True):
                if math.isfinite(value):
                    writer.add_scalar(tag, value, step)


def write_table(folder: Path, run: Run, name: str, table: DataFrame) -> None:
    """Write a table beside the curves of a fit, to be read under "Text"; raises as :func:`write`."""
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
    """Say what fit this is, each option of its method apart.

    TensorBoard makes the columns of its table from all runs if none of them declares an experiment, as
    ``writer.add_hparams`` would; that would also write a run of its own.
    """
    from torch.utils.tensorboard.summary import hparams

    method = Spec.parse(run.resolved)
    fit = {"task": run.task, "method": method.name, "budget": run.budget, "seed": str(run.seed)}  # a seed is a label
    _, started, ended = hparams(dict(method.options) | fit, {})
    for summary in (started, ended):
        writer.file_writer.add_summary(summary)  # type: ignore[attr-defined]  # torch sets it later


def label(run: Run) -> str:
    """Return a name for the folder of a fit: what it is, as far as file systems allow, and a hash of all it is."""
    what = re.sub(r"[^\w.=,()-]+", "_", f"{run.task}_budget{run.budget}_seed{run.seed}_{run.method}")
    digest = hashlib.sha256("\n".join(map(str, run.fit_key)).encode()).hexdigest()
    return f"{what[:LONGEST]}_{digest[:8]}"
