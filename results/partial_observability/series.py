r"""An irregular state space: a hidden process at three unevenly spaced times, at which few series are all seen.

.. math:: z_1 \sim \mathcal N(0, 1), \qquad z_{t+1} = a_t z_t + \sqrt{1 - a_t^2}\,\epsilon, \qquad
          a_t = e^{-(\tau_{t+1} - \tau_t)}, \qquad x_t = w_t z_t + \tfrac12\,\epsilon_t \in \mathbb R^2

is an Ornstein-Uhlenbeck process at the times τ. Transitions and emissions are learned, a linear-Gaussian conditional
each, so that the learned model has a Gaussian law of (x_1, x_2, x_3) in closed form, as the truth has. What is judged
is KL(truth ‖ model): the log-likelihood that a fresh complete series loses on average.

The likelihood teaches the conditionals (eq. 10). Blended with it is forward-kl, by which the inverse learns from the
model's own series: an adversary alone could not follow the log-ratio of prior and posterior closely enough.

To compare with, the same conditionals are fitted by maximum likelihood, with z integrated out exactly.

References:
    Hinton, Dayan, Frey, Neal 1995, *The wake-sleep algorithm for unsupervised neural networks*, Science 268 (an
    inverse that learns from the model's own samples, and a model from what the inverse says of the data).
"""

from __future__ import annotations

import torch
from linear import Linear, law, maximise_likelihood, standard
from rows import Rows, masked
from torch import Tensor
from torch.distributions import kl_divergence

from ampbench import api
from ampbench.amp.learning import LearnedModel
from ampbench.graph import Graph, learned
from ampbench.seeding import seeded

MEASURE = "KL(truth || model) in nats"
REFERENCE = "maximum likelihood"
METHOD = (
    "amp:divergence=blend(first=kl-likelihood(width=32,depth=0),second=forward-kl,weight=0.1),"
    "family=gaussian(covariance=diagonal,width=32,depth=0),scope=global,steps=800,batch_size=128,checks=4,"
    "learning_rate=0.01"
)
COMPLETE = 15
INCOMPLETE = 200
"""Rows of each pattern below."""
SEEN = (("x1", "x2"), ("x1", "x3"))
"""The variables of incomplete rows."""
TIMES = (0.0, 0.1, 0.5)
EMISSIONS = ("x1", "x2", "x3")
SLOPES = ((1.0, 0.5), (-0.7, 0.9), (0.6, 1.0))
"""The w."""


def untrained() -> Graph:
    """Return the model as it starts."""
    transitions = [learned(f"z{t}", Linear(1, 1), [f"z{t - 1}"], size=1) for t in (2, 3)]
    emissions = [learned(f"x{t}", Linear(1, 2), [f"z{t}"], size=2) for t in (1, 2, 3)]
    return Graph(standard("z1", 1), *transitions, *emissions)


def truth() -> Graph:
    """Return the model behind the data."""
    graph = untrained()
    a = (torch.tensor(TIMES[:-1]) - torch.tensor(TIMES[1:])).exp()
    for t in (2, 3):
        _set(graph[f"z{t}"].conditional, a[t - 2].reshape(1, 1), (1 - a[t - 2] ** 2).sqrt())
    for name, slope in zip(EMISSIONS, SLOPES, strict=True):
        _set(graph[name].conditional, torch.tensor(slope)[:, None], torch.tensor(0.5))
    return graph


@torch.no_grad()
def _set(conditional: object, slope: Tensor, scale: Tensor) -> None:
    assert isinstance(conditional, Linear)
    conditional.mean.weight.copy_(slope)
    conditional.mean.bias.zero_()
    conditional.log_scale.fill_(scale.log())


@torch.no_grad()
def rows(seed: int) -> Rows:
    """Return the rows to learn from."""
    with seeded(seed):
        drawn = truth().sample(COMPLETE + len(SEEN) * INCOMPLETE)
    result: Rows = {name: drawn[name] for name in EMISSIONS}
    for i, seen in enumerate(SEEN):
        start = COMPLETE + i * INCOMPLETE
        result = masked(result, {name: slice(start, start + INCOMPLETE) for name in EMISSIONS if name not in seen})
    return result


def learn(data: Rows, seed: int) -> LearnedModel:
    """Learn transitions and emissions."""
    with seeded(seed):
        graph = untrained()
    return api.learn(graph, data, method=METHOD, seed=seed)


def judge(model: LearnedModel, seed: int) -> float:
    """Return KL(truth ‖ learned model)."""
    return lost(model.graph)


def reference(data: Rows, seed: int) -> float:
    """Return the same of maximum likelihood with these rows."""
    with seeded(seed):
        graph = untrained()
    maximise_likelihood(graph, data)
    return lost(graph)


@torch.no_grad()
def lost(graph: Graph) -> float:
    """Return KL(truth ‖ model) of all emissions."""
    return float(kl_divergence(law(truth(), EMISSIONS), law(graph, EMISSIONS)))
