"""The overhead of ``ampbench run`` beside fits and metrics: processor time of the command per run."""

from __future__ import annotations

import tempfile

from .common import children, python


class Harness:
    """Sweeps of a method that draws from the prior; ten observations of a fit are ten runs.

    What a command takes once, such as its imports, is left out: a sweep of one fit is subtracted. Workers of ``local``
    are no children of the command, so that their time is not part of it.
    """

    params = ("in-process", "local")
    param_names = ("executor",)
    unit = "ms"
    timeout = 300
    fits = 5

    def track_overhead_per_run(self, executor: str) -> float:
        one, many = (self._seconds(executor, fits) for fits in (1, 1 + self.fits))
        return 1000 * (many - one) / (10 * self.fits)

    def _seconds(self, executor: str, fits: int) -> float:
        start = children()
        with tempfile.TemporaryDirectory() as folder:
            seeds = [argument for seed in range(fits) for argument in ("--seed", str(seed))]
            what = ["--task", "two_moons", "--method", "prior", "--metric", "bias", "--samples", "100"]
            where = ["--executor", executor, "--results", folder]
            python("-m", "ampbench", "run", *what, "--budget", "10", *seeds, *where)
        return children() - start
