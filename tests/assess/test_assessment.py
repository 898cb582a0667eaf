"""Assessment on a Gaussian model, whose exact posterior is among the methods, beside wrong, blind and broken ones."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from ampbench import assess, hookimpl
from ampbench.assess.outcome import SIGNIFICANCE_LEVEL
from ampbench.assess.subject import read_observation, read_prior
from ampbench.cli import assess as cli_assess
from ampbench.errors import UsageError
from ampbench.graph import Graph, Simulator
from ampbench.interfaces import Method, Posterior, Progress
from ampbench.options import at_least
from ampbench.registry import Plugin, Registry
from ampbench.results.schema import ASSESSMENT
from ampbench.statistics.multiple_testing import holm


class Normal(Posterior):
    """N(x / 2, scale² / 2): exact for the Gaussian model if the scale is 1."""

    def __init__(self, scale: float) -> None:
        self.scale = scale

    def sample(self, observation: Tensor, n: int) -> Tensor:
        return observation / 2 + self.scale * 0.5**0.5 * torch.randn(n, 1)


class Scaled(Method):
    """Spends its budget; the posterior's width is an option."""

    def __init__(self, scale: float = 1.0) -> None:
        at_least(self, scale=(scale, 0))
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


FAULTY = Path(__file__).parents[1] / "faulty_plugin"
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
    return list(assess.outcomes(judges, specs, budgets, methods))


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
    assert any("did not improve significantly from 100 to 1,000" in reason for reason in advice.reasons)


def test_a_failure_costs_its_own_outcome(judges: assess.HeldOut, methods: Registry) -> None:
    found = run(judges, methods, "broken", "rubbish", "scaled")
    assert found[0].error.startswith("ArithmeticError: no luck (test_assessment.py, line ")
    assert found[0].error.endswith(", in fit)")
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
    with pytest.raises(UsageError, match="method 'scaled:scale=-1': Scaled needs scale of at least 0, got scale=-1"):
        run(judges, methods, "scaled", "scaled:scale=-1")
    with pytest.raises(UsageError, match="a budget of 0 simulations"):
        run(judges, methods, "scaled", budgets=(0,))
    with pytest.raises(UsageError, match="10 held-out simulations are too few"):
        assess.hold_out(judges.graph, ["x"], 10, 0)


def test_without_sbi_there_is_no_judging_at_an_observation(
    gaussian_graph: Graph, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"needs sbi: pip install 'ampbench\[sbi\]'"):
        assess.hold_out(gaussian_graph, ["x"], 200, 0, torch.zeros(1))


def test_at_an_observation_the_prior_is_wrong(gaussian_graph: Graph, methods: Registry) -> None:
    """The exact posterior is right."""
    pytest.importorskip("sbi")
    judges = assess.hold_out(gaussian_graph, ["x"], 200, 0, torch.tensor([1.5]))
    ignorant, *others = run(judges, methods, "ignorant", "scaled", "broken")
    assert ignorant.p_at_observation == 1 / (assess.trials(3) + 1), "the smallest there is"
    found = [replace(ignorant, p=0.5), *others]
    assert assess.faults(found) == ["wrong at x_o", "none found", ""]
    advice = assess.recommend(found, assess.prior_outcome(judges), "log")
    assert advice.outcome is found[1]
    assert any("at your observation (L-C2ST, p = " in reason for reason in advice.reasons)


def test_the_smallest_p_value_survives_the_correction() -> None:
    for fits in range(1, 30):
        smallest = 1 / (assess.trials(fits) + 1)
        assert holm([smallest] + [1.0] * (2 * fits - 1))[0] <= SIGNIFICANCE_LEVEL


