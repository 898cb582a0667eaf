"""The inverse of a template agrees with the flat inverse at every size."""

from __future__ import annotations

import pytest

from ampbench.errors import GraphError
from ampbench.graph import Graph, Tree, density, inverse, previous, simulator, structure
from ampbench.graph.axes import Previous
from ampbench.graph.factorization import Context
from ampbench.graph.repeats import each_repeat, exists, flat_name
from ampbench.graph.template import template_inverse
from ampbench.testing.repeated import MODELS, SCHOOL, STANDARD, TIME, noisy, normal
from ampbench_tasks import gaussian_tree, hierarchical, lgssm


@pytest.mark.parametrize("name", MODELS)
def test_known_inverses(name: str) -> None:
    make, observed, expected = MODELS[name]
    assert " ".join(map(str, template_inverse(make(), observed))) == expected


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("name", MODELS)
def test_a_grounded_template_is_the_inverse_of_the_flat_graph(name: str, size: int) -> None:
    make, observed, _ = MODELS[name]
    graph = make()
    sizes = {
        axis.name: axis.size if isinstance(axis.size, int) else min(size, 3) if isinstance(axis, Tree) else size
        for axis in graph.axes
    }
    factors = {(factor.variable, factor.first): factor for factor in template_inverse(graph, observed)}
    where = {}
    for node in graph.nodes:
        for repeat, there in zip(
            each_repeat(node, sizes, graph.by_name), exists(node, sizes).flatten().tolist(), strict=True
        ):
            if there:
                where[flat_name(node.name, repeat.index)] = node, repeat
    parents = {flat: [flat_name(*parent) for parent in repeat.parents] for flat, (_, repeat) in where.items()}
    latents = [flat for flat, (node, _) in where.items() if node.name not in observed]
    latents.sort(
        key=lambda flat: (len(where[flat][1].index), where[flat][1].index, graph.names.index(where[flat][0].name))
    )
    evidence = [flat for flat in where if flat not in latents]
    found = inverse(structure(parents), evidence, latents)
    assert [factor.variable for factor in found] == latents
    for factor in found:
        node, repeat = where[factor.variable]
        linked = bool(node.along) and node.along[-1].linked
        before = int(node.along[-1].before(sizes[node.along[-1].name])[repeat.index[-1]]) if linked else -1
        template = factors[node.name, linked and before < 0]
        separator = {
            flat_name(
                link,
                (*repeat.index[:-1], before) if isinstance(link, Previous) else repeat.index[: len(graph[link].along)],
            )
            for link in template.separator
        }
        assert isinstance(factor.context, Context)
        assert separator == set(factor.context.separator)


def test_latents_without_an_observed_descendant_are_barren() -> None:
    graph = Graph(
        density("z", lambda z: normal(z, 1.0), [previous("z")], along=[TIME], first=STANDARD, size=1),
        simulator("x", noisy(1.0), ["z"], along=[TIME], size=1),
        simulator("next", noisy(1.0), ["x"], along=[TIME], size=1),
    )
    assert [(f.variable, f.barren) for f in template_inverse(graph, ["x"])] == [
        ("z", False),
        ("z", False),
        ("next", True),
    ]


def test_contexts_with_other_repeats_are_refused() -> None:
    """A common observed child ties all groups; it is along no axis, so that the graph itself is refused."""
    with pytest.raises(GraphError, match="the axes of a parent must be the outer axes"):
        Graph(density("a", STANDARD, along=[SCHOOL]), simulator("total", noisy(1.0), ["a"]))


def test_the_last_repeats_of_a_chain_may_need_less() -> None:
    """No observation follows the last w, which is barren, whereas the others are not."""
    graph = Graph(
        density("z", lambda z: normal(z, 1.0), [previous("z")], along=[TIME], first=STANDARD, size=1),
        density("w", lambda z: normal(z, 1.0), [previous("z")], along=[TIME], first=STANDARD, size=1),
        simulator("x", lambda w, z: noisy(1.0)(w + z), [previous("w"), "z"], along=[TIME], first=noisy(1.0), size=1),
    )
    assert " ".join(map(str, template_inverse(graph, ["x"]))) == (
        "(z first | evidence) (z | z before, w before, evidence) (w first | z, evidence) (w | z, z before, evidence)"
    )


def test_sizes_do_not_change_the_inverse() -> None:
    for template, observed in ((lgssm.template, "x"), (hierarchical.template, "y"), (gaussian_tree.template, "x")):
        found = [" ".join(map(str, template_inverse(template(size), [observed]))) for size in (1, 7, (3, 100))]
        assert len(set(found)) == 1
