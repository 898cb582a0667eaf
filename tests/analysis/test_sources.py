"""Where the simulations of ``ampbench infer`` come from: files, batches, simulators that fail or leave gaps."""

from __future__ import annotations

import json
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from ampbench.errors import SimulationWarning, StoredWarning, UsageError


def request(folder: Path) -> dict[str, object]:
    return json.loads((folder / "posterior" / "request.json").read_text())


Command = Callable[[str], int]
ABC = "--method rejection-abc:accept=40 --samples 60 --predictions 30"


@pytest.fixture
def file(folder: Path) -> str:
    """A file of 600 simulations of the model."""
    draw = np.random.default_rng(0).normal
    theta = draw(size=(600, 2))
    np.savez(folder / "stored.npz", theta=theta, x=theta + draw(size=(600, 2)))
    return "stored.npz"


def test_stored_simulations_need_no_simulator(
    command: Command, file: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = f"--simulations {file} --prior some_model:prior --observation 1,2 {ABC} --names a,b --held-out 100"
    assert command(text) == 0
    assert request(folder)["budget"] == 500
    samples = pd.read_csv(folder / "posterior" / "samples.csv")
    assert list(samples.columns) == ["a", "b"]
    assert samples["b"].mean() == pytest.approx(1, abs=0.5)
    assert not (folder / "posterior" / "predictions.csv").exists()
    assert "Calibration on 100 held-out simulations" in capsys.readouterr().out
    assert command(text) == 0
    values = dict(np.load(folder / file))
    values["x"][0] += 1
    np.savez(folder / file, **values)
    with pytest.raises(UsageError, match=r"another inference: simulations stored\.npz, checksum .* there"):
        command(text)


def test_a_learned_prior_has_a_warning(command: Command, file: str) -> None:
    with pytest.warns(StoredWarning, match="the prior was learned from 600 stored parameters"):
        assert command(f"--simulations {file} --observation 1,2 {ABC} --held-out 0") == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--observation 1,2", "no model: give MODULE:SIMULATOR"),
        ("some_model:simulator --simulations stored.npz --observation 1,2", "leave one out"),
        ("--simulations stored.npz --observation 1,2 --failed drop", "leave them out"),
        ("--simulations stored.npz --observation 1,2 --workers 2", "leave them out"),
        ("--simulations stored.npz --observation 1,2,3", "the observation has 3 numbers, but a simulation of x has 2"),
        ("--simulations stored.npz --observation 1,2 --budget 550 --held-out 100", "the budget is 550"),
        ("two_moons --observation 0,0 --gaps", "leave out --gaps"),
        ("some_model:failing --prior some_model:prior --observation 1,2 --failed maybe", "maybe"),
    ],
)
@pytest.mark.filterwarnings("ignore::ampbench.errors.StoredWarning")
def test_arguments_that_contradict_each_other(command: Command, file: str, arguments: str, message: str) -> None:
    with pytest.raises(Exception, match=message):
        command(f"{arguments} {ABC}")


def test_simulations_that_fail(command: Command, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With codes, held-out simulations have those of the fit."""
    text = f"some_model:failing --prior some_model:prior --observation 0,0 {ABC} --budget 400 --held-out 100"
    with pytest.raises(ValueError, match="failed='drop'"):
        command(f"{text} --output other")
    with pytest.warns(SimulationWarning, match="failed"):
        assert command(f"{text} --failed code") == 0
    assert "Calibration on" in capsys.readouterr().out
    from some_model import failing, prior  # type: ignore[import-not-found]

    from ampbench import restore

    posterior = restore(folder / "posterior" / "posterior.npz", prior, failing)
    assert posterior.known.codes is not None
    assert posterior.known.codes.shape == (2, 2)
    drawn = posterior.predict(torch.tensor([0.9, 0.0]), 200)
    assert drawn.shape == (200, 2)
    assert bool(drawn.isnan().any())


def test_observations_with_gaps(command: Command, folder: Path) -> None:
    text = f"some_model:gappy --prior some_model:prior --observation 1,nan,3,nan,nan,nan --gaps {ABC} --budget 400"
    assert command(f"{text} --held-out 60") == 0
    assert request(folder)["observation"] == [1, None, 3, None, None, None]
    assert command(f"{text} --held-out 60") == 0


@pytest.mark.slow
def test_batches_are_kept_and_continued(command: Command, folder: Path) -> None:
    """The numbers do not depend on the number of processes, nor on an interruption."""
    text = f"some_model:slow --prior some_model:prior --observation 1,2 {ABC} --budget 400 --held-out 0 --batch 20"
    process = subprocess.Popen(
        [sys.executable, "-m", "ampbench", "infer", *shlex.split(text)], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    stored = folder / "posterior" / "simulations"
    while process.poll() is None and len(list(stored.glob("*/*.npz"))) < 3:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 130, error
    kept = len(list(stored.glob("*/*.npz")))
    assert 3 <= kept < 20
    assert command(text) == 0
    assert len(list(stored.glob("*/*.npz"))) == 20
    assert command(f"{text} --workers 2 --output other") == 0
    for name in ("samples.csv", "predictions.csv"):
        assert (folder / "posterior" / name).read_bytes() == (folder / "other" / name).read_bytes()
