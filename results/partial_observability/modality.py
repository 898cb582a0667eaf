r"""A modality is missing: two views a and b of one factor z, seldom seen together.

.. math:: z \sim \mathcal N(0, I_2), \qquad a = A z + \tfrac12 \epsilon, \qquad b = B z + \tfrac12 \epsilon', \qquad
          a, b \in \mathbb R^5

Both conditionals are learned. What is judged is the prediction of b from a. The rows that hold only one view say how
this view depends on the factor, up to a rotation; the few complete ones have only to say how the two go together.
"""

from __future__ import annotations

import torch
from linear import standard
from rows import Rows, masked
from torch import Tensor

from ampbench import api
from ampbench.amp.learning import LearnedModel
from ampbench.graph import Graph, learned
from ampbench.networks import NormalConditional
from ampbench.seeding import seeded

MEASURE = "error of b given a"
REFERENCE = "least possible"
METHOD = "amp:divergence=mmd,family=implicit(width=32,depth=0),steps=500,batch_size=128,checks=5,learning_rate=0.003"
COMPLETE = 15
INCOMPLETE = 500
"""Rows with only a, and as many with only b."""
HELD_OUT = 1000
MANY = 100_000
"""Fresh complete rows behind the least possible error."""
DRAWS = 50
"""Draws behind a predictive mean."""
WORLD = 123
"""Seed of A and B."""


def draw(n: int) -> Rows:
    """Return n complete rows."""
    with seeded(WORLD):
        a, b = torch.randn(2, 5), torch.randn(2, 5)
    z = torch.randn(n, 2)
    return {"a": z @ a + 0.5 * torch.randn(n, 5), "b": z @ b + 0.5 * torch.randn(n, 5)}


def rows(seed: int) -> Rows:
    """Return the rows to learn from."""
    with seeded(seed):
        drawn = draw(COMPLETE + 2 * INCOMPLETE)
    middle = COMPLETE + INCOMPLETE
    return masked(drawn, {"b": slice(COMPLETE, middle), "a": slice(middle, None)})


def learn(data: Rows, seed: int) -> LearnedModel:
    """Learn both views."""
    with seeded(seed):
        views = [learned(name, NormalConditional(2, 5, width=32, depth=1), ["z"], size=5) for name in ("a", "b")]
    return api.learn(Graph(standard("z", 2), *views), data, method=METHOD, seed=seed)


def judge(model: LearnedModel, seed: int) -> float:
    """Return the root mean square error of the predictive mean of b given a, on held-out rows."""
    with seeded(1000 + seed):
        held_out = draw(HELD_OUT)
        return _rmse(model.infer({"a": held_out["a"]}, DRAWS)["b"].mean(0) - held_out["b"])


def reference(data: Rows, seed: int) -> float:
    """Return the least possible error: of the regression of many fresh rows, exact as the rows are linear-Gaussian."""
    with seeded(1000 + seed):
        held_out, many = draw(HELD_OUT), draw(MANY)
        slopes = torch.linalg.lstsq(_with_one(many["a"]), many["b"]).solution
        return _rmse(_with_one(held_out["a"]) @ slopes - held_out["b"])


def _with_one(value: Tensor) -> Tensor:
    return torch.cat([value, torch.ones(len(value), 1)], dim=1)


def _rmse(difference: Tensor) -> float:
    return float(difference.square().mean().sqrt())
