r"""The local classifier two-sample test (L-C2ST) of a posterior at one observation.

A classifier learns to distinguish :math:`(\theta^*, x)`, drawn from the model, from :math:`(\theta_q, x)` with
:math:`\theta_q \sim q(\cdot \mid x)`, over many simulations. At the observation :math:`x_o` its output d is 1/2
wherever q equals the posterior, so that

.. math:: t(x_o) = \frac1n \sum_{i=1}^{n} \bigl(d(\theta_i, x_o) - \tfrac12\bigr)^2,
          \qquad \theta_i \sim q(\cdot \mid x_o)

is small. Classifiers trained on permuted labels give its null distribution, so that the test is valid for any
classifier. This one is a small network, since it is trained about a hundred times on a few hundred simulations. A
posterior that is wrong only at this observation, and exact at neighbouring ones, is not detected.

The implementation is that of sbi, an optional dependency.

References:
    Linhart, Gramfort, Rodrigues 2023, *L-C2ST: Local diagnostics for posterior approximations in simulation-based
    inference*, arXiv:2306.03580.
"""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from torch.distributions import constraints

from ampbench.errors import UsageError
from ampbench.graph.coordinates import Coordinates
from ampbench.seeding import seeded

CLASSIFIER_OPTIONS = {
    "hidden_layer_sizes": (16,),
    "solver": "lbfgs",
    "alpha": 1.0,
    "max_iter": 60,
    "early_stopping": False,
}
"""Options of scikit-learn's MLPClassifier: one hidden layer, few steps of a quasi-Newton method, much weight decay."""


def check_installed() -> None:
    """Raise :class:`UsageError` if sbi is not installed."""
    if importlib.util.find_spec("sbi") is None:
        raise UsageError("judging fits at an observation takes L-C2ST, which needs sbi: pip install 'ampbench[sbi]'")


def lc2st(theta: Tensor, x: Tensor, draws: Tensor, observation: Tensor, own: Tensor, trials: int, seed: int) -> float:
    """Return the p-value of the hypothesis that q is the posterior at one observation.

    Arguments:
        theta: true parameters of simulations, shape (B, D).
        x: simulated observations, shape (B, L).
        draws: one draw of q at each of them, shape (B, D).
        observation: the observation of the test, shape (L,).
        own: draws of q at this observation, shape (n, D).
        trials: number of permutations; the smallest possible p-value is 1 / (trials + 1).
        seed: seed of classifiers and permutations.

    Raises:
        UsageError: sbi is not installed.
    """
    check_installed()
    of_theta, of_x = _single(theta), _single(x)
    with warnings.catch_warnings(), seeded(seed):
        warnings.simplefilter("ignore")  # the classifier is stopped after 60 steps on purpose
        from sbi.diagnostics.lc2st import LC2ST

        test = LC2ST(
            of_theta(theta),
            of_x(x),
            of_theta(draws),
            seed=seed % 2**31,
            z_score=True,
            num_trials_null=trials,
            classifier_kwargs=dict(CLASSIFIER_OPTIONS),
        )
        test.train_on_observed_data(verbosity=0).train_under_null_hypothesis(verbosity=0)
        found = test.get_statistic_on_observed_data(of_theta(own), of_x(observation))
        null = test.get_statistics_under_null_hypothesis(of_theta(own), of_x(observation)).scores
    return (1 + int(np.sum(null >= found))) / (trials + 1)


def _single(values: Tensor) -> Callable[[Tensor], Tensor]:
    """Return the map of values (*, D) to single precision; those that it would spoil are standardised first."""
    if values.dtype != torch.float64:
        return Tensor.float
    return Coordinates(values, constraints.real).encode


def outside_range(observation: Tensor, x: Tensor) -> str:
    """Describe where an observation (L,) lies outside the range of simulations (B, L); "" if nowhere.

    Example:
        >>> import torch
        >>> outside_range(torch.tensor([0.5, 9.0]), torch.tensor([[0.0, 1.0], [1.0, 2.0]]))
        'component 2 is 9, simulated are 1 to 2'
    """
    low, high = x.min(0).values, x.max(0).values
    outside = ((observation < low) | (observation > high)).nonzero().flatten().tolist()
    if not outside:
        return ""
    i = outside[0]
    more = f", and {len(outside) - 1} more" if len(outside) > 1 else ""
    return f"component {i + 1} is {observation[i]:.4g}, simulated are {low[i]:.4g} to {high[i]:.4g}{more}"
