r"""Is a posterior calibrated at one observation? The local classifier two-sample test.

A classifier learns to tell :math:`(\theta^*, x)`, of the model, from :math:`(\theta_q, x)` with
:math:`\theta_q \sim q(\cdot \mid x)`, over many simulations. At the observation :math:`x_o` its output d is 1/2
wherever q is right, so that

.. math:: t(x_o) = \frac1n \sum_{i=1}^{n} \bigl(d(\theta_i, x_o) - \tfrac12\bigr)^2,
          \qquad \theta_i \sim q(\cdot \mid x_o)

is small. Classifiers of permuted labels say how small, whatever the classifier: the test is valid with any, and this
one is small, for it is trained some hundred times on a few hundred simulations. A posterior that is wrong at this
observation alone, and right at those around it, is not found.

Done by sbi, an optional dependency.

References:
    Linhart, Gramfort, Rodrigues 2023, *L-C2ST: Local diagnostics for posterior approximations in simulation-based
    inference*, arXiv:2306.03580.
"""

from __future__ import annotations

import importlib.util
import warnings

import numpy as np
from torch import Tensor

from ampbench.errors import UsageError
from ampbench.seeding import seeded

CLASSIFIER = {"hidden_layer_sizes": (16,), "solver": "lbfgs", "alpha": 1.0, "max_iter": 60, "early_stopping": False}
"""Options of scikit-learn's MLPClassifier: one hidden layer, few steps of a quasi-Newton method, much weight decay."""


def check_installed() -> None:
    """Raise :class:`UsageError` if sbi is not installed."""
    if importlib.util.find_spec("sbi") is None:
        raise UsageError("judging fits at an observation takes L-C2ST, which needs sbi: pip install 'ampbench[sbi]'")


def lc2st(theta: Tensor, x: Tensor, draws: Tensor, observation: Tensor, own: Tensor, trials: int, seed: int) -> float:
    """Return the p-value of the hypothesis that q is the posterior at one observation.

    Arguments:
        theta: true parameters of simulations, shape (B, D).
        x: these simulations, shape (B, L).
        draws: one draw of q for each of them, shape (B, D).
        observation: shape (L,).
        own: draws of q at the observation, shape (n, D).
        trials: how many permutations; the smallest p-value is 1 / (trials + 1).
        seed: the p-value follows from it.

    Raises:
        UsageError: sbi is not installed.
    """
    check_installed()
    with warnings.catch_warnings(), seeded(seed):
        warnings.simplefilter("ignore")  # 60 steps are not meant to converge
        from sbi.diagnostics.lc2st import LC2ST

        test = LC2ST(
            theta.float(),
            x.float(),
            draws.float(),
            seed=seed % 2**31,
            z_score=True,
            num_trials_null=trials,
            classifier_kwargs=dict(CLASSIFIER),
        )
        test.train_on_observed_data(verbosity=0).train_under_null_hypothesis(verbosity=0)
        found = test.get_statistic_on_observed_data(own.float(), observation.float())
        null = test.get_statistics_under_null_hypothesis(own.float(), observation.float()).scores
    return (1 + int(np.sum(null >= found))) / (trials + 1)


def beyond(observation: Tensor, x: Tensor) -> str:
    """Say where an observation (L,) lies outside the range of simulations (B, L), "" if nowhere.

    Example:
        >>> import torch
        >>> beyond(torch.tensor([0.5, 9.0]), torch.tensor([[0.0, 1.0], [1.0, 2.0]]))
        'component 2 is 9, simulated are 1 to 2'
    """
    low, high = x.min(0).values, x.max(0).values
    outside = ((observation < low) | (observation > high)).nonzero().flatten().tolist()
    if not outside:
        return ""
    i = outside[0]
    more = f", and {len(outside) - 1} more" if len(outside) > 1 else ""
    return f"component {i + 1} is {observation[i]:.4g}, simulated are {low[i]:.4g} to {high[i]:.4g}{more}"
