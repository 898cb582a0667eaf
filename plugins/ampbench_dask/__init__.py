"""Executors for clusters: a dask scheduler that is running, or one that asks Slurm for its workers."""

from __future__ import annotations

from collections.abc import Mapping

from ampbench.hookspecs import Lazy, hookimpl


@hookimpl
def executors() -> Mapping[str, Lazy]:
    """Clusters by dask.distributed."""
    return {
        "dask": Lazy("ampbench_dask.scheduler:Dask", "the workers of a dask scheduler", "Rocklin 2015"),
        "slurm": Lazy("ampbench_dask.slurm:Slurm", "dask workers as Slurm jobs", "dask-jobqueue"),
    }
