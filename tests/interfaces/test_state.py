"""Posteriors that are made again from their state: the same numbers without a simulation, or an error that says why."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.distributions import Bernoulli, Dirichlet, Distribution, Independent, Normal, OneHotCategorical, Uniform

from ampbench import restore, restore_graph, save
from ampbench.amp.posterior import AMPPosterior
from ampbench.errors import UsageError
from ampbench.graph import Graph, Simulator, density, simulator
from ampbench.interfaces import fit, rebuild
from ampbench.interfaces import state as states
from ampbench.registry import Registry
from ampbench.results import tensors
from ampbench.seeding import seeded

NETWORKS = {
    "flow": "width=8,depth=1,transforms=1,bins=3,features=4",
    "embedded": "family=flow(width=8),features=4,width=4",
}
PRIORS: dict[str, Distribution] = {
    "bernoulli": Independent(Bernoulli(torch.tensor([0.3, 0.6])), 1),
    "categorical": OneHotCategorical(torch.ones(2)),
}
NORMAL = Independent(Normal(torch.zeros(2), torch.ones(2)), 1)


def model(prior: Distribution = NORMAL, size: int = 9) -> Graph:
    """An observation of nine components, which may be taken for a series."""

    def simulate(theta: Tensor) -> Tensor:
        return theta.repeat(1, size)[:, :size] + 0.1 * torch.randn(len(theta), size)

    return Graph(density("theta", prior), simulator("x", simulate, ["theta"], size=size))


def chain() -> Graph:
    """z2 -> z1 -> x, of a bounded, a simplex and a real variable."""
    return Graph(
        density("z2", Independent(Uniform(torch.zeros(2), torch.ones(2)), 1)),
        density(
            "z1", lambda z2: Dirichlet(1 + z2.repeat(1, 2)[:, :3]), ["z2"], torch.distributions.constraints.simplex
        ),
        simulator("x", lambda z1: z1 + 0.1 * torch.randn_like(z1), ["z1"], size=3),
    )


def both(registry: Registry, spec: str, graph: Graph) -> tuple[AMPPosterior, AMPPosterior]:
    """A posterior, and the one that is made from its state, through bytes."""
    posterior = fit(registry.build("methods", spec), Simulator(graph, ["x"], 200, seed=0))
    assert isinstance(posterior, AMPPosterior)
    state = tensors.parse(tensors.dump(posterior.state()))
    again = rebuild(registry.build("methods", spec), Simulator(graph, ["x"], 200, seed=7), state)
    assert isinstance(again, AMPPosterior)
    return posterior, again


def drawn(posterior: AMPPosterior, size: int) -> Mapping[str, Tensor]:
    with seeded(3):
        return posterior.sample_variables(torch.linspace(0.1, 0.9, size), 70)


def ratios(posterior: AMPPosterior) -> list[Tensor]:
    """What the adversaries say about the held-out simulations."""
    with seeded(5):
        p, q = posterior.chain_pair.on_simulations(posterior.held_out, False)
    return [d for pair in posterior.chain_pair.log_ratios(p, q).values() for d in pair]


def same(first: AMPPosterior, second: AMPPosterior, size: int) -> bool:
    pairs = zip(drawn(first, size).items(), drawn(second, size).items(), strict=True)
    return all(a == b and torch.equal(x, y) for (a, x), (b, y) in pairs)


@pytest.mark.parametrize("scope", ["local", "global"])
@pytest.mark.parametrize(
    ("divergence", "ratio"),
    [
        ("divergence=jsd(width=8,depth=1)", True),
        ("divergence=kl-ratio(width=8,depth=1)", True),
        ("divergence=mmd", False),
        ("divergence=forward-kl", False),
    ],
)
def test_a_graph_of_several_variables(registry: Registry, divergence: str, ratio: bool, scope: str) -> None:
    """History, held-out simulations and adversaries come back too."""
    spec = f"amp:{divergence},families.z1=flow(width=8),families.z2=gaussian(width=8),steps=20,scope={scope}"
    first, again = both(registry, spec, chain())
    assert same(first, again, 3)
    assert first.history.equals(again.history)
    assert first.history.dtypes.equals(again.history.dtypes)
    assert all(torch.equal(*pair) for pair in zip(ratios(first), ratios(again), strict=True))
    assert bool(ratios(first)) == ratio
    assert not any(weight.requires_grad for weight in again.trained.learned.parameters())


def test_each_tuple_with_a_divergence_of_its_own(registry: Registry) -> None:
    """One adversary is a log-ratio, and the other has the model's own density beside it; with teacher forcing."""
    spec = "amp:divergence=jsd(width=8),family=gaussian(width=8),divergences.z2=kl-likelihood(width=8),steps=5"
    first, again = both(registry, f"{spec},teacher_forcing=true", chain())
    assert tensors.dump(first.state()) == tensors.dump(again.state())
    assert len(ratios(first)) == 2
    assert all(torch.equal(*pair) for pair in zip(ratios(first), ratios(again), strict=True))


