"""Failed simulations, by method: dropped or coded with a warning, or refused with a reason, and never ignored."""

from __future__ import annotations

import re
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.distributions import Independent, Normal

import ampbench
from ampbench import registry
from ampbench.errors import FitWarning, SimulationError, SimulationWarning, UsageError
from ampbench.graph import Graph, Plate, density, simulator
from ampbench.interfaces import Method, Posterior
from ampbench.seeding import seeded

PRIOR = Independent(Normal(torch.zeros(2), torch.ones(2)), 1)
SPECS = {
    "amp": "amp:steps=20",
    "amp-ensemble": "amp-ensemble:amp=amp(steps=20),members=2",
    "amp-learned": "amp-learned:amp=amp(divergence=forward-kl,family=gaussian,steps=20),draws=200",
    "amp-templates": "amp-templates:steps=4,checks=2,batch_size=8,repeats=32,messages=8",
    "fmpe": "fmpe:max_epochs=2",
    "mc-abc": "mc-abc:accept=40",
    "nle": "nle:max_epochs=2,chains=4,density_estimator=mdn",
    "npe": "npe:max_epochs=2",
    "npe-ensemble": "npe-ensemble:members=2,max_epochs=2",
    "npse": "npse:max_epochs=2",
    "nre": "nre:max_epochs=2,chains=4",
    "nre-c": "nre-c:max_epochs=2,chains=4",
    "rejection-abc": "rejection-abc:accept=40",
    "smc-abc": "smc-abc:population=50",
    "snle": "snle:rounds=2,max_epochs=2,chains=4,density_estimator=mdn",
    "snpe": "snpe:rounds=2,max_epochs=2",
    "snre": "snre:rounds=2,max_epochs=2,chains=4",
    "tsnpe": "tsnpe:rounds=2,max_epochs=2,support_samples=200",
}
SLOW = {"npse", "snle", "snre"}
METHODS = [
    pytest.param(name, marks=pytest.mark.slow) if name in SLOW else name for name in registry.load().entries("methods")
]
CORE = {"amp", "amp-ensemble", "amp-learned", "amp-templates", "prior", "reference", "rejection-abc"}
"""Methods that need no sbi."""
BIASED = {"nle": "likelihood", "nre": "likelihood", "snle": "likelihood", "snre": "likelihood", "snpe": "atomic loss"}
BIASED |= {"amp-learned": "surrogate", "nre-c": "likelihood"}
"""Methods that refuse to leave failed simulations out, with a word of the reason."""


def failing(theta: Tensor) -> Tensor:
    """It fails, in both components, more often where the first parameter is large."""
    x = theta + 0.5 * torch.randn_like(theta)
    return x.masked_fill(torch.rand(len(theta), 1) < torch.sigmoid(2 * theta[:, :1] - 1), torch.nan)


def graph(method: str, simulate: Any = failing) -> Graph:
    """A model that the method takes: the flat graph of a repeated variable for templates."""
    if method != "amp-templates":
        return Graph(density("theta", PRIOR), simulator("x", simulate, ["theta"]))
    one = simulator("x", simulate, ["theta"], along=[Plate("trial", 2)], size=2)
    return Graph(density("theta", PRIOR), one).ground({"trial": 2})


def infer(method: str, failed: Any, simulate: Any = failing, budget: int = 300) -> Posterior:
    model = graph(method, simulate)
    observed = [name for name in model.names if name != "theta"]
    spec = SPECS.get(method, method)
    if method not in CORE:
        pytest.importorskip("sbi")
    return ampbench.infer_graph(model, observed, budget=budget, method=spec, failed=failed)


@pytest.mark.parametrize("failed", ["drop", "code"])
@pytest.mark.parametrize("method", METHODS)
def test_every_method_treats_failures_or_refuses(method: str, failed: Any) -> None:
    if method == "reference":
        with pytest.raises(UsageError, match="needs the task"):
            infer(method, failed)
        return
    if failed == "drop" and method in BIASED:
        with pytest.raises(UsageError, match=f"cannot leave failed simulations out: .*{BIASED[method]}.*failed='code'"):
            infer(method, failed)
        return
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", SimulationWarning)
        warnings.simplefilter("ignore", FitWarning)
        posterior = infer(method, failed)
        x = torch.zeros(4 if method == "amp-templates" else 2)
        with seeded(0):
            samples = posterior.sample(x, 20)
    assert samples.shape == (20, 2)
    assert bool(samples.isfinite().all())
    told = [str(each.message) for each in caught if issubclass(each.category, SimulationWarning)]
    word = "left out" if failed == "drop" else "replaced by codes"
    assert method == "prior" or any(re.search(rf"\d+ of \d+ simulations .*failed.*{word}", text) for text in told)


