"""Vector priors whose components have different supports: draws of every method stay inside, or it is refused."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor
from torch.distributions import Bernoulli, Distribution, Exponential, Independent, Normal, Poisson, Uniform
from torch.distributions.constraints import Constraint, cat, independent, stack

import ampbench
from ampbench.errors import UsageError
from ampbench.graph import Graph, Plate, density, simulator
from ampbench.registry import load


class Product(Distribution):
    """Independent components with laws of their own; the support is joined by a function such as ``stack``."""

    arg_constraints: dict[str, Constraint] = {}  # noqa: RUF012 — torch's convention

    def __init__(self, laws: Sequence[Distribution], joined: str) -> None:
        self.laws = laws
        supports = [law.support for law in laws]
        self._support = {
            "cat": independent(cat(supports, -1, [1] * len(laws)), 1),
            "cat of vectors": cat([independent(each, 1) for each in supports], -1, [1] * len(laws)),
            "stack": independent(stack(supports, -1), 1),
        }[joined]
        super().__init__(event_shape=torch.Size([len(laws)]), validate_args=False)

    @property
    def support(self) -> Constraint:
        return self._support

    def sample(self, sample_shape: torch.Size = torch.Size()) -> Tensor:  # noqa: B008 — torch's signature
        return torch.stack([law.sample(torch.Size(sample_shape)) for law in self.laws], dim=-1)

    def log_prob(self, value: Tensor) -> Tensor:
        parts = [law.log_prob(part) for law, part in zip(self.laws, value.unbind(-1), strict=True)]
        return torch.stack(parts, dim=-1).sum(-1)


JOINED = ["cat", "cat of vectors", "stack"]
DISCRETE = {"count": Poisson(3.0), "bit": Bernoulli(0.4)}
CONTINUOUS = {
    "bounded": (Uniform(0.0, 1.0), Uniform(2.0, 3.0)),
    "half-bounded": (Uniform(0.0, 1.0), Exponential(1.0)),
    "free": (Normal(0.0, 1.0), Exponential(1.0)),
}
FAST = {
    "amp": "amp:steps=4",
    "amp-templates": "amp-templates:steps=4,checks=2,batch_size=8,repeats=32,messages=8",
    "rejection-abc": "rejection-abc:accept=20",
}


def noisy(theta: Tensor) -> Tensor:
    return theta + 0.1 * torch.randn_like(theta)


def graph(prior: Distribution, method: str) -> Graph:
    """A model that the method takes: repeated for templates."""
    along = [Plate("plate", 3)] if method == "amp-templates" else []
    return Graph(density("theta", prior, along=along), simulator("x", noisy, ["theta"], along=along))


@pytest.mark.parametrize("kind", DISCRETE)
@pytest.mark.parametrize("joined", JOINED)
@pytest.mark.parametrize("method", load().entries("methods"))
def test_partly_discrete_components_stay_or_are_to_be_split(method: str, joined: str, kind: str) -> None:
    prior = Product([Uniform(0.0, 1.0), DISCRETE[kind]], joined)
    try:
        model = graph(prior, method)
        posterior = ampbench.infer_graph(model, ["x"], budget=400, method=FAST.get(method, method))
    except UsageError as error:
        told = str(error)
        assert "split it into nodes, one for each kind" in told or method == "reference", told
        return
    assert method in {"rejection-abc", "prior"}
    drawn = posterior.sample(torch.tensor([0.5, 1.0]), 50)
    assert bool(prior.support.check(drawn).all())


def test_the_parts_of_a_partly_discrete_variable_are_inferred() -> None:
    bit = Independent(Bernoulli(torch.full((1,), 0.4)), 1)
    size = Independent(Uniform(torch.zeros(1), torch.ones(1)), 1)
    both = simulator("x", lambda a, b: noisy(torch.cat([a, b], 1)), ["a", "b"])
    model = Graph(density("a", size), density("b", bit), both)
    posterior = ampbench.infer_graph(model, ["x"], budget=400, method="amp:steps=4,families.b=bernoulli")
    a, b = posterior.sample(torch.tensor([0.5, 1.0]), 50).unbind(1)
    assert bool(((a > 0) & (a < 1)).all())
    assert set(b.tolist()) <= {0.0, 1.0}


@pytest.mark.parametrize("kind", CONTINUOUS)
@pytest.mark.parametrize("joined", JOINED)
@pytest.mark.parametrize(
    "method",
    ["amp:steps=4", "rejection-abc:accept=20", "prior"]
    + [pytest.param(f"{name}:max_epochs=2", marks=pytest.mark.slow) for name in ("npe", "fmpe", "npse")]
    + [pytest.param("nle:max_epochs=2,chains=2,warmup=2", marks=pytest.mark.slow)],
)
def test_continuous_components_stay(method: str, joined: str, kind: str) -> None:
    prior = Product(CONTINUOUS[kind], joined)
    posterior = ampbench.infer(prior, noisy, budget=400, method=method)
    drawn = posterior.sample(prior.sample(torch.Size([1]))[0], 50)
    assert bool(prior.support.check(drawn).all())


@pytest.mark.parametrize("law", [Poisson(3.0), Bernoulli(0.4)])
@pytest.mark.parametrize("method", load().entries("methods"))
def test_discrete_priors_stay_or_are_refused_by_name(method: str, law: Distribution) -> None:
    prior = Independent(law.expand(torch.Size([2])), 1)
    try:
        posterior = ampbench.infer_graph(graph(prior, method), ["x"], budget=400, method=FAST.get(method, method))
    except UsageError as error:
        told = str(error)
        assert "'theta' is discrete" in told or method == "reference", told
        return
    assert bool(prior.support.check(posterior.sample(torch.tensor([1.0, 1.0]), 50)).all())
