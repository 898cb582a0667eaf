from __future__ import annotations

import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.distributions import Bernoulli, Beta, Gamma, Independent, Normal, Uniform

pytest.importorskip("sbi", reason="the sbi baselines need sbi: pip install 'ampbench[sbi]'")

from ampbench.errors import PrecisionWarning, SamplingError, UsageError
from ampbench.graph import Graph, Simulator, density, simulator
from ampbench.interfaces import HasDensity, HasHistory, Method, Posterior, Sequential, fit, silent
from ampbench.registry import Registry
from ampbench.seeding import seeded
from ampbench.testing import MethodConformance
from ampbench_sbi import methods
from ampbench_sbi.adapters import as_sbi, graph_of
from ampbench_sbi.embedded import Embedded
from ampbench_sbi.fmpe import FMPE
from ampbench_sbi.mc_abc import MCABC
from ampbench_sbi.nle import NLE
from ampbench_sbi.npe import NPE
from ampbench_sbi.npe_ensemble import NPEEnsemble
from ampbench_sbi.npse import NPSE
from ampbench_sbi.nre import NRE
from ampbench_sbi.nre_c import NREC
from ampbench_sbi.smc_abc import SMCABC
from ampbench_sbi.snle import SNLE
from ampbench_sbi.snpe import SNPE
from ampbench_sbi.snre import SNRE
from ampbench_sbi.toolbox import Curves, Training, quiet
from ampbench_sbi.tries import Tries, limited_tries, truncated
from ampbench_sbi.tsnpe import TSNPE

MCMC = {"chains": 10, "warmup": 5, "thin": 1}
QUICK_METHODS: dict[str, Callable[[], Method]] = {
    "embedded": lambda: Embedded(NPE("maf", max_epochs=2), "set", features=4, width=8),
    "fmpe": lambda: FMPE(max_epochs=2),
    "mc-abc": lambda: MCABC(accept=30),
    "nle": lambda: NLE("maf", max_epochs=2, **MCMC),
    "npe": lambda: NPE("maf", max_epochs=2),
    "npe-ensemble": lambda: NPEEnsemble(2, "maf", max_epochs=2),
    "npse": lambda: NPSE(max_epochs=2, sample_with="ode"),
    "nre": lambda: NRE(max_epochs=2, **MCMC),
    "nre-c": lambda: NREC(max_epochs=2, **MCMC),
    "smc-abc": lambda: SMCABC(population=30),
    "snle": lambda: SNLE(2, max_epochs=2, **MCMC),
    "snpe": lambda: SNPE(2, "maf", max_epochs=2),
    "snre": lambda: SNRE(2, max_epochs=2, **MCMC),
    "tsnpe": lambda: TSNPE(2, "maf", support_samples=1000, max_epochs=2),
}
SEQUENTIAL_METHODS = ["smc-abc", "snle", "snpe", "snre", "tsnpe"]


SLOW_METHODS = {"nle", "snle", "snre"}
"""Methods whose slice sampling takes long to find its step size, above all with a hardly trained network."""


def names(*slow: str) -> list[Any]:
    """All methods, those that take long marked."""
    return [
        pytest.param(name, marks=pytest.mark.slow if name in SLOW_METHODS.union(slow) else ()) for name in QUICK_METHODS
    ]


@pytest.mark.parametrize("name", names())
class TestEveryMethod(MethodConformance):
    clear = 0.0

    @pytest.fixture(autouse=True)
    def _name(self, name: str) -> None:
        self.name = name

    def make(self) -> Method:
        return QUICK_METHODS[self.name]()

    def test_fit_and_sample(self) -> None:
        """Also: nothing is printed, nothing is written to the current folder."""
        super().test_fit_and_sample()

    def test_the_budget_is_spent(self) -> None:
        source = self.source()
        posterior = fit(self.make(), source)
        if isinstance(posterior, Sequential):
            assert source.spent == 0
            with seeded(0):
                assert posterior.fit_to(torch.zeros(3), silent).simulations == self.budget
        else:
            assert source.spent == self.budget

    def test_an_observation_of_another_shape(self) -> None:
        posterior = fit(self.make(), self.source())
        for bad in (torch.zeros(2), torch.zeros(1, 4), torch.full((3,), math.nan)):
            with pytest.raises(UsageError, match="the observation"):
                posterior.sample(bad, 3)