@pytest.mark.parametrize("divergence", ["jsd(width=8,depth=1)", "mmd", "riesz(refine=4),particles=2"])
def test_every_family(registry: Registry, divergence: str) -> None:
    """With and without density-ratio resampling."""
    for family in registry.entries("families"):
        options = NETWORKS.get(family, "width=8,depth=1")
        spec = f"amp:divergence={divergence},family={family}({options}),steps=20"
        graph = model(PRIORS.get(family, NORMAL))
        first, again = both(registry, spec, graph)
        assert same(first, again, 9), family
        with seeded(4):
            other = again.sample(torch.linspace(0.1, 0.9, 9), 70)
        assert not torch.equal(other, torch.cat(list(drawn(again, 9).values()), 1)), "draws follow from the seed"


def test_a_diagnosis(registry: Registry) -> None:
    first, again = both(registry, "amp:divergence=jsd(width=8,depth=1),family=gaussian(width=8),steps=5", model(size=2))
    assert first.diagnose().equals(again.diagnose())


def test_density_ratio_resampling(registry: Registry) -> None:
    """A restored posterior resamples its draws if, and only if, the first one did."""
    spec, source = "amp:divergence=jsd(width=8),family=gaussian(width=8),steps=5", Simulator(model(), ["x"], 100, 0)
    state = states.parts(fit(registry.build("methods", spec), source).state())
    posteriors = []
    for resampled, refiner in ((True, state["adversaries"]), (False, {})):
        refiner = {name.removeprefix("0."): each for name, each in refiner.items()}
        part = {"last_word": refiner, "thinned": {"draws": torch.tensor(resampled)}}
        posterior = rebuild(registry.build("methods", spec), source, states.joined({**state, **part}))
        again = rebuild(registry.build("methods", spec), source, posterior.state())
        assert same(posterior, again, 9)
        posteriors.append(again)
    assert not same(*posteriors, 9)


AMP = "amp:divergence=mmd,family=gaussian(width=8,depth=1),steps=5"


@pytest.mark.parametrize(
    ("spec", "graph", "message"),
    [
        (AMP, chain(), "the state has the variables theta, x, but the model x, z1, z2; give the model"),
        (AMP, model(size=8), "variable 'x' has 9 components in the state, but 8 in the model"),
        (AMP.replace("width=8", "width=9"), model(), r"does not fit these families: .*\[8, 9\].*\[9, 9\]"),
        (AMP.replace("gaussian", "mixture"), model(), r"does not fit these families: .*size mismatch"),
        (AMP.replace("mmd", "jsd"), model(), r"does not fit these adversaries: Missing key.*network\.first\.weight"),
        ("rejection-abc", model(), "the state has the latent variables none, but the model theta"),
        ("prior", model(), "a posterior of Prior cannot be made again from its state; fit it anew"),
    ],
)
def test_another_model_or_method_is_refused(
    registry: Registry, tmp_path: Path, spec: str, graph: Graph, message: str
) -> None:
    save(fit(registry.build("methods", AMP), Simulator(model(), ["x"], 100, seed=0)), tmp_path / "posterior.npz")
    with pytest.raises(UsageError, match=message):
        restore_graph(tmp_path / "posterior.npz", graph, ["x"], method=spec)


def test_what_cannot_be_saved(registry: Registry, tmp_path: Path) -> None:
    posterior = fit(registry.build("methods", "prior"), Simulator(model(), ["x"], 100, seed=0))
    with pytest.raises(UsageError, match="a _PriorDensity cannot be saved; take a method that restores"):
        save(posterior, tmp_path / "posterior.npz")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 torn", b"\x80\x04N."])
def test_no_posterior_in_the_file(tmp_path: Path, content: bytes) -> None:
    """The last one is a pickle."""
    path = tmp_path / "posterior.npz"
    for _ in range(2):
        with pytest.raises(UsageError, match=r"no posterior can be read from '.*posterior\.npz'"):
            restore(path, NORMAL, lambda theta: theta)
        path.write_bytes(content)


def test_pickles_are_not_read(tmp_path: Path) -> None:
    import numpy as np

    path = tmp_path / "posterior.npz"
    np.savez(path, theta=np.array([{}], dtype=object))
    with pytest.raises(UsageError, match="allow_pickle=False"):
        restore(path, NORMAL, lambda theta: theta)


ELSEWHERE = """
import sys, torch
from torch.distributions import Independent, Normal
import ampbench
from ampbench.seeding import seeded

def simulate(theta):
    raise SystemExit("the simulator was called")

prior = Independent(Normal(torch.zeros(2), torch.ones(2)), 1)
posterior = ampbench.restore(sys.argv[1], prior, simulate, method=sys.argv[2])
with seeded(3):
    print(posterior.sample(torch.zeros(9), 5).tolist())
"""


def test_another_process_draws_the_same(registry: Registry, tmp_path: Path) -> None:
    posterior = fit(registry.build("methods", AMP), Simulator(model(), ["x"], 100, seed=0))
    save(posterior, tmp_path / "posterior.npz")
    with seeded(3):
        expected = posterior.sample(torch.zeros(9), 5).tolist()
    (tmp_path / "elsewhere.py").write_text(ELSEWHERE)
    command = [sys.executable, str(tmp_path / "elsewhere.py"), str(tmp_path / "posterior.npz"), AMP]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200)
    assert done.stdout == f"{expected}\n", done.stderr
