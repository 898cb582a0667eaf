"""Repeated variables: simulations agree with those of the flat graph, and what is wrong is refused by name."""

from __future__ import annotations

import pytest
import torch

from ampbench.errors import GraphError
from ampbench.graph import Chain, Graph, Plate, Tree, covariate, density, previous, simulator
from ampbench.graph.repeats import flat_names, stack, unstack
from ampbench.testing.repeated import (
    CLADE,
    MODELS,
    SCHOOL,
    STANDARD,
    TIME,
    autoregressive,
    nested,
    noisy,
    normal,
    ragged,
    schools,
    state_space,
    tree,
)

SIZES = {"time": 4, "school": 3, "pupil": 2, "clade": 2}


def sizes_of(graph: Graph) -> dict[str, int]:
    return {axis.name: axis.size if isinstance(axis.size, int) else SIZES[axis.name] for axis in graph.axes}


@pytest.mark.parametrize("name", MODELS)
def test_simulations_agree_with_those_of_the_flat_graph(name: str) -> None:
    graph, n = MODELS[name][0](), 40_000
    sizes = sizes_of(graph)
    torch.manual_seed(0)
    repeated = unstack(graph.sample(n, sizes=sizes), graph.nodes, sizes)
    flat = graph.ground(sizes)
    drawn = flat.sample(n)
    names = [each for each in flat.names if not repeated[each].isnan().any()]
    a, b = (torch.cat([values[each] for each in names], 1) for values in (repeated, drawn))
    scale = b.std(0)
    assert torch.allclose(a.mean(0) / scale, b.mean(0) / scale, atol=0.05)
    correlations = [torch.corrcoef((each / scale).T) for each in (a, b)]
    assert torch.allclose(*correlations, atol=0.05)
    assert torch.allclose(a.std(0) / scale, torch.ones(len(scale)), atol=0.05)


@pytest.mark.parametrize("name", MODELS)
def test_stacking_is_undone(name: str) -> None:
    graph = MODELS[name][0]()
    sizes = sizes_of(graph)
    flat = graph.ground(sizes).sample(3)
    again = unstack(stack(flat, graph.nodes, sizes), graph.nodes, sizes)
    assert all(torch.equal(again[each], value) for each, value in flat.items())


def test_flat_names_count_from_one() -> None:
    assert nested().ground({"school": 2, "pupil": 2}).names[-4:] == ("y_1_1", "y_1_2", "y_2_1", "y_2_2")
    assert flat_names(tree()["z"], {"clade": 1}) == ["z_1", "z_2", "z_3"]
    assert state_space().ground({"time": 2}, x=torch.tensor([False, True])).names == ("z_1", "z_2", "x_2")


def test_missing_repeats_are_nan_with_the_given_share() -> None:
    torch.manual_seed(0)
    values = nested().sample(4000, sizes={"school": 3, "pupil": 4})
    share = values["y"].isnan().double().mean((2, 3))  # of each group
    assert float(share.mean()) == pytest.approx(0.25, abs=0.01)
    assert float(share.std()) > 0.2  # groups have shares of their own
    assert not values["theta"].isnan().any()


def test_only_leaves_are_observed() -> None:
    values = tree().sample(5, sizes={"clade": 2})
    assert values["x"].isnan()[0, :, 0].tolist() == [True] * 3 + [False] * 4
    assert CLADE.before(2).tolist() == [-1, 0, 0, 1, 1, 2, 2]


def test_covariates_are_constants_of_the_flat_graph_and_drawn_for_other_sizes() -> None:
    graph = schools()
    assert graph.ground().names == ("mu", *(f"theta_{j}" for j in range(1, 9)), *(f"y_{j}" for j in range(1, 9)))
    assert graph.sample(2)["sigma"][1, :, 0].tolist() == [j / 8 for j in range(1, 9)]
    drawn = graph.sample(200, sizes={"school": 5})["sigma"]
    assert drawn.shape == (200, 5, 1)
    assert sorted(drawn.unique().tolist()) == [j / 8 for j in range(1, 9)]
    with pytest.raises(GraphError, match="covariate 'sigma' has 8 rows, but there are 5 repeats"):
        graph.ground({"school": 5})


