"""Graphs with repeated variables, for tests of methods that use the repetition."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.distributions import Distribution, HalfNormal, Independent, Normal

from ampbench.graph import Chain, Graph, Plate, Tree, covariate, density, previous, simulator

TIME = Chain("time", (2, 5))
SCHOOL = Plate("school", (2, 5))
PUPIL = Plate("pupil", (1, 4))
CLADE = Tree("clade", (1, 3))

STANDARD = Independent(Normal(torch.zeros(1), torch.ones(1)), 1)
HALF = Independent(HalfNormal(torch.ones(1)), 1)


def normal(mean: Tensor, deviation: Tensor | float) -> Distribution:
    """Return a normal distribution with batch shape (n,), given means (n, D)."""
    return Independent(Normal(mean, torch.as_tensor(deviation).expand_as(mean)), 1)


def noisy(deviation: float) -> Callable[[Tensor], Tensor]:
    """Return a simulator that adds normal noise."""
    return lambda value: value + deviation * torch.randn_like(value)


def state_space() -> Graph:
    """A stationary chain with an observation of every state."""
    return Graph(
        density("z", lambda z: normal(0.9 * z, 0.19**0.5), [previous("z")], along=[TIME], first=STANDARD, size=1),
        simulator("x", noisy(0.5), ["z"], along=[TIME], size=1),
    )


def parameters_and_states() -> Graph:
    """A chain with two unknown parameters outside it."""
    return Graph(
        density("a", STANDARD),
        density("r", HALF),
        density(
            "z",
            lambda z, a: normal(a.tanh() * z, 1.0),
            [previous("z"), "a"],
            along=[TIME],
            first=lambda a: normal(0 * a, 1.0),
            size=1,
        ),
        simulator("x", lambda z, r: z + r * torch.randn_like(z), ["z", "r"], along=[TIME], size=1),
    )


def autoregressive() -> Graph:
    """Each observation depends on the one before it and on a state."""
    return Graph(
        density("z", lambda z: normal(0.9 * z, 0.19**0.5), [previous("z")], along=[TIME], first=STANDARD, size=1),
        simulator(
            "x",
            lambda x, z: noisy(0.5)(0.5 * x + z),
            [previous("x"), "z"],
            along=[TIME],
            first=noisy(0.5),
            size=1,
        ),
    )


def hierarchical() -> Graph:
    """Groups with an unknown mean and an unknown spread; a vector is observed in each."""
    return Graph(
        density("mu", STANDARD),
        density("tau", HALF),
        density("theta", lambda mu, tau: normal(mu, tau + 1e-6), ["mu", "tau"], along=[SCHOOL], size=1),
        simulator("y", lambda theta: theta + torch.randn(len(theta), 3), ["theta"], along=[SCHOOL], size=3),
    )


def nested() -> Graph:
    """Groups within which a random part of the repeats is observed."""
    return Graph(
        density("mu", STANDARD),
        density("theta", lambda mu: normal(mu, 0.5), ["mu"], along=[SCHOOL], size=1),
        simulator("y", noisy(1.0), ["theta"], along=[SCHOOL, PUPIL], size=1, missing=(0.0, 0.5)),
    )


def many_series() -> Graph:
    """A chain in every group."""
    return Graph(
        density("mu", STANDARD),
        density("a", lambda mu: normal(mu, 0.3), ["mu"], along=[SCHOOL], size=1),
        density(
            "z",
            lambda z, a: normal(0.5 * z + a, 1.0),
            [previous("z"), "a"],
            along=[SCHOOL, TIME],
            first=lambda a: normal(a, 1.0),
            size=1,
        ),
        simulator("x", noisy(0.1), ["z"], along=[SCHOOL, TIME], size=1),
    )


def tree() -> Graph:
    """A tree whose leaves are observed."""
    return Graph(
        density("z", lambda z: normal(z, 0.6), [previous("z")], along=[CLADE], first=STANDARD, size=1),
        simulator("x", noisy(0.3), ["z"], along=[CLADE], leaves=True, size=1),
    )


def schools() -> Graph:
    """Eight schools with known standard errors."""
    eight = Plate("school", 8)
    return Graph(
        density("mu", STANDARD),
        density("theta", lambda mu: normal(mu, 0.5), ["mu"], along=[eight], size=1),
        covariate("sigma", torch.arange(1.0, 9.0)[:, None] / 8, along=[eight]),
        simulator("y", lambda theta, s: theta + s * torch.randn_like(theta), ["theta", "sigma"], along=[eight], size=1),
    )


def ragged() -> Graph:
    """Groups of one to four members, of which a predictor is known."""
    group, member = Plate("group", 6), Plate("member", 4)
    ages = torch.arange(24.0).reshape(6, 4, 1) / 12 - 1
    for j, count in enumerate((4, 1, 2, 4, 3, 2)):
        ages[j, count:] = torch.nan
    return Graph(
        density("mu", STANDARD),
        density("theta", lambda mu: normal(mu, 0.5), ["mu"], along=[group], size=1),
        covariate("age", ages, along=[group, member]),
        simulator("y", lambda t, a: noisy(0.5)(t + a), ["theta", "age"], along=[group, member], size=1),
    )


MODELS: dict[str, tuple[Callable[[], Graph], tuple[str, ...], str]] = {
    "state space": (state_space, ("x",), "(z first | evidence) (z | z before, evidence)"),
    "parameters and states": (
        parameters_and_states,
        ("x",),
        "(a | evidence) (r | a, evidence) (z first | a, r, evidence) (z | a, r, z before, evidence)",
    ),
    "autoregressive": (autoregressive, ("x",), "(z first | evidence) (z | z before, evidence)"),
    "hierarchical": (hierarchical, ("y",), "(mu | evidence) (tau | mu, evidence) (theta | mu, tau, evidence)"),
    "nested": (nested, ("y",), "(mu | evidence) (theta | mu, evidence)"),
    "many series": (
        many_series,
        ("x",),
        "(mu | evidence) (a | mu, evidence) (z first | a, evidence) (z | a, z before, evidence)",
    ),
    "tree": (tree, ("x",), "(z first | evidence) (z | z before, evidence)"),
    "ragged": (ragged, ("age", "y"), "(mu | evidence) (theta | mu, evidence)"),
    "schools": (schools, ("sigma", "y"), "(mu | evidence) (theta | mu, evidence)"),
}
"""By name: the graph, its observed variables, and its inverse."""
