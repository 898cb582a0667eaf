"""Failed simulations: they stop a run, are dropped, or are coded, and are counted in any case."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.distributions import Independent, Normal, Uniform, constraints

import ampbench
from ampbench.errors import SimulationError, SimulationWarning, UsageError
from ampbench.graph import Graph, Plate, Simulator, density, probe_simulators, simulator
from ampbench.graph.external import External
from ampbench.graph.failures import choose_codes

PRIOR = Independent(Uniform(torch.zeros(1), torch.ones(1)), 1)


def failing(theta: Tensor) -> Tensor:
    """Two components; both fail above 0.8, where the first is NaN, and the second is infinite."""
    x = torch.cat([theta, 1e3 * theta], dim=1) + torch.rand(len(theta), 2)
    x[theta[:, 0] > 0.8] = torch.tensor([torch.nan, -torch.inf])
    return x


def graph(simulate: Callable[..., Any] = failing, support: Any = constraints.real) -> Graph:
    return Graph(density("theta", PRIOR), simulator("x", simulate, ["theta"], support=support))


def source(failed: Any, n: int = 200, **more: Any) -> Simulator:
    return Simulator(graph(), ["x"], n, 0, failed, **more)


def test_they_are_an_error_by_default() -> None:
    with pytest.raises(SimulationError, match=r"'x' has NaN or infinite values in \d+ of 200 rows; .*failed='drop'"):
        Simulator(graph(), ["x"], 200, 0).sample(200)


def test_they_are_dropped_and_counted() -> None:
    here = source("drop")
    with pytest.warns(
        SimulationWarning, match=r"^\d+ of 200 simulations \(\d+\.\d%\) failed.*of 'x'; they are left out"
    ):
        values = here.sample(200)
    assert here.spent == 200
    assert 20 < here.failures < 60
    assert len(values["theta"]) == len(values["x"]) == 200 - here.failures
    assert bool((values["theta"] <= 0.8).all())
    assert bool(values["x"].isfinite().all())


def test_rows_that_did_not_fail_are_those_of_a_run_without_failures() -> None:
    whole = Simulator(graph(lambda t: torch.cat([t, 1e3 * t], 1) + torch.rand(len(t), 2)), ["x"], 200, 0).sample(200)
    good = whole["theta"][:, 0] <= 0.8
    with pytest.warns(SimulationWarning):
        dropped, coded = source("drop").sample(200), source("code").sample(200)
    assert torch.equal(dropped["x"], whole["x"][good])
    assert torch.equal(coded["x"][good], whole["x"][good])
    assert torch.equal(coded["theta"], whole["theta"])


@pytest.mark.parametrize("failed", ["error", "drop", "code"])
def test_without_failures_nothing_changes(failed: Any, gaussian_graph: Graph) -> None:
    plain = Simulator(gaussian_graph, ["x"], 50, 0).sample(50)
    here = Simulator(gaussian_graph, ["x"], 50, 0, failed)
    values = here.sample(50)
    assert all(torch.equal(values[name], plain[name]) for name in plain)
    assert here.failures == 0


def test_codes_lie_outside_the_valid_values_and_stay() -> None:
    here = source("code", 400)
    with pytest.warns(SimulationWarning, match="replaced by codes"):
        first, later = here.sample(200), here.sample(200)
    low, high = here.codes
    for values in (first, later):
        bad = values["theta"][:, 0] > 0.8
        assert bool(((values["x"][bad] >= low) & (values["x"][bad] <= high)).all())
        assert bool((values["x"][~bad] > high).all())
    other = source("code", codes=torch.tensor([[-9.0, -9e3], [-8.0, -8e3]]))
    with pytest.warns(SimulationWarning):
        values = other.sample(200)
    assert bool((values["x"][values["theta"][:, 0] > 0.8] <= torch.tensor([-8.0, -8e3])).all())


def test_only_values_that_failed_are_coded() -> None:
    def half(theta: Tensor) -> Tensor:
        return torch.cat([theta, torch.where(theta > 0.8, torch.nan, theta)], dim=1)

    with pytest.warns(SimulationWarning):
        values = Simulator(graph(half), ["x"], 200, 0, "code").sample(200)
    assert torch.equal(values["x"][:, :1], values["theta"])
    assert torch.equal(values["x"][:, 1] < 0, values["theta"][:, 0] > 0.8)


SUPPORTS = {
    "positive": (constraints.positive, lambda x: x > 1.5),
    "whole": (constraints.nonnegative_integer, lambda x: x == 2),
}


@pytest.mark.parametrize("kind", SUPPORTS)
def test_codes_lie_in_the_support(kind: str) -> None:
    support, accepted = SUPPORTS[kind]

    def simulate(theta: Tensor) -> Tensor:
        x = (2 * theta).ceil() - 1 if kind == "whole" else 0.5 + theta
        return x.masked_fill(theta > 0.8, torch.nan)

    with pytest.warns(SimulationWarning):
        values = Simulator(graph(simulate, support), ["x"], 200, 0, "code").sample(200)
    assert bool(accepted(values["x"][values["theta"] > 0.8]).all())


def test_a_support_without_room_is_refused() -> None:
    with pytest.raises(UsageError, match=r"leaves no room for a code.*failed='drop'"):
        choose_codes("x", torch.tensor([[0.0], [1.0], [torch.nan]]), constraints.unit_interval)
    values = torch.tensor([[0.0], [1.0], [torch.nan]])
    assert choose_codes("x", values, constraints.real).tolist() == [[-1.25], [-0.75]]


def test_a_component_that_never_succeeds_is_named() -> None:
    def never(theta: Tensor) -> Tensor:
        return torch.cat([theta, theta * torch.nan], dim=1)

    with pytest.raises(SimulationError, match=r"200 of 200 simulations .* failed.*0 are left"):
        Simulator(graph(never), ["x"], 200, 0, "drop").sample(200)
    with pytest.raises(SimulationError, match="component 1 of 'x' is NaN or infinite in all of 200 simulations"):
        choose_codes("x", never(torch.ones(200, 1)), constraints.real)


@pytest.mark.filterwarnings("ignore::ampbench.errors.SimulationWarning")
@pytest.mark.parametrize("failed", ["drop", "code"])
def test_too_few_that_succeed_are_an_error_with_counts(failed: Any) -> None:
    def all_fail(theta: Tensor) -> Tensor:
        return theta * torch.nan

    with pytest.raises(SimulationError, match=r"^50 of 50 simulations \(100\.0%\) failed.*0 are left, but at least 1"):
        Simulator(graph(all_fail), ["x"], 50, 0, failed).sample(50)
    few = source("drop")
    with pytest.raises(SimulationError, match=r"are left, but at least 190 are needed; raise the budget"):
        few.require(few.sample(200), 190)


def test_unknown_treatments_are_refused_by_name() -> None:
    for given in ("dropp", True, None):
        with pytest.raises(UsageError, match=f"{given}.*known: code, drop, error"):
            ampbench.infer(PRIOR, failing, budget=50, failed=given)  # type: ignore[arg-type]


def test_variables_below_a_failed_one_fail_too_and_their_simulators_do_not_see_it() -> None:
    seen: list[Tensor] = []

    def below(x: Tensor) -> Tensor:
        seen.append(x)
        return x[:, :1] + torch.randn(len(x), 1)

    chain = Graph(*graph().nodes, simulator("y", below, ["x"]))
    with pytest.warns(SimulationWarning, match="of 'x', 'y'"):
        values = Simulator(chain, ["y"], 100, 0, "drop").sample(100)
    assert all(bool(each.isfinite().all()) for each in seen)
    assert len(values["y"]) == len(values["x"]) < 100
    with pytest.raises(SimulationError, match=r"latent variable 'x' failed in .*failed='drop'"):
        Simulator(chain, ["y"], 100, 0, "code").sample(100)
    with pytest.warns(SimulationWarning):
        coded = Simulator(chain, ["x", "y"], 100, 0, "code").sample(100)
    assert bool(coded["y"].isfinite().all())


def test_repeated_variables_are_refused() -> None:
    plate = Plate("school", 3)
    repeated = Graph(density("theta", PRIOR), simulator("x", failing, ["theta"], along=[plate]))
    with pytest.raises(UsageError, match=r"failed='drop' cannot be told from missing repeats.*\(school\)"):
        Simulator(repeated, ["x"], 100, 0, "drop")
    flat = repeated.ground({"school": 3})
    with pytest.warns(SimulationWarning):
        assert len(Simulator(flat, ["x_1", "x_2", "x_3"], 100, 0, "drop").sample(100)["x_1"]) < 100


def test_valid_values_that_reach_the_codes_are_warned_about() -> None:
    here = Simulator(graph(lambda t: t.masked_fill(t > 0.8, torch.nan)), ["x"], 100, 0, "code")
    here.codes = torch.tensor([[0.1], [0.2]])
    with pytest.warns(SimulationWarning) as caught:
        here.sample(100)
    assert any("valid values of component 0 of x" in str(each.message) for each in caught)


def test_double_precision_survives_failures() -> None:
    def simulate(theta: Tensor) -> Tensor:
        return (1.2e9 + 0.1 * theta.double()).masked_fill(theta > 0.8, torch.nan)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", SimulationWarning)
        dropped, coded = (Simulator(graph(simulate), ["x"], 100, 0, each).sample(100) for each in ("drop", "code"))
    assert dropped["x"].dtype == coded["x"].dtype == torch.float64
    assert torch.allclose(dropped["x"] - 1.2e9, 0.1 * dropped["theta"].double(), atol=1e-5)
    assert bool((coded["x"][coded["theta"] > 0.8] < 1.2e9).all())


def test_attempts_keep_their_rows() -> None:
    values = source("drop").attempt(200)
    assert torch.equal(values["x"].isfinite().all(1), values["theta"][:, 0] <= 0.8)


def test_the_probe_still_finds_faults() -> None:
    def dependent(theta: Tensor) -> Tensor:
        return (theta - theta.mean(0)).masked_fill(theta > 0.8, torch.nan)

    with pytest.raises(SimulationError, match="depend on each other"):
        probe_simulators(graph(dependent), 0, 100, tolerant=True)
    probe_simulators(graph(), 0, 1000, tolerant=True)


def test_a_simulator_that_raises_is_no_failed_simulation() -> None:
    def raises(theta: Tensor) -> Tensor:
        raise ArithmeticError("no convergence")

    with pytest.raises(ArithmeticError, match="no convergence"):
        ampbench.infer(PRIOR, raises, budget=50, method="rejection-abc:accept=5", failed="drop")


def test_programs_may_fail() -> None:
    program = (
        "import sys; next(sys.stdin); [print('[NaN]' if eval(line)[0] > 0.8 else line.strip()) for line in sys.stdin]"
    )
    external = External((sys.executable, "-c", program), 60, 1, may_fail=True)
    with pytest.warns(SimulationWarning):
        values = Simulator(graph(external), ["x"], 50, 0, "drop").sample(50)
    assert bool((values["theta"] <= 0.8).all())


MEAN, SCALE, BOUND = 0.5, 0.5, 0.5
"""Of the closed form: x = theta + 0.5 · noise, which fails if theta exceeds 0.5."""


def truncated(theta: Tensor) -> Tensor:
    return (theta + SCALE * torch.randn_like(theta)).masked_fill(theta > BOUND, torch.nan)


def exact(x: float) -> tuple[float, float]:
    """Mean and deviation of the posterior: the Gaussian of the model without failures, truncated to theta < 0.5."""
    variance = 1 / (1 + 1 / SCALE**2)
    theta = torch.linspace(-6, BOUND, 20_001, dtype=torch.float64)
    weight = (-((theta - variance * x / SCALE**2) ** 2) / (2 * variance)).exp()
    mean = float((weight * theta).sum() / weight.sum())
    return mean, float(((weight * (theta - mean) ** 2).sum() / weight.sum()) ** 0.5)


@pytest.mark.parametrize("failed", ["drop", "code"])
@pytest.mark.parametrize(
    "method", ["rejection-abc:accept=200,smooth=false", pytest.param("npe", marks=pytest.mark.slow)]
)
def test_the_posterior_at_a_valid_observation_is_exact(method: str, failed: Any) -> None:
    prior = Independent(Normal(torch.zeros(1), torch.ones(1)), 1)
    with pytest.warns(SimulationWarning):
        posterior = ampbench.infer(
            prior, truncated, budget=20_000 if "abc" in method else 3000, method=method, failed=failed
        )
    with ampbench.seeding.seeded(0):
        samples = posterior.sample(torch.tensor([0.5]), 4000).double()
    mean, deviation = exact(0.5)
    without_failures = 0.4, 0.2**0.5  # mean and deviation if no simulation failed
    assert abs(float(samples.mean()) - mean) < 0.3 * deviation < without_failures[0] - mean
    assert abs(float(samples.std()) - deviation) < 0.4 * deviation < without_failures[1] - deviation
