from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch.distributions import Independent, Normal

from ampbench.errors import UsageError

Command = Callable[[str], int]
BASIC = "some_model:simulator --prior some_model:prior --observation 1,2 --method rejection-abc:accept=60 --budget 500"


def test_all_files_are_written_and_hold_the_posterior(
    command: Command, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """theta | x ~ N(x / 2, 1 / 2), which rejection ABC widens."""
    assert command(f"{BASIC} --names rate,size --held-out 60") == 0
    files = {each.name for each in (folder / "posterior").iterdir()}
    assert files >= {
        "request.json",
        "posterior.npz",
        "samples.csv",
        "summary.csv",
        "predictions.csv",
        "calibration.json",
    }
    samples = pd.read_csv(folder / "posterior" / "samples.csv")
    assert list(samples.columns) == ["rate", "size"]
    assert len(samples) == 1000
    assert samples["size"].mean() == pytest.approx(1, abs=0.35)
    summary = pd.read_csv(folder / "posterior" / "summary.csv", index_col="parameter")
    assert summary.loc["rate", "mean"] == pytest.approx(samples["rate"].mean())
    assert summary.loc["rate", "97.5 %"] == pytest.approx(samples["rate"].quantile(0.975), rel=1e-6)
    predictions = pd.read_csv(folder / "posterior" / "predictions.csv")
    assert list(predictions.columns) == ["x[0]", "x[1]"]
    assert len(predictions) == 100
    assert predictions["x[1]"].std() > samples["size"].std()
    assert json.loads((folder / "posterior" / "calibration.json").read_text())["held_out"] == 60
    output = capsys.readouterr().out
    assert "rate" in output
    assert "Calibration on 60 held-out simulations: fault" in output
    assert max(map(len, output.splitlines())) <= 80


def test_the_optional_files(command: Command, folder: Path) -> None:
    pytest.importorskip("corner")
    pytest.importorskip("arviz_base")
    import xarray

    assert command(f"{BASIC} --held-out 0") == 0
    assert (folder / "posterior" / "pairs.png").read_bytes().startswith(b"\x89PNG")
    assert (folder / "posterior" / "predictions.png").read_bytes().startswith(b"\x89PNG")
    tree = xarray.open_datatree(folder / "posterior" / "samples.nc", engine="h5netcdf")
    samples = pd.read_csv(folder / "posterior" / "samples.csv")
    assert tree["posterior"]["theta"].shape == (1, 1000, 2)
    assert tree["posterior"]["theta"].to_numpy()[0] == pytest.approx(samples.to_numpy(), rel=1e-6)
    assert tree["posterior_predictive"]["x"].shape == (1, 100, 2)
    assert tree["observed_data"]["x"].to_numpy().tolist() == [1, 2]
    assert not (folder / "posterior" / "calibration.json").exists()


@pytest.mark.parametrize("package", ["corner", "arviz_base"])
def test_without_an_optional_package(
    command: Command, package: str, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    assert command(f"{BASIC} --held-out 0 --samples 50 --predictions 0") == 0
    assert "is not written" in capsys.readouterr().out
    assert (folder / "posterior" / "samples.csv").exists()


def test_the_same_command_continues_and_changes_no_number(command: Command, folder: Path) -> None:
    text = f"{BASIC} --held-out 60"
    assert command(text) == 0
    written = {
        each.name: each.read_bytes() for each in (folder / "posterior").iterdir() if each.suffix in {".csv", ".json"}
    }
    for name in ("samples.csv", "calibration.json", "predictions.csv"):
        (folder / "posterior" / name).unlink()
    before = (folder / "posterior" / "posterior.npz").stat().st_mtime_ns
    assert command(text) == 0
    assert (folder / "posterior" / "posterior.npz").stat().st_mtime_ns == before
    for name, content in written.items():
        assert (folder / "posterior" / name).read_bytes() == content


def test_another_request_is_refused_and_names_each_difference(command: Command, folder: Path) -> None:
    assert command(f"{BASIC} --held-out 0 --samples 50 --predictions 0") == 0
    with pytest.raises(UsageError, match="another inference: method rejection-abc:accept=60 there, prior here; budget"):
        command("some_model:simulator --prior some_model:prior --observation 1,2 --method prior --held-out 0")
    (folder / "other").mkdir()
    (folder / "other" / "thesis.tex").write_text("x")
    with pytest.raises(UsageError, match="holds no inference"):
        command(f"{BASIC} --output other")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("--observation 1,2,3", "the observation has 3 numbers, but a simulation of x has 2"),
        ("--observation 1,b", "cannot read the observation"),
        ("--names rate", r"has 1 names \(rate\) for 2 components"),
        ("--budget 0", "budget must be at least 1, got 0"),
        ("--samples 1", "samples must be at least 2, got 1"),
        ("--samples 50 --predictions 60", "60 predictions need as many posterior draws"),
        ("--method nope", "unknown method 'nope'"),
        ("--device nope", "no device 'nope'"),
    ],
)
def test_wrong_arguments_claim_no_folder(command: Command, change: str, message: str, folder: Path) -> None:
    with pytest.raises(Exception, match=message):
        command(f"{BASIC} {change}")
    assert not (folder / "posterior").exists()


