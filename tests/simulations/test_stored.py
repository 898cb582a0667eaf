"""Stored simulations replace a simulator: equal rows give equal fits, and what does not fit the prior is refused."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from slow_simulator import prior, simulate
from torch import Tensor
from torch.distributions import Distribution, Gamma, Independent, MultivariateNormal, Normal, Uniform

import ampbench
from ampbench import assess
from ampbench.errors import BudgetExceeded, FitWarning, StoredWarning, UsageError
from ampbench.graph import Graph, Plate, Simulator, density, simulator
from ampbench.interfaces import Posterior
from ampbench.registry import Registry
from ampbench.seeding import seeded
from ampbench.simulations import LearnedPrior, Simulations, StoredSimulator, learn_prior, model_of, read_simulations

FAST = {
    "amp": "amp:steps=20",
    "npe": "npe:max_epochs=1",
    "nre": "nre:max_epochs=1,chains=2,warmup=5",
    "fmpe": "fmpe:max_epochs=1",
}
AMORTISED = ["amp", "npe", "fmpe", "mc-abc", "rejection-abc", "prior"]
PROPOSING = ["snpe", "snle", "snre", "tsnpe", "smc-abc"]


@pytest.fixture(autouse=True)
def short_fits() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FitWarning)
        yield


@pytest.fixture
def drawn() -> tuple[Tensor, Tensor]:
    """What a run with the seed 0 and a budget of 200 simulates."""
    values = Simulator(model_of(prior, simulate), ["x"], 200, 0).sample(200)
    return values["theta"], values["x"]


def sample(posterior: Posterior) -> Tensor:
    with seeded(1):
        return posterior.sample(torch.tensor([0.5, 0.5]), 5)


@pytest.mark.parametrize("method", [*AMORTISED, pytest.param("nre", marks=pytest.mark.slow)])
def test_stored_rows_are_as_good_as_a_simulator(method: str, drawn: tuple[Tensor, Tensor]) -> None:
    spec = FAST.get(method, method)
    options: dict[str, Any] = {"method": spec, "seed": 0}
    stored = ampbench.infer(prior, simulations=drawn, **options)
    assert torch.equal(sample(stored), sample(ampbench.infer(prior, simulate, budget=200, probe=False, **options)))


@pytest.mark.parametrize("method", PROPOSING)
def test_methods_that_propose_parameters_are_refused(method: str, drawn: tuple[Tensor, Tensor]) -> None:
    with pytest.raises(UsageError, match=f"method '{method}' cannot use stored simulations: it proposes parameters"):
        ampbench.infer(prior, simulations=drawn, method=method)


def test_a_smaller_budget_takes_the_first_rows(drawn: tuple[Tensor, Tensor]) -> None:
    theta, x = drawn
    some = ampbench.infer(prior, simulations=drawn, budget=100, method="mc-abc:accept=20")
    assert torch.equal(
        sample(some), sample(ampbench.infer(prior, simulations=(theta[:100], x[:100]), method="mc-abc:accept=20"))
    )
    source = StoredSimulator(model_of(prior, None, read_simulations(drawn)), ["x"], 50, 0, read_simulations(drawn))
    first, second = source.sample(20), source.sample(30)
    assert torch.equal(torch.cat([first["theta"], second["theta"]]), theta[:50])
    with pytest.raises(BudgetExceeded):
        source.sample(1)
    with pytest.raises(UsageError, match="proposes parameters"):
        source.renewed(1)


def test_a_graph_takes_an_array_for_each_variable(chain: Graph, drawn: tuple[Tensor, Tensor]) -> None:
    values = Simulator(chain, ["x"], 200, 0).sample(200)
    options: dict[str, Any] = {"method": "amp:steps=10", "seed": 0}
    stored = ampbench.infer_graph(chain, ["x"], simulations=values, **options)
    again = ampbench.infer_graph(chain, ["x"], budget=200, **options)
    for each in (stored, again):
        assert each.sample(torch.zeros(1), 3).shape == (3, 2)
    assert torch.equal(*(draw(each, torch.zeros(1)) for each in (stored, again)))
    with pytest.raises(UsageError, match="no column for variable 'z1'"):
        ampbench.infer_graph(chain, ["x"], simulations={"z2": values["z2"], "x": values["x"]}, **options)
    group = Plate("group", (3, 3))
    repeated = Graph(
        density("mu", Independent(Normal(torch.zeros(1), 1.0), 1)), simulator("y", abs, ["mu"], along=[group])
    )
    with pytest.raises(UsageError, match=r"axes .group. cannot be used"):
        ampbench.infer_graph(repeated, ["y"], simulations={"mu": np.zeros(9), "y": np.zeros(9)}, method="amp-templates")


def draw(posterior: Posterior, x: Tensor) -> Tensor:
    with seeded(1):
        return posterior.sample(x, 5)


def test_a_saved_posterior_is_restored_without_a_simulator(drawn: tuple[Tensor, Tensor], tmp_path: Path) -> None:
    posterior = ampbench.infer(prior, simulations=drawn, method="amp:steps=10")
    ampbench.save(posterior, tmp_path / "p.npz")
    again = ampbench.restore(tmp_path / "p.npz", prior, simulations=drawn, method="amp:steps=10")
    assert torch.equal(sample(posterior), sample(again))


WIDE = Independent(Uniform(torch.zeros(3), torch.ones(3)), 1)
NARROW = Independent(Uniform(torch.zeros(2), 0.5 * torch.ones(2)), 1)
REFUSED: dict[str, tuple[Callable[[Tensor, Tensor], dict[str, Any]], str]] = {
    "D": (lambda t, x: {"prior": WIDE, "simulations": (t, x)}, "theta has 2 components per row, but the prior has 3"),
    "support": (lambda t, x: {"prior": NARROW, "simulations": (t, x)}, r"outside the support .* the first is row \d+"),
    "budget": (lambda t, x: {"prior": prior, "simulations": (t, x), "budget": 201}, "budget is 201, but .* hold 200"),
    "fraction": (lambda t, x: {"prior": prior, "simulations": (t, x), "budget": 1.5}, "budget must be a whole number"),
    "nothing": (lambda t, x: {"prior": prior}, "a simulator is missing"),
    "no prior": (lambda t, x: {"simulate": simulate, "budget": 9}, "a prior is missing"),
    "no budget": (lambda t, x: {"prior": prior, "simulate": simulate}, "budget must be a whole number, got None"),
    "both": (lambda t, x: {"prior": prior, "simulate": simulate, "simulations": (t, x)}, "leave simulate out"),
    "workers": (
        lambda t, x: {"prior": prior, "simulations": (t, x), "workers": 2},
        "workers, batch and store run a sim",
    ),
    "few, no prior": (lambda t, x: {"simulations": (t[:20], x[:20])}, "cannot be learned from 20 stored parameters"),
    "constant": (lambda t, x: {"simulations": (0 * t + 0.5, x)}, "component 0 of theta is 0.5 in all 200 rows"),
    "whole": (lambda t, x: {"simulations": ((9 * t).round(), x)}, "holds whole numbers only"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_does_not_fit_is_refused(kind: str, drawn: tuple[Tensor, Tensor]) -> None:
    make, message = REFUSED[kind]
    with pytest.raises(UsageError, match=message):
        ampbench.infer(method="prior", **make(*drawn))


def test_columns_name_the_parameters(drawn: tuple[Tensor, Tensor]) -> None:
    table = pd.DataFrame(torch.cat(drawn, 1).numpy(), columns=["beta", "gamma", "a", "b"])
    stored = read_simulations(table, parameters=["beta", "gamma"])
    posterior = ampbench.infer(prior, simulations=stored, method="rejection-abc")
    assert list(posterior.summary(torch.tensor([0.5, 0.5])).index) == ["beta", "gamma"]
    other = ampbench.infer(prior, simulations=stored, names=["a", "b"], method="rejection-abc")
    assert list(other.summary(torch.tensor([0.5, 0.5])).index) == ["a", "b"]
    with pytest.raises(UsageError, match="there is no simulator, only stored simulations"):
        posterior.predict(torch.tensor([0.5, 0.5]), 3)


def test_parameters_of_another_distribution_are_noticed(drawn: tuple[Tensor, Tensor]) -> None:
    theta, x = drawn
    with pytest.warns(StoredWarning, match=r"theta\[1\] does not look like draws of the declared prior: mean 0\.2\d+ "):
        ampbench.infer(prior, simulations=(torch.stack([theta[:, 0], theta[:, 1] ** 3], 1), x), method="prior")


@pytest.mark.parametrize("method", ["amp", "npe", pytest.param("nre", marks=pytest.mark.slow)])
def test_the_prior_is_learned_with_a_warning(method: str, drawn: tuple[Tensor, Tensor]) -> None:
    with pytest.warns(StoredWarning, match="the prior was learned from 200 stored parameters"):
        posterior = ampbench.infer(simulations=drawn, method=FAST[method])
    draws = sample(posterior)
    assert bool(((draws > -0.02) & (draws < 1.02)).all())


LAWS: dict[str, Distribution] = {
    "uniform": Independent(Uniform(torch.tensor([-3.0, 10.0]), torch.tensor([5.0, 11.0])), 1),
    "normal": MultivariateNormal(torch.tensor([1.0, -200.0]), torch.tensor([[1.0, 0.9], [0.9, 1.0]])),
    "gamma": Independent(Gamma(torch.tensor([2.0, 5.0]), torch.tensor([1.0, 1e3])), 1),
    "far away": Independent(Normal(torch.tensor([1e9, 0.0], dtype=torch.float64), 1.0), 1),
}


@pytest.mark.parametrize("law", LAWS)
def test_a_learned_prior_is_near_the_law(law: str) -> None:
    """Its draws lie in its support, also after rounding; its density is normalised and near the law's."""
    theta = LAWS[law].sample(torch.Size([1000]))
    with pytest.warns(StoredWarning):
        learned = learn_prior(theta)
    assert isinstance(learned, LearnedPrior)
    node = density("theta", learned)
    assert bool(node.support.check(node.sample(2000)).all())
    draws = learned.sample([4000])
    scale = theta.std(0).double()
    assert bool(((draws.mean(0) - theta.double().mean(0)).abs() < 0.15 * scale).all())
    assert bool(((draws.std(0) / scale - 1).abs() < 0.15).all())
    assert abs(float(torch.corrcoef(draws.T)[0, 1] - torch.corrcoef(theta.T)[0, 1])) < 0.1
    fresh = LAWS[law].sample(torch.Size([2000]))
    inside = learned.support.check(fresh)
    gap = (LAWS[law].log_prob(fresh) - learned.log_prob(fresh))[inside]
    assert 0 <= float(gap.mean()) + 0.02 < 0.2  # the divergence of the estimate from the law
    assert bool(learned.log_prob(theta + 100 * scale).isneginf().all())


