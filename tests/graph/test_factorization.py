"""An inverse is a minimal I-map of the model, and its computation takes nearly linear time."""

from __future__ import annotations

import copy
import pickle
import time
from collections.abc import Sequence

import networkx as nx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ampbench.amp.sites import sites
from ampbench.errors import GraphError
from ampbench.graph import Graph, inverse, structure


@st.composite
def models(draw: st.DrawFn) -> tuple[nx.DiGraph, frozenset[str], list[str] | None]:
    """A random DAG of up to 9 variables, whose names are not in topological order; observed variables, and an order."""
    n = draw(st.integers(2, 9))
    names = draw(st.permutations([f"v{i}" for i in range(n)]))
    density = draw(st.sampled_from([0.2, 0.4, 0.7]))
    coins = draw(st.lists(st.floats(0, 1), min_size=n * n, max_size=n * n))
    parents = {child: [names[j] for j in range(i) if coins[i * n + j] < density] for i, child in enumerate(names)}
    observed = draw(st.sets(st.sampled_from(names), min_size=1, max_size=n - 1))
    order = draw(st.permutations(sorted({*names} - observed))) if draw(st.booleans()) else None
    return structure(parents), frozenset(observed), order


@settings(max_examples=1000, deadline=None)
@given(models())
def test_inverse_is_a_minimal_i_map(model: tuple[nx.DiGraph, frozenset[str], list[str] | None]) -> None:
    dag, observed, order = model
    known, factors = set(observed), inverse(dag, observed, order)
    for factor in factors:
        context = set(factor.context)
        assert len(context) == len(factor.context)
        assert context <= known
        others = known - context
        assert not others or nx.is_d_separator(dag, {factor.variable}, others, context), f"no I-map at {factor}"
        for name in context:
            assert not nx.is_d_separator(dag, {factor.variable}, {name}, context - {name}), f"{factor} needs no {name}"
        known.add(factor.variable)
        assert factor.barren == (nx.descendants(dag, factor.variable).isdisjoint(observed))
        assert not factor.barren or set(factor.context) == set(dag.predecessors(factor.variable))
    assert known == set(dag)
    if order is not None:
        inferred = [factor.variable for factor in factors if not factor.barren]
        assert inferred == [name for name in order if name in inferred]


@settings(max_examples=300, deadline=None)
@given(models())
def test_sites_are_the_tuples_that_no_other_contains(model: tuple[nx.DiGraph, frozenset[str], list[str]]) -> None:
    dag, observed, order = model
    factors = [factor for factor in inverse(dag, observed, order) if not factor.barren]
    maximal = {f.scope for f in factors if not any(f.scope < other.scope for other in factors)}
    found = sites(tuple(factors), sorted(observed), "local")
    assert sorted(map(sorted, ({*site.variables, *site.context} for site in found))) == sorted(map(sorted, maximal))
    for site in found:
        scope = {*site.variables, *site.context}
        assert site.variables == tuple(f.variable for f in factors if f.scope <= scope)


@pytest.mark.parametrize(
    ("parents", "observed", "expected"),
    [
        ({"theta": [], "x": ["theta"]}, {"x"}, "(theta | x)"),
        ({"z2": [], "z1": ["z2"], "x": ["z1"]}, {"x"}, "(z1 | x) (z2 | z1)"),
        ({"a": [], "b": [], "x": ["a", "b"]}, {"x"}, "(a | x) (b | x, a)"),
        ({"a": [], "b": ["a"], "c": ["a"], "x": ["b", "c"]}, {"x"}, "(b | x) (c | x, b) (a | b, c)"),
        ({"a": [], "x": []}, {"x"}, "(a)"),
        ({"a": [], "x": ["a"], "b": ["a"], "c": ["b", "x"]}, {"x"}, "(a | x) (b | a) (c | b, x)"),
        (
            {"mu": [], "tau": [], "t1": ["mu", "tau"], "y1": ["t1"], "t2": ["mu", "tau"], "y2": ["t2"]},
            {"y1", "y2"},
            "(mu | y1, y2) (tau | y1, y2, mu) (t1 | y1, mu, tau) (t2 | y2, mu, tau)",
        ),
    ],
    ids=["pair", "chain", "collider", "diamond", "unrelated", "barren", "plate"],
)
def test_known_inverses(parents: dict[str, list[str]], observed: set[str], expected: str) -> None:
    assert " ".join(map(str, inverse(structure(parents), observed))) == expected


