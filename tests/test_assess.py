"""Assessment on a Gaussian model, whose exact posterior is among the methods, beside wrong, blind and broken ones."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from ampbench import assess, cli_assess, hookimpl
from ampbench.errors import UsageError
from ampbench.graph import Graph
from ampbench.interfaces import Method, Posterior, Progress
from ampbench.registry import Plugin, Registry
from ampbench.schema import ASSESSMENT
from ampbench.simulator import Simulator


class Normal(Posterior):
    """N(x / 2, scale² / 2): exact for the Gaussian model if the scale is 1."""

    def __init__(self, scale: float) -> None:
        self.scale = scale

    def sample(self, observation: Tensor, n: int) -> Tensor:
        return observation / 2 + self.scale * 0.5**0.5 * torch.randn(n, 1)


class Scaled(Method):
    """Spends its budget; the posterior's width is an option."""

    def __init__(self, scale: float = 1.0) -> None:
        self.scale = scale

    def fit(self, simulator: Simulator, device: torch.device, progress: Progress) -> Posterior:
        simulator.sample(simulator.budget)
        return Normal(self.scale)


class Blind(Posterior):
    def sample(self, observation: Tensor, n: int) -> Tensor:
        return torch.randn(n, 1)


class Ignorant(Method):
    """The prior: calibrated, and says nothing."""

    def fit(self, simulator: Simulator, device: torch.device, progress: Progress) -> Posterior:
        return Blind()


class Broken(Method):
    def fit(self, simulator: Simulator, device: torch.device, progress: Progress) -> Posterior:
        raise ArithmeticError("no luck")


class NotANumber(Posterior):
    def sample(self, observation: Tensor, n: int) -> Tensor:
        return torch.full((n, 1), torch.nan)


class Rubbish(Method):
    def fit(self, simulator: Simulator, device: torch.device, progress: Progress) -> Posterior:
        return NotANumber()


METHODS = {"scaled": Scaled, "ignorant": Ignorant, "broken": Broken, "rubbish": Rubbish}


@pytest.fixture
def methods() -> Registry:
    class Implementation:
        @staticmethod
        @hookimpl
        def methods() -> dict[str, type[Method]]:
            return METHODS

    registry = Registry()
    registry.register(Plugin("stub", "stub", "1", "stub"), Implementation())
    return registry


@pytest.fixture
def judges(gaussian_graph: Graph) -> assess.HeldOut:
    return assess.hold_out(gaussian_graph, ["x"], 200, 0)


def run(
    judges: assess.HeldOut, methods: Registry, *specs: str, budgets: tuple[int, ...] = (100,)
) -> list[assess.Outcome]:
    return list(assess.outcomes(judges, specs, budgets, methods, torch.device("cpu")))


def test_the_exact_posterior_is_recommended(judges: assess.HeldOut, methods: Registry) -> None:
    found = run(judges, methods, "scaled:scale=0.5", "ignorant", "scaled", "scaled:scale=2.0")
    assert assess.faults(found)[0] == "overconfident"
    assert assess.faults(found)[2:] == ["none found", "underconfident"]
    advice = assess.recommend(found, assess.prior_outcome(judges), "log")
    assert advice.outcome is found[2]
    assert [round(found[2].coverage[level], 1) for level in (0.5, 0.9)] == [0.5, 0.9]


def test_the_cheapest_of_equals_is_recommended(judges: assess.HeldOut, methods: Registry) -> None:
    found = run(judges, methods, "scaled", budgets=(1000, 100))
    assert [each.spent for each in found] == [100, 1000]
    advice = assess.recommend(found, assess.prior_outcome(judges), "log")
    assert advice.outcome is found[0]
    assert any("did not surely improve from 100 to 1,000" in reason for reason in advice.reasons)


def test_a_failure_costs_its_own_outcome(judges: assess.HeldOut, methods: Registry) -> None:
    found = run(judges, methods, "broken", "rubbish", "scaled")
    assert found[0].error == "ArithmeticError: no luck"
    assert "99 of 99 posterior samples are NaN" in found[1].error
    assert assess.recommend(found, assess.prior_outcome(judges), "log").outcome is found[2]


def test_nothing_is_recommended_that_learned_nothing(judges: assess.HeldOut, methods: Registry) -> None:
    prior = assess.prior_outcome(judges)
    advice = assess.recommend(run(judges, methods, "ignorant"), prior, "log")
    assert advice.outcome is None
    assert "better than the prior" in advice.reasons[0]
    assert assess.recommend(run(judges, methods, "broken"), prior, "log").reasons[0].startswith("Every fit failed")


def test_a_miscalibrated_fit_is_not_recommended(judges: assess.HeldOut, methods: Registry) -> None:
    advice = assess.recommend(run(judges, methods, "scaled:scale=0.5"), assess.prior_outcome(judges), "log")
    assert advice.outcome is None
    assert "overconfident" in advice.reasons[0]


def test_misspelt_methods_and_bad_sizes_are_refused(judges: assess.HeldOut, methods: Registry) -> None:
    with pytest.raises(UsageError, match="unknown method 'scalde'"):
        run(judges, methods, "scaled", "scalde")
    with pytest.raises(UsageError, match="a budget of 0 simulations"):
        run(judges, methods, "scaled", budgets=(0,))
    with pytest.raises(UsageError, match="10 held-out simulations show next to nothing"):
        assess.hold_out(judges.graph, ["x"], 10, 0)


def test_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], methods: Registry, follows: Any
) -> None:
    (tmp_path / "my_model_for_assess.py").write_text(
        "import torch\ndef simulate(theta):\n    return theta + torch.randn_like(theta)\n", encoding="utf-8"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", list(sys.path))
    monkeypatch.setattr("ampbench.registry.load", lambda: methods)
    monkeypatch.setenv("COLUMNS", "80")
    given = ("my_model_for_assess:simulate", "normal(0,1)", ["scaled,broken"], ["100,1000"], 200, 0, "cpu", 1)
    assert cli_assess.run_assess(*given, False) == 1
    shown = capsys.readouterr().out
    assert max(map(len, shown.splitlines())) <= 80
    assert "Recommended: scaled with 100 simulations." in shown
    assert "200 held-out simulations were drawn beside the budgets; the fits took 1,100 together" in " ".join(
        shown.split()
    )
    assert cli_assess.run_assess(*given, True) == 1
    table = json.loads(capsys.readouterr().out)
    assert table["recommendation"]["budget"] == 100
    follows([table["prior"], *table["fits"]], ASSESSMENT)
    assert [row["error"] for row in table["fits"]] == ["", "ArithmeticError: no luck"] * 2
    assert table["fits"][0]["log_score"] < table["prior"]["log_score"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("uniform(10,0)", "does not exist"),
        ("cauchy(0,1)", "cannot read the prior"),
        ("nowhere:prior", "no module 'nowhere'"),
        ("json:dumps", "json:dumps is a function, not a torch Distribution"),
        ("json:nothing", "has no attribute 'nothing'"),
    ],
)
def test_impossible_priors(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        cli_assess.read_prior(text)
