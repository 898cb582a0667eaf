"""Executors for clusters: on a running dask scheduler, or on a new one with workers as Slurm jobs."""

from __future__ import annotations

from collections.abc import Mapping

from ampbench.hookspecs import Lazy, hookimpl


@hookimpl
def executors() -> Mapping[str, Lazy]:
    """Return the executors for clusters, which use dask.distributed."""
    return {
        "dask": Lazy("ampbench_dask.scheduler:Dask", "the workers of a dask scheduler", "Rocklin 2015"),
        "slurm": Lazy("ampbench_dask.slurm:Slurm", "dask workers as Slurm jobs", "dask-jobqueue"),
    }