def test_a_simulator_that_raises_is_named(command: Command, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command(BASIC.replace("simulator", "broken")) == 1
    assert "ZeroDivisionError: no body (some_model.py, line 22, in broken)" in capsys.readouterr().err
    with pytest.raises(ValueError, match="NaN or infinite"):
        command(BASIC.replace("simulator", "failing"))


def test_a_task_and_a_sequential_method(command: Command, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("sbi")
    text = "two_moons --observation 0,0 --method smc-abc:population=30 --budget 300 --samples 60 --predictions 20"
    assert command(text) == 0
    assert "a sequential method is fitted to one observation" in capsys.readouterr().out
    samples = pd.read_csv(folder / "posterior" / "samples.csv")
    assert np.isfinite(samples.to_numpy()).all()
    assert command(text) == 0  # without a kept fit


def test_a_module_that_cannot_be_imported(command: Command, folder: Path) -> None:
    (folder / "my_broken_module.py").write_text("import nothing_of_this_name\n")
    with pytest.raises(UsageError, match=r"cannot be imported: ModuleNotFoundError.*my_broken_module\.py, line 1"):
        command(BASIC.replace("some_model:simulator", "my_broken_module:simulator"))


def test_ctrl_c_leaves_no_half_a_file(folder: Path) -> None:
    text = BASIC.replace("simulator", "endless")
    process = subprocess.Popen(
        [sys.executable, "-m", "ampbench", "infer", *shlex.split(text)], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"simulating\n"
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 130
    assert b"the same command again continues" in error
    assert [each.name for each in (folder / "posterior").iterdir()] == ["request.json"]


def exact(x: Any) -> Independent:
    return Independent(Normal(torch.as_tensor(x) / 2, torch.full((2,), 0.5**0.5)), 1)


@pytest.mark.slow
def test_npe_finds_the_exact_posterior(command: Command, folder: Path) -> None:
    pytest.importorskip("sbi")
    start = time.time()
    assert command(BASIC.replace("rejection-abc:accept=60 --budget 500", "npe --budget 3000")) == 0
    assert time.time() - start < 600
    samples = torch.from_numpy(pd.read_csv(folder / "posterior" / "samples.csv").to_numpy())
    law = exact([1.0, 2.0])
    assert samples.mean(0).tolist() == pytest.approx(law.mean.tolist(), abs=0.15)
    assert samples.std(0).tolist() == pytest.approx(law.stddev.tolist(), rel=0.2)
    found = json.loads((folder / "posterior" / "calibration.json").read_text())
    assert found["fault"] == "none found"
    assert os.path.exists(folder / "posterior" / "posterior.npz")
