r"""An irregular state space: a hidden chain of three steps, whose emissions are seldom all seen.

.. math:: z_1 \sim \mathcal N(0, 1), \qquad z_{t+1} = 0.9\,z_t + 0.44\,\epsilon, \qquad
          x_t = w_t z_t + 0.4\,\epsilon_t, \qquad x_t \in \mathbb R^3

Transitions and emissions are learned, a module each. Every incomplete row lacks one of the three emissions; what is
judged is the prediction of a missing one from the two others.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from linear import error, floor, standard
from rows import Rows, masked

from ampbench import api
from ampbench.conditionals import NormalConditional
from ampbench.graph import Graph, Node, learned
from ampbench.learning import LearnedModel
from ampbench.seeding import seeded

MEASURE = "error of a missing emission"
METHOD = "amp:divergence=mmd,family=implicit(width=32,depth=0),steps=300,batch_size=128,checks=5,learning_rate=0.005"
COMPLETE = 12
INCOMPLETE = 400
"""Rows that lack x1, as many that lack x2, and x3."""
HELD_OUT = 500
WORLD = 124
"""Seed of the w."""
EMISSIONS = ("x1", "x2", "x3")


def draw(n: int) -> Rows:
    """Return n complete rows."""
    with seeded(WORLD):
        w = torch.randn(3, 1, 3)
    z = torch.randn(n, 1)
    drawn = {}
    for name, slope in zip(EMISSIONS, w, strict=True):
        drawn[name] = z @ slope + 0.4 * torch.randn(n, 3)
        z = 0.9 * z + 0.19**0.5 * torch.randn(n, 1)
    return drawn


def rows(seed: int) -> Rows:
    """Return the rows to learn from."""
    with seeded(seed):
        drawn = draw(COMPLETE + 3 * INCOMPLETE)
    starts = [COMPLETE + i * INCOMPLETE for i in range(3)]
    return masked(drawn, {x: slice(start, start + INCOMPLETE) for x, start in zip(EMISSIONS, starts, strict=True)})


def learn(data: Rows, seed: int) -> LearnedModel:
    """Learn transitions and emissions."""
    with seeded(seed):
        nodes = [_conditional(f"z{t}", f"z{t - 1}", 1) for t in (2, 3)] + [
            _conditional(f"x{t}", f"z{t}", 3) for t in (1, 2, 3)
        ]
    return api.learn(Graph(standard("z1", 1), *nodes), data, method=METHOD, seed=seed)


def judge(model: LearnedModel, seed: int) -> float:
    """Return the root mean square error of the predictive mean of x_t given the others, the mean over t."""
    with seeded(1000 + seed):
        return _mean_over_t(lambda held_out, given, x: error(model, held_out, given, x))


def reference(data: Rows, seed: int) -> float:
    """Return the least possible error."""
    with seeded(1000 + seed):
        return _mean_over_t(lambda held_out, given, x: floor(draw, held_out, given, x))


def _mean_over_t(judged: Callable[[Rows, list[str], str], float]) -> float:
    held_out = draw(HELD_OUT)
    return sum(judged(held_out, [name for name in EMISSIONS if name != x], x) for x in EMISSIONS) / 3


def _conditional(name: str, parent: str, size: int) -> Node:
    return learned(name, NormalConditional(1, size, width=16, depth=0), [parent], size=size)
