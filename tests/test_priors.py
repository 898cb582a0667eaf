"""Fits under every prior: draws of a posterior are in the prior's support, or the method is refused with a way out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from scipy import stats
from table_of_priors import OTHERS, TORCH, Disc
from torch import Tensor
from torch.distributions import Bernoulli, Dirichlet, Normal, OneHotCategorical, Poisson, Uniform

import ampbench
from ampbench.assess.subject import read_prior
from ampbench.errors import GraphError, SupportWarning, UsageError
from ampbench.graph import density
from ampbench.interfaces import HasDensity
from ampbench.seeding import seeded

BUDGET = 200
AMP, NPE, NLE = "amp:steps=20", "npe:max_epochs=2", "nle:max_epochs=2,chains=2,warmup=2"
REJECTION = "rejection-abc:accept=20"
PRIORS = TORCH | OTHERS
DISCRETE = [name for name, make in PRIORS.items() if density("theta", make()).support.is_discrete]
CONTINUOUS = [name for name in PRIORS if name not in DISCRETE]
FAST = ["list", "VonMises", "scipy Dirichlet", "boxes"]


def noisy(theta: Tensor) -> Tensor:
    return theta + 0.1 * torch.randn_like(theta)


def drawn_under(prior: Any, method: str, n: int = 50) -> Tensor:
    """Draws of the posterior of an observation that the prior predicts; all are inside the support of the prior."""
    node = density("theta", prior)
    posterior = ampbench.infer(prior, noisy, budget=BUDGET, method=method)
    with seeded(0):
        x = noisy(node.sample(1))[0]
        drawn = posterior.sample(x, n)
    assert drawn.shape == (n, node.size)
    assert bool(drawn.isfinite().all())
    assert bool(node.support.check(drawn).all())
    if isinstance(posterior, HasDensity):
        assert bool(posterior.log_prob(drawn, x.expand(n, -1)).isfinite().all())
    return drawn


@pytest.mark.parametrize("method", [AMP, NPE, REJECTION])
@pytest.mark.parametrize("name", FAST)
def test_posteriors_stay_in_the_support(name: str, method: str) -> None:
    drawn_under(PRIORS[name](), method)


@pytest.mark.slow
@pytest.mark.parametrize("method", [AMP, NPE, NLE, REJECTION])
@pytest.mark.parametrize("name", CONTINUOUS)
def test_all_posteriors_stay_in_the_support(name: str, method: str) -> None:
    drawn_under(PRIORS[name](), method)


@pytest.mark.parametrize("method", [AMP, NPE, NLE])
@pytest.mark.parametrize("name", DISCRETE)
def test_discrete_priors_are_refused_with_a_way_out(name: str, method: str) -> None:
    with pytest.raises(UsageError, match=r"(?s)'theta' is discrete.*(take 'amp' with|sum over|families.theta=)"):
        ampbench.infer(PRIORS[name](), noisy, budget=BUDGET, method=method)


@pytest.mark.parametrize(
    "prior", [[Bernoulli(0.4), Bernoulli(0.2)], stats.bernoulli([0.4, 0.2])], ids=["list", "scipy"]
)
def test_bits_are_inferred(prior: Any) -> None:
    drawn_under(prior, "amp:steps=4,families.theta=bernoulli")


def test_categories_are_inferred() -> None:
    drawn_under(OneHotCategorical(torch.ones(3)), "amp:steps=4,families.theta=categorical")


@pytest.mark.parametrize("method", [AMP, NPE, NLE])
@pytest.mark.parametrize("prior", [[Normal(0.0, 1.0), Poisson(3.0)], [Dirichlet(torch.ones(2)), stats.bernoulli(0.3)]])
def test_lists_of_both_kinds_are_to_be_split(prior: Any, method: str) -> None:
    with pytest.raises(UsageError, match="split it into nodes, one for each kind"):
        ampbench.infer(prior, noisy, budget=BUDGET, method=method)


@pytest.mark.parametrize("method", [AMP, NPE, REJECTION, "mc-abc:accept=30"])
@pytest.mark.parametrize("outside", ["infinite", "error"])
def test_a_prior_without_support_warns_and_is_not_left(outside: str, method: str) -> None:
    prior = Disc(outside)
    with pytest.warns(SupportWarning, match="node 'theta': the prior is a Disc without a support"):
        drawn = drawn_under(prior, method)
    assert float(drawn.norm(dim=1).max()) <= 1


@pytest.mark.parametrize("method", [AMP, NPE, "snpe:max_epochs=2,rounds=2"])
def test_restricted_priors_are_not_left(method: str) -> None:
    utils = pytest.importorskip("sbi.utils")
    box = utils.BoxUniform(torch.zeros(2), torch.ones(2))
    prior = utils.RestrictedPrior(box, lambda theta: theta.sum(-1) < 1)
    node = density("theta", prior)
    if method.startswith("snpe"):
        posterior = ampbench.infer(prior, noisy, budget=400, method=method)
        drawn = posterior.fit_to(torch.tensor([0.2, 0.3]), lambda done, total: None).posterior.sample(  # type: ignore[attr-defined]
            torch.tensor([0.2, 0.3]), 50
        )
        assert bool(node.support.check(drawn).all())
    else:
        assert float(drawn_under(prior, method).sum(1).max()) < 1


def test_draws_of_scipy_follow_the_seed() -> None:
    prior = [stats.norm(), Uniform(0.0, 1.0)]
    first, second = (ampbench.infer(prior, noisy, budget=BUDGET, method=REJECTION, seed=3) for _ in range(2))
    other = ampbench.infer(prior, noisy, budget=BUDGET, method=REJECTION, seed=4)
    drawn = []
    for posterior in (first, second, other):
        with seeded(0):
            drawn.append(posterior.sample(torch.tensor([0.5, 0.5]), 20))
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])


@pytest.mark.parametrize("prior", ["list", "scipy Dirichlet", "VonMises"])
@pytest.mark.parametrize("method", [AMP, NPE])
def test_restored_posteriors_draw_alike(prior: str, method: str, tmp_path: Path) -> None:
    posterior = ampbench.infer(PRIORS[prior](), noisy, budget=BUDGET, method=method)
    ampbench.save(posterior, tmp_path / "posterior.npz")
    again = ampbench.restore(tmp_path / "posterior.npz", PRIORS[prior](), noisy, method=method)
    x, drawn = density("theta", PRIORS[prior]()).sample(1)[0], []
    for each in (posterior, again):
        with seeded(0):
            drawn.append(each.sample(x, 20))
    assert torch.equal(*drawn)


@pytest.mark.slow
def test_a_dirichlet_posterior_of_counts_is_that_of_its_conjugate() -> None:
    """theta ~ Dir(1, 1, 1), x ~ Multinomial(60, theta): theta given x is Dir(1 + x)."""

    def count(theta: Tensor) -> Tensor:
        return torch.distributions.Multinomial(60, theta).sample()

    x = torch.tensor([12.0, 18.0, 30.0])
    exact = Dirichlet(1 + x)
    for method in ("npe:max_epochs=60", "amp:divergence=forward-kl,family=flow,steps=600"):
        drawn = ampbench.infer(Dirichlet(torch.ones(3)), count, budget=3000, method=method).sample(x, 1000)
        assert torch.allclose(drawn.mean(0), exact.mean, atol=0.04)
        assert torch.allclose(drawn.std(0), exact.stddev, atol=0.03)


def test_sbi_graphs_take_the_same_priors() -> None:
    pytest.importorskip("sbi")
    from ampbench_sbi.adapters import graph_of

    for name in ("list", "scipy vector", "object of arrays", "number", "mixture of numbers"):
        graph = graph_of(PRIORS[name](), lambda theta: theta.sum(-1, keepdim=True))
        values = graph.sample(4)
        assert torch.allclose(values["x"], values["theta"].sum(1, keepdim=True), atol=1e-5)
        assert bool(graph.log_prob(values, ["theta"]).isfinite().all())
    with pytest.raises(GraphError, match="node 'theta': the prior is None"):
        graph_of(None, noisy)


def test_the_command_line_takes_the_same_priors() -> None:
    assert read_prior("table_of_priors:A_LIST").event_shape == (7,)
    with pytest.raises(UsageError, match="Disc is the class Disc, not a torch Distribution; make an object of it"):
        read_prior("table_of_priors:Disc")
