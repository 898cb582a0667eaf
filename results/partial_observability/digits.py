r"""Semi-supervised digits: 8 × 8 images x of a digit y in a handwriting s, few of them with a label.

.. math:: y \sim \mathrm{uniform}\{0, \dots, 9\}, \qquad s \sim \mathcal N(0, I), \qquad
          p_\theta(x \mid y, s) = \prod_{i=1}^{64} \mathrm{Bernoulli}(x_i; f_\theta(y, s)_i)

Pixels are black or white (a grey value above ½). An unlabelled image says how digits look, whichever it is; what is
judged is the accuracy of the most probable y given x on test images. Bits carry no gradient, so that the likelihood has
to teach them (eq. 10). Blended with it is forward-kl, by which the classifier q(y | x) learns from the model's own
images: eq. 10 alone has to move it through the straight-through gradient of a one-hot draw.

References:
    Kingma et al. 2014, *Semi-supervised learning with deep generative models*, arXiv:1406.5298 (this model, as M2).
"""

from __future__ import annotations

import torch
from linear import standard
from rows import Rows, masked
from sklearn.linear_model import LogisticRegression
from torch.distributions import OneHotCategorical, constraints
from torch.nn.functional import one_hot

from ampbench import api
from ampbench.amp.learning import LearnedModel
from ampbench.graph import Graph, density, learned
from ampbench.networks import BernoulliConditional
from ampbench.seeding import seeded
from ampbench_tasks.digits import load

MEASURE = "accuracy of y given x"
REFERENCE = "logistic regression"
METHOD = (
    "amp:divergence=blend(first=kl-likelihood(width=64,depth=1),second=forward-kl,weight=0.1),"
    "family=gaussian(width=64,depth=1),families.y=categorical(width=64,depth=1),steps=500,batch_size=128,checks=4,"
    "learning_rate=0.003"
)
LABELS = 5
"""Labelled images of each digit."""
STYLE = 4
"""Components of s."""
DRAWS = 50
"""Draws behind a most probable digit."""


def rows(seed: int) -> Rows:
    """Return all training images, of which the first few of each digit, in a random order, have a label."""
    digits = load(8)
    order = torch.randperm(len(digits.train), generator=torch.Generator().manual_seed(seed))
    y = one_hot(digits.train_labels[order], 10).float()
    labelled = ((y.cumsum(0) <= LABELS) * y).any(1)
    order = torch.cat([labelled.nonzero(), (~labelled).nonzero()]).flatten()
    count = int(labelled.sum())
    images = digits.train[torch.randperm(len(digits.train), generator=torch.Generator().manual_seed(seed))]
    complete = {"x": _bits(images)[order], "y": y[order]}
    shuffled = torch.randperm(count, generator=torch.Generator().manual_seed(seed))  # some of these are held out
    complete = {name: torch.cat([value[:count][shuffled], value[count:]]) for name, value in complete.items()}
    return masked(complete, {"y": slice(count, None)})


def learn(data: Rows, seed: int) -> LearnedModel:
    """Learn how digits look, and to read them."""
    with seeded(seed):
        pixels = BernoulliConditional(10 + STYLE, 64, width=64, depth=1)
    graph = Graph(
        density("y", OneHotCategorical(torch.full((10,), 0.1))),
        standard("s", STYLE),
        learned("x", pixels, ["y", "s"], constraints.boolean, 64),
    )
    return api.learn(graph, data, method=METHOD, seed=seed)


def judge(model: LearnedModel, seed: int) -> float:
    """Return the share of test images whose most probable digit is the right one."""
    digits = load(8)
    with seeded(1000 + seed):
        read = model.infer({"x": _bits(digits.test)}, DRAWS)["y"].mean(0).argmax(1)
    return float((read == digits.test_labels).float().mean())


def reference(data: Rows, seed: int) -> float:
    """Return the accuracy of logistic regression on the labelled images alone."""
    digits, labelled = load(8), ~data["y"].isnan().any(1)
    classifier = LogisticRegression(max_iter=1000).fit(data["x"][labelled], data["y"][labelled].argmax(1))
    return float(classifier.score(_bits(digits.test), digits.test_labels))


def _bits(images: torch.Tensor) -> torch.Tensor:
    return (images > 0.5).float()
