"""Diagnoses as CSV files, written when a fit has ended, successfully or not.

The diagnosis of a fit is in ``DIR/diagnostics/LABEL.csv``, with one row per local tuple. The columns are documented at
:func:`ampbench.amp.diagnostics.diagnose`. The time for the diagnosis does not count as fitting time.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ampbench.interfaces import CanDiagnose, Posterior
from ampbench.results import Run
from ampbench.text import to_csv
from ampbench_trackers.curves import label

if TYPE_CHECKING:
    from pandas import DataFrame


def write_diagnosis(folder: Path, run: Run, posterior: Posterior) -> DataFrame | None:
    """Write and return the diagnosis of a posterior; write nothing if it cannot diagnose itself.

    Raises:
        UsageError: too few simulations of the budget are held out.
    """
    if not isinstance(posterior, CanDiagnose):
        return None
    path = folder / "diagnostics" / f"{label(run)}.csv"
    diagnosis = posterior.diagnose()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(to_csv(diagnosis), encoding="utf-8")
    return diagnosis
