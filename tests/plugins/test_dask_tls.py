"""Sweeps over TLS, with the commands of the documentation, and with jobs of a substitute for Slurm on this machine."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from ampbench.results import load

pytest.importorskip("distributed")
pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
FAULTY = ROOT / "tests" / "faulty_plugin"
RUN = ["run", "--task", "normals", "--budget", "20", "--samples", "50", "--observation", "1", "--metric", "mean"]
SBATCH = """#!/bin/bash
cp "$1" "$SLURM_FOLDER/job.sh"
setsid bash "$SLURM_FOLDER/job.sh" < /dev/null > "$SLURM_FOLDER/job.log" 2>&1 &
echo $! > "$SLURM_FOLDER/job.pid"
echo "Submitted batch job $!"
"""
SCANCEL = """#!/bin/bash
kill -TERM -- -$1
"""


def environment(**more: str) -> dict[str, str]:
    scripts = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    return os.environ | {"PYTHONPATH": os.pathsep.join([str(FAULTY), *filter(None, sys.path)]), "PATH": scripts} | more


def ampbench(folder: Path, *arguments: str, **more: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "ampbench", *arguments]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    return subprocess.Popen(command, cwd=folder, env=environment(**more), **pipes)


def example() -> str:
    """Return the commands of the documentation, without their prompts."""
    text = (ROOT / "docs" / "sweeps.md").read_text().partition("### TLS on a cluster")[2]
    block = re.search(r"```console\n(.*?)```", text, re.DOTALL)
    assert block
    return re.sub(r"^\$ ", "", block[1], flags=re.MULTILINE)


def make_credentials(folder: Path) -> None:
    """Run the commands of the documentation that come before the scheduler."""
    folder.mkdir(exist_ok=True)
    commands = example().partition("dask scheduler")[0]
    subprocess.run(["bash", "-ec", commands], cwd=folder, check=True, capture_output=True)


def eventually(condition: Callable[[], bool], seconds: float = 60.0) -> bool:
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.5)
    return condition()


def members(session: int) -> list[str]:
    """Return the command lines of the processes of a session."""
    found = subprocess.run(["ps", "-o", "args=", "-s", str(session)], capture_output=True, text=True, check=False)
    return found.stdout.splitlines()


def test_the_example_of_the_documentation(tmp_path: Path) -> None:
    """The commands run word by word, but for the port; sweeps without the credentials end within seconds."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = str(probe.getsockname()[1])
    script = example().replace("8786", port)
    log = (tmp_path / "log").open("w+")
    shell = subprocess.Popen(
        ["bash", "-ec", script], cwd=tmp_path, env=environment(), stdout=log, stderr=log, start_new_session=True
    )
    try:
        code = shell.wait(timeout=300)
        log.seek(0)
        output = log.read()
        assert code == 0, output
        assert "1 runs finished, 0 failed" in output
        assert "not encrypted" not in output
        assert "other users may read" not in output
        make_credentials(tmp_path / "elsewhere")
        refused = {
            f"tls://127.0.0.1:{port},security=elsewhere/tls": "does not accept the certificate of the scheduler",
            f"tls://127.0.0.1:{port},security=missing": "there is no folder",
            f"tls://127.0.0.1:{port}": "give security=FOLDER",
            f"tcp://127.0.0.1:{port}": "uses TLS; write address=tls://",
        }
        for address, message in refused.items():
            process = ampbench(tmp_path, *RUN, "--method", "faulty", "--executor", f"dask:address={address}")
            output, _ = process.communicate(timeout=60)
            assert process.returncode == 2
            assert message in " ".join(output.split())
            assert "Traceback" not in output
    finally:
        os.killpg(shell.pid, signal.SIGKILL)
        log.close()


@pytest.fixture
def slurm(tmp_path: Path) -> dict[str, str]:
    """Make commands with the names of Slurm's, which start a job in a session of its own and end it."""
    pytest.importorskip("dask_jobqueue")
    commands = tmp_path / "commands"
    commands.mkdir()
    for name, text in {"sbatch": SBATCH, "scancel": SCANCEL}.items():
        (commands / name).write_text(text)
        (commands / name).chmod(0o700)
    make_credentials(tmp_path)
    path = os.pathsep.join([str(commands), str(Path(sys.executable).parent), os.environ["PATH"]])
    return {"PATH": path, "SLURM_FOLDER": str(tmp_path)}


def job(folder: Path) -> int:
    return int((folder / "job.pid").read_text())


def securities() -> list[str]:
    try:
        import cryptography  # noqa: F401
    except ImportError:
        return ["tls"]
    return ["tls", "temporary"]


def pids(folder: Path) -> set[int]:
    """Return the processes of fits, which have sessions of their own."""
    logs = "".join(path.read_text() for path in (folder / "results" / "logs").glob("*.jsonl"))
    return {json.loads(line)["pid"] for line in logs.splitlines()}


@pytest.mark.parametrize("security", securities())
def test_jobs_of_slurm_use_tls_and_end_with_the_sweep(slurm: dict[str, str], tmp_path: Path, security: str) -> None:
    executor = f"slurm:workers=1,security={security}"
    process = ampbench(tmp_path, *RUN, "--method", "faulty", "--executor", executor, **slurm)
    output, _ = process.communicate(timeout=200)
    assert process.returncode == 0, output
    assert "not encrypted" not in output
    assert (load(tmp_path / "results")["status"] == "ok").all()
    assert " tls://" in (tmp_path / "job.sh").read_text()
    assert eventually(lambda: not members(job(tmp_path)))
    assert not [*(tmp_path / "results" / "logs" / "slurm").glob(".*")]


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM])
def test_jobs_of_slurm_end_with_a_killed_sweep(slurm: dict[str, str], tmp_path: Path, end: signal.Signals) -> None:
    """Also if their fit never ends; web servers listen on the loopback interface only."""
    method = "faulty:seconds=600"
    process = ampbench(tmp_path, *RUN, "--method", method, "--executor", "slurm:workers=1,security=tls", **slurm)
    try:
        assert process.stdout is not None
        assert any(line.startswith("fitting") for line in process.stdout)
        script = (tmp_path / "job.sh").read_text()
        assert "--no-dashboard --dashboard-address 127.0.0.1:0" in script
        process.send_signal(end)
        process.wait(timeout=60)
        assert eventually(lambda: not members(job(tmp_path)))
        assert (found := pids(tmp_path))
        assert eventually(lambda: not any(Path(f"/proc/{pid}").exists() for pid in found))
    finally:
        process.kill()
        process.communicate()
        if members(job(tmp_path)):
            os.killpg(job(tmp_path), signal.SIGKILL)


def test_slurm_without_tls_says_so(slurm: dict[str, str], tmp_path: Path) -> None:
    executor = "slurm:workers=1,security=none"
    process = ampbench(tmp_path, *RUN, "--method", "faulty", "--executor", executor, **slurm)
    output, _ = process.communicate(timeout=200)
    assert process.returncode == 0, output
    assert "security=none: connections are not encrypted" in output
