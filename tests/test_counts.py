"""Whole numbers of any type are taken for what they are, everywhere; truth values, texts and fractions are refused."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch
from torch.distributions import Independent, Normal

import ampbench
from ampbench.assess import hold_out, outcomes
from ampbench.counts import read_whole, whole
from ampbench.errors import GraphError, UsageError
from ampbench.graph import Graph, Plate, Simulator
from ampbench.interfaces import Limits
from ampbench.registry import Registry
from ampbench.results import Run
from ampbench.running.executors import Local
from ampbench.running.sweep import Request
from ampbench.seeding import derive, seeded
from ampbench.threads import limited_threads


class Index:
    def __index__(self) -> int:
        return 60


SIXTY = [
    60,
    60.0,
    np.int8(60),
    np.int64(60),
    np.uint16(60),
    np.float32(60),
    np.array(60),
    np.array(60.0),
    torch.tensor(60),
    torch.tensor(60, dtype=torch.uint8),
    torch.tensor(60.0),
    Index(),
    Fraction(120, 2),
    Decimal("6e1"),
]
REFUSED = [
    True,
    False,
    np.True_,
    torch.tensor(True),
    "60",
    b"60",
    60.5,
    np.float64(60.5),
    Fraction(1, 2),
    float("nan"),
    float("inf"),
    None,
    60j,
    [60],
    np.array([60]),
    torch.tensor([60]),
]

PRIOR = Independent(Normal(torch.zeros(1), torch.ones(1)), 1)


def noisy(theta: torch.Tensor) -> torch.Tensor:
    return theta + torch.randn_like(theta)


def infer(**numbers: Any) -> torch.Tensor:
    options: dict[str, Any] = {"budget": 60, "seed": 0} | numbers
    posterior = ampbench.infer(PRIOR, noisy, method="rejection-abc:accept=5", **options)
    with seeded(0):
        return posterior.sample(torch.tensor([0.5]), 3)


def run(**numbers: Any) -> str:
    options: dict[str, Any] = {"budget": 60, "observation": 60, "seed": 60, "samples": 60} | numbers
    return Run("t", "1", "m", "m", metrics=(), **options).key


DOORS: dict[str, tuple[str, Callable[[Any, Graph], Any]]] = {
    "derive": ("seed", lambda n, graph: derive(n, "fit")),
    "seeded": ("seed", lambda n, graph: _first_draw(n)),
    "infer budget": ("budget", lambda n, graph: infer(budget=n)),
    "infer seed": ("seed", lambda n, graph: infer(seed=n)),
    "simulator budget": ("budget", lambda n, graph: Simulator(graph, ["x"], n, 0).budget),
    "simulator seed": ("seed", lambda n, graph: Simulator(graph, ["x"], 9, n).sample(2)["x"]),
    "simulator n": ("n", lambda n, graph: Simulator(graph, ["x"], 60, 0).sample(n)["x"]),
    "graph n": ("n", lambda n, graph: graph.sample(n)["x"].shape),
    "threads": ("threads", lambda n, graph: limited_threads(n).__enter__()),
    "held out": ("held-out simulations", lambda n, graph: hold_out(graph, ["x"], n, 0).x),
    "held out seed": ("seed", lambda n, graph: hold_out(graph, ["x"], 50, n).x),
    "run budget": ("budget", lambda n, graph: run(budget=n)),
    "run seed": ("seed", lambda n, graph: run(seed=n)),
    "run observation": ("observation", lambda n, graph: run(observation=n)),
    "run samples": ("samples", lambda n, graph: run(samples=n)),
    "workers": ("workers", lambda n, graph: Local(workers=n).workers),
    "retries": ("retries", lambda n, graph: Limits(retries=n).retries),
}


def _first_draw(seed: Any) -> tuple[float, float]:
    with seeded(seed):
        return float(torch.rand(())), float(np.random.rand())


@pytest.mark.parametrize("number", SIXTY, ids=lambda n: f"{type(n).__module__}.{type(n).__name__}-{n!r:.20}")
@pytest.mark.parametrize("door", [door for door in DOORS if door != "threads"])
def test_any_type_gives_the_numbers_of_the_integer(door: str, number: Any, gaussian_graph: Graph) -> None:
    call = DOORS[door][1]
    found, expected = call(number, gaussian_graph), call(60, gaussian_graph)
    assert torch.equal(found, expected) if isinstance(found, torch.Tensor) else found == expected


@pytest.mark.parametrize("number", REFUSED, ids=lambda n: f"{type(n).__name__}-{n!r:.20}")
@pytest.mark.parametrize("door", DOORS)
def test_all_else_is_refused_by_name(door: str, number: Any, gaussian_graph: Graph) -> None:
    name, call = DOORS[door]
    with pytest.raises(UsageError, match=f"{name} must be a whole number, got"):
        call(number, gaussian_graph)


def test_whole_returns_an_int() -> None:
    assert {type(whole("n", number)) for number in SIXTY} == {int}


def test_purposes_of_streams_too() -> None:
    assert derive(0, "x", 3) == derive(0, "x", np.int64(3)) == derive(0, "x", torch.tensor(3))


@pytest.mark.parametrize("size", [True, "3", 2.5, 0])
def test_sizes_of_axes(size: Any) -> None:
    assert Plate("school", np.int64(3)).size == 3
    assert Plate("school", (np.int64(3), 1e1)).bounds == (3, 10)  # type: ignore[arg-type]
    with pytest.raises(GraphError, match="'school' has the size"):
        Plate("school", size)


def test_observations_are_numbered(registry: Registry) -> None:
    task = registry.build("tasks", "two_moons")
    assert torch.equal(task.numbered(np.int64(2)).x, task.numbered(2).x)
    assert task.observation(np.int64(4)).seed == 4
    with pytest.raises(UsageError, match="observation must be a whole number, got True"):
        task.numbered(True)


def test_budgets_of_assessments(gaussian_graph: Graph, registry: Registry) -> None:
    held_out = hold_out(gaussian_graph, ["x"], 50, 0)
    (found,) = outcomes(held_out, ["prior"], [np.float32(1e2)], registry)  # type: ignore[list-item]
    assert found.budget == 100
    with pytest.raises(UsageError, match="budget must be a whole number, got '100'"):
        list(outcomes(held_out, ["prior"], ["100"], registry))  # type: ignore[list-item]


@pytest.mark.parametrize(("text", "number"), [("200", 200), ("1e4", 10_000), ("1.5e1", 15), ("-3", -3), ("2.0", 2)])
def test_texts_of_the_command_line_and_of_specs(registry: Registry, text: str, number: int) -> None:
    assert read_whole("budget", text) == number
    if number > 0:
        assert registry.resolve("methods", f"amp:steps={text}") == registry.resolve("methods", f"amp:steps={number}")


@pytest.mark.parametrize("text", ["True", "1.5", "nan", "inf", "1e999999999", "", "many", "1e-1"])
def test_other_texts_are_refused(registry: Registry, text: str) -> None:
    with pytest.raises(UsageError, match="budget must be a whole number"):
        read_whole("budget", text)
    if text:
        with pytest.raises(UsageError, match="option 'steps' of method 'amp' cannot be"):
            registry.resolve("methods", f"amp:steps={text}")


@pytest.mark.parametrize("budget", [True, "200", 1.5])
def test_sweeps(registry: Registry, budget: object) -> None:
    given = {"tasks": ["two_moons"], "methods": ["prior"], "observations": [1]}
    (one,) = Request(given={**given, "budgets": [1e4]}, select=("budget=1e4",)).runs(registry)
    assert one.budget == 10_000
    with pytest.raises(UsageError, match="budgets"):
        Request(given={**given, "budgets": [budget]}).runs(registry)
