"""Data that ship with the tasks, in ``data/<folder>/``: observations, golden statistics, reference samples."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from importlib import resources
from importlib.resources import as_file
from pathlib import Path

import torch
from torch import Tensor

from ampbench import files, npz
from ampbench.errors import PluginError, UsageError
from ampbench.faults import named
from ampbench.interfaces import Observation
from ampbench.interfaces.golden import Golden

DATA = resources.files("ampbench_tasks").joinpath("data")


@cache
def observations(folder: str) -> Mapping[int, Observation]:
    """Return numbered observations, with the parameters and the seed that generated them (``observations.json``)."""
    with _shipped(folder, "observations.json") as path:
        return {
            int(number): Observation(x=torch.tensor(row["x"]), theta=torch.tensor(row["theta"]), seed=row["seed"])
            for number, row in json.loads(files.read_bytes(path)).items()
        }


@cache
def golden(folder: str) -> Golden:
    """Return the statistics of an independent implementation (``golden.json``)."""
    with _shipped(folder, "golden.json") as path:
        return Golden.loads(files.read_text(path))


def golden_of_defaults(folder: str, given: Mapping[str, float], defaults: Mapping[str, float]) -> Golden:
    """Return :func:`golden` of a task with default options.

    Raises:
        UsageError: the given options differ from the defaults.
    """
    if given != defaults:
        wanted, got = (", ".join(f"{name}={value}" for name, value in each.items()) for each in (defaults, given))
        raise UsageError(f"{folder} has golden statistics for {wanted} only, not for {got}")
    return golden(folder)


def reference(folder: str, number: int) -> Tensor:
    """Return the stored posterior samples (n, D) of a numbered observation (``reference.npz``)."""
    with _shipped(folder, "reference.npz") as path, files.opened(path, files.MAX_DATA_BYTES) as file:
        return torch.from_numpy(npz.read_arrays(file, names=[str(number)])[str(number)])


@contextmanager
def _shipped(folder: str, name: str) -> Iterator[Path]:
    """Yield the path of a file that ships with the tasks; raises :class:`PluginError` if it cannot be read."""
    with as_file(DATA.joinpath(folder, name)) as path:
        try:
            yield path
        except Exception as error:  # whatever the file holds
            raise PluginError(
                f"{path}, which ships with ampbench_tasks, cannot be read: {named(error)}; install ampbench again"
            ) from error
