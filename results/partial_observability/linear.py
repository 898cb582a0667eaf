"""What the two linear-Gaussian cases share: a factor, and the error of a predictive mean with its floor."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from rows import Rows
from torch import Tensor
from torch.distributions import Independent, Normal

from ampbench.graph import Node, density, join
from ampbench.learning import LearnedModel

DRAWS = 50
"""Draws behind a predictive mean."""
MANY = 100_000
"""Fresh complete rows behind a floor."""


def standard(name: str, size: int) -> Node:
    """A variable with a standard normal prior."""
    return density(name, Independent(Normal(torch.zeros(size), torch.ones(size)), 1))


def error(model: LearnedModel, rows: Rows, given: Sequence[str], target: str) -> float:
    """Return the root mean square error of the model's predictive mean of one variable given others."""
    predicted = model.infer({name: rows[name] for name in given}, DRAWS)[target].mean(0)
    return _rmse(predicted - rows[target])


def floor(draw: Callable[[int], Rows], rows: Rows, given: Sequence[str], target: str) -> float:
    """Return the error of the regression of many fresh complete rows: exact as the rows are linear-Gaussian."""
    many = draw(MANY)
    slopes = torch.linalg.lstsq(_with_one(join(many, given)), many[target]).solution
    return _rmse(_with_one(join(rows, given)) @ slopes - rows[target])


def _with_one(value: Tensor) -> Tensor:
    return torch.cat([value, torch.ones(len(value), 1)], dim=1)


def _rmse(difference: Tensor) -> float:
    return float(difference.square().mean().sqrt())
