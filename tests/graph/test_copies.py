"""User code and this package share no values: simulators and callers may work in place."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.distributions import Distribution, Independent, Normal, Uniform, constraints

from ampbench.graph import Chain, Graph, Plate, Simulator, covariate, density, learned, previous, simulator
from ampbench.graph.copies import copied, own

UNIT = Independent(Uniform(torch.zeros(2), torch.ones(2)), 1)


def numpy_in_place(theta: Tensor, *others: Tensor) -> np.ndarray:
    array = theta.numpy()
    array[:, 0] = 5 + np.sin(array[:, 0])
    return array


IN_PLACE: dict[str, Callable[..., object]] = {
    "torch": lambda *parents: [parent.mul_(100) for parent in parents].pop(),
    "numpy": numpy_in_place,
    "view": lambda *parents: [parent[:, :1].fill_(50.0) for parent in parents].pop(),
    "input": lambda *parents: parents[0],
    "data": lambda *parents: parents[-1].data.zero_(),
}


def graphs(f: Callable[..., object]) -> dict[str, Graph]:
    """Graphs whose simulators call f, by the place of the simulator."""
    theta, other, plate = density("theta", UNIT), density("other", UNIT), Plate("plate", 3)
    return {
        "child": Graph(theta, simulator("x", f, ["theta"])),
        "two children": Graph(theta, simulator("x", f, ["theta"]), simulator("y", f, ["theta"])),
        "two parents": Graph(theta, other, simulator("x", f, ["theta", "other"])),
        "plate": Graph(theta, simulator("x", f, ["theta"], along=[plate])),
        "inner plate": Graph(density("theta", UNIT, along=[plate]), simulator("x", f, ["theta"], along=[plate])),
        "covariate": Graph(
            theta,
            covariate("known", torch.arange(6.0).reshape(3, 2), [plate]),
            simulator("x", f, ["theta", "known"], along=[plate]),
        ),
        "chain": Graph(
            theta,
            simulator("x", f, [previous("x"), "theta"], along=[Chain("time", 4)], first=lambda t: f(t)),
        ),
        "density": Graph(theta, density("x", lambda t: Normal_of(f(t)), ["theta"])),
    }


def Normal_of(mean: object) -> Distribution:  # noqa: N802 — a law
    return Independent(Normal(torch.as_tensor(mean), 1.0), 1)


@pytest.mark.parametrize("work", IN_PLACE)
@pytest.mark.parametrize("place", graphs(abs))
def test_simulators_may_work_in_place(work: str, place: str) -> None:
    graph, clean = graphs(IN_PLACE[work])[place], graphs(lambda t, *others: t.clone())[place]
    torch.manual_seed(0)
    values = graph.sample(6)
    torch.manual_seed(0)
    expected = clean.sample(6)
    for name in {"theta", "other", "known"} & set(graph.names):
        assert torch.equal(values[name], expected[name]), name


@pytest.mark.parametrize("work", IN_PLACE)
def test_simulations_that_are_trained_on_are_those_of_the_prior(work: str) -> None:
    source = Simulator(graphs(IN_PLACE[work])["child"], ["x"], 20, seed=0)
    given = torch.rand(10, 2)
    kept = given.clone()
    assert bool(UNIT.support.check(source.sample(10)["theta"]).all())
    assert torch.equal(source.sample(10, {"theta": given})["theta"], kept)
    assert torch.equal(given, kept)


def test_covariates_of_flat_graphs_stay() -> None:
    rows = torch.rand(3, 2)
    kept, plate = rows.clone(), Plate("plate", 3)
    known = covariate("known", rows, [plate])
    graph = Graph(density("theta", UNIT), known, simulator("x", numpy_of_last, ["theta", "known"], along=[plate]))
    flat = graph.ground()
    assert torch.equal(flat.sample(4)["x_1"], flat.sample(4)["x_1"])
    rows.zero_()
    assert torch.equal(known.conditional.rows, kept)  # type: ignore[union-attr]


def numpy_of_last(theta: Tensor, known: Tensor) -> np.ndarray:
    array = known.numpy()
    array += 1
    return array


def test_an_output_buffer_may_be_used_again() -> None:
    buffer = np.zeros((5, 2), dtype=np.float32)

    def simulate(theta: Tensor) -> np.ndarray:
        buffer[:] = theta.numpy()
        return buffer

    graph = Graph(density("theta", UNIT), simulator("x", simulate, ["theta"]))
    first, second = graph.sample(5), graph.sample(5)
    assert torch.equal(first["x"], first["theta"])
    assert torch.equal(second["x"], second["theta"])


def test_learned_conditionals_keep_their_gradients() -> None:
    class Law(torch.nn.Linear):
        def forward(self, parent: Tensor) -> Tensor:
            return super().forward(parent.mul_(2.0))

    law = Law(2, 2)
    z = torch.ones(3, 2, requires_grad=True)
    graph = Graph(density("z", UNIT), learned("x", law, ["z"]))
    x = graph.complete(3, {"z": z * 1.0})["x"]
    x.sum().backward()
    assert torch.allclose(z.grad, 2 * law.weight.sum(0).expand(3, -1))
    assert bool((z == 1).all())


def test_priors_keep_their_bounds() -> None:
    low, high = torch.zeros(2), torch.ones(2)
    node = density("theta", Independent(Uniform(low, high), 1))
    low.fill_(10.0)
    high.fill_(20.0)
    assert bool((node.sample(100) <= 1).all())
    assert bool(node.support.check(torch.full((1, 2), 0.5)).all())
    assert not bool(node.support.check(torch.full((1, 2), 15.0)).any())


def test_constraints_are_recognised_in_copies() -> None:
    class Law(Normal):
        def __init__(self) -> None:
            super().__init__(0.0, 1.0)
            self.bound = constraints.real

    assert own(Law()).bound is constraints.real
    assert own(constraints.boolean) is constraints.boolean


def test_what_has_no_copy_stays() -> None:
    mean = torch.zeros(2, requires_grad=True) * 2.0
    law = Independent(Normal(mean, 1.0), 1)
    assert own(law) is law


WHOLE = torch.arange(24.0)


@pytest.mark.parametrize(
    "value",
    [
        WHOLE.reshape(4, 6),
        WHOLE.reshape(4, 6)[:, ::2],
        WHOLE.reshape(4, 6).T,
        WHOLE[:6].expand(4, 6),
        WHOLE.as_strided((4, 3), (2, 1)),
        WHOLE[:0].reshape(0, 3),
        WHOLE.reshape(24, 1),
    ],
    ids=["dense", "sliced", "transposed", "expanded", "overlapping", "empty", "column"],
)
def test_copies_have_memory_of_their_own(value: Tensor) -> None:
    made, before = copied(value), value.clone()
    change = torch.arange(float(made.numel())).reshape(made.shape)
    made += change
    assert torch.equal(made, before + change)
    assert torch.equal(value, before)
