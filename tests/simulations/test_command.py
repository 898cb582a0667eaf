"""``ampbench assess`` on stored simulations, and with batches in child processes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from slow_simulator import prior, simulate

from ampbench.assess.outcome import Outcome
from ampbench.cli.assess import _next_command, run_assess
from ampbench.cli.simulations import SimulationOptions
from ampbench.errors import StoredWarning, UsageError
from ampbench.seeding import seeded

PRIOR = "slow_simulator:prior"


def assess(subject: str | None, prior: str | None, options: SimulationOptions, budgets: list[str]) -> int:
    limits: dict[str, Any] = {"threads": 1, "seconds": 60, "memory": None}
    return run_assess(
        subject, prior, ["prior,rejection-abc:accept=20"], budgets, 60, 0, "cpu", None, limits, True, options
    )


@pytest.fixture
def table(tmp_path: Path) -> Path:
    with seeded(0):
        theta = prior.sample(torch.Size([200]))
        x = simulate(theta)
    columns = np.concatenate([theta.numpy(), x.numpy()], axis=1)
    pd.DataFrame(columns, columns=["beta", "gamma", "a", "b"]).to_csv(tmp_path / "runs.csv", index=False)
    return tmp_path / "runs.csv"


def test_stored_simulations_are_assessed(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = SimulationOptions(table, "beta,gamma", "a,b")
    assert assess(None, PRIOR, options, ["100", "140"]) == 0
    found = json.loads(capsys.readouterr().out)["fits"]
    assert [(each["method"], each["budget"]) for each in found][1:3] == [
        ("rejection-abc:accept=20", 100),
        ("prior", 140),
    ]
    assert found[1]["spent"] == 100
    with pytest.warns(StoredWarning, match="the prior was learned from 200"):
        assert assess(None, None, options, []) == 0
    assert {each["budget"] for each in json.loads(capsys.readouterr().out)["fits"]} == {140}


def test_batches_are_assessed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The store is filled once, and the results do not depend on the number of workers."""
    found = []
    for workers in (2, 1):
        options = SimulationOptions(workers=workers, batch=40, store=tmp_path / "store")
        assert assess("slow_simulator:simulate", PRIOR, options, ["100"]) == 0
        found.append([each["log_score"] for each in json.loads(capsys.readouterr().out)["fits"]])
        assert len(list((tmp_path / "store").glob("*/*.npz"))) == 2 + 3
    assert found[0] == found[1]


@pytest.mark.parametrize(
    ("subject", "changes", "message"),
    [
        ("slow_simulator:simulate", {}, "and simulations that exist already .* were given; leave one out"),
        (None, {"workers": 2}, "--workers, --batch and --store run a simulator"),
        (None, {"file": None}, "--parameters and --data name columns of a file"),
        (None, {"file": None, "parameters": "", "data": ""}, "no model: give"),
        (None, {"parameters": "beta", "data": ""}, "theta has 1 components per row, but the prior has 2"),
    ],
)
def test_contradictions_are_refused(subject: str | None, changes: dict[str, Any], message: str, table: Path) -> None:
    options = SimulationOptions(**{"file": table, "parameters": "beta,gamma", "data": "a,b", **changes})
    with pytest.raises(UsageError, match=message):
        assess(subject, PRIOR, options, ["100"])


@pytest.mark.parametrize(
    ("subject", "options", "expected"),
    [
        ("mymodel:simulate", {}, "ampbench infer mymodel:simulate --prior 'normal(0,1)^2' \\\n"),
        (None, {"file": Path("my runs.csv"), "parameters": "a,b"}, "--simulations 'my runs.csv' --parameters a,b \\\n"),
        ("m:s", {"workers": 2, "batch": 9, "store": Path("x"), "gaps": True}, "^2' --workers 2 --batch 9 --gaps \\\n"),
        ("m:s", {"failed": "drop"}, "--failed drop \\\n        --method npe --budget 500 --observation data.txt"),
    ],
)
def test_the_next_command_names_the_same_simulations(subject: str, options: dict[str, Any], expected: str) -> None:
    chosen = Outcome("npe", 500)
    assert expected in _next_command(subject, "normal(0,1)^2", None, SimulationOptions(**options), chosen)
