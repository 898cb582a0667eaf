"""Assessments of a simulator that fails: training and judging treat failures alike, and count them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.distributions import Independent, Normal, Uniform

from ampbench import assess, hookimpl, registry
from ampbench.cli import assess as cli_assess
from ampbench.cli.simulations import SimulationOptions
from ampbench.errors import SimulationError, SimulationWarning, UsageError
from ampbench.graph import Graph, Simulator, density, simulator
from ampbench.interfaces import Method, Posterior, Progress
from ampbench.registry import Plugin, Registry

BOUND = 0.5
PRIOR = Independent(Uniform(torch.zeros(1), torch.ones(1)), 1)
SEEN: list[Simulator] = []


def failing(theta: Tensor) -> Tensor:
    return torch.cat([theta, -theta], dim=1).masked_fill(theta > BOUND, torch.nan) + torch.randn(len(theta), 2)


def graph() -> Graph:
    return Graph(density("theta", PRIOR), simulator("x", failing, ["theta"]))


class Below(Posterior):
    """The posterior if x tells nothing but that the simulation succeeded."""

    def sample(self, observation: Tensor, n: int) -> Tensor:
        return BOUND * torch.rand(n, 1)


class Spends(Method):
    drop_bias = ""

    def fit(self, simulator: Simulator, device: torch.device, progress: Progress) -> Posterior:
        SEEN.append(simulator)
        simulator.sample(simulator.budget)
        return Below()


class Silent(Spends):
    drop_bias = "it is a test"


@pytest.fixture
def methods() -> Registry:
    class Implementation:
        @staticmethod
        @hookimpl
        def methods() -> dict[str, type[Method]]:
            return {"spends": Spends, "silent": Silent}

    registry = Registry()
    registry.register(Plugin("stub", "stub", "1", "stub"), Implementation())
    return registry


def judges(failed: Any, n: int = 200) -> assess.HeldOut:
    with pytest.warns(SimulationWarning, match=rf"of {n} simulations .* failed"):
        return assess.hold_out(graph(), ["x"], n, 0, failed=failed)


def test_failures_are_dropped_in_training_and_judging(methods: Registry) -> None:
    here = judges("drop")
    assert 60 < here.failures < 140
    assert len(here.x) == len(here.theta) == 200 - here.failures
    assert bool((here.theta <= BOUND).all())
    with pytest.warns(SimulationWarning):
        spends, silent = assess.outcomes(here, ["spends", "silent"], [100], methods)
    assert (spends.spent, spends.failures) == (100, SEEN[-1].failures)
    assert 30 < spends.failures < 70
    assert assess.faults([spends]) == ["none found"]
    assert "cannot leave failed simulations out: it is a test" in silent.error


def test_the_baseline_is_the_prior_given_success() -> None:
    """Draws of the prior beyond the bound would make it underconfident."""
    assert assess.prior_outcome(judges("drop", 400)).p > 0.01


def test_codes_are_those_of_the_held_out_simulations(methods: Registry) -> None:
    here = judges("code")
    assert here.drawn == len(here.x) == 200
    assert here.codes is not None
    bad = here.theta[:, 0] > BOUND
    low, high = torch.from_numpy(here.codes)
    assert bool(((here.x >= low) & (here.x <= high)).all(1).eq(bad).all())
    with pytest.warns(SimulationWarning):
        list(assess.outcomes(here, ["spends"], [100, 1000], methods))
    for source in SEEN[-2:]:
        assert source.codes is not None
        assert np.array_equal(source.codes.numpy(), here.codes)


@pytest.mark.filterwarnings("ignore::ampbench.errors.SimulationWarning")
def test_too_few_held_out_simulations_are_refused() -> None:
    with pytest.raises(SimulationError, match=r"\d+ of 60 simulations .* \d+ are left, but at least 50 are needed"):
        assess.hold_out(graph(), ["x"], 60, 0, failed="drop")
    with pytest.raises(UsageError, match="known: code, drop, error"):
        assess.hold_out(graph(), ["x"], 60, 0, failed="omit")  # type: ignore[arg-type]


@pytest.mark.parametrize("failed", ["drop", "code"])
def test_the_command_counts_failures(
    failed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "fails.py").write_text(
        "import torch\ndef simulate(theta):\n"
        "    return (theta + torch.randn_like(theta)).masked_fill(theta > 0.5, torch.nan)\n"
    )
    monkeypatch.chdir(tmp_path)
    spec, limits = "rejection-abc:accept=20", {"threads": 1, "seconds": None}

    def run(as_json: bool) -> str:
        given = ("fails:simulate", "uniform(0,1)", [spec], ["100"], 120, 0, "cpu", None, limits, as_json)
        with pytest.warns(SimulationWarning, match="of 120 simulations"):
            assert cli_assess.run_assess(*given, SimulationOptions(failed=failed)) == 0
        return capsys.readouterr().out

    found = json.loads(run(True))
    left = found["held_out_failures"] if failed == "drop" else 0
    assert (found["failed"], found["held_out"]) == (failed, 120 - left)
    assert found["fits"][0]["spent"] == 100
    assert 20 < found["fits"][0]["failures"] < 80
    shown = " ".join(run(False).split())
    counts = (
        f"{found['held_out_failures']} of 120 held-out simulations and {found['fits'][0]['failures']} of 100 of the"
    )
    assert counts in shown
    assert ("prior given success" if failed == "drop" else "replaced by codes") in shown


def test_missing_entries_are_assessed() -> None:
    """x has one to six trials of theta: more simulations, and no fault of a posterior that is the prior."""

    def simulate(theta: Tensor) -> Tensor:
        x = theta + torch.randn(len(theta), 6)
        return torch.where(torch.arange(6) < torch.randint(1, 7, (len(theta), 1)), x, torch.nan)

    prior = Independent(Normal(torch.zeros(1), torch.ones(1)), 1)
    model = Graph(density("theta", prior), simulator("x", simulate, ["theta"], gaps=True))
    held_out = assess.hold_out(model, ["x"], 100, 0)
    assert bool(held_out.x.isnan().any())
    methods = ["prior", "rejection-abc:accept=40"]
    informed: dict[str, float] = {}
    for outcome in assess.outcomes(held_out, methods, [400], registry.load()):
        assert outcome.ok, outcome.error
        assert 0 <= outcome.p <= 1
        informed[outcome.method] = float(outcome.scores["log"].mean())
    assert informed["rejection-abc:accept=40"] < informed["prior"]


def test_an_observation_with_missing_entries_is_refused_by_name() -> None:
    given = ("two_moons", None, ["prior"], ["100"], 60, 0, "cpu", "0.1,nan", {"threads": 1, "seconds": None}, False)
    with pytest.raises(UsageError, match=r"leave out --observation, or --gaps"):
        cli_assess.run_assess("os:getcwd", "uniform(0,1)^2", *given[2:], SimulationOptions(gaps=True))
    with pytest.raises(UsageError, match="--gaps is for simulations of each fit"):
        cli_assess.run_assess(*given[:7], None, *given[8:], SimulationOptions(gaps=True, workers=2))
