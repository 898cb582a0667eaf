"""The probe refuses simulators whose rows depend on each other, warns of unseeded ones, and lets all others pass."""

from __future__ import annotations

import os
import random
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.distributions import Beta, Gamma, Independent, Multinomial, Normal, StudentT

import ampbench
from ampbench.assess import hold_out
from ampbench.errors import SimulationError, SimulationWarning
from ampbench.graph import Graph, Plate, covariate, density, one_at_a_time, probe_simulators, simulator
from ampbench.registry import Registry, load

PRIOR = Independent(Normal(torch.zeros(2), torch.ones(2)), 1)
OWN, OWN_TORCH = np.random.default_rng(3), torch.Generator()

Simulate = Callable[[Tensor], object]


def model(simulate: Simulate) -> Graph:
    return Graph(density("theta", PRIOR), simulator("x", simulate, ["theta"]))


def gillespie(theta: Tensor) -> Tensor:
    """Birth and death until time 1; only rows that still run draw random numbers."""
    rates, time = theta.clamp(-2, 2).exp(), torch.zeros(len(theta))
    size, running = torch.full((len(theta),), 10.0), torch.ones(len(theta), dtype=torch.bool)
    while running.any():
        i = running.nonzero()[:, 0]
        time[i] += torch.empty(len(i)).exponential_() / (rates[i].sum(1) * size[i].clamp(min=1))
        size[i] += torch.where(torch.rand(len(i)) * rates[i].sum(1) < rates[i, 0], 1.0, -1.0)
        running = (time < 1) & (size > 0) & (size < 30)
    return size[:, None]


def positive(theta: Tensor) -> Tensor:
    """Normal, truncated to positive values by rejection."""
    out = torch.full((len(theta), 1), -1.0)
    while (bad := out[:, 0] <= 0).any():
        out[bad] = theta[bad, :1] + torch.randn(int(bad.sum()), 1)
    return out


def aligned_and_rejected(theta: Tensor) -> Tensor:
    u = torch.rand(len(theta), 1)
    return torch.cat([theta[:, :1] + 5 * u, u + 0.02 * positive(theta)], dim=1)


HONEST: dict[str, Simulate] = {
    "noise": lambda t: t + torch.randn_like(t),
    "deterministic": lambda t: t.exp() @ torch.ones(2, 5),
    "identity": lambda t: t,
    "constant": lambda t: torch.zeros(len(t), 1),
    "noise alone": lambda t: torch.randn(len(t), 3),
    "poisson": lambda t: torch.poisson(t.exp()),
    "numpy": lambda t: np.random.poisson(t.exp().numpy()),
    "random": lambda t: t + torch.tensor([[random.gauss(0, 1)] for _ in t]),
    "gamma": lambda t: Gamma(t.exp(), 1.0).sample(),
    "beta": lambda t: Beta(t.exp(), 1.0).sample(),
    "heavy tails": lambda t: t + StudentT(1.5).sample(t.shape),
    "bernoulli": lambda t: torch.bernoulli(t.sigmoid()),
    "rare": lambda t: torch.bernoulli((t - 5).sigmoid()),
    "multinomial": lambda t: Multinomial(20, logits=torch.cat([t, 0 * t], 1)).sample(),
    "gillespie": gillespie,
    "rejection": positive,
    "aligned and rejected": aligned_and_rejected,
    "solver": lambda t: t * (1 + 1e-4 * t.std(0)),
    "image": lambda t: torch.poisson(t.exp().repeat(1, 100)),
    "wrapped": one_at_a_time(lambda t: [t[0] + torch.randn(()), t[1]]),
    "wrapped rejection": one_at_a_time(lambda t: positive(t[None])),
    "seeded generator": lambda t: np.random.default_rng(np.random.randint(2**31)).poisson(t.exp().numpy()),
}


@pytest.mark.parametrize("budget", [20, 1000])
@pytest.mark.parametrize("name", HONEST)
def test_honest_simulators_pass(name: str, budget: int) -> None:
    for seed in range(3):
        probe_simulators(model(HONEST[name]), seed, budget)  # a warning is an error here