def state_space(length: int) -> tuple[nx.DiGraph, list[str]]:
    """z_0 → z_1 → …, with an observation x_t of every z_t."""
    parents: dict[str, list[str]] = {}
    for t in range(length):
        parents[f"z{t:05}"] = [f"z{t - 1:05}"] if t else []
        parents[f"x{t:05}"] = [f"z{t:05}"]
    return structure(parents), [f"x{t:05}" for t in range(length)]


def plate(groups: int) -> tuple[nx.DiGraph, list[str]]:
    """Two roots, groups with a latent each, and an observation of each of these."""
    parents: dict[str, list[str]] = {"mu": [], "tau": []}
    for j in range(groups):
        parents |= {f"theta{j}": ["mu", "tau"], f"y{j}": [f"theta{j}"]}
    return structure(parents), [f"y{j}" for j in range(groups)]


def tree(depth: int) -> tuple[nx.DiGraph, list[str]]:
    """A binary tree whose leaves have observations."""
    parents = {f"z{i}": [f"z{i // 2}"] if i > 1 else [] for i in range(1, 2 ** (depth + 1))}
    leaves = range(2**depth, 2 ** (depth + 1))
    return structure(parents | {f"x{i}": [f"z{i}"] for i in leaves}), [f"x{i}" for i in leaves]


def test_a_state_space_runs_forwards() -> None:
    """Each state needs its predecessor, and the observations from its own time on."""
    for t, factor in enumerate(inverse(*state_space(50))):
        assert factor.variable == f"z{t:05}"
        predecessor = [f"z{t - 1:05}"] if t else []
        assert list(factor.context) == [f"x{s:05}" for s in range(t, 50)] + predecessor


def test_the_chain_of_the_paper_starts_at_its_observation(chain: Graph) -> None:
    assert [str(factor) for factor in chain.inverse({"x"})] == ["(z1 | x)", "(z2 | z1)"]


@pytest.mark.parametrize(
    ("model", "entries", "separator"),
    [
        (state_space(10_000), 50_014_999, 1),
        (plate(10_000), 50_001, 2),
        (tree(10), 13_310, 1),
    ],
    ids=["state space", "plate", "tree"],
)
def test_large_graphs_are_quick(model: tuple[nx.DiGraph, list[str]], entries: int, separator: int) -> None:
    start = time.process_time()
    factors = inverse(*model)
    found = sites(factors, model[1], "local")
    seconds = time.process_time() - start
    assert sum(len(factor.context) for factor in factors) == entries
    assert max(len(factor.context.separator) for factor in factors) == separator  # type: ignore[attr-defined]
    assert len(found) >= len(factors) - 1
    assert seconds < 5  # about 0.3 s on an idle machine; a quadratic algorithm takes minutes


def test_contexts_can_be_copied_and_pickled() -> None:
    factors = inverse(*state_space(2000))  # nested 2,000 deep
    assert pickle.loads(pickle.dumps(factors)) == factors
    assert copy.deepcopy(factors) == factors


@pytest.mark.parametrize("order", [["a"], ["a", "b", "b"], ["a", "x"], ["a", "c"]])
def test_an_order_must_name_every_latent_once(order: Sequence[str]) -> None:
    with pytest.raises(GraphError, match="does not name every latent variable once"):
        inverse(structure({"a": [], "b": ["a"], "x": ["b"]}), {"x"}, order)
