"""Training curves for TensorBoard, written when a fit has ended, also one that broke down.

The curves of a fit lie in ``DIR/tensorboard/LABEL``: one per column of the posterior's history, grouped by player. The
observations of a task share a fit, and so its curves; the same fit made again replaces them.

References:
    TensorBoard, https://www.tensorflow.org/tensorboard; ``torch.utils.tensorboard``,
    https://docs.pytorch.org/docs/stable/tensorboard.html
"""

from __future__ import annotations

import hashlib
import math
import re
from pathlib import Path

from ampbench.errors import PluginError
from ampbench.interfaces import HasHistory, Posterior
from ampbench.run import Run
from ampbench_trackers import TENSORBOARD

LONGEST = 120
"""Characters of a fit's description in the name of its folder; file systems allow 255."""


def write(folder: Path, run: Run, posterior: Posterior) -> None:
    """Write the history of a posterior; one without a history leaves nothing.

    Raises:
        PluginError: tensorboard is not installed.
    """
    if not isinstance(posterior, HasHistory):
        return
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise PluginError(
            f"{TENSORBOARD} is set to {str(folder)!r}, but tensorboard is not installed: "
            f"pip install 'ampbench[tensorboard]', or unset {TENSORBOARD}"
        ) from error
    history = posterior.history
    place = folder / "tensorboard" / label(run)
    with SummaryWriter(str(place), purge_step=0) as writer:  # hides the curves of an earlier fit
        writer.add_text("run", f"{run.task}, {run.resolved}, budget {run.budget}, seed {run.seed}", 0)
        for column in history.columns.drop("step"):
            tag = column.replace(" ", "/", 1)  # TensorBoard groups by what comes before the slash: the player
            for step, value in zip(history["step"], history[column], strict=True):
                if math.isfinite(value):
                    writer.add_scalar(tag, value, step)


def label(run: Run) -> str:
    """Return a name for the folder of a fit: what it is, as far as file systems allow, and a hash of all it is."""
    what = re.sub(r"[^\w.=,()-]+", "_", f"{run.task}_budget{run.budget}_seed{run.seed}_{run.method}")
    digest = hashlib.sha256("\n".join(map(str, run.fit_key)).encode()).hexdigest()
    return f"{what[:LONGEST]}_{digest[:8]}"