def test_all_are_registered() -> None:
    assert sorted(methods()) == sorted(QUICK_METHODS)
    for name, lazy in methods().items():
        assert isinstance(QUICK_METHODS[name](), lazy.load())


def test_options_reach_the_methods(registry: Registry) -> None:
    npe = registry.build("methods", "npe:density_estimator=maf,batch_size=50,max_epochs=7")
    assert (npe.density_estimator, npe.training) == ("maf", Training(50, 5e-4, 7))
    with pytest.raises(UsageError, match=r"option 'density_estimator' of method 'npe' cannot be 'glow'"):
        registry.build("methods", "npe:density_estimator=glow")


@pytest.mark.parametrize("name", ["npe", "snpe", "tsnpe", "smc-abc", "nre"])
def test_silence(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    """Nothing is printed, no bar is drawn, and no log folder appears; conftest makes warnings errors."""
    monkeypatch.chdir(tmp_path)
    graph = Graph(
        density("theta", Independent(Normal(torch.zeros(1), torch.ones(1)), 1)),
        simulator("x", lambda t: t + torch.randn_like(t), ["theta"]),
    )
    fit(QUICK_METHODS[name](), Simulator(graph, ["x"], 60, seed=0)).sample(torch.zeros(1), 5)
    assert capfd.readouterr() == ("", "")
    assert list(tmp_path.iterdir()) == []


def test_silence_ends() -> None:
    import logging

    handlers, disabled = list(logging.getLogger().handlers), logging.root.manager.disable
    with quiet():
        logging.warning("sbi has something to say")
    assert logging.getLogger().handlers == handlers
    assert logging.root.manager.disable == disabled


def conjugate(x: Tensor, posterior: Posterior, n: int = 2000) -> tuple[float, float]:
    """Errors of mean and standard deviation where theta | x is N(x / 2, 1 / 2)."""
    with seeded(0):
        samples = posterior.sample(x, n)
    return abs(float(samples.mean()) - float(x) / 2), abs(float(samples.std()) - 0.5**0.5)


@pytest.mark.parametrize(
    ("method", "tolerance"),
    [
        (NPE("maf", max_epochs=15), 0.15),
        (NPEEnsemble(2, "maf", max_epochs=15), 0.15),
        (NRE(max_epochs=15, chains=20, thin=1), 0.15),
        (NREC(max_epochs=15, chains=20, thin=1), 0.15),
        (FMPE(batch_size=100, max_epochs=15), 0.2),
        (MCABC(accept=100), 0.2),
        (SMCABC(), 0.2),
        (TSNPE(2, "maf", support_samples=1000, max_epochs=20), 0.15),
    ],
    ids=lambda value: type(value).__name__,
)
def test_conjugate_gaussian(method: Method, tolerance: float, gaussian_graph: Graph) -> None:
    posterior = fit(method, Simulator(gaussian_graph, ["x"], 2000, seed=0))
    assert max(conjugate(torch.tensor([1.0]), posterior)) < tolerance


@pytest.mark.slow
@pytest.mark.parametrize(
    "method",
    [
        NPSE(max_epochs=300),
        NLE("maf", max_epochs=30, chains=50, thin=2),
        SNPE(2, "maf", max_epochs=50),
        SNLE(2, max_epochs=50, chains=50, thin=2),
        SNRE(2, max_epochs=50, chains=50, thin=2),
    ],
    ids=lambda value: type(value).__name__,
)
def test_conjugate_gaussian_slowly(method: Method, gaussian_graph: Graph) -> None:
    posterior = fit(method, Simulator(gaussian_graph, ["x"], 2000, seed=0))
    assert max(conjugate(torch.tensor([1.0]), posterior)) < 0.15


@pytest.mark.parametrize("name", names("nre", "tsnpe"))
def test_several_bounded_latents(name: str) -> None:
    """Theta is the latents joined, of whatever support, and samples stay inside."""
    graph = Graph(
        density("rate", Independent(Gamma(torch.full((1,), 2.0), torch.ones(1)), 1)),
        density("share", Independent(Uniform(torch.zeros(2), torch.ones(2)), 1)),
        density("shift", lambda rate: Independent(Normal(rate, 1.0), 1), ["rate"], size=1),
        simulator("x", lambda r, s, m: torch.cat([r + m, s], 1) + 0.1 * torch.randn(len(r), 3), list_of_parents()),
    )
    posterior = fit(QUICK_METHODS[name](), Simulator(graph, ["x"], 200, seed=0))
    samples = posterior.sample(torch.tensor([2.0, 0.1, 0.95]), 40)
    for variable, part in graph.split(samples, ["rate", "share", "shift"]).items():
        assert bool(torch.all(graph[variable].support.check(part)))


def list_of_parents() -> list[str]:
    return ["rate", "share", "shift"]


@pytest.mark.parametrize("name", QUICK_METHODS)
def test_discrete_latents_are_refused_by_name(name: str) -> None:
    coin = Independent(Bernoulli(torch.full((1,), 0.5)), 1)
    graph = Graph(density("coin", coin), simulator("x", lambda c: c + torch.randn_like(c), ["coin"]))
    with pytest.raises(UsageError, match=rf"method '{name}' infers continuous variables, but 'coin' is discrete"):
        fit(QUICK_METHODS[name](), Simulator(graph, ["x"], 100, seed=0))


def test_a_prior_without_a_density() -> None:
    """A latent that can only be simulated: NPE infers it, methods that evaluate the prior name it."""
    graph = Graph(
        simulator("theta", lambda n: torch.randn(n, 1), []),
        simulator("x", lambda t: t + torch.randn_like(t), ["theta"]),
    )
    assert fit(QUICK_METHODS["npe"](), Simulator(graph, ["x"], 100, seed=0)).sample(torch.zeros(1), 3).shape == (3, 1)
    for name in ["nle", "nre", "nre-c", *SEQUENTIAL_METHODS]:
        with pytest.raises(UsageError, match=rf"'{name}' evaluates the prior's density, but .*'theta' is a simulator"):
            fit(QUICK_METHODS[name](), Simulator(graph, ["x"], 100, seed=0))


@pytest.mark.parametrize("name", [param for param in names() if param.values[0] in SEQUENTIAL_METHODS])
def test_each_observation_has_its_own_budget(name: str, gaussian_graph: Graph) -> None:
    source = Simulator(gaussian_graph, ["x"], 65, seed=0)
    posterior = fit(QUICK_METHODS[name](), source)
    assert isinstance(posterior, Sequential)
    seen: list[tuple[int, int]] = []
    with seeded(0):
        first = posterior.fit_to(torch.zeros(1), lambda done, total: seen.append((done, total)))
        second = posterior.fit_to(torch.ones(1), silent)
    assert first.simulations == second.simulations == 65
    if name == "smc-abc":
        with pytest.raises(UsageError, match="accepted for another observation"):
            first.posterior.sample(torch.ones(1), 3)
    assert seen[-1][0] == seen[-1][1]
    assert source.spent == 0


def test_the_same_observation_is_fitted_once(gaussian_graph: Graph, monkeypatch: pytest.MonkeyPatch) -> None:
    posterior = fit(QUICK_METHODS["snpe"](), Simulator(gaussian_graph, ["x"], 60, seed=0))
    assert isinstance(posterior, Sequential)
    fits: list[Tensor] = []
    original = posterior.fit_to
    monkeypatch.setattr(posterior, "fit_to", lambda x, progress: fits.append(x) or original(x, progress))
    for value, kind in ((0.0, torch.float32), (0.0, torch.float64), (1.0, torch.float32)):
        posterior.sample(torch.tensor([value], dtype=kind), 3)
    assert len(fits) == 2


def test_bad_settings(gaussian_graph: Graph) -> None:
    def source(budget: int) -> Simulator:
        return Simulator(gaussian_graph, ["x"], budget, seed=0)

    with pytest.raises(UsageError, match=r"'npe' needs at least 10 simulations, but the budget is 9"):
        fit(NPE(), source(9))
    with pytest.raises(UsageError, match=r"'snpe' needs at least 10 simulations in each of 10 rounds.*fewer rounds"):
        fit(SNPE(), source(99))
    with pytest.raises(
        UsageError, match=r"draws 200 other parameters .* but batch_size=200; take batch_size of at least 201"
    ):
        NREC(classes=200)
    with pytest.raises(
        UsageError, match=r"'nre-c' needs at least 1000 simulations, but the budget is 999; .* must hold 100"
    ):
        fit(NREC(classes=99), source(999))
    with pytest.raises(UsageError, match=r"NREC needs gamma .* got gamma=0"):
        NREC(gamma=0.0)
    with pytest.raises(UsageError, match=r"NPEEnsemble needs members of at least 1, got members=0"):
        NPEEnsemble(members=0)
    with pytest.raises(UsageError, match=r"SNLE needs rounds of at least 1, got rounds=0"):
        SNLE(rounds=0)
    with pytest.raises(UsageError, match=r"'mc-abc' cannot accept 100 of 99"):
        fit(MCABC(), source(99))
    with pytest.raises(UsageError, match=r"the budget is 99, the population 100"):
        fit(SMCABC(), source(99))
    with pytest.raises(UsageError, match=r"5 accepted parameters are too few .*kde=false"):
        fit(MCABC(accept=5), source(99)).sample(torch.zeros(1), 3)
    posterior = fit(MCABC(accept=5, kde=False), source(99))
    with seeded(0):
        assert len(posterior.sample(torch.zeros(1), 300).unique()) == 5


def test_options_of_abc(gaussian_graph: Graph) -> None:
    """Adjustment by regression and learned summaries both keep the posterior, at a quarter of the accepted width."""
    for method in (MCABC(accept=400, adjust=True), MCABC(accept=100, summaries=True), SMCABC(adjust=True)):
        posterior = fit(method, Simulator(gaussian_graph, ["x"], 2000, seed=0))
        assert max(conjugate(torch.tensor([1.0]), posterior)) < 0.2


def test_history(gaussian_graph: Graph) -> None:
    posterior = fit(NPE("maf", max_epochs=5), Simulator(gaussian_graph, ["x"], 200, seed=0))
    assert isinstance(posterior, HasHistory)
    history = posterior.history
    assert list(history.columns) == ["step", "held_out_score", "family loss"]
    assert len(history) >= 5
    assert not history.isna().any(axis=None)


def test_float64_observation(gaussian_graph: Graph) -> None:
    posterior = fit(NPE("maf", max_epochs=2), Simulator(gaussian_graph, ["x"], 100, seed=0))
    assert posterior.sample(torch.zeros(1, dtype=torch.float64), 3).dtype == torch.float32


def test_without_sbi(monkeypatch: pytest.MonkeyPatch, gaussian_graph: Graph) -> None:
    monkeypatch.setitem(sys.modules, "sbi.inference", None)
    for name, make in QUICK_METHODS.items():
        with pytest.raises(UsageError, match=rf"method '{name}' needs sbi: pip install 'ampbench\[sbi\]'"):
            fit(make(), Simulator(gaussian_graph, ["x"], 100, seed=0))


def test_invalid_simulations_are_treated_as_sbi_recommends() -> None:
    """NPE leaves them out of a prior round; NLE would be biased by that, and refuses."""
    import sbi.inference

    theta = torch.randn(200, 1)
    x = theta + torch.randn(200, 1)
    x[::10] = torch.nan
    with quiet():
        npe = sbi.inference.NPE(tracker=Curves(), show_progress_bars=False).append_simulations(theta, x)
        assert len(npe.get_simulations()[0]) == 180
        with pytest.raises(ValueError, match="20 NaN simulations"):
            sbi.inference.NLE(tracker=Curves(), show_progress_bars=False).append_simulations(theta, x)


class TestFromSBI:
    """An sbi prior and simulator become our graph."""

    def test_a_box_and_a_batched_simulator(self) -> None:
        from sbi.utils import BoxUniform

        graph = graph_of(BoxUniform(torch.zeros(2), torch.ones(2)), lambda theta: theta + 0.1 * torch.randn_like(theta))
        values = graph.sample(7)
        assert values["theta"].shape == values["x"].shape == (7, 2)
        assert bool(((values["theta"] >= 0) & (values["theta"] <= 1)).all())
        posterior = fit(QUICK_METHODS["npe"](), Simulator(graph, ["x"], 100, seed=0))
        assert bool((posterior.sample(torch.full((2,), 0.99), 50) <= 1).all())

    def test_a_list_of_priors_and_a_simulator_of_one_vector(self) -> None:
        def simulate(theta: Tensor) -> Tensor:
            assert theta.numel() == 2
            return theta.flatten()[:1] * 3

        graph = graph_of([Beta(torch.ones(1), torch.ones(1)), Normal(torch.zeros(1), torch.ones(1))], simulate)
        values = graph.sample(5)
        assert torch.allclose(values["x"], 3 * values["theta"][:, :1])
        assert graph.log_prob(values, ["theta"]).shape == (5,)

    def test_failures_become_a_code(self) -> None:
        prior = Independent(Normal(torch.zeros(1), torch.ones(1)), 1)

        def simulate(theta: Tensor) -> Tensor:
            return torch.where(theta > 0, theta, torch.nan)

        values = graph_of(prior, simulate, failed=-9.0).sample(50)
        assert bool((values["x"][values["theta"] <= 0] == -9.0).all())
        with pytest.raises(UsageError, match="must be finite, got nan"):
            graph_of(prior, simulate, failed=math.nan)


class TestAsSBI:
    """Our posteriors are accepted by sbi's diagnostics and plots."""

    @pytest.fixture
    def exact(self) -> Posterior:
        class Exact(Posterior):
            def sample(self, observation: Tensor, n: int) -> Tensor:
                return observation / 2 + 0.5**0.5 * torch.randn(n, 2)

        return Exact()

    def pairs(self, n: int) -> tuple[Tensor, Tensor]:
        theta = torch.randn(n, 2)
        return theta, theta + torch.randn(n, 2)

    def test_samples(self, exact: Posterior) -> None:
        view = as_sbi(exact)
        with pytest.raises(UsageError, match="call set_default_x first"):
            view.sample((3,))
        assert view.sample((3, 4), x=torch.zeros(1, 2)).shape == (3, 4, 2)
        assert view.set_default_x(torch.zeros(2)).sample((3,)).shape == (3, 2)
        assert view.sample_batched((5,), torch.zeros(6, 2)).shape == (5, 6, 2)
        with pytest.raises(UsageError, match="Exact has no density"):
            view.log_prob(torch.zeros(1, 2), torch.zeros(2))

    def test_sbc_and_tarp(self, exact: Posterior) -> None:
        """The exact posterior is calibrated, and a shifted one is not."""
        from sbi.diagnostics import check_tarp, run_sbc, run_tarp
        from scipy.stats import kstest

        class Shifted(Posterior):
            def sample(self, observation: Tensor, n: int) -> Tensor:
                return exact.sample(observation, n) + 1

        with seeded(0), quiet():
            theta, x = self.pairs(150)
            p_values = []
            for posterior in (exact, Shifted()):
                ranks, _ = run_sbc(theta, x, as_sbi(posterior), 99, show_progress_bar=False)
                p_values.append(kstest((ranks + 0.5) / 100, "uniform").pvalue.min())
            ecp, alpha = run_tarp(theta, x, as_sbi(exact), num_posterior_samples=100, show_progress_bar=False)
        assert p_values[0] > 0.01 > 1e-6 > p_values[1]
        assert check_tarp(ecp, alpha)[1] > 0.01

    def test_expected_coverage_by_our_density(self) -> None:
        """Ranks of the density at the truth are uniform for the exact posterior, and high for one that is too wide."""
        from sbi.diagnostics import run_sbc
        from scipy.stats import kstest

        class Wide(Posterior, HasDensity):
            def __init__(self, width: float) -> None:
                self.width = width

            def sample(self, observation: Tensor, n: int) -> Tensor:
                return observation / 2 + self.width * 0.5**0.5 * torch.randn(n, 2)

            def log_prob(self, value: Tensor, context: Tensor) -> Tensor:
                return Normal(context / 2, self.width * 0.5**0.5).log_prob(value).sum(-1)

        with seeded(0), quiet():
            theta, x = self.pairs(150)
            found = []
            for width in (1.0, 2.0):
                view = as_sbi(Wide(width))
                ranks, _ = run_sbc(theta, x, view, 99, reduce_fns=view.log_prob, show_progress_bar=False)
                found.append(((ranks + 0.5) / 100).flatten())
        assert kstest(found[0], "uniform").pvalue > 0.01
        assert kstest(found[1], "uniform", alternative="less").pvalue < 1e-6

    def test_local_c2st(self, exact: Posterior) -> None:
        from sbi.diagnostics import LC2ST

        with seeded(0), quiet():
            theta, x = self.pairs(200)
            drawn = as_sbi(exact).sample_batched((1,), x)[0]
            test = LC2ST(theta, x, drawn, num_trials_null=10, classifier="mlp")
            test.train_under_null_hypothesis(verbosity=0)
            test.train_on_observed_data(verbosity=0)
            x_o = torch.zeros(1, 2)
            p_value = test.p_value(as_sbi(exact).sample((500,), x=x_o), x_o)
        assert p_value > 0.01

    def test_pairplot(self, exact: Posterior) -> None:
        import matplotlib as mpl

        mpl.use("Agg")
        with quiet():
            from sbi.analysis import pairplot

            figure, axes = pairplot(as_sbi(exact).set_default_x(torch.zeros(2)).sample((200,)))
        assert axes.shape == (2, 2)
        mpl.pyplot.close(figure)

    def test_sbi_posteriors_stay_themselves(self, gaussian_graph: Graph) -> None:
        """With their density, expected coverage works as sbi does it."""
        from sbi.diagnostics import run_sbc

        posterior = fit(NPE("maf", max_epochs=2), Simulator(gaussian_graph, ["x"], 200, seed=0))
        own = as_sbi(posterior)
        with seeded(0), quiet():
            theta = torch.randn(20, 1)
            ranks, _ = run_sbc(theta, theta, own, 50, reduce_fns=own.log_prob, show_progress_bar=False)
        assert ranks.shape == (20, 1)


LEAKY = {
    "npe": lambda: NPE(max_epochs=20),
    "snpe": lambda: SNPE(2, max_epochs=20),
    "tsnpe": lambda: TSNPE(2, support_samples=1000, max_epochs=20),
}


def narrow() -> Graph:
    """A uniform prior on the unit square, and data close to theta."""
    prior = Independent(Uniform(torch.zeros(2), torch.ones(2)), 1)
    return Graph(density("theta", prior), simulator("x", lambda t: t + 0.05 * torch.randn_like(t), ["theta"]))


@pytest.mark.parametrize("name", LEAKY)
def test_sampling_ends_where_nothing_is_accepted(name: str) -> None:
    """At an observation far from all predictions the whole mass of the network leaks out of the prior."""
    posterior = fit(LEAKY[name](), Simulator(narrow(), ["x"], 400, seed=0))
    with pytest.raises(SamplingError, match=r"0 of 1\d+ draws .* the acceptance rate is 0, .*limited_tries"):
        posterior.sample(torch.full((2,), 1000.0), 100)


@pytest.mark.parametrize("name", names())
def test_every_method_ends_far_from_the_predictions(name: str) -> None:
    posterior = fit(QUICK_METHODS[name](), Simulator(narrow(), ["x"], 400, seed=0))
    samples, message = torch.zeros(0, 2), ""
    with seeded(0):
        try:
            samples = posterior.sample(torch.full((2,), 1e4), 10)
        except SamplingError as error:
            message = str(error)
    assert "acceptance rate" in message or len(samples) == 10
    assert bool(torch.all((samples >= 0) & (samples <= 1)))


def test_the_density_of_a_leaking_posterior_ends_too() -> None:
    posterior = fit(LEAKY["npe"](), Simulator(narrow(), ["x"], 400, seed=0))
    assert isinstance(posterior, HasDensity)
    with pytest.raises(SamplingError, match="acceptance rate"):
        posterior.log_prob(torch.full((3, 2), 0.5), torch.full((3, 2), 1000.0))


def test_a_density_of_0_everywhere_ends_markov_chains() -> None:
    posterior = fit(NLE("maf", max_epochs=2, **MCMC), Simulator(narrow(), ["x"], 100, seed=0))
    with pytest.raises(SamplingError, match="0 of 10000 parameters have a density above 0: the acceptance rate is 0"):
        posterior.sample(torch.full((2,), 1e30), 10)


def test_the_limit_of_tries_can_be_set_and_does_not_change_draws() -> None:
    posterior = fit(LEAKY["npe"](), Simulator(narrow(), ["x"], 400, seed=0))
    x, drawn = torch.tensor([0.02, 0.5]), []
    for limit in (1000, 1_000_000):
        with seeded(0), limited_tries(limit):
            drawn.append(posterior.sample(x, 50))
    assert torch.equal(*drawn)
    with limited_tries(1), pytest.raises(SamplingError, match="sampling stops below 1 / 1;"):
        posterior.sample(x, 50)
    with pytest.raises(UsageError, match="at least 1, got 0"), limited_tries(0):
        pass


def test_tries_are_counted_from_the_last_success() -> None:
    with limited_tries(10):
        tries = Tries("draws are accepted", "try others")
    tries.add(9, 0)
    tries.restart()
    tries.add(99, 10)
    with pytest.raises(SamplingError, match=r"10 of 100 draws are accepted: the acceptance rate is 0.1, .*1 / 10; try"):
        tries.add(1, 0)


def test_a_truncated_proposal_and_particles_end_too() -> None:
    """A region that holds one prior draw in a million, and perturbations that leave the support nearly always."""
    decide = truncated().counted(lambda theta: theta[:, 0] > 1)
    decide(torch.rand(9000, 2))
    with pytest.raises(SamplingError, match="take sample_with=sir"):
        decide(torch.rand(1000, 2))
    prior = Independent(Uniform(torch.zeros(8), torch.ones(8)), 1)
    graph = Graph(density("theta", prior), simulator("x", lambda t: t + 0.1 * torch.randn_like(t), ["theta"]))
    method = SMCABC(population=20, kernel_scale=1e6)
    with limited_tries(1000), pytest.raises(SamplingError, match=r"perturbed parameters .* lower kernel_scale"):
        fit(method, Simulator(graph, ["x"], 200, seed=0)).sample(torch.full((8,), 0.5), 5)


@pytest.mark.parametrize("name", ["npe", "fmpe", "mc-abc", "snpe"])
def test_variables_that_single_precision_would_spoil(name: str, tmp_path: Path) -> None:
    """θ ~ U(1.2e9, 1.2e9 + 1), x = θ + noise: in single precision both are constant."""
    make = {
        "npe": lambda: NPE("maf", max_epochs=40),
        "fmpe": lambda: FMPE(batch_size=50, max_epochs=60),
        "mc-abc": lambda: MCABC(accept=50),
        "snpe": lambda: SNPE(2, "maf", max_epochs=40),
    }
    low = torch.tensor([1.2e9], dtype=torch.float64)
    prior = Independent(Uniform(low, low + 1), 1)
    graph = Graph(density("theta", prior), simulator("x", lambda t: t + 0.1 * torch.randn_like(t), ["theta"]))
    method, x = make[name](), low + 0.5
    posterior = fit(method, Simulator(graph, ["x"], 1000, seed=0))
    with seeded(0):
        samples = posterior.sample(x, 500)
    assert bool(((samples >= low) & (samples <= low + 1)).all())
    assert float((samples - low).mean()) == pytest.approx(0.5, abs=0.1)
    assert float(samples.std()) < 0.2  # the prior's is 0.29
    if isinstance(posterior, HasDensity):
        density_there = posterior.log_prob(low + torch.linspace(0.01, 0.99, 99)[:, None], x.expand(99, 1)).exp()
        assert float(density_there.mean()) == pytest.approx(1, abs=0.15)
    with seeded(0), pytest.warns(PrecisionWarning, match="the observation is in float32"):
        posterior.sample(x.float(), 3)


def test_smc_abc_refuses_data_that_single_precision_would_spoil() -> None:
    prior = Independent(Normal(torch.zeros(1), torch.ones(1)), 1)
    graph = Graph(density("theta", prior), simulator("x", lambda t: 1.2e9 + 0.1 * t.double(), ["theta"]))
    with pytest.raises(UsageError, match="loses x to rounding"):
        fit(SMCABC(population=30), Simulator(graph, ["x"], 100, seed=0)).sample(
            torch.tensor([1.2e9], dtype=torch.float64), 3
        )
