"""Data that ship with the tasks, in ``data/<folder>/``: observations, golden statistics, reference samples."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from importlib.resources import files

import numpy as np
import torch
from torch import Tensor

from ampbench.errors import UsageError
from ampbench.interfaces import Observation
from ampbench.interfaces.golden import Golden

DATA = files("ampbench_tasks").joinpath("data")


@cache
def observations(folder: str) -> Mapping[int, Observation]:
    """Return numbered observations, with the parameters and the seed that generated them (``observations.json``)."""
    text = DATA.joinpath(folder, "observations.json").read_text(encoding="utf-8")
    return {
        int(number): Observation(x=torch.tensor(row["x"]), theta=torch.tensor(row["theta"]), seed=row["seed"])
        for number, row in json.loads(text).items()
    }


@cache
def golden(folder: str) -> Golden:
    """Return the statistics of an independent implementation (``golden.json``)."""
    return Golden.loads(DATA.joinpath(folder, "golden.json").read_text(encoding="utf-8"))


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
    with DATA.joinpath(folder, "reference.npz").open("rb") as file, np.load(file, allow_pickle=False) as stored:
        return torch.from_numpy(stored[str(number)])
