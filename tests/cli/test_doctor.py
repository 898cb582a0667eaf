"""Each fault that ``ampbench doctor`` knows is found, with the step that mends it."""

from __future__ import annotations

import re
import resource
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from packaging.requirements import Requirement

from ampbench.cli import doctor, environment
from ampbench.cli.doctor import EXTRAS
from ampbench.cli.environment import Check, check_devices, check_machine

ROOT = Path(__file__).parents[2]


def wrong(checks: Iterator[Check] | list[Check]) -> dict[str, Check]:
    found = {check.what: check for check in checks if not check.ok}
    assert all(check.mend for check in found.values())
    return found


def test_nothing_is_wrong_here(tmp_path: Path) -> None:
    assert not wrong(check_machine(tmp_path / "results"))
    assert not wrong(doctor._packages())


def test_a_long_folder_for_temporary_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deep = tmp_path / ("x" * 100)
    deep.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(deep))
    found = wrong(check_machine(tmp_path))
    assert found["sockets"].mend == "export TMPDIR=/tmp"
    assert re.search(r"has \d{3} bytes", found["sockets"].found)


def test_a_low_limit_of_open_files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda which: (100, 4096))
    assert wrong(check_machine(tmp_path))["open files"].mend == "ulimit -n 1024"
    monkeypatch.setattr(resource, "getrlimit", lambda which: (100, 100))
    assert "hard limit" in wrong(check_machine(tmp_path))["open files"].mend


def test_no_fork(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(environment.multiprocessing, "get_all_start_methods", lambda: ["spawn"])
    assert "cannot fork" in wrong(check_machine(tmp_path))["processes"].found


def test_a_clock_that_is_wrong(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(time, "time", lambda: 0.0)
    assert "1970" in wrong(check_machine(tmp_path))["clock"].found
    monkeypatch.setattr(time, "time", lambda: environment.OLDEST_TIME * 2)
    assert "timedatectl" in wrong(check_machine(tmp_path))["clock"].mend


def test_a_folder_that_cannot_be_written(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def refuse(**options: Any) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(tempfile, "NamedTemporaryFile", refuse)
    found = wrong(check_machine(tmp_path))["results folder"]
    assert f"nothing can be written in {tmp_path}: Permission denied" in found.found
    assert "--results DIR" in found.mend


def test_no_space(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(environment.shutil, "disk_usage", lambda folder: Free())
    assert "1 MB are left" in wrong(check_machine(tmp_path))["results folder"].found


class Free:
    free = 1_000_000


def device(monkeypatch: pytest.MonkeyPatch, gpu: bool, build: str | None, usable: bool) -> Check:
    monkeypatch.setattr(environment, "_has_nvidia_gpu", lambda: gpu)
    monkeypatch.setattr(torch.version, "cuda", build)
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: usable)
    if usable:  # but nothing can be computed on it
        monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda: torch.device("meta"))
    (check,) = check_devices()
    return check


def test_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    assert device(monkeypatch, gpu=False, build="12.6", usable=False) == Check("device", "cpu only")
    assert "which torch cannot use" in device(monkeypatch, gpu=True, build="12.6", usable=False).found
    cpu_build = device(monkeypatch, gpu=True, build=None, usable=False)
    assert cpu_build.ok
    assert "pip install" in cpu_build.mend
    broken = device(monkeypatch, gpu=True, build="12.6", usable=True)
    assert not broken.ok
    assert "does not compute" in broken.found


def test_packages_that_are_old_or_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    versions: dict[str, str] = {"torch": "2.4.1", "zuko": "", "sbi": "0.26.0"}
    known: Callable[[Requirement], str] = doctor._installed
    monkeypatch.setattr(doctor, "_installed", lambda required: versions.get(required.name, known(required)))
    found = wrong(doctor._packages())
    assert "torch 2.4.1 is installed, >=2.6 is needed" in found["torch"].found
    assert found["torch"].mend == "pip install 'torch>=2.6'"
    assert found["zuko"].found == "zuko is not installed"
    assert "sbi 0.26.0" in found["ampbench[sbi]"].found


def test_a_missing_extra_is_no_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    known: Callable[[Requirement], str] = doctor._installed
    monkeypatch.setattr(doctor, "_installed", lambda required: "" if required.name == "sbi" else known(required))
    found = {check.what: check for check in doctor._packages()}["ampbench[sbi]"]
    assert found.ok
    assert "pip install 'ampbench[sbi]'" in found.mend


def test_an_installation_without_plugins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_declared", lambda: {"ampbench_core", "ampbench_new"})
    monkeypatch.setattr(doctor, "_known", lambda own: {"ampbench_core"})
    found = wrong(doctor._entry_points())["entry points"]
    assert "does not know the plugins ampbench_new" in found.found
    assert "pip install -e ." in found.mend


def test_damaged_results(tmp_path: Path) -> None:
    record = tmp_path / "runs" / "0123456789abcdef0123" / "record.json"
    record.parent.mkdir(parents=True)
    record.write_text("{")
    found = wrong(doctor._results(tmp_path))["results"]
    assert "1 damaged files" in found.found
    assert f"ampbench store check --results {tmp_path}" in found.mend


def test_every_extra_for_users_is_explained() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]
    assert set(extras) - {"test", "docs", "dev"} == set(EXTRAS)


@pytest.mark.slow
def test_the_exit_code_is_1(tmp_path: Path) -> None:
    done = subprocess.run(
        ["bash", "-c", f"ulimit -n 100; {sys.executable} -m ampbench doctor --quiet"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert done.returncode == 1
    assert "PROBLEM  open files" in done.stdout