@pytest.mark.filterwarnings("ignore::ampbench.errors.SimulationWarning")
@pytest.mark.parametrize("method", [name for name in SPECS if name not in {*SLOW, *BIASED}])
def test_too_few_left_are_named(method: str) -> None:
    """A method that needs more simulations than are left says so."""

    def nearly_never(theta: Tensor) -> Tensor:
        x = theta.clone()
        x[1:] = torch.nan
        return x

    def run() -> Tensor:
        return infer(method, "drop", nearly_never).sample(torch.zeros(2), 5)

    with pytest.raises(SimulationError, match=r"\b1 of \d+ are left|: \d+ are left, but at least \d+ are needed"):
        run()


def test_a_method_that_does_not_say_is_refused() -> None:
    class Silent(Method):
        def fit(self, *_: Any) -> Any:
            raise AssertionError

    source = ampbench.Simulator(graph("silent"), ["x"], 100, 0, "drop")
    with pytest.raises(
        UsageError, match=r"Silent cannot leave failed simulations out: it does not declare .*drop_bias"
    ):
        ampbench.interfaces.method.fit(Silent(), source)


def test_divergences_and_rounds_decide() -> None:
    build = registry.load().build
    assert build("methods", "amp").drop_bias == ""
    for spec in ("amp:divergence=kl-likelihood", "amp:divergence=blend", "amp-templates:divergence=kl-likelihood"):
        assert "known likelihood" in build("methods", spec).drop_bias
    assert build("methods", "snpe:rounds=1").drop_bias == ""
    assert "atomic" in build("methods", "snpe:rounds=2").drop_bias


def test_a_likelihood_without_a_mode_for_codes_warns() -> None:
    with pytest.warns(SimulationWarning), pytest.warns(FitWarning, match=r"coded, but the flow 'maf'.*estimator=nsf"):
        ampbench.infer(PRIOR, failing, budget=100, method="nle:max_epochs=1", failed="code")


@pytest.mark.parametrize("method", ["amp", "npe", "rejection-abc"])
def test_without_failures_the_numbers_are_those_of_an_ordinary_run(method: str) -> None:
    def fine(theta: Tensor) -> Tensor:
        return theta + torch.randn_like(theta)

    drawn = []
    for failed in ("error", "drop", "code"):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FitWarning)
            posterior = infer(method, failed, fine, budget=100)
        with seeded(0):
            drawn.append(posterior.sample(torch.zeros(2), 20))
    assert torch.equal(drawn[0], drawn[1])
    assert torch.equal(drawn[0], drawn[2])


def test_the_page_has_every_method() -> None:
    page = (Path(__file__).parents[1] / "docs" / "failed-simulations.md").read_text(encoding="utf-8")
    table = page.partition("## Which method")[2].partition("\n## ")[0].splitlines()
    rows = {name: row for row in table if row.startswith("| `") for name in re.findall("`([^`]+)`", row)}
    for method in registry.load().entries("methods"):
        assert (method in BIASED) == rows[method].split("|")[2].strip().startswith("refused"), method


def test_an_observation_that_failed_itself(tmp_path: Path) -> None:
    """theta ~ N(0, 1), and x fails where theta > 1: given the failure, theta exceeds 1, also after restoring."""
    prior = Independent(Normal(torch.zeros(1), torch.ones(1)), 1)

    def simulate(theta: Tensor) -> Tensor:
        return torch.where(theta > 1, torch.nan, theta + 0.1 * torch.randn_like(theta))

    method = "rejection-abc:accept=30,smooth=false"
    with pytest.warns(SimulationWarning, match="replaced by codes"):
        posterior = ampbench.infer(prior, simulate, budget=2000, method=method, failed="code")
    ampbench.save(posterior, tmp_path / "posterior.npz")
    for each in (posterior, ampbench.restore(tmp_path / "posterior.npz", prior, simulate)):
        assert float(each.sample([torch.nan], 100).min()) > 1
        assert float(each.sample({"x": [torch.inf]}, 100).min()) > 1
        assert float(each.sample([0.0], 100).abs().max()) < 1
    for failed, function in (("drop", simulate), ("code", lambda theta: theta.clone())):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SimulationWarning)
            posterior = ampbench.infer(prior, function, budget=200, method=method, failed=failed)  # type: ignore[arg-type]
        with pytest.raises(UsageError, match="NaN"):
            posterior.sample([torch.nan], 10)
