"""Draws that are chosen among candidates: exact for an exact ratio, and left out where the ratio is not learned."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Independent, Normal

from ampbench.amp import refinement
from ampbench.amp.templates import TemplateAMP, ratio_training
from ampbench.amp.templates.batches import Batch, encode, learn_coordinates
from ampbench.amp.templates.chain import TemplateBottomUp
from ampbench.amp.templates.posterior import TemplatePosterior
from ampbench.amp.templates.resampling import CANDIDATES, Choice, Ratio, Resampling
from ampbench.amp.templates.views import Reader, TemplateViews
from ampbench.errors import TrainingError
from ampbench.graph import Graph, Plate, Simulator, density, simulator
from ampbench.graph.template import template_inverse
from ampbench.interfaces import Tuples, UnfinishedFitError, fit, rebuild
from ampbench.registry import Registry
from ampbench.seeding import seeded
from ampbench.testing.repeated import MODELS
from ampbench_divergences.jsd import JSD
from ampbench_families.gaussian import Gaussian

QUICK = "steps=4,checks=2,batch_size=8,repeats=32,messages=8"
Make = Callable[[str], TemplateAMP]


@pytest.fixture
def make(registry: Registry) -> Make:
    return lambda options: registry.build("methods", f"amp-templates:{options}")


class Slope(nn.Module):
    """The log-ratio of a family to itself, shifted by ``slope`` standard deviations: of N(s, 1) to N(0, 1)."""

    def __init__(self, slope: float) -> None:
        super().__init__()
        self.slope = slope

    def forward(self, tuples: Tuples) -> Tensor:
        return (self.slope * tuples.variable).sum(-1)


def untrained(name: str) -> tuple[TemplateViews, Batch]:
    """Families as they are before the training, and a simulation of six repeats."""
    build, observed, _ = MODELS[name]
    graph = build()
    torch.manual_seed(0)
    sizes = {axis.name: axis.size if isinstance(axis.size, int) else 6 for axis in graph.axes}
    values = graph.sample(200, sizes=sizes)
    coordinates = learn_coordinates(graph, [values])
    batch = encode(graph, coordinates, values, sizes, torch.device("cpu"))
    factors = [factor for factor in template_inverse(graph, observed) if not factor.barren]
    families = {factor.variable: Gaussian(width=16) for factor in factors}
    bottom_up = TemplateBottomUp(graph, observed, factors, {k: c.size for k, c in coordinates.items()}, families, 8)
    views = TemplateViews.of(bottom_up.requires_grad_(False), dict.fromkeys(families, JSD(width=16)))
    return views, batch.take(torch.arange(1))


def choice(views: TemplateViews, slope: float) -> Choice:
    reader = Reader(views.bottom_up.messages.reading)
    ratios = {i: Ratio(at, Slope(slope), reader) for i, at in enumerate(views.comparisons)}
    return Choice(views.bottom_up, Resampling(ratios, []))


@pytest.mark.parametrize("name", MODELS)
def test_a_chosen_value_has_the_ratio_that_its_candidates_allow(name: str) -> None:
    """To first order its log-ratio is 1 − 1/M of that of the adversary."""
    views, _ = untrained(name)
    draw, families = choice(views, 0.3), views.bottom_up
    for factor in families.factors:
        context = torch.randn(families.context_size(factor)).expand(1, 10_000, -1)
        message = torch.randn(families.messages.reading.outputs(factor.cell)).expand(1, 10_000, -1)
        conditional = families.conditional(factor)
        value, drawn = draw(factor, conditional, context, message), conditional(context)
        found = (value - drawn.mean(1)) / drawn.std(1)
        assert float(found.mean()) == pytest.approx(0.3 * (1 - 1 / CANDIDATES), abs=0.03)
        assert float(found.std()) == pytest.approx(1.0, abs=0.03)


@pytest.mark.parametrize("name", MODELS)
def test_all_variables_of_all_models_are_resampled(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """In several parts, where the candidates do not fit into memory."""
    views, batch = untrained(name)
    draw = choice(views, 3.0)
    assert draw.at_once(batch) > 1
    monkeypatch.setattr("ampbench.amp.templates.resampling.MAX_CANDIDATES_AT_ONCE", 1)
    assert draw.at_once(batch) == 1
    plain, chosen = (views.bottom_up(batch, 500, each) for each in (None, draw))
    assert list(plain) == list(chosen)
    for variable, value in chosen.items():
        assert value.shape == plain[variable].shape
        assert not torch.equal(value, plain[variable])


def test_a_learned_ratio_splits_a_family_with_one_mode_into_two(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of z_j given x_j, near |z_j|, a Gaussian covers both modes, and most of its draws lie far from either."""
    monkeypatch.setattr(ratio_training, "LEARNING_RATE", 5e-3)
    pair = [Plate("pair", 3)]
    graph = Graph(
        density("z", Independent(Normal(torch.zeros(1), torch.ones(1)), 1), along=pair, size=1),
        simulator("x", lambda z: z.abs() + 0.1 * torch.randn_like(z), ["z"], along=pair, size=1),
    )
    options = "steps=200,checks=2,batch_size=64,repeats=256,messages=8,learning_rate=3e-3,particles=4"
    posterior = fit(
        make(f"divergence=riesz(refine=3),family=gaussian(width=16),{options}"), Simulator(graph, ["x"], 20_000, 0)
    )
    assert isinstance(posterior, TemplatePosterior)
    x = torch.tensor([[1.5], [0.7], [1.0]])
    with seeded(1):
        chosen = posterior.sample_variables({"x": x}, 1000)["z"]
        posterior._choice = Choice(posterior.views.bottom_up, None)
        families = posterior.sample_variables({"x": x}, 1000)["z"]
    far = [float((draws.abs() - x).abs().mean()) for draws in (chosen, families)]
    assert far[0] < far[1] / 2
    assert bool(((chosen > 0).float().mean(0) - 0.5).abs().max() < 0.2)


