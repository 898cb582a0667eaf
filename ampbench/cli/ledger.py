"""``ampbench ledger`` and ``ampbench reproduce``: published scores, and ours beside them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from ampbench.cli.run import run_sweep
from ampbench.reporting.ledger import reproduced, study
from ampbench.results import load

CAVEAT = (
    "diff_in_se: the difference in standard errors, as if all scores were independent.\n"
    "They are not: both are of the same observations, and our observations share one\n"
    "fit of an amortised method, where the study trained anew."
)


def reproduce(
    name: str, subset: str, select: Sequence[str], results: Path, executor: str, device: str, threads: int
) -> tuple[int, pd.DataFrame]:
    """Run a subset of a study through the ordinary machinery, and compare.

    Arguments:
        name: of the study.
        subset: of its cells.
        select: see :func:`ampbench.running.sweep.chosen`.
        results: the results directory; what is stored there is not run again.
        executor: an executor's spec.
        device: any torch device.
        threads: CPU threads of each worker.

    Returns:
        The exit code of the runs, and the table of :func:`ampbench.reporting.ledger.reproduced` over what is finished.
    """
    found, sweep = study(name, subset)
    code = run_sweep(None, sweep, results, select, None, executor, device, {"threads": threads})
    return code, reproduced(load(results), found)