DEPENDENT: dict[str, Simulate] = {
    "centred": lambda t: t - t.mean(0),
    "centred, noise": lambda t: t - t.mean(0) + torch.randn_like(t),
    "standardised": lambda t: ((t - t.mean(0)) / t.std(0)).numpy(),
    "standardised, noise": lambda t: (t - t.mean(0)) / t.std(0) + 0.1 * torch.randn_like(t),
    "maximum": lambda t: t / t.max(),
    "softmax": lambda t: t.softmax(0),
    "cumulated": lambda t: np.cumsum(t.numpy(), axis=0),
    "sorted": lambda t: t.sort(0).values,
    "reversed": lambda t: t.flip(0),
    "shifted": lambda t: t.roll(2, 0),
    "first row": lambda t: t * t[0],
    "first row, noise": lambda t: t[0] + torch.randn_like(t),
    "last row": lambda t: t[-1] + 0 * t,
    "in a part": lambda t: torch.cat([t, t - 0.1 * t.mean(0)], dim=1),
    "centred counts": lambda t: torch.poisson((3 + t - t.mean(0)).exp()),
    "scaled noise": lambda t: torch.randn_like(t) * t.mean(0).exp(),
    "shared noise": lambda t: t + torch.randn(1),
}


@pytest.mark.parametrize("name", DEPENDENT)
def test_dependent_rows_are_refused_with_the_wrapper(name: str) -> None:
    with pytest.raises(SimulationError, match=r"rows of node 'x' depend on each other.*one_at_a_time\(simulate\)"):
        probe_simulators(model(DEPENDENT[name]), 0, 1000)


SINGLE: dict[str, Simulate] = {
    "unpacked": lambda t: (lambda a, b: np.array([a + b, a * b, a]))(*t),
    "indexed": lambda t: torch.stack([t[0] + torch.randn(()), 2 * t[1]]),
    "number": lambda t: t.sum(),
    "product": lambda t: torch.ones(3, 2) @ t,
    "list": lambda t: [float(t[0]), float(t[1])],
    "branch": lambda t: t if t[0] > 0 else -t,
}


@pytest.mark.parametrize("name", SINGLE)
def test_simulators_of_a_single_theta_are_refused_with_the_wrapper(name: str) -> None:
    with pytest.raises(SimulationError, match=r"works for a single theta of shape \(2,\).*one_at_a_time\(simulate\)"):
        probe_simulators(model(SINGLE[name]), 0, 100)
    probe_simulators(model(one_at_a_time(SINGLE[name])), 0, 100)


UNSEEDED: dict[str, Simulate] = {
    "own generator": lambda t: t.numpy() + OWN.normal(size=t.shape),
    "new generator": lambda t: t.numpy() + np.random.default_rng().normal(size=t.shape),
    "torch generator": lambda t: t + torch.randn(t.shape, generator=OWN_TORCH),
    "system": lambda t: t.numpy() + np.frombuffer(os.urandom(len(t)), np.uint8)[:, None],
    "small": lambda t: t.numpy() + 1e-3 * OWN.normal(size=t.shape),
    "fixed": lambda t: t.numpy() + np.random.default_rng(0).normal(size=t.shape),
    "fixed globally": lambda t: (torch.manual_seed(0), t + torch.randn_like(t))[1],
}


@pytest.mark.parametrize("name", UNSEEDED)
def test_unseeded_simulators_give_a_warning(name: str) -> None:
    with pytest.warns(SimulationWarning, match="node 'x'.*the seed does not determine its random numbers"):
        probe_simulators(model(UNSEEDED[name]), 0, 100)


def test_tasks_pass(registry: Registry) -> None:
    slow = {"birth_death", "lotka_volterra", "radon", "sir", "external", "digits"}
    for name in registry.entries("tasks").keys() - slow:
        probe_simulators(registry.build("tasks", name).graph, 0, 1000)


