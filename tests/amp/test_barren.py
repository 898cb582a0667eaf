"""Latents without an observed descendant are drawn from the model: exactly, and without a network."""

from __future__ import annotations

import pytest
import torch
from torch.distributions import Independent, Normal

from ampbench import registry
from ampbench.amp import AMP
from ampbench.errors import UsageError
from ampbench.graph import Graph, Simulator, density, simulator
from ampbench.interfaces import HasDensity, fit, rebuild


def noisy(scale: float):
    return lambda value: value + scale * torch.randn_like(value)


def graph(replicate: bool = True) -> Graph:
    """theta → x, and below them barren variables: theta → future (a density), and x → replicate (a simulator)."""
    one = Independent(Normal(torch.zeros(1), torch.ones(1)), 1)
    nodes = [
        density("theta", one),
        simulator("x", noisy(0.5), ["theta"], size=1),
        density(
            "future", lambda theta: Independent(Normal(3 * theta, torch.full_like(theta, 0.1)), 1), ["theta"], size=1
        ),
    ]
    return Graph(*nodes, *([simulator("replicate", noisy(0.25), ["x"], size=1)] if replicate else []))


def method(text: str) -> AMP:
    return registry.load().build("methods", text)  # type: ignore[no-any-return]


def fitted(model: Graph, text: str = "amp:divergence=forward-kl,family=gaussian,steps=300"):
    return fit(method(text), Simulator(model, ["x"], 1000, seed=0))


def test_barren_latents_are_drawn_from_the_model() -> None:
    posterior = fitted(graph())
    assert [factor.variable for factor in posterior.trained.learned.bottom_up.factors] == ["theta"]
    torch.manual_seed(0)
    drawn = posterior.sample_variables(torch.tensor([1.0]), 20_000)
    assert list(drawn) == list(graph().latents(["x"]))
    assert float((drawn["future"] - 3 * drawn["theta"]).std()) == pytest.approx(0.1, rel=0.03)
    assert float(drawn["replicate"].mean()) == pytest.approx(1.0, abs=0.01)
    assert float(drawn["replicate"].std()) == pytest.approx(0.25, rel=0.03)


def test_the_density_is_that_of_family_and_model() -> None:
    model = graph(replicate=False)
    posterior = fitted(model)
    assert isinstance(posterior, HasDensity)
    assert not isinstance(fitted(graph()), HasDensity)  # replicate is a simulator
    x, theta = torch.tensor([1.0]), torch.tensor([[0.5], [1.5]])
    future = torch.tensor([[1.4], [4.7]])
    of_model = model.log_prob({"theta": theta, "future": future}, ["future"])
    joint = posterior.log_prob(torch.cat([theta, future], 1), x.expand(2, 1))
    assert torch.isfinite(joint).all()
    grid = torch.linspace(-4, 4, 4001)[:, None]
    marginal = posterior.log_prob(torch.cat([grid, 3 * grid], 1), x.expand(4001, 1)) - model.log_prob(
        {"theta": grid, "future": 3 * grid}, ["future"]
    )
    assert float(torch.trapezoid(marginal.exp(), grid[:, 0])) == pytest.approx(1, abs=1e-3)
    assert joint.shape == of_model.shape


def test_a_restored_posterior_draws_the_same() -> None:
    source = Simulator(graph(), ["x"], 1000, seed=0)
    one = method("amp:divergence=forward-kl,family=gaussian,steps=50")
    posterior = fit(one, source)
    again = rebuild(one, source, posterior.state())
    draws = []
    for each in (posterior, again):
        torch.manual_seed(1)
        draws.append(each.sample(torch.tensor([0.3]), 10))
    assert torch.equal(*draws)


def test_options_of_barren_variables_are_refused() -> None:
    with pytest.raises(UsageError, match="inferred variable 'future'"):
        fitted(graph(), "amp:families.future=gaussian,steps=10")


def test_evidence_without_latent_ancestors_is_refused() -> None:
    one = Independent(Normal(torch.zeros(1), torch.ones(1)), 1)
    with pytest.raises(UsageError, match="the posterior is the prior"):
        fit(method("amp:steps=10"), Simulator(Graph(density("a", one), density("x", one)), ["x"], 100, 0))


def test_a_state_with_another_sampling_order_is_refused() -> None:
    one = Independent(Normal(torch.zeros(1), torch.ones(1)), 1)
    model = Graph(
        density("a", one), density("b", one), simulator("x", lambda a, b: noisy(0.1)(a + b), ["a", "b"], size=1)
    )
    source = Simulator(model, ["x"], 100, 0)
    state = dict(fit(method("amp:family=gaussian,divergence=forward-kl,steps=5"), source).state())
    swapped = state | {"order.a": state["order.b"], "order.b": state["order.a"]}
    older = {name: value for name, value in state.items() if not name.startswith("order.")}
    for wrong in (swapped, older):
        with pytest.raises(UsageError, match="this version samples a, b"):
            rebuild(method("amp:family=gaussian,divergence=forward-kl,steps=5"), source, wrong)