def test_variables_have_no_value_where_a_covariate_has_none() -> None:
    """Also below such variables, and with other numbers of groups, which keep their members together."""
    graph = Graph(*ragged().nodes, simulator("z", noisy(1.0), ["y"], along=ragged().axes, size=1))
    for groups in (6, 9):
        drawn = graph.sample(50, sizes={"group": groups})
        gone = drawn["age"].isnan()
        assert torch.equal(gone, drawn["y"].isnan())
        assert torch.equal(gone, drawn["z"].isnan())
        assert set((~gone).sum((2, 3)).unique().tolist()) == {1, 2, 3, 4}
        steps = drawn["age"].diff(dim=2)
        assert torch.allclose(steps[~steps.isnan()], torch.tensor(1 / 12), atol=1e-6)
    assert len(graph.ground().names) == 1 + 6 + 16 + 16
    again = graph.sample(50, {"age": drawn["age"]}, {"group": 9})
    assert torch.equal(again["y"].isnan(), gone)


def test_a_long_chain_is_quick_to_simulate_and_to_ground() -> None:
    graph = state_space()
    assert graph.sample(2, sizes={"time": 3000})["x"].shape == (2, 3000, 1)
    assert len(graph.ground({"time": 3000}).names) == 6000


def test_observations_follow_observations() -> None:
    torch.manual_seed(0)
    x = autoregressive().sample(50_000, sizes={"time": 3})["x"][..., 0]
    assert float(x[:, 0].std()) == pytest.approx((1 + 0.25) ** 0.5, rel=0.02)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: Graph(density("z", STANDARD, along=[TIME]), simulator("x", noisy(1), ["z"])),
            "along \\(\\), has the parent 'z'",
        ),
        (
            lambda: Graph(
                density("a", STANDARD, along=[SCHOOL]),
                density("b", STANDARD, along=[Plate("question", 3)]),
                simulator("y", lambda a, b: a + b, ["a", "b"], along=[SCHOOL, Plate("question", 3)]),
            ),
            "Crossed plates are not supported: keep one of them",
        ),
        (lambda: covariate("c", torch.zeros(3), along=[SCHOOL]), "values of shape \\(3,\\) along 1 axes"),
        (lambda: covariate("c", torch.zeros(3, 1), along=[]), "values of shape \\(3, 1\\) along 0 axes"),
        (lambda: covariate("c", torch.zeros(0, 1), along=[SCHOOL]), "values of shape \\(0, 1\\)"),
        (lambda: covariate("c", torch.full((3, 1), torch.nan), along=[SCHOOL]), "no repeat without NaN"),
        (lambda: covariate("c", torch.tensor([[1.0, torch.nan]]), along=[SCHOOL]), "some components are NaN"),
        (lambda: covariate("c", torch.tensor([[torch.inf]]), along=[SCHOOL]), "has infinite values"),
        (lambda: density("z", noisy(1), [previous("z")], along=[SCHOOL], first=STANDARD), "is no chain and no tree"),
        (lambda: density("z", noisy(1), [previous("z")], along=[TIME]), "give first="),
        (lambda: density("z", STANDARD, along=[TIME], first=STANDARD), "but no previous"),
        (lambda: simulator("x", noisy(1), leaves=True, along=[TIME]), "is no tree"),
        (lambda: simulator("x", noisy(1), missing=(0.5, 0.2), along=[TIME]), "range \\(0.5, 0.2\\) of missing"),
        (lambda: simulator("x", noisy(1), missing=(0.0, 0.2)), "missing repeats, but no axis"),
        (lambda: density("z", STANDARD, along=[TIME, TIME]), "twice along one axis"),
        (lambda: Chain("time", 0), "axis 'time' has the size 0"),
        (lambda: Plate("school", (5, 3)), "axis 'school' has the size \\(5, 3\\)"),
        (lambda: Tree("clade", 2, branching=0), "branching 0"),
        (
            lambda: Graph(density("a", STANDARD, along=[Plate("p", 2)]), density("b", STANDARD, along=[Plate("p", 3)])),
            "two axes are named 'p'",
        ),
        (lambda: covariate("s", torch.zeros(3), along=[SCHOOL]), "covariate 's' has values of shape \\(3,\\)"),
        (lambda: state_space().sample(2), "axis 'time' has sizes from 2 to 5; name one"),
        (lambda: state_space().sample(2, sizes={"tome": 3}), "unknown axis 'tome'"),
        (lambda: state_space().ground({"time": 0}), "axis 'time' got the size 0"),
        (
            lambda: Graph(
                density("z", STANDARD, along=[TIME]),
                density("w", lambda z: normal(z, 1.0), [previous("z")], along=[SCHOOL, TIME], first=STANDARD),
            ),
            "which has other axes",
        ),
    ],
)
def test_what_is_wrong_is_named(make: object, message: str) -> None:
    with pytest.raises(GraphError, match=message):
        make()  # type: ignore[operator]
