"""Diagnoses as CSV files, written when a fit has ended, also one that broke down.

That of a fit lies in ``DIR/diagnostics/LABEL.csv``, one row per local tuple; :func:`ampbench.amp.diagnostics.diagnose`
says what the columns mean. It is made outside the clock of the fit.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ampbench.interfaces import CanDiagnose, Posterior
from ampbench.results import Run
from ampbench_trackers.curves import label

if TYPE_CHECKING:
    from pandas import DataFrame


def write_diagnosis(folder: Path, run: Run, posterior: Posterior) -> DataFrame | None:
    """Write and return what a posterior finds wrong with itself; one that cannot diagnose itself leaves nothing.

    Raises:
        UsageError: the budget held too few simulations out.
    """
    if not isinstance(posterior, CanDiagnose):
        return None
    place = folder / "diagnostics" / f"{label(run)}.csv"
    diagnosis = posterior.diagnose()
    place.parent.mkdir(parents=True, exist_ok=True)
    diagnosis.to_csv(place, index=False)
    return diagnosis
