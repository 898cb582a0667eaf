"""Missing entries and the methods of plugins: closed-form posteriors, embeddings, and refusals with a reason."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.distributions import Independent, Normal

import ampbench
from ampbench.errors import UsageError
from ampbench.graph import Graph, Simulator, density, simulator
from ampbench.interfaces import fit
from ampbench.registry import Registry, load
from ampbench.seeding import seeded

TRIALS = 10
PRIOR = Independent(Normal(torch.zeros(1), torch.ones(1)), 1)


def trials(theta: Tensor) -> Tensor:
    """Between 1 and TRIALS trials with unit variance; those that were not run are gaps."""
    run = torch.arange(TRIALS) < torch.randint(1, TRIALS + 1, (len(theta), 1))
    return torch.where(run, theta + torch.randn(len(theta), TRIALS), torch.nan)


def observation(values: list[float]) -> Tensor:
    return torch.tensor(values + [torch.nan] * (TRIALS - len(values)))


def check_conjugate(method: str, mean: float, deviation: float, budget: int = 2000) -> None:
    """theta | x_1, …, x_N is N(N mean / (N + 1), 1 / (N + 1)), for each number of trials from one fit."""
    posterior = ampbench.infer(PRIOR, trials, budget=budget, method=method, gaps=True)
    for values in ([1.2], [0.4, 0.8, 0.9], [0.1 * k for k in range(10)]):
        n = len(values)
        with seeded(0):
            drawn = posterior.sample(observation(values), 2000)
        assert abs(float(drawn.mean()) - sum(values) / (n + 1)) < mean
        assert abs(float(drawn.std()) - (n + 1) ** -0.5) < deviation


def test_npe() -> None:
    pytest.importorskip("sbi")
    check_conjugate("npe:density_estimator=mdn,max_epochs=30,learning_rate=2e-3,batch_size=100", 0.25, 0.12)


def test_npe_behind_an_embedding_of_sets() -> None:
    pytest.importorskip("sbi")
    npe = "npe(density_estimator=mdn,max_epochs=25,learning_rate=3e-3,batch_size=100)"
    check_conjugate(f"embedded:method={npe},kind=set,features=8", 0.25, 0.12)


@pytest.mark.slow
@pytest.mark.parametrize(
    "method",
    [
        "fmpe",
        "npse",
        "nre:chains=20",
        "embedded:method=fmpe,kind=set",
        "embedded:method=npse,kind=set",
        "embedded:method=nre(chains=20),kind=set",
        "embedded:method=npe,kind=series",
        "amp:family=embedded(family=gaussian,kind=set),steps=2000",
    ],
)
@pytest.mark.filterwarnings("ignore::ampbench.errors.FitWarning")
def test_other_methods(method: str) -> None:
    if not method.startswith("amp"):
        pytest.importorskip("sbi")
    check_conjugate(method, 0.25, 0.15, budget=5000)


def test_rejection_abc_takes_simulations_with_the_gaps_of_the_observation() -> None:
    """Two components, of which at most one is there: the nearest simulations have the right one."""

    def one_of_two(theta: Tensor) -> Tensor:
        first = torch.rand(len(theta), 1) < 0.5
        return torch.where(torch.cat([first, ~first], 1), torch.cat([theta, -theta], 1), torch.nan)

    posterior = ampbench.infer(PRIOR, one_of_two, budget=4000, method="rejection-abc:accept=20,smooth=False", gaps=True)
    for x, theta in (([1.0, torch.nan], 1.0), ([torch.nan, 1.0], -1.0)):
        drawn = posterior.sample(torch.tensor(x), 100)
        assert bool(((drawn - theta).abs() < 0.1).all())


@pytest.mark.parametrize("kind", ["set", "series", "image"])
def test_an_embedding_in_front_of_npe_without_gaps(kind: str, registry: Registry) -> None:
    pytest.importorskip("sbi")
    graph = Graph(density("theta", PRIOR), simulator("x", lambda t: t + torch.randn(len(t), 36), ["theta"], size=36))
    method = registry.build("methods", f"embedded:method=npe(density_estimator=maf,max_epochs=2),kind={kind},width=8")
    posterior = fit(method, Simulator(graph, ["x"], 100, seed=0))
    drawn = []
    for x in (torch.arange(36.0) / 36, torch.arange(36.0).flip(0) / 36):
        with seeded(1):
            drawn.append(posterior.sample(x, 20))
    assert torch.equal(*drawn) == (kind == "set")


@pytest.mark.parametrize("inner", ["nle", "snpe", "rejection-abc", "amp", "embedded"])
def test_methods_without_a_place_for_an_embedding(inner: str, registry: Registry) -> None:
    pytest.importorskip("sbi")
    with pytest.raises(UsageError, match=r"has no place for an embedding network; take npe, .*amp:family=embedded"):
        registry.build("methods", f"embedded:method={inner}")


def test_nle_refuses_gaps_with_the_reason() -> None:
    pytest.importorskip("sbi")
    with pytest.raises(UsageError, match=r"'nle' learns the density of observations, .*gaps of 'x'"):
        ampbench.infer(PRIOR, trials, budget=100, method="nle", gaps=True)


@pytest.mark.parametrize("method", ["snpe", "snle", "snre", "tsnpe", "mc-abc", "smc-abc"])
def test_methods_that_read_no_gaps_are_refused_before_they_simulate(method: str, registry: Registry) -> None:
    pytest.importorskip("sbi")
    source = Simulator(Graph(density("theta", PRIOR), simulator("x", trials, ["theta"], gaps=True)), ["x"], 100, seed=0)
    with pytest.raises(UsageError, match="does not read missing entries, which 'x' may have; take 'amp', 'npe'"):
        fit(registry.build("methods", method), source)
    assert source.spent == 0


def test_every_method_is_read_here() -> None:
    """The names in the refusal are those of methods."""
    assert {"amp", "npe", "fmpe", "npse", "nre", "rejection-abc"} <= set(load().entries("methods"))