MODEL = """
import ctypes, os, time
from pathlib import Path
import torch

def simulate(theta):
    return theta + torch.randn_like(theta)

def faulty(commit):
    def simulate_and_commit(theta):
        x = simulate(theta)
        return commit(x) if len(theta) > 200 else x  # held-out simulations and the small budget go well
    return simulate_and_commit

def nan(x):
    x[0] = torch.nan
    return x

def hang(x):
    Path("hanging").write_text(str(os.getpid()))
    time.sleep(3600)

def cannot(x):
    raise ValueError("cannot simulate")

def fails(theta):
    raise ValueError("never")

raises, exits, crashes = faulty(cannot), faulty(lambda x: os._exit(3)), faulty(lambda x: ctypes.string_at(0))
hangs, gives_nan = faulty(hang), faulty(nan)
"""


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a module in the working directory."""
    monkeypatch.setattr("sys.path", [str(FAULTY), *sys.path])
    name = f"my_model_{abs(hash(tmp_path))}"
    (tmp_path / f"{name}.py").write_text(MODEL, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    return name


def command(model: str, simulator: str, methods: str, budgets: str, as_json: bool, **more: Any) -> int:
    given = {"observation": None, "seconds": None} | more
    limits = {"threads": 1, "seconds": given["seconds"]}
    subject = f"{model}:{simulator}"
    return cli_assess.run_assess(
        subject, "normal(0,1)", [methods], [budgets], 200, 0, "cpu", given["observation"], limits, as_json
    )


def test_the_command(model: str, capsys: pytest.CaptureFixture[str], follows: Any) -> None:
    assert command(model, "simulate", "faulty,faulty:fault=raise", "100,1000", False) == 1
    shown = capsys.readouterr().out
    assert max(map(len, shown.splitlines())) <= 80
    assert "Recommended: faulty with " in shown
    assert "200 held-out simulations were drawn in addition to the budgets; the fits used 1,100 in total" in " ".join(
        shown.split()
    )
    assert command(model, "simulate", "faulty,faulty:fault=raise", "100,1000", True) == 1
    table = json.loads(capsys.readouterr().out)
    assert table["recommendation"]["method"] == "faulty"
    follows([table["prior"], *table["fits"]], ASSESSMENT)
    errors = [row["error"].partition(" (")[0] for row in table["fits"]]
    assert errors == ["", "RuntimeError: cannot fit"] * 2
    assert table["fits"][0]["log_score"] < table["prior"]["log_score"]
    assert table["fits"][0]["p_at_observation"] is None


def test_the_command_at_an_observation(model: str, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    pytest.importorskip("sbi")
    (tmp_path / "x.txt").write_text("9.5\n")
    assert command(model, "simulate", "faulty,prior", "1000", False, observation="x.txt") == 0
    shown = capsys.readouterr().out
    assert max(map(len, shown.splitlines())) <= 80
    assert "p(x_o)" in shown
    assert "Your observation lies outside the range of the held-out simulations: component 1 is 9.5," in " ".join(
        shown.split()
    )
    with pytest.raises(UsageError, match=r"the observation has shape \(2,\), expected \(1,\)"):
        command(model, "simulate", "faulty", "1000", False, observation="9.5, 1")


@pytest.mark.parametrize(
    ("simulator", "error", "output"),
    [
        ("raises", "ValueError: cannot simulate (", ""),
        ("exits", "its worker process ended itself with exit status 3", ""),
        ("crashes", "its worker process crashed with SIGSEGV", "Fatal Python error: Segmentation fault"),
        ("hangs", "the fit took longer than the 2 s allowed", ""),
        ("gives_nan", "node 'x' has NaN or infinite values in 1 of 300 rows", ""),
    ],
)
def test_a_fault_of_the_simulator_costs_its_own_fit(
    model: str, simulator: str, error: str, output: str, capsys: pytest.CaptureFixture[str]
) -> None:
    limit = 2 if simulator == "hangs" else None
    assert command(model, simulator, "faulty", "100,300", True, seconds=limit) == 1
    good, bad = json.loads(capsys.readouterr().out)["fits"]
    assert good["error"] == ""
    assert bad["error"].startswith(error)
    assert output in bad["output"]
    assert (f"{model}.py" in bad["error"] + bad["output"]) == (simulator in ("raises", "crashes"))
    assert not multiprocessing.active_children()


def test_without_held_out_simulations_there_is_nothing(model: str) -> None:
    with pytest.raises(UsageError, match=rf"nothing to judge by: ValueError: never \({model}.py, line \d+, in fails"):
        command(model, "fails", "faulty", "100", False)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "word", "code"),
    [(signal.SIGINT, "interrupted", 130), (signal.SIGTERM, "terminated", 143), (signal.SIGHUP, "terminated", 129)],
)
def test_an_interrupt_leaves_no_process_and_judges_what_is_there(
    model: str, tmp_path: Path, gone: Callable[[int], bool], number: int, word: str, code: int
) -> None:
    arguments = [f"{model}:hangs", "--prior", "normal(0,1)", "--methods", "faulty", "--budgets", "100,300"]
    process = subprocess.Popen(
        [sys.executable, "-m", "ampbench", "assess", *arguments],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    until = time.monotonic() + 200
    while not (tmp_path / "hanging").exists() and time.monotonic() < until:
        time.sleep(0.1)
    time.sleep(0.5)
    pid = int((tmp_path / "hanging").read_text())
    os.killpg(process.pid, number)  # as a terminal does
    output, _ = process.communicate(timeout=60)
    assert process.returncode == code, output
    assert f"{word}; this is of the first 1 fits" in output
    assert "Recommended: faulty with 100 simulations." in output
    assert gone(pid)


@pytest.mark.parametrize("text", ["0.5,-1e-2", " 0.5 -0.01", "x.txt", "x.npy"])
def test_observations(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("x.txt").write_text("0.5; -0.01\n")
    np.save("x.npy", np.array([[0.5], [-0.01]]))
    assert torch.equal(read_observation(text), torch.tensor([0.5, -0.01]))


@pytest.mark.parametrize("text", ["", "0.5,x", "nowhere.npy", "nowhere.txt"])
def test_impossible_observations(text: str) -> None:
    with pytest.raises(UsageError, match="cannot read the observation"):
        read_observation(text)


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
        read_prior(text)