@pytest.mark.parametrize("divergence", ["jsd(width=16,refine=1)", "riesz(refine=1)"])
@pytest.mark.parametrize("name", ["schools", "ragged"])
def test_log_ratios_are_restored(name: str, divergence: str, make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(refinement, "IGNORANT", math.inf)  # whatever is learned in four steps is used
    build, observed, _ = MODELS[name]
    graph, method = build(), make(f"divergence={divergence},family=implicit(width=16),particles=2,{QUICK}")
    posterior = fit(method, Simulator(graph, list(observed), 10_000, 0))
    assert isinstance(posterior, TemplatePosterior)
    assert posterior.resampling is not None
    assert len(posterior.resampling.ratios) == len(posterior.views.comparisons)
    assert posterior.history["step"].tolist()[-1] == 8
    again = rebuild(method, Simulator(graph, list(observed), 0, 0), posterior.state())
    sizes = {axis.name: axis.size if isinstance(axis.size, int) else 4 for axis in graph.axes}
    drawn = graph.sample(1, sizes=sizes)
    evidence = {variable: drawn[variable][0] for variable in posterior.model.observed}
    draws = []
    for each in (posterior, again):
        with seeded(1):
            draws.append(each.sample_variables(evidence, 5))  # type: ignore[attr-defined]
    assert all(torch.equal(value, draws[1][variable]) for variable, value in draws[0].items())
    assert set(posterior.diagnose()["tuple"]) == {str(at) for at in posterior.views.comparisons}


def test_a_ratio_that_is_not_learned_is_not_used(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(refinement, "IGNORANT", -math.inf)
    build, observed, _ = MODELS["schools"]
    drawn = []
    for refine in (0, 1):
        method = make(f"divergence=jsd(width=16,refine={refine}),family=implicit(width=16),{QUICK}")
        posterior = fit(method, Simulator(build(), list(observed), 1000, 0))
        assert isinstance(posterior, TemplatePosterior)
        with seeded(2):
            drawn.append(posterior.sample_variables({"y": torch.zeros(8, 1), "sigma": torch.ones(8, 1)}, 6))
    assert posterior.resampling is not None
    assert not posterior.resampling.ratios
    assert all(torch.equal(value, drawn[1][name]) for name, value in drawn[0].items())


def test_the_fit_is_kept_if_the_training_of_the_ratios_breaks_down(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    build, observed, _ = MODELS["schools"]
    monkeypatch.setattr(ratio_training, "classification_loss", lambda *_: torch.tensor(math.nan, requires_grad=True))
    method = make(f"divergence=jsd(width=16,refine=1),family=implicit(width=16),{QUICK}")
    with pytest.raises(UnfinishedFitError, match=r"adversary loss at tuple .* became nan") as caught:
        fit(method, Simulator(build(), list(observed), 1000, 0))
    assert isinstance(caught.value.__cause__, TrainingError)


@pytest.mark.parametrize(
    ("options", "resampled"),
    [
        ("divergence=jsd", True),
        ("steps=10", False),
        ("divergences.mu=kl", True),
        ("divergence=jsd,scope=global", False),
        ("divergence=forward-kl,family=gaussian", False),
    ],
)
def test_runs_with_resampling_have_a_key_of_their_own(options: str, resampled: bool, make: Make) -> None:
    revision = make(options).revision(MODELS["schools"][0](), ("y",))
    assert ("amp-templates-resampling==1" in revision) is resampled
