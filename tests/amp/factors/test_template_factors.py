"""Learned factors of repeated variables: rows from all repeats, surrogates of any size, and the choice."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.distributions import Independent, Normal

from ampbench import registry
from ampbench.amp.factors import LearnedFactors
from ampbench.amp.factors.fitting import black_boxes, learn_factor
from ampbench.amp.factors.surrogate import surrogate
from ampbench.amp.factors.templates import TemplateFactorPosterior, draw_blocks, repeats, single
from ampbench.amp.templates.method import TemplateAMP
from ampbench.errors import UsageError
from ampbench.graph import Chain, Factor, Graph, Plate, Simulator, density, previous, simulator
from ampbench.interfaces import fit, rebuild, silent
from ampbench.seeding import seeded
from ampbench_families.gaussian import Gaussian

CPU = torch.device("cpu")
NOISE = 0.3
SMALL = Gaussian(width=16, depth=1)


def normal(mean: Tensor, deviation: float = 1.0) -> Independent:
    return Independent(Normal(mean, deviation), 1)


def measure(theta: Tensor, scale: Tensor) -> Tensor:
    return theta * scale + NOISE * torch.randn_like(theta)


def groups(sizes: int | tuple[int, int] = (2, 6), missing: tuple[float, float] = (0.0, 0.0)) -> Graph:
    """mu → theta_j → y_j ← scale: a black box in every group, with a parent inside and one outside of the plate."""
    group = [Plate("group", sizes)]
    return Graph(
        density("mu", normal(torch.zeros(1))),
        density("scale", Independent(Normal(torch.ones(1), 0.2), 1)),
        density("theta", normal, ["mu"], size=1, along=group),
        simulator("y", measure, ["theta", "scale"], size=1, along=group, missing=missing),
    )


def series(lagged: bool = False) -> Graph:
    time = [Chain("time", (3, 6))]
    observe = simulator("x", lambda z: z + NOISE * torch.randn_like(z), ["z"], size=1, along=time)
    step = (
        simulator(
            "z",
            lambda z: 0.9 * z + 0.4 * torch.randn_like(z),
            [previous("z")],
            size=1,
            along=time,
            first=lambda n: torch.randn(n, 1),
        )
        if lagged
        else density(
            "z", lambda z: normal(0.9 * z, 0.4), [previous("z")], size=1, along=time, first=normal(torch.zeros(1))
        )
    )
    return Graph(step, observe)


def template_amp(steps: int = 20) -> TemplateAMP:
    divergence = registry.load().build("divergences", "forward-kl")
    return TemplateAMP(divergence, SMALL, steps=steps, messages=8, repeats=64)


def learned(steps: int = 20, draws: int = 3000) -> LearnedFactors:
    return LearnedFactors(template_amp(steps), SMALL, draws=draws)


def test_rows_are_those_of_all_repeats() -> None:
    """y − theta · scale is the noise, in every row; held-out simulations and missing repeats are left out."""
    graph = groups(missing=(0.0, 0.5))
    (factor,) = black_boxes(graph)
    with seeded(0):
        prepared = template_amp().prepare(Simulator(graph, ["y"], 20_000, seed=0), CPU)
        rows = repeats(prepared, factor)
    assert set(rows) == {"y", "theta", "scale"}
    noise = rows["y"] - rows["theta"] * rows["scale"]
    assert float(noise.std()) == pytest.approx(NOISE, rel=0.05)
    there = sum(
        int((~block.values["y"][len(held) :].isnan()).sum())
        for block, held in zip(prepared.blocks, prepared.held_out, strict=True)
    )
    assert len(noise) == there
    assert there < sum(block.values["y"].numel() for block in prepared.blocks)


def test_a_factor_is_learned_from_all_repeats() -> None:
    graph = groups()
    (factor,) = black_boxes(graph)
    with seeded(0):
        prepared = template_amp().prepare(Simulator(graph, ["y"], 10_000, seed=0), CPU)
        settings = replace(template_amp(600).settings, learning_rate=5e-3)
        rows = repeats(prepared, factor)
        found = learn_factor(factor, single(graph, factor), rows, {"": SMALL}, settings, CPU, silent)
        drawn, total = draw_blocks(surrogate(graph, [found]), prepared, 50_000, CPU)
        theta, scale = torch.randn(500, 1), 1 + 0.2 * torch.randn(500, 1)
        y = measure(theta, scale)
    truth = Normal(theta * scale, NOISE).log_prob(y)[:, 0]
    gap = truth - surrogate(graph, [found])["y"].distribution(theta, scale).log_prob(y)
    assert float(gap.mean()) < 0.05
    assert 30_000 < total <= 50_000
    assert [batch.sizes for batch in drawn] == [block.sizes for block in prepared.blocks]


@pytest.mark.parametrize("graph", [groups(), series()], ids=["groups", "series"])
def test_the_method_on_templates(graph: Graph) -> None:
    observed = [name for name in ("y", "x") if name in graph.names]
    method, source = learned(), Simulator(graph, observed, 4000, seed=0)
    posterior = fit(method, source)
    assert isinstance(posterior, TemplateFactorPosterior)
    assert set(posterior.choice.scores) == {"simulations", "draws"}
    assert posterior.choice.on_draws == (posterior.choice.scores["draws"] < posterior.choice.scores["simulations"])
    assert source.spent <= 4000
    evidence = {observed[0]: torch.zeros(9, 1)}
    again = rebuild(method, source, posterior.state())
    assert isinstance(again, TemplateFactorPosterior)
    with seeded(1):
        drawn = posterior.sample_variables(evidence, 5)
    with seeded(1):
        restored = again.sample_variables(evidence, 5)
    assert all(torch.equal(drawn[name], restored[name]) for name in drawn)
    assert posterior.diagnose()["tuple"].tolist()[-1].startswith(f"({observed[0]} | ")


def test_a_flat_graph_with_a_template() -> None:
    graph = groups().ground({"group": 3})
    observed = [name for name in graph.names if name.startswith("y")]
    posterior = fit(learned(), Simulator(graph, observed, 300, seed=0))
    with seeded(0):
        assert posterior.sample(torch.zeros(3), 7).shape == (7, 5)


def test_a_black_box_that_depends_on_the_repeat_before_is_refused() -> None:
    with pytest.raises(UsageError, match=r"black-box factor \(z \| .*depends on the repeat before.*amp-templates"):
        fit(learned(), Simulator(series(lagged=True), ["x"], 2000, seed=0))


def test_parents_are_those_of_the_factor() -> None:
    alone = single(groups(), Factor("y", ("theta", "scale")))
    assert alone.names == ("theta", "scale", "y")
    assert alone["y"].parents == ("theta", "scale")
    assert not alone.axes
