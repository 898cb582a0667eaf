"""Gaps: NaN is a missing entry where a node says so, a failure elsewhere, and never a number."""

from __future__ import annotations

import warnings

import pytest
import torch
from torch import Tensor
from torch.distributions import Independent, Normal, constraints

from ampbench.errors import GraphError, SimulationError, SimulationWarning, UsageError
from ampbench.graph import Graph, Node, Plate, Simulator, density, probe_simulators, simulator
from ampbench.graph.coded import CodedEvidence
from ampbench.graph.coordinates import Coordinates
from ampbench.graph.gaps import MIN_VALUES, GappedCoordinates, check_evidence, coordinates_of
from ampbench.interfaces import check_observation

PRIOR = density("theta", Independent(Normal(torch.zeros(1), torch.ones(1)), 1))
NAN, INF = torch.nan, torch.inf


def returning(rows: list[list[float]], gaps: bool = True, support: constraints.Constraint = constraints.real) -> Node:
    return simulator("x", lambda theta: torch.tensor(rows), ["theta"], support=support, gaps=gaps)


def trials(theta: Tensor) -> Tensor:
    """Ten trials at most, of which the first 1 to 10 are run."""
    run = torch.arange(10) < torch.randint(1, 11, (len(theta), 1))
    return torch.where(run, theta + torch.randn(len(theta), 10), torch.nan)


@pytest.mark.parametrize(
    ("rows", "fault"),
    [
        ([[1.0, NAN], [NAN, 2.0]], ""),
        ([[1.0, 2.0], [3.0, 4.0]], ""),
        ([[NAN, NAN], [1.0, 2.0]], "infinite values, or no value at all, in 1 of 2 rows"),
        ([[NAN, INF], [-INF, 2.0]], "infinite values, or no value at all, in 2 of 2 rows"),
    ],
)
def test_what_is_a_gap_and_what_a_failure(rows: list[list[float]], fault: str) -> None:
    source = Simulator(Graph(PRIOR, returning(rows)), ["x"], 2, seed=0)
    if fault:
        with pytest.raises(SimulationError, match=f"'x' has {fault}"):
            source.sample(2)
    else:
        assert torch.allclose(source.sample(2)["x"], torch.tensor(rows), equal_nan=True)


def test_without_gaps_nan_is_a_failure() -> None:
    with pytest.raises(SimulationError, match="'x' has NaN or infinite values in 2 of 2 rows"):
        Simulator(Graph(PRIOR, returning([[1.0, NAN], [NAN, 2.0]], gaps=False)), ["x"], 2, seed=0).sample(2)


@pytest.mark.parametrize("support", [constraints.positive, constraints.independent(constraints.positive, 1)])
def test_values_beside_gaps_stay_in_the_support(support: constraints.Constraint) -> None:
    Graph(PRIOR, returning([[1.0, NAN], [NAN, 2.0]], support=support)).sample(2)
    with pytest.raises(SimulationError, match=r"outside its support .* in 1 of 2 rows"):
        Graph(PRIOR, returning([[1.0, NAN], [NAN, -2.0]], support=support)).sample(2)


def test_only_observed_variables_without_children_have_gaps() -> None:
    below = simulator("y", lambda x: x, ["x"])
    with pytest.raises(GraphError, match="'x' has gaps, but is a parent of 'y'"):
        Graph(PRIOR, simulator("x", trials, ["theta"], gaps=True), below)
    with pytest.raises(GraphError, match="'x' has gaps, but is not observed"):
        Simulator(
            Graph(PRIOR, simulator("x", trials, ["theta"], gaps=True), simulator("y", abs, ["theta"])), ["y"], 5, seed=0
        )
    with pytest.raises(GraphError, match="'x' has gaps, but 'y' is repeated"):
        Graph(
            PRIOR,
            simulator("x", trials, ["theta"], gaps=True),
            simulator("y", abs, ["theta"], along=[Plate("plate", 3)]),
        )
    with pytest.raises(GraphError, match="'x' is repeated and has gaps"):
        simulator("x", trials, ["theta"], along=[Plate("plate", 3)], gaps=True)
    with pytest.raises(GraphError, match="'x' has gaps, but its support"):
        simulator("x", trials, ["theta"], support=constraints.simplex, gaps=True)


@pytest.mark.parametrize(
    "support",
    [constraints.real, constraints.positive, constraints.unit_interval, constraints.boolean, constraints.cat(
        [constraints.positive, constraints.real], -1, [3, 2]
    )],
    ids=str,
)  # fmt: skip
def test_coordinates_are_standardised_values_and_mask(support: constraints.Constraint) -> None:
    whole = torch.rand(400, 5)
    whole = whole.round() if support is constraints.boolean else whole
    there = torch.rand(400, 5) < 0.7
    x = torch.where(there, whole, torch.nan)
    coordinates = coordinates_of(x, support, gaps=True)
    u = coordinates.encode(x)
    values, mask = u.chunk(2, dim=1)
    assert (coordinates.size, coordinates.features) == (10, 5)
    assert torch.equal(mask > 0, there)
    assert bool((values[~there] == 0).all())
    for d in range(5):
        rows = whole[there[:, d]]
        assert torch.allclose(values[there[:, d], d], Coordinates(rows, support).encode(rows)[:, d], atol=1e-5)
    back = coordinates.decode(u)
    assert torch.equal(back.isnan(), ~there)
    assert torch.allclose(back[there], x[there], atol=1e-5)


