"""Ensembles: every member is the fit alone, whatever the components, and costs itself only when it breaks down."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.distributions import Independent, Normal

from ampbench import registry
from ampbench.amp.ensembles import AMPEnsemble, EnsemblePosterior, fitting
from ampbench.amp.ensembles.fitting import Stack, why_apart
from ampbench.amp.ensembles.posterior import EnsembleDensity
from ampbench.amp.method import AMP
from ampbench.amp.posterior import AMPPosterior
from ampbench.amp.sources import Simulations
from ampbench.errors import FitWarning, TrainingError, UsageError
from ampbench.graph import Graph, Simulator, density
from ampbench.interfaces import HasDensity, Posterior, fit, silent
from ampbench.seeding import derive, seeded
from ampbench.testing import MethodConformance
from ampbench_divergences.forward_kl import ForwardKL
from ampbench_families.gaussian import Gaussian

CPU = torch.device("cpu")
STEPS, BATCH = 8, 16
TOLERANCE = 1e-3
"""Difference of draws of a member in a stack and alone, in standard deviations of the prior."""
PRIOR = Independent(Normal(torch.zeros(2), torch.ones(2)), 1)
COMPONENTS = registry.load()
OPTIONS = {
    "flow": ["width=8"],
    "maf": ["width=8"],
    "implicit": ["width=16,injected=true,features=4,dropout=0.2"],
    "embedded": [f"family=gaussian,kind={kind},width=4" for kind in ("series", "image", "set")],
}
"""By family, options for small networks, or for each of its kinds."""
FAMILIES = [
    f"{name}({each})" if each else name for name in COMPONENTS.entries("families") for each in OPTIONS.get(name, [""])
]
APART = {"mmd"}
"""Divergences that compare all rows with one another: their members are trained one after the other."""


def model(values: str) -> Graph:
    """theta has real, boolean or one-hot values, and x has four components."""
    weights = torch.tensor([[1.0, 0.0, 0.5, 1.0], [0.0, 1.0, 0.5, -1.0]])
    priors = {
        "bernoulli": Independent(torch.distributions.Bernoulli(torch.full((2,), 0.4)), 1),
        "categorical": torch.distributions.OneHotCategorical(torch.tensor([0.4, 0.6])),
    }
    return Graph(
        density("theta", priors.get(values, PRIOR)),
        density("x", lambda theta: Independent(Normal(theta @ weights, 0.5), 1), ["theta"]),
    )


def source(values: str = "", seed: int = 0) -> Simulator:
    return Simulator(model(values), ["x"], 100, seed)


def amp(divergence: str, family: str, **options: object) -> AMP:
    given = {"steps": STEPS, "batch_size": BATCH, "particles": 2, "checks": 2} | options
    built = COMPONENTS.build("divergences", divergence), COMPONENTS.build("families", family)
    return AMP(*built, **given)  # type: ignore[arg-type]


def alone(method: AMP, simulations: Simulator, seed: int) -> AMPPosterior:
    prepared = method.prepare(simulations, CPU)
    with seeded(seed):
        return method.fit_prepared(prepared, silent)


def drawn(posterior: Posterior) -> Tensor:
    with seeded(3):
        return posterior.sample(torch.tensor([0.3, -0.2, 0.1, 0.5]), 50)


def check_members(method: AMP, values: str, stacked: bool) -> None:
    """Check that each of two members is the fit alone with the seed of the member."""
    ensemble = fit(AMPEnsemble(method, members=2), source(values))
    assert isinstance(ensemble, EnsemblePosterior)
    assert (ensemble.apart == "") is stacked, ensemble.apart
    for number, member in ensemble.members.items():
        single = alone(method, source(values), derive(0, "member", number))
        torch.testing.assert_close(drawn(member), drawn(single), rtol=0, atol=TOLERANCE)
        for own, kept in zip(member.trained.history, single.trained.history, strict=True):
            assert own.keys() == kept.keys()
            assert all(math.isclose(own[name], kept[name], rel_tol=1e-3, abs_tol=1e-4) for name in own)
    assert not torch.equal(*(drawn(member) for member in ensemble.members.values()))


@pytest.mark.filterwarnings("ignore::ampbench.errors.FitWarning")
@pytest.mark.parametrize("family", FAMILIES)
def test_every_family(family: str) -> None:
    name = family.split("(")[0]
    check_members(amp("energy" if name == "implicit" else "forward-kl", family), name, stacked=True)


@pytest.mark.filterwarnings("ignore::ampbench.errors.FitWarning")
@pytest.mark.parametrize("divergence", COMPONENTS.entries("divergences"))
def test_every_divergence(divergence: str) -> None:
    family = "gaussian(width=16)" if divergence == "forward-kl" else "implicit(width=16,depth=1)"
    check_members(amp(divergence, family), "", stacked=divergence not in APART)


@pytest.mark.parametrize("options", [{"scope": "global"}, {"teacher_forcing": True}])
def test_several_factors(chain: Graph, options: dict[str, object]) -> None:
    """Contexts that are inferred have an axis of members too."""
    method = amp("jsd", "implicit(width=16,depth=1)", **options)
    assert why_apart(method, method.prepare(Simulator(chain, ["x"], 100, 0), CPU), [1, 2]) == ""


class TestEnsembleOfDensities(MethodConformance):
    least = 10

    def make(self) -> AMPEnsemble:
        return AMPEnsemble(AMP(ForwardKL(), Gaussian(width=32, depth=1), steps=100, batch_size=64), members=2)


def test_the_density_is_the_mean_of_the_members() -> None:
    ensemble = fit(AMPEnsemble(amp("forward-kl", "gaussian(width=16)"), members=3), source())
    assert isinstance(ensemble, EnsembleDensity)
    theta, x = torch.randn(7, 2), torch.randn(7, 4)
    each = [one.log_prob(theta, x).exp() for one in ensemble.members.values() if isinstance(one, HasDensity)]
    torch.testing.assert_close(ensemble.log_prob(theta, x).exp(), sum(each) / 3, rtol=1e-4, atol=0)


def test_implicit_members_have_draws_in_equal_parts() -> None:
    """The members are far apart here, so that each draw shows its member."""
    ensemble = fit(AMPEnsemble(amp("energy", "implicit(width=16)"), members=2), source())
    assert isinstance(ensemble, EnsemblePosterior)
    assert not isinstance(ensemble, HasDensity)
    for number, member in ensemble.members.items():
        member.sample = lambda x, n, number=number: torch.full((n, 2), float(number))  # type: ignore[method-assign]
    share = (ensemble.sample(torch.zeros(4), 4000) == 1.0).float().mean()
    assert abs(float(share) - 0.5) < 0.04
    assert (ensemble.sample(torch.zeros(4), 20)[:10] == 1.0).any(), "the draws are in random order"


def test_histories_and_diagnoses_name_the_member() -> None:
    ensemble = fit(AMPEnsemble(amp("forward-kl", "gaussian(width=16)"), members=2), source())
    assert isinstance(ensemble, EnsemblePosterior)
    assert ensemble.history["member"].tolist() == [1, 1, 2, 2]
    assert ensemble.history["step"].tolist() == [4, 8, 4, 8]
    assert ensemble.diagnose(source(seed=1).sample(100))["member"].tolist() == [1, 2]


class Breaking(ForwardKL):
    """Forward Kullback-Leibler divergence whose loss becomes NaN for one member of a stack, from a step on."""

    def __init__(self, member: int, step: int) -> None:
        self.member, self.step, self.seen = member, step, 0

    def family_loss(self, adversary: torch.nn.Module, p: object, q: object) -> Tensor:
        """Return the loss."""
        loss = super().family_loss(adversary, p, q)  # type: ignore[arg-type]
        if loss.ndim and len(loss) > 2:  # not in the trial
            self.seen += 1
            if self.seen >= self.step:
                loss = loss + torch.where(torch.arange(len(loss)) == self.member, torch.nan, 0.0)
        return loss


@pytest.mark.parametrize("step", [1, 6])
def test_a_member_that_breaks_down_costs_itself_only(step: int) -> None:
    def ensemble(divergence: ForwardKL) -> EnsemblePosterior:
        method = AMP(divergence, Gaussian(width=16, depth=1), steps=STEPS, batch_size=BATCH, checks=2)
        return fit(AMPEnsemble(method, members=3), source())  # type: ignore[return-value]

    whole = ensemble(ForwardKL())
    with pytest.warns(FitWarning, match=rf"member 2 of 3 broke down.*became nan in step {step}"):
        left = ensemble(Breaking(1, step))
    assert list(left.members) == [1, 3]
    for number, member in left.members.items():
        assert torch.equal(drawn(member), drawn(whole.members[number]))


def test_an_ensemble_whose_members_all_break_down_names_them() -> None:
    method = amp("forward-kl", "gaussian", learning_rate=1e30)
    with pytest.raises(TrainingError, match=r"member 1: .*; member 2: "):
        fit(AMPEnsemble(method, members=2), source())


def test_members_stop_early_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """A member that has stopped is the fit alone, its adversary and stream of random numbers included."""
    first = iter([[1.0, 1.0], [2.0, 0.5], [3.0, 0.4]])
    method = amp("jsd", "implicit(width=16,depth=1)", steps=30, checks=3, patience=1)
    prepared = method.prepare(source(), CPU)
    stack = Stack.of(method, prepared, [5, 6])
    monkeypatch.setattr("ampbench.amp.ensembles.training.StackSource.score", lambda *_: next(first))
    trained = stack.train(prepared.settings, silent)
    monkeypatch.undo()
    assert [each.history[-1]["step"] for each in trained.values()] == [20, 30]

    of_first = iter([1.0, 2.0])
    monkeypatch.setattr(Simulations, "score", lambda *_: next(of_first))
    with seeded(5):
        views = fitting.FlatViews(*method.assembled(prepared))
        single = fitting.train(views, prepared.source(views.comparisons), prepared.settings, silent)
        stream = torch.rand(3)
    for own, kept in zip(trained[0].adversaries[0].parameters(), single.adversaries[0].parameters(), strict=True):
        torch.testing.assert_close(own, kept, rtol=0, atol=1e-4)
    with stack.members.alone(0):
        assert torch.equal(torch.rand(3), stream)


def test_simulations_are_drawn_once() -> None:
    simulations = source()
    fit(AMPEnsemble(amp("forward-kl", "gaussian"), members=3), simulations)
    assert simulations.spent == 100


def test_what_an_ensemble_refuses() -> None:
    with pytest.raises(UsageError, match="'amp-ensemble' needs the method 'amp' inside, got Prior"):
        COMPONENTS.build("methods", "amp-ensemble:amp=prior")
    with pytest.raises(UsageError, match="members"):
        AMPEnsemble(amp("forward-kl", "gaussian"), members=0)