def test_assessments_split_stored_rows(drawn: tuple[Tensor, Tensor], registry: Registry) -> None:
    stored = read_simulations(drawn)
    prepared = assess.split_stored(stored, 60, seed=0)
    rows = torch.cat([prepared.held_out.values["theta"], prepared.training.values["theta"]])
    assert torch.equal(rows.sort(0).values, drawn[0].sort(0).values)
    assert torch.equal(prepared.training.values["theta"][0], drawn[0][0]) or len(prepared.training) == 140
    judges = assess.hold_out(model_of(prior, None, stored), ["x"], 60, 0, prepared=prepared)
    assert torch.equal(judges.theta, prepared.held_out.values["theta"])
    found = list(assess.outcomes(judges, ["rejection-abc:accept=20", "snpe"], [100, 140], registry))
    assert [each.spent for each in found if each.ok] == [100, 140]
    assert "sequential method" in found[1].error
    with pytest.raises(UsageError, match="a budget of 141 simulations, but 140 are left for training beside 60"):
        list(assess.outcomes(judges, ["prior"], [141], registry))
    with pytest.raises(UsageError, match="none is left for training"):
        assess.split_stored(stored, 200, seed=0)


def test_precision_is_kept() -> None:
    theta = torch.rand(100, 1, dtype=torch.float64)
    stored = Simulations.of({"theta": theta, "x": 1.2e9 + 0.1 * theta}, "the test")
    graph = model_of(Independent(Uniform(torch.zeros(1), torch.ones(1)), 1), None, stored)
    values = StoredSimulator(graph, ["x"], None, 0, stored).sample(100)
    assert (values["theta"].dtype, values["x"].dtype) == (torch.float32, torch.float64)