@pytest.mark.slow
@pytest.mark.parametrize("name", load().entries("tasks"))
def test_every_task_passes(registry: Registry, name: str) -> None:
    task = registry.build("tasks", name)
    for seed in range(3):
        probe_simulators(task.graph, seed, 10_000)


def test_repeated_variables_are_probed_once() -> None:
    calls: list[int] = []

    def simulate(theta: Tensor, known: Tensor) -> Tensor:
        calls.append(len(theta))
        return theta + known * torch.randn_like(theta)

    plate = Plate("plate", (3, 9))
    nodes = density("theta", PRIOR), covariate("known", torch.ones(5, 2), [plate])
    probe_simulators(Graph(*nodes, simulator("x", simulate, ["theta", "known"], along=[plate])), 0, 1000)
    assert calls == [16] * 3
    bad = simulator("x", lambda theta, known: theta - theta.mean(0), ["theta", "known"], along=[plate])
    with pytest.raises(SimulationError, match="rows of node 'x_1' depend on each other"):
        probe_simulators(Graph(*nodes, bad), 0, 1000)


def test_every_node_is_probed() -> None:
    middle = simulator("z", lambda t: t + torch.randn_like(t), ["theta"])
    below = simulator("x", lambda z, t: z - z.mean(0), ["z", "theta"])
    with pytest.raises(SimulationError, match="rows of node 'x'"):
        probe_simulators(Graph(density("theta", PRIOR), middle, below), 0, 1000)


def test_other_faults_are_left_to_the_run() -> None:
    probe_simulators(model(lambda t: torch.full((len(t), 1), torch.nan)), 0, 100)
    root = simulator("theta", lambda n: torch.full((n, 1), torch.nan))
    probe_simulators(Graph(root, simulator("x", HONEST["noise"], ["theta"])), 0, 100)
    with pytest.raises(SimulationError, match="NaN"):
        ampbench.infer(PRIOR, lambda t: torch.full((len(t), 1), torch.nan), budget=20, method="rejection-abc:accept=5")


def test_numbers_do_not_depend_on_the_probe() -> None:
    def drawn(probe: bool) -> Tensor:
        posterior = ampbench.infer(PRIOR, HONEST["noise"], budget=50, method="rejection-abc:accept=5", probe=probe)
        torch.manual_seed(0)
        return posterior.sample(torch.zeros(2), 9)

    state = torch.random.get_rng_state()
    probe_simulators(model(HONEST["noise"]), 0, 100)
    assert torch.equal(state, torch.random.get_rng_state())
    assert torch.equal(drawn(True), drawn(False))


def test_the_doors_probe() -> None:
    with pytest.raises(SimulationError, match="depend on each other"):
        ampbench.infer(PRIOR, DEPENDENT["centred"], budget=50)
    with pytest.raises(SimulationError, match="depend on each other"):
        ampbench.infer_graph(model(DEPENDENT["centred"]), ["x"], budget=50)
    with pytest.raises(SimulationError, match="depend on each other"):
        hold_out(model(DEPENDENT["centred"]), ["x"], 50, 0)
    with pytest.warns(SimulationWarning, match="the seed does not determine"):
        hold_out(model(UNSEEDED["own generator"]), ["x"], 50, 0)


def test_one_at_a_time_names_what_is_wrong() -> None:
    theta = torch.tensor([[0.0, 0.0], [1.0, 0.0], [2.0, 0.0]])
    with pytest.raises(SimulationError, match=r"returned draws of shape \(1,\) and of shape \(2,\)"):
        one_at_a_time(lambda t: torch.zeros(1 + int(t[0])))(theta)
    with pytest.raises(SimulationError, match="returned dict, not a number or an array"):
        one_at_a_time(lambda t: {})(theta)


def test_one_at_a_time_passes_several_parents_and_copies_buffers() -> None:
    buffer = torch.zeros(2)
    simulate = one_at_a_time(lambda a, b: buffer.copy_(a * b))
    a, b = torch.rand(3, 2), torch.rand(3, 2)
    assert torch.equal(simulate(a, b), a * b)
