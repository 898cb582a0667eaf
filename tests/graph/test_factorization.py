"""Every independence that an inverse asserts holds in the model, and no edge of it can be removed."""

from __future__ import annotations

import networkx as nx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ampbench.graph import Graph, inverse, structure
from ampbench.graph.factorization import _eliminate


@st.composite
def models(draw: st.DrawFn) -> tuple[nx.DiGraph, frozenset[str]]:
    """A random DAG with up to 9 variables whose names are not in topological order, and a random observed set."""
    n = draw(st.integers(2, 9))
    names = draw(st.permutations([f"v{i}" for i in range(n)]))
    density = draw(st.sampled_from([0.2, 0.4, 0.7]))
    coins = draw(st.lists(st.floats(0, 1), min_size=n * n, max_size=n * n))
    parents = {child: [names[j] for j in range(i) if coins[i * n + j] < density] for i, child in enumerate(names)}
    observed = draw(st.sets(st.sampled_from(names), min_size=1, max_size=n - 1))
    return structure(parents), frozenset(observed)


def assert_inverse(dag: nx.DiGraph, observed: frozenset[str]) -> None:
    known = set(observed)
    for factor in inverse(dag, observed):
        context = set(factor.context)
        assert context <= known
        others = known - context
        assert not others or nx.is_d_separator(dag, {factor.variable}, others, context), f"no I-map at {factor}"
        for name in context:
            assert not nx.is_d_separator(dag, {factor.variable}, {name}, context - {name}), f"{factor} needs no {name}"
        known.add(factor.variable)
    assert known == set(dag)


@settings(max_examples=400, deadline=None)
@given(models())
def test_inverse_is_a_minimal_i_map(model: tuple[nx.DiGraph, frozenset[str]]) -> None:
    assert_inverse(*model)


def test_elimination_alone_is_not_minimal() -> None:
    """The case of the module's docstring: without pruning, 6 would be given 2."""
    dag = structure({"0": [], "1": [], "2": [], "4": ["1", "2"], "6": ["0", "1"]})
    eliminated = dict(_eliminate(dag, frozenset({"2"})))
    assert "2" in eliminated["6"]
    assert_inverse(dag, frozenset({"2"}))
    assert "2" not in {f.variable: f.context for f in inverse(dag, {"2"})}["6"]


@pytest.mark.parametrize(
    ("parents", "observed", "expected"),
    [
        ({"theta": [], "x": ["theta"]}, {"x"}, "(theta | x)"),
        ({"z2": [], "z1": ["z2"], "x": ["z1"]}, {"x"}, "(z1 | x) (z2 | z1)"),
        ({"a": [], "b": [], "x": ["a", "b"]}, {"x"}, "(b | x) (a | x, b)"),
        ({"a": [], "b": ["a"], "c": ["a"], "x": ["b", "c"]}, {"x"}, "(c | x) (b | x, c) (a | c, b)"),
        ({"a": [], "x": []}, {"x"}, "(a)"),
    ],
    ids=["pair", "chain", "collider", "diamond", "unrelated"],
)
def test_known_inverses(parents: dict[str, list[str]], observed: set[str], expected: str) -> None:
    assert " ".join(map(str, inverse(structure(parents), observed))) == expected


def test_state_space_runs_backwards(chain: Graph) -> None:
    """A state space of length 50: each state needs its successor and the observations up to its own time."""
    parents: dict[str, list[str]] = {}
    for t in range(50):
        parents[f"z{t:02}"] = [f"z{t - 1:02}"] if t else []
        parents[f"x{t:02}"] = [f"z{t:02}"]
    observed = {name for name in parents if name.startswith("x")}
    for t, factor in zip(reversed(range(50)), inverse(structure(parents), observed), strict=True):
        assert factor.variable == f"z{t:02}"
        successor = [f"z{t + 1:02}"] if t < 49 else []
        assert list(factor.context) == [f"x{s:02}" for s in range(t + 1)] + successor
    assert [str(factor) for factor in chain.inverse({"x"})] == ["(z1 | x)", "(z2 | z1)"]
