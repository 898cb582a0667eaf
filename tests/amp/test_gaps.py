"""Missing entries and adversarial message passing: every divergence with every family, and closed-form posteriors."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.distributions import Bernoulli, Distribution, Independent, Normal, OneHotCategorical

import ampbench
from ampbench.amp.comparisons import view
from ampbench.errors import FitWarning, UsageError
from ampbench.graph import Graph, Simulator, density, simulator
from ampbench.interfaces import HasDensity, fit, rebuild
from ampbench.registry import Registry, load
from ampbench.results import tensors
from ampbench.seeding import seeded

TRIALS = 10
PRIOR = Independent(Normal(torch.zeros(1), torch.ones(1)), 1)
PRIORS: dict[str, Distribution] = {
    "bernoulli": Independent(Bernoulli(torch.full((2,), 0.4)), 1),
    "categorical": OneHotCategorical(torch.ones(3)),
}
OPTIONS = {"blend": "blend(first=jsd,second=kl-ratio)", "embedded": "embedded(family=gaussian,kind=set)"}
REFUSED = {
    "kl-likelihood": "the likelihood at tuple (theta | x) is unknown: x is a simulator",
    "forward-kl": "the family of (theta | x) has no density",
}
"""Why some divergences refuse this model, or a family: for other reasons than gaps."""


def trials(theta: Tensor) -> Tensor:
    """Between 1 and TRIALS trials with unit variance; those that were not run are gaps."""
    run = torch.arange(TRIALS) < torch.randint(1, TRIALS + 1, (len(theta), 1))
    return torch.where(run, theta[:, :1] + torch.randn(len(theta), TRIALS), torch.nan)


def observation(values: list[float]) -> Tensor:
    return torch.tensor(values + [torch.nan] * (TRIALS - len(values)))


@pytest.mark.filterwarnings("ignore::ampbench.errors.FitWarning", "ignore::ampbench.errors.SimulationWarning")
@pytest.mark.parametrize("family", load().entries("families"))
@pytest.mark.parametrize("divergence", load().entries("divergences"))
def test_every_divergence_and_family_reads_gaps(registry: Registry, divergence: str, family: str) -> None:
    graph = Graph(
        density("theta", PRIORS.get(family, PRIOR)), simulator("x", trials, ["theta"], size=TRIALS, gaps=True)
    )
    spec = f"divergence={OPTIONS.get(divergence, divergence)},family={OPTIONS.get(family, family)}"
    method = registry.build("methods", f"amp:{spec},steps=5,batch_size=16,particles=2")
    try:
        posterior = fit(method, Simulator(graph, ["x"], 60, seed=0))
    except UsageError as error:
        told = str(error)
        assert told.startswith(REFUSED[divergence]), told
        return
    drawn = posterior.sample(observation([0.5, 1.5]), 9)
    assert drawn.shape == (9, PRIORS.get(family, PRIOR).event_shape[0])
    assert bool(drawn.isfinite().all())


@pytest.mark.parametrize("kind", ["set", pytest.param("series", marks=pytest.mark.slow)])
def test_the_posterior_of_trials_is_the_conjugate_one(kind: str) -> None:
    """theta | x_1, …, x_N is N(N mean / (N + 1), 1 / (N + 1)), for each number of trials from one fit."""
    family = f"embedded(family=gaussian(width=32,depth=1),kind={kind},features=8)"
    training = "steps=400,batch_size=128,learning_rate=5e-3,ema=0.97"
    posterior = ampbench.infer(
        PRIOR, trials, budget=3000, method=f"amp:divergence=forward-kl,family={family},{training}", gaps=True
    )
    for values in ([1.2], [0.4, 0.8, 0.9], [0.1 * k for k in range(10)]):
        n = len(values)
        with seeded(0):
            drawn = posterior.sample(observation(values), 4000)
        assert abs(float(drawn.mean()) - sum(values) / (n + 1)) < 0.15
        assert abs(float(drawn.std()) - (n + 1) ** -0.5) < 0.1


def quick(kind: str, gaps: bool = True) -> ampbench.interfaces.Posterior:
    return ampbench.infer(
        PRIOR,
        trials if gaps else lambda theta: theta + torch.randn(len(theta), TRIALS),
        budget=300,
        method=f"amp:divergence=forward-kl,family=embedded(family=gaussian,kind={kind}),steps=30",
        gaps=gaps,
    )


@pytest.mark.parametrize("gaps", [True, False])
def test_a_permutation_of_trials_gives_the_same_posterior(gaps: bool) -> None:
    """Also where some trials are never run in a few simulations: all trials get one location and scale."""
    posterior = quick("set", gaps)
    x = observation([0.3, -1.0, 2.0, 0.7]) if gaps else torch.randn(TRIALS)
    drawn = []
    for each in (x, x[torch.randperm(TRIALS)]):
        with seeded(1):
            drawn.append(posterior.sample(each, 20))
    assert torch.equal(*drawn)


def test_a_posterior_with_gaps_is_restored_and_has_its_density(tmp_path: Path) -> None:
    method = "amp:divergence=forward-kl,family=embedded(family=gaussian,kind=set),steps=30"
    posterior = ampbench.infer(PRIOR, trials, budget=300, method=method, gaps=True)
    ampbench.save(posterior, tmp_path / "posterior.npz")
    again = ampbench.restore(tmp_path / "posterior.npz", PRIOR, trials, method=method, gaps=True)
    x, drawn = observation([0.5, 1.0]), []
    for each in (posterior, again):
        with seeded(1):
            drawn.append(each.sample(x, 20))
    assert torch.equal(*drawn)
    assert isinstance(again, HasDensity)
    grid = torch.linspace(-6, 6, 2001)[:, None]
    assert abs(float(again.log_prob(grid, x.expand(2001, -1)).exp().sum()) * 12 / 2000 - 1) < 1e-3
    with pytest.raises(UsageError, match="'x' has gaps in the state, but no gaps in the model"):
        ampbench.restore(tmp_path / "posterior.npz", PRIOR, trials, method=method)


@pytest.mark.filterwarnings("ignore::ampbench.errors.FitWarning", "ignore::ampbench.errors.SimulationWarning")
@pytest.mark.parametrize("gaps", [True, False])
@pytest.mark.parametrize(
    "divergence", ["jsd", "riesz", "mmd(features=4)", "wasserstein", "kl-ratio", "blend(first=energy,second=jsd)"]
)
def test_adversaries_do_not_depend_on_the_order_of_trials_either(
    registry: Registry, divergence: str, gaps: bool
) -> None:
    """Also those of density-ratio resampling, and of a restored posterior."""
    graph = Graph(
        density("theta", PRIOR),
        simulator("x", trials if gaps else lambda theta: theta + torch.randn(len(theta), TRIALS), ["theta"], gaps=gaps),
    )
    method = registry.build(
        "methods",
        f"amp:divergence={divergence},family=embedded(family=gaussian,kind=set),steps=8,batch_size=16,particles=2",
    )
    source = Simulator(graph, ["x"], 100, seed=0)
    posterior = fit(method, source)
    restored = rebuild(method, source, tensors.parse(tensors.dump(posterior.state())))
    x, drawn = observation([0.3, -1.0, 2.0, 0.7]) if gaps else torch.randn(TRIALS), []
    order = torch.randperm(TRIALS)
    for each, there in ((posterior, x), (posterior, x[order]), (restored, x)):
        with seeded(1):
            drawn.append(each.sample(there, 20))
    assert torch.equal(drawn[0], drawn[1])
    assert torch.equal(drawn[0], drawn[2])
    if divergence == "riesz":
        return
    (comparison,), (adversary,) = posterior.chain_pair.comparisons, posterior.chain_pair.adversaries
    rows = posterior.held_out
    places = torch.cat([order, order + TRIALS]) if gaps else order
    outputs = [adversary(view(rows | {"x": value}, comparison)) for value in (rows["x"], rows["x"][:, places])]
    assert torch.equal(*outputs)
    assert bool(outputs[0].isfinite().all())


def test_a_diagnosis_with_gaps(registry: Registry) -> None:
    posterior = quick("set")
    frame = posterior.diagnose(Graph(density("theta", PRIOR), simulator("x", trials, ["theta"], gaps=True)).sample(60))
    assert frame["accuracy"].between(0, 1).all()


def test_other_observations_are_refused() -> None:
    posterior = quick("set")
    with pytest.raises(UsageError, match="'x' has no value"):
        posterior.sample(observation([]), 5)
    with pytest.raises(UsageError, match="component 0 is inf"):
        posterior.sample(observation([torch.inf]), 5)
    with pytest.raises(UsageError, match="component 2 is nan"):
        quick("series", gaps=False).sample(observation([1.0, 2.0]), 5)


def test_several_latents_with_one_embedding_of_the_evidence(registry: Registry) -> None:
    """The embedding reads the variable with gaps; a latent in the context passes by it."""
    a, b = (density(name, PRIOR) for name in "ab")
    graph = Graph(
        a,
        b,
        simulator("x", lambda a, b: trials(a + b), ["a", "b"], gaps=True),
        simulator("y", lambda a: a, ["a"]),
    )
    method = registry.build("methods", "amp:family=embedded(family=gaussian,kind=set),steps=5,batch_size=16")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FitWarning)
        posterior = fit(method, Simulator(graph, ["x", "y"], 60, seed=0))
    x = torch.cat([observation([0.5] * 4), torch.zeros(1)])
    assert posterior.sample(x, 7).shape == (7, 2)
    x[-1] = torch.nan
    with pytest.raises(UsageError, match="'y' holds NaN: component 0; only a variable"):
        posterior.sample(x, 7)


def test_learning_from_data_has_no_gaps() -> None:
    graph = Graph(density("theta", PRIOR), simulator("x", trials, ["theta"], gaps=True))
    with pytest.raises(UsageError, match="'x' has gaps, but a row of NaN is a missing value here"):
        ampbench.learn(graph, {"x": torch.randn(50, TRIALS)}, method="amp:steps=2")