def test_alike_components_get_one_location_and_scale() -> None:
    x = torch.randn(50, 6) * torch.tensor([1.0, 10.0]).repeat(3) + torch.tensor([0.0, 100.0]).repeat(3)
    there = torch.rand(50, 6) < 0.5
    entries = torch.arange(6) % 2
    coordinates = coordinates_of(torch.where(there, x, torch.nan), constraints.real, gaps=True, alike=entries)
    for entry in (0, 1):
        pooled = x[:, entries == entry][there[:, entries == entry]]
        assert torch.allclose(coordinates.location[entries == entry], pooled.mean(), rtol=1e-5)
        assert torch.allclose(coordinates.scale[entries == entry], pooled.std(), rtol=1e-5)
    full = Coordinates(x, constraints.real, entries)
    assert torch.allclose(full.scale[0], x[:, ::2].std(), rtol=1e-5)


def test_components_with_few_values_or_none_divide_by_nothing_small() -> None:
    x = torch.full((100, 4), NAN)
    x[:, 0] = torch.randn(100)
    x[:2, 1] = torch.tensor([5.0, 5.0 + 1e-6])  # the own scale of two values would be 1e-6
    x[: MIN_VALUES + 1, 2] = 3.0  # a constant
    coordinates = GappedCoordinates(x, constraints.real)
    u = coordinates.encode(torch.tensor([0.0, 0.0, 4.0, 7.0]))
    assert bool(u.isfinite().all())
    assert bool(u.abs().max() < 20)
    assert float(u[2]) == pytest.approx(1.0)
    nothing = GappedCoordinates(torch.full((5, 2), NAN), constraints.real)
    assert nothing.encode(torch.tensor([1.0, NAN])).tolist() == [1.0, 0.0, 1.0, 0.0]


def test_double_precision_stays_where_rounding_would_lose_values_beside_gaps() -> None:
    z = torch.randn(200, 3, dtype=torch.float64)
    there = torch.rand(200, 3) < 0.8
    there[:, 0] = True
    node = simulator("x", lambda theta: torch.where(there, 1.2e9 + 0.1 * z, torch.nan), ["theta"], gaps=True)
    x = Graph(PRIOR, node).sample(200)["x"]
    assert x.dtype == torch.float64
    values = GappedCoordinates(x, constraints.real).encode(x)[:, :3][there]
    assert abs(float(values.std()) - 1) < 0.1


def test_new_values_and_new_gaps_of_an_observation_are_reported() -> None:
    x = torch.randn(50, 3)
    x[:, 1] = NAN
    x[:25, 2] = NAN
    coordinates = {"x": GappedCoordinates(x, constraints.real)}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_evidence({"x": torch.tensor([0.0, NAN, NAN])}, coordinates)
    with pytest.warns(SimulationWarning, match="'x' has a value at component 1, which was missing in all simulations"):
        check_evidence({"x": torch.tensor([0.0, 1.0, NAN])}, coordinates)
    with pytest.warns(SimulationWarning, match="'x' has a gap at component 0, which was there in all simulations"):
        check_evidence({"x": torch.tensor([NAN, NAN, 1.0])}, coordinates)
    in_any_order = {"x": GappedCoordinates(x, constraints.real, torch.zeros(3, dtype=torch.long))}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_evidence({"x": torch.tensor([NAN, 1.0, NAN])}, in_any_order)
    with pytest.raises(UsageError, match="'x' has no value: all 3"):
        check_evidence({"x": torch.full((3,), NAN)}, coordinates)
    with pytest.raises(UsageError, match=r"'y' holds NaN: component 1; only a variable .* gaps=True"):
        check_evidence({"y": torch.tensor([0.0, NAN])}, {"y": Coordinates(torch.randn(9, 2), constraints.real)})


def test_an_observation_with_gaps() -> None:
    gappy = torch.tensor([1.0, NAN])
    assert check_observation(gappy, 2, gaps=True) is gappy
    for bad, features in ((torch.tensor([1.0, INF]), 2), (gappy, 3), (gappy[None], 2)):
        with pytest.raises(UsageError, match="the observation"):
            check_observation(bad, features, gaps=True)
    with pytest.raises(UsageError, match="component 1 is nan"):
        check_observation(gappy, 2)


def test_joined_evidence_keeps_variables_without_gaps_as_they_are() -> None:
    both = Graph(PRIOR, simulator("x", trials, ["theta"], gaps=True), simulator("y", torch.sin, ["theta"]))
    values = {name: each for name, each in both.sample(100).items() if name != "theta"}
    evidence = CodedEvidence.of(both, values)
    joined = torch.cat([values["x"], values["y"]], 1)
    coded = evidence.encode(joined)
    assert evidence.sizes == {"x": 10, "y": 1}
    assert coded.shape == (100, 21)
    assert torch.equal(coded[:, 20:], Coordinates(values["y"], constraints.real).encode(values["y"]))


@pytest.mark.parametrize("share", [False, True])
def test_the_probe_sees_whether_gaps_depend_on_other_rows(share: bool) -> None:
    def simulate(theta: Tensor) -> Tensor:
        run = (theta.mean() if share else theta) + torch.zeros(len(theta), 3) > torch.tensor([-9.0, 0.0, 0.5])
        return torch.where(run, theta.expand(-1, 3), torch.nan)

    graph = Graph(PRIOR, simulator("x", simulate, ["theta"], gaps=True))
    if share:
        with pytest.raises(SimulationError, match="depend on each other"):
            probe_simulators(graph, 0, 1000)
    else:
        probe_simulators(graph, 0, 1000)
