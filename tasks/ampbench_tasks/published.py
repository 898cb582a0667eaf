"""Published observations, shipped as package data."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from importlib.resources import files

import torch

from ampbench.interfaces import Observation


@cache
def published(task: str) -> Mapping[int, Observation]:
    """Return the ten observations of Lueckmann et al. 2021 by number, with the parameters that made them."""
    text = files("ampbench_tasks").joinpath("data", task, "observations.json").read_text(encoding="utf-8")
    return {
        int(number): Observation(x=torch.tensor(row["x"]), theta=torch.tensor(row["theta"]), seed=row["seed"])
        for number, row in json.loads(text).items()
    }
