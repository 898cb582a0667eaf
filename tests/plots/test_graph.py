"""Drawings of models: layers, crossings, boxes, shading, and the edges of model and inverse."""

from __future__ import annotations

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.distributions import Independent, Normal

from ampbench import registry
from ampbench.errors import UsageError
from ampbench.figures.style import BAND
from ampbench.graph import Chain, Graph, Plate, Tree, density, previous, simulator
from ampbench.interfaces import Task
from ampbench.plots import graph_plot
from ampbench.plots.boxes import place
from ampbench.plots.diagram import MAX_VARIABLES, describe
from ampbench.plots.layout import crossings, layers, positions

ONE = Independent(Normal(torch.zeros(1), torch.ones(1)), 1)


def step(before: torch.Tensor) -> Independent:
    return Independent(Normal(before, 1.0), 1)


@st.composite
def dags(draw: st.DrawFn) -> dict[str, list[str]]:
    names = [f"v{i}" for i in range(draw(st.integers(1, 12)))]
    return {name: [other for other in names[:i] if draw(st.booleans())] for i, name in enumerate(names)}


@settings(max_examples=60, deadline=None)
@given(dags())
def test_children_are_below_their_parents_and_nothing_overlaps(parents: dict[str, list[str]]) -> None:
    level, widths = layers(parents), {name: 0.5 + 0.1 * i for i, name in enumerate(parents)}
    assert all(level[above] < level[name] for name in parents for above in parents[name])
    centres = positions(parents, widths, 0.3, 1.0)
    assert {name: -y for name, (_, y) in centres.items()} == level
    for one, other in itertools.combinations(parents, 2):
        if level[one] == level[other]:
            distance = abs(centres[one][0] - centres[other][0])
            assert distance >= (widths[one] + widths[other]) / 2 + 0.3 - 1e-9
    assert min(x - widths[name] / 2 for name, (x, _) in centres.items()) == pytest.approx(0)


def test_two_crossing_edges_are_untangled() -> None:
    parents = {"a": [], "b": [], "c": ["b"], "d": ["a"]}
    x = {name: place[0] for name, place in positions(parents, dict.fromkeys(parents, 1.0), 0.3, 1.0).items()}
    assert (x["a"] < x["b"]) == (x["d"] < x["c"])
    assert crossings([["a", "b"], ["d", "c"]], parents) == 0


@pytest.mark.parametrize("spec", ["two_moons", "diamond", "collider", "lgssm:length=5"])
def test_edges_are_those_of_model_and_inverse(spec: str) -> None:
    task: Task = registry.load().build("tasks", spec)
    found = describe(task.graph, task.observed)
    assert found.model.parents == {node.name: node.parents for node in task.graph.nodes}
    assert found.inverse is not None
    factors = task.graph.inverse(task.observed)
    assert found.inverse.parents == {
        **dict.fromkeys(task.observed, ()),
        **{factor.variable: tuple(factor.context) for factor in factors},
    }
    assert [text for text, _ in found.tuples] == [str(factor) for factor in factors]


def test_sites_are_marked() -> None:
    task: Task = registry.load().build("tasks", "diamond")
    assert describe(task.graph, task.observed).tuples == (
        ("(d | x)", True),
        ("(b | d)", False),
        ("(c | d, b)", True),
        ("(a | b, c)", True),
    )


def test_observed_variables_are_shaded() -> None:
    graph = Graph(density("theta", ONE), simulator("x", torch.sin, ["theta"]))
    axes = graph_plot(graph, ["x"]).axes[0]
    from matplotlib.colors import to_hex

    shades = [to_hex(patch.get_facecolor()) for patch in axes.patches if patch.get_zorder() == 3]
    assert shades.count(BAND) == 2, "x in the model, and in the inverse"
    assert shades.count("#ffffff") == 2


@pytest.mark.parametrize(
    ("axis", "caption"),
    [
        (Chain("time", (3, 9)), "time = 1, …, 3 to 9"),
        (Tree("clade", 3), "clade: tree of depth 3, 2 children each"),
    ],
)
def test_links_between_repeats_have_a_ghost(axis: Chain | Tree, caption: str) -> None:
    z = density("z", step, [previous("z")], along=[axis], first=ONE)
    found = describe(Graph(z, simulator("x", torch.sin, ["z"], along=[axis])), ["x"])
    placed = place(found.model)
    assert [box.caption for box in placed.boxes] == [caption]
    assert [vertex.kind for vertex in found.model.vertices] == ["ghost", "density", "simulator"]
    (ghost,) = found.model.parents["z"]
    assert found.inverse is not None
    assert ghost in found.inverse.parents["z"]


def test_boxes_hold_their_variables_and_no_others() -> None:
    site, trial = Plate("site", 4), Plate("trial", (2, 9))
    graph = Graph(
        density("mu", ONE),
        density("tau", ONE),
        density("theta", lambda a, b: Independent(Normal(a, b.exp()), 1), ["mu", "tau"], along=[site]),
        simulator("y", torch.add, ["theta", "tau"], along=[site, trial]),
        simulator("z", torch.sin, ["mu"], along=[Plate("other", 3)]),
    )
    placed = place(describe(graph, ["y", "z"]).model)
    inside = {
        box.caption: {
            name
            for name, (x, y) in placed.centres.items()
            if box.corner[0] < x < box.corner[0] + box.width and box.corner[1] < y < box.corner[1] + box.height
        }
        for box in placed.boxes
    }
    assert inside == {"site: 4": {"theta", "y"}, "trial: 2 to 9": {"y"}, "other: 3": {"z"}}


def test_large_graphs_are_folded_or_refused() -> None:
    task: Task = registry.load().build("tasks", "lgssm:length=50")
    folded = describe(task.graph, task.observed)
    assert {vertex.label[0] for vertex in folded.model.vertices} == {"z", "x"}
    assert folded.remarks == ("100 variables, of which repeats are drawn once",)
    with pytest.raises(UsageError, match=f"100 variables, and at most {MAX_VARIABLES} are drawn"):
        describe(task.graph, task.observed, folded=False)
    with pytest.raises(UsageError, match="does not say which variables are repeats"):
        describe(Graph(density("a", ONE)), [], folded=True)


def test_repeats_of_which_some_are_observed_are_drawn_one_by_one() -> None:
    task: Task = registry.load().build("tasks", "lgssm:length=8")
    found = describe(task.graph, task.observed[:5])
    assert len(found.model.vertices) == 16
    assert found.remarks[0].startswith("repeats are drawn one by one: of the repeats of 'x' some are observed")


def test_without_evidence_there_is_no_inverse() -> None:
    found = describe(Graph(density("a", ONE)), [])
    assert found.inverse is None
    assert found.remarks == ("no inverse: no variable is observed, or all are",)


def test_barren_variables_are_dotted() -> None:
    graph = Graph(density("a", ONE), simulator("x", torch.sin, ["a"]), simulator("b", torch.sin, ["a"]))
    found = describe(graph, ["x"])
    assert found.inverse is not None
    assert found.inverse.dotted == {"b"}
    assert found.tuples == (("(a | x)", True), ("(b | a), as in the model", False))


@pytest.mark.parametrize("spec", ["hierarchical", "gaussian_tree", "irt_1pl", "lgssm_theta", "nonlinear_ssm"])
def test_tasks_are_drawn(spec: str) -> None:
    task: Task = registry.load().build("tasks", spec)
    figure = graph_plot(task.graph, task.observed, title=spec)
    assert figure.axes[0].patches
