"""NRE-C and the ensemble of NPE: what distinguishes them from NRE-B and from one NPE."""

from __future__ import annotations

import math

import pytest
import torch

pytest.importorskip("sbi", reason="the sbi baselines need sbi: pip install 'ampbench[sbi]'")

from ampbench.errors import UsageError
from ampbench.graph import Graph, Simulator
from ampbench.interfaces import Method, fit, silent
from ampbench.seeding import seeded
from ampbench_sbi.npe import NPE
from ampbench_sbi.npe_ensemble import MixturePosterior, NPEEnsemble
from ampbench_sbi.nre import NRE
from ampbench_sbi.nre_c import NREC
from ampbench_sbi.toolbox import SBIPosterior


def fitted(method: Method, graph: Graph, budget: int = 200) -> MixturePosterior:
    """The posterior of a method, whose members see the same simulations for each number of members."""
    source = Simulator(graph, ["x"], budget, seed=0)
    with seeded(5):
        found = method.fit(source, torch.device("cpu"), silent)
    assert source.spent == budget
    assert isinstance(found, MixturePosterior)
    return found


def test_the_ratio_of_nre_c_is_normalised(gaussian_graph: Graph) -> None:
    """The mean of r(x | theta) over the prior is 1 for every x; that of NRE-B is any function of x."""
    theta = torch.linspace(-6, 6, 2001)[:, None]
    worst = []
    for method in (NREC(max_epochs=10, learning_rate=2e-3), NRE(max_epochs=10, learning_rate=2e-3)):
        posterior = fit(method, Simulator(gaussian_graph, ["x"], 1000, seed=0))
        assert isinstance(posterior, SBIPosterior)
        potential, means = posterior.posterior.potential_fn, []
        for x in (-1.0, 0.0, 1.0):
            potential.set_x(torch.tensor([[x]]))
            log_product = potential(theta, track_gradients=False)  # the logarithm of prior times ratio
            means.append(float(log_product.logsumexp(0)) + math.log(12 / 2000))
        worst.append(max(map(abs, means)))
    assert worst[0] < 0.15 < 0.25 < worst[1]


def test_one_member_is_npe(gaussian_graph: Graph) -> None:
    """Bit for bit: the network of the first member is the one that npe trains from the same seed."""
    alone = fitted(NPEEnsemble(1, "maf", max_epochs=2), gaussian_graph).state()
    source = Simulator(gaussian_graph, ["x"], 200, seed=0)
    with seeded(5):
        npe = NPE("maf", max_epochs=2).fit(source, torch.device("cpu"), silent)
    assert {f"member0.{name}" for name in npe.state()} == set(alone)
    assert all(torch.equal(alone[f"member0.{name}"], value) for name, value in npe.state().items())
    both = fitted(NPEEnsemble(2, "maf", max_epochs=2), gaussian_graph).state()
    assert all(torch.equal(both[name], value) for name, value in alone.items())
    weights = [name for name in alone if "weight" in name]
    assert any(not torch.equal(both[name], both[name.replace("member0", "member1")]) for name in weights)


def test_the_mixture(gaussian_graph: Graph) -> None:
    """Its density is the mean of the members' densities, and so is the distribution of its draws, in any order."""
    posterior = fitted(NPEEnsemble(3, "maf", max_epochs=1, learning_rate=0.02), gaussian_graph)
    theta, x = torch.linspace(-2, 2, 7)[:, None], torch.full((7, 1), 0.5)
    each = torch.stack([member.log_prob(theta, x).exp() for member in posterior.members])
    assert not torch.allclose(each[0], each[1], rtol=0.05)
    assert torch.allclose(posterior.log_prob(theta, x).exp(), each.mean(0), rtol=1e-5)
    with seeded(0):
        drawn = posterior.sample(torch.tensor([0.5]), 6000)[:, 0]
        members = torch.stack([member.sample(torch.tensor([0.5]), 6000)[:, 0] for member in posterior.members])
    assert float(drawn.mean()) == pytest.approx(float(members.mean()), abs=0.05)
    halves = drawn[:3000], drawn[3000:]
    assert float(halves[0].mean()) == pytest.approx(float(halves[1].mean()), abs=0.1)


def test_history_is_the_mean_over_members(gaussian_graph: Graph) -> None:
    posterior = fitted(NPEEnsemble(2, "maf", max_epochs=3), gaussian_graph)
    first, second = (member.history for member in posterior.members)
    assert posterior.history.to_numpy() == pytest.approx((first.to_numpy() + second.to_numpy()) / 2)


def test_another_number_of_members_is_refused(gaussian_graph: Graph) -> None:
    state = fitted(NPEEnsemble(2, "maf", max_epochs=1), gaussian_graph).state()
    source = Simulator(gaussian_graph, ["x"], 200, seed=0)
    with pytest.raises(
        UsageError, match=r"the state has 2 members \(member0, member1\), but members=3; give the options"
    ):
        NPEEnsemble(3, "maf").restore(source, state, torch.device("cpu"))
