"""What notebooks show of posteriors, learned models and comparisons: their facts, with every text escaped."""

from __future__ import annotations

from html.parser import HTMLParser

import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.distributions import Independent, Normal

import ampbench
from ampbench.graph import Graph, Plate, density, learned, simulator
from ampbench.interfaces import HasDensity, HasState, Posterior
from ampbench.interfaces.rich import facts
from ampbench.networks import NormalConditional
from ampbench.reporting.compare import summarise
from ampbench.reporting.tables import paragraphs
from ampbench.results import Record, Run
from ampbench.results.frame import row
from ampbench.results.record import Measured
from ampbench.text import in_html

HOSTILE = "<script>alert(1)</script>\x1b[31m & '\""
PRIOR = Independent(Normal(torch.zeros(1), torch.ones(1)), 1)


class Seen(HTMLParser):
    """The elements and the texts of some HTML."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes = 0
        self.texts: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += len(attrs)

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


@given(st.text(st.characters(codec=None)))
def test_texts_stay_texts(text: str) -> None:
    for html in (facts(text, {text: text}), paragraphs([text]), f"<p>{in_html(text)}</p>"):
        seen = Seen(html)
        assert seen.tags <= {"table", "caption", "tr", "th", "td", "p"}
        assert seen.attributes == 0
        assert html.isprintable()


@pytest.mark.parametrize(
    "method", ["prior", "rejection-abc:accept=20", "amp:steps=5", "amp:divergence=forward-kl,family=gaussian,steps=5"]
)
def test_every_posterior_shows_its_facts(method: str) -> None:
    posterior = ampbench.infer(
        PRIOR, lambda theta: theta + torch.randn_like(theta), budget=100, method=method, names=[HOSTILE], probe=False
    )
    html = posterior._repr_html_()
    seen = Seen(html)
    assert seen.tags == {"table", "caption", "tr", "th", "td"}
    assert {method, "100 simulations", type(posterior).__name__} <= set(seen.texts)
    assert any("<script>alert(1)</script>" in text for text in seen.texts)
    assert ("log_prob(theta, x)" in seen.texts) == isinstance(posterior, HasDensity)
    assert ("ampbench.save" in seen.texts) == isinstance(posterior, HasState)


def test_a_posterior_without_a_description_shows_what_it_can_do() -> None:
    class Bare(Posterior):
        def sample(self, observation: Tensor, n: int) -> Tensor:
            return torch.zeros(n, 1)

    assert Seen(Bare()._repr_html_()).texts[:3] == ["Bare", "density", "none: samples only"]
    assert repr(Bare()) == "<Bare>"


def test_a_posterior_of_repeated_variables_shows_its_axes() -> None:
    plate = [Plate("school", (2, 3))]
    graph = Graph(
        density("z", lambda mu: Independent(Normal(mu, torch.ones_like(mu)), 1), ["mu"], along=plate, size=1),
        density("mu", PRIOR),
        simulator("x", lambda z: z + torch.randn_like(z), ["z"], along=plate, size=1),
    )
    method = "amp-templates:divergence=forward-kl,family=gaussian,steps=2"
    posterior = ampbench.infer_graph(graph, ["x"], budget=2000, method=method)
    assert "z (along school)" in " ".join(Seen(posterior._repr_html_()).texts)


def test_a_learned_model_shows_its_factors() -> None:
    graph = Graph(density("z", PRIOR), learned("x", NormalConditional(parents=1, features=2), ["z"], size=2))
    model = ampbench.learn(graph, {"x": torch.randn(100, 2)}, method="amp:steps=3")
    assert Seen(model._repr_html_()).texts[:5] == ["LearnedModel", "model", "(z) (x | z)", "learned", "(x | z)"]
    assert repr(model) == "<LearnedModel: model (z) (x | z); learned (x | z); evidence x>"


def test_a_comparison_escapes_what_others_named() -> None:
    measured = {"c2st": Measured(0.6)}
    runs = [Run(HOSTILE, "1", method, method, 1000, 1, 0, 100, ("c2st",)) for method in ("a", HOSTILE)]
    ends = (1, 1, 1000, "cpu", "2026-01-01T00:00:00+00:00", {}, "")
    frame = pd.DataFrame([row(Record(run, "ok", "", "", measured, *ends)) for run in runs])
    seen = Seen(summarise(frame)._repr_html_())
    assert seen.tags <= {"table", "caption", "tr", "th", "td", "p", "b"}
    assert seen.attributes == 0
    assert any("<script>" in text for text in seen.texts)
    assert "lowest" in seen.texts
