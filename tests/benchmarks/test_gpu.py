"""The script for GPUs, with the CPU in the place of the GPU."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture(scope="module")
def gpu(benchmark: Callable[[str], ModuleType]) -> ModuleType:
    return benchmark("gpu")


@pytest.mark.slow
def test_the_cpu_agrees_with_itself(gpu: ModuleType, tmp_path: Path) -> None:
    assert gpu.main(["--device", "cpu", "--small", "--output", str(tmp_path)]) == 0
    content = json.loads((tmp_path / "cpu.json").read_text())
    assert content["versions"]["torch"]
    assert all(row["ratio"] == row["cpu_seconds"] / row["device_seconds"] > 0 for row in content["times"])
    assert {check["difference"] for check in content["checks"]} == {0.0}
    assert len(content["times"]) == len(gpu.METHODS) + 3


def test_a_difference_fails(
    gpu: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found = [gpu.Row("work", 3.0, 2.0), gpu.Check("near", 1.0, 2.0), gpu.Check("far", 3.0, 2.0)]
    monkeypatch.setattr(gpu, "parts", lambda device, sizes: found)
    assert gpu.main(["--device", "cpu", "--output", str(tmp_path)]) == 1
    assert "failed: far" in capsys.readouterr().out
    assert not gpu.Check("not a number", math.nan, 2.0).passed


def test_an_error_ends_its_part_only(gpu: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("two devices\nwere found")

    for name in ("fit", "rebuild", "C2ST"):
        monkeypatch.setattr(gpu, name, broken)
    assert gpu.main(["--device", "cpu", "--small", "--output", str(tmp_path)]) == 1
    checks = json.loads((tmp_path / "cpu.json").read_text())["checks"]
    assert [check["passed"] for check in checks] == [True, False, False, False, False]
    assert checks[1]["name"] == "engine: RuntimeError: two devices"
    assert checks[1]["difference"] is None


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--device", "cpu"], "name another folder by --output"),
        (["--device", "cpu", "--small"], "name another folder by --output"),
        (["--device", "gpu"], "torch knows no device 'gpu'"),
        (["--device", "cuda:99"], "cannot be used here"),
    ],
)
def test_wrong_devices_and_folders(
    gpu: ModuleType, arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        gpu.main(arguments)
    assert words in capsys.readouterr().err
