"""The command line, in real processes: output, exit codes, and a run killed half-way."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
import random
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest

from ampbench.cli import main
from ampbench.results import load
from ampbench.results.store import Store
from ampbench.running.heartbeat import sweep_statuses

FAULTY = Path(__file__).parents[1] / "faulty_plugin"
QUICK = "amp:steps=20,divergence=jsd(width=8,depth=1),family=implicit(width=8,depth=1)"
ARGUMENTS = ["--task", "two_moons", "--budget", "100", "--samples", "50", "--observation", "1", "--observation", "2"]


def ampbench(*arguments: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "ampbench", *arguments],
        capture_output=True,
        text=True,
        cwd=cwd,
        env=os.environ | {"COLUMNS": "80"} | environment,
        timeout=300,
    )


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sweep")
    done = ampbench("run", *ARGUMENTS, "--method", QUICK, cwd=folder)
    assert done.returncode == 0, done.stderr
    assert "2 runs finished, 0 failed" in done.stdout
    assert "[2/2] two_moons" in done.stdout
    assert "\x1b" not in done.stdout, "no control codes outside a terminal"
    return folder


def test_a_second_run_skips(finished: Path) -> None:
    done = ampbench("run", *ARGUMENTS, "--method", QUICK, cwd=finished)
    assert done.returncode == 0
    assert "2 of 2 runs are stored in results already" in done.stdout


def test_a_file_says_the_same_as_options(finished: Path) -> None:
    (finished / "sweep.toml").write_text(
        f'tasks = ["two_moons"]\nmethods = ["{QUICK}"]\nbudgets = [100]\nsamples = 50\nobservations = [1, 2]\n'
    )
    done = ampbench("run", "sweep.toml", cwd=finished)
    assert "2 of 2 runs are stored" in done.stdout
    both = ampbench("run", "sweep.toml", "--budget", "5", cwd=finished)
    assert both.returncode == 2
    assert "give either the file sweep.toml or options" in both.stderr


def test_results_in_three_forms(finished: Path) -> None:
    rows = json.loads(ampbench("results", "--json", cwd=finished).stdout)
    table = list(csv.DictReader(io.StringIO(ampbench("results", "--csv", cwd=finished).stdout)))
    assert [row["observation"] for row in rows] == [1, 2]
    assert [row["observation"] for row in table] == ["1", "2"]
    assert 0.5 <= rows[0]["c2st"] <= 1
    text = ampbench("results", cwd=finished).stdout
    assert "c2st" in text
    assert max(map(len, text.splitlines())) <= 80


def test_compare(finished: Path) -> None:
    done = ampbench("compare", cwd=finished)
    assert done.returncode == 0
    assert "metric c2st" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "--task", "two_mons", "--method", "amp", "--budget", "10"], "did you mean 'two_moons'"),
        (["run", "--task", "two_moons", "--method", "amp:divergnce=kl", "--budget", "10"], "did you mean 'divergence'"),
        (["run", "--task", "two_moons", "--method", "amp"], "budgets: Field required"),
        (
            ["run", "--task", "two_moons", "--method", "prior", "--method", "npe:max_epochs=0", "--budget", "10"],
            "method 'npe:max_epochs=0': Training needs max_epochs of at least 1, got max_epochs=0",
        ),
        (["run", "--task", "two_moons", "--method", "amp", "--budget", "10", "--device", "tpu9"], "device 'tpu9'"),
        (["results", "--results", "nowhere"], "no results directory 'nowhere'"),
        (["list", "tsks"], "did you mean 'tasks'"),
        (["run", "--budgte", "10"], "No such option"),
    ],
)
def test_bad_usage_exits_with_2(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """In this process, where anything but an exit would show; a real one is in test_a_file_says_the_same_as_options."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["ampbench", *arguments])
    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)  # which main replaces
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert not list(tmp_path.iterdir())
    assert message in capsys.readouterr().err


def test_failed_runs_exit_with_1_and_are_named(tmp_path: Path) -> None:
    broken = QUICK.replace("amp:", "amp:adversary_learning_rate=1e30,")
    done = ampbench("run", *ARGUMENTS, "--method", broken, "--method", QUICK, cwd=tmp_path)
    assert done.returncode == 1
    assert "failed: two_moons | amp:adversary_learning_rate=1e30" in done.stdout
    assert "2 runs finished, 2 failed" in done.stdout
    assert load(tmp_path / "results")["status"].value_counts().to_dict() == {"ok": 2, "failed": 2}


def test_list_plugins_and_doctor(tmp_path: Path) -> None:
    assert "two_moons" in ampbench("list", "tasks", cwd=tmp_path).stdout
    assert "ampbench_tasks" in ampbench("plugins", cwd=tmp_path).stdout
    assert "ampbench_tasks" not in ampbench("plugins", cwd=tmp_path, AMPBENCH_DISABLE_PLUGINS="ampbench_tasks").stdout
    doctor = ampbench("doctor", cwd=tmp_path)
    assert doctor.returncode == 0
    assert "PROBLEM" not in doctor.stdout


SLOWLY = ["run", "--task", "normals", "--budget", "20", "--samples", "50", "--seed", "0", "--seed", "1", "--seed", "2"]
SLOWLY += ["--method", "faulty:seconds=0.2", "--metric", "mean:seconds=0.4"]
"""Twelve runs, three fits, of a few seconds in all."""


def faulty() -> dict[str, str]:
    """The environment in which the plugin of tests/faulty_plugin is installed."""
    return os.environ | {"PYTHONPATH": os.pathsep.join([str(FAULTY), os.environ.get("PYTHONPATH", "")])}


def begin(*arguments: str, cwd: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "ampbench", *arguments]
    return subprocess.Popen(command, cwd=cwd, env=faulty(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def wait_for(process: subprocess.Popen[str], start: str) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith(start):
            return
    pytest.fail(f"no line begins with {start}")


def workers(results: Path) -> set[int]:
    """The processes that have worked on a sweep."""
    logs = "".join(path.read_text() for path in (results / "logs").glob("*.jsonl"))
    return {json.loads(line)["pid"] for line in logs.splitlines()}


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("unbroken")
    process = begin(*SLOWLY, "--executor", "in-process", cwd=folder)
    output, _ = process.communicate(timeout=300)
    assert "12 runs finished, 0 failed" in output
    return folder / "results"


@pytest.mark.parametrize("kill", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_killed_half_way_and_run_again(
    tmp_path: Path, unbroken: Path, alive: Callable[[int], bool], kill: signal.Signals
) -> None:
    """What was finished stays and is not repeated; the frame equals that of an unbroken run."""
    process = begin(*SLOWLY, "--results", "broken", cwd=tmp_path)
    wait_for(process, "[3/12]")
    (sign,) = sweep_statuses(tmp_path / "broken")
    process.send_signal(kill)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 129}.get(
        kill, -signal.SIGKILL
    )
    time.sleep(0.5)
    assert workers(tmp_path / "broken")
    assert not any(map(alive, workers(tmp_path / "broken"))), "no process is left"
    assert (sign.pid, sign.alive, sign.certain) == (process.pid, True, True)
    assert (sign.state.total, sign.state.failed) == (12, 0)
    status = ampbench("status", "--results", "broken", cwd=tmp_path, COLUMNS="200").stdout
    if kill != signal.SIGKILL:
        assert "The same command again continues." in output
        assert "Traceback" not in output
        assert "no sweep is running" in status
    else:
        assert f"process {process.pid}, killed" in status
    done = {path: path.stat().st_mtime_ns for path in (tmp_path / "broken" / "runs").glob("[!.]*/record.json")}
    assert 3 <= len(done) < 12

    again = begin(*SLOWLY, "--results", "broken", cwd=tmp_path)
    output, _ = again.communicate(timeout=300)
    assert f"{len(done)} of 12 runs are stored" in output
    assert f"{12 - len(done)} runs finished, 0 failed" in output
    assert all(path.stat().st_mtime_ns == when for path, when in done.items())
    assert "no sweep is running" in ampbench("status", "--results", "broken", cwd=tmp_path).stdout
    columns = ["seed", "observation", "mean", "key"]
    assert load(tmp_path / "broken")[columns].equals(load(unbroken)[columns])


def test_every_process_is_terminated(tmp_path: Path) -> None:
    """As Slurm and systemd do: workers end first, and that is no failure of their runs."""
    wait = ["--workers", "3", "--retries", "0", "--results", "broken"]
    process = begin(*SLOWLY[:-4], "--method", "faulty:seconds=3", "--metric", "mean", *wait, cwd=tmp_path)
    until = time.monotonic() + 60
    while len(workers(tmp_path / "broken")) < 2 and time.monotonic() < until:
        time.sleep(0.05)
    for pid in workers(tmp_path / "broken"):
        os.kill(pid, signal.SIGTERM)
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 143
    assert "terminated after 0 of 12 runs" in output
    assert "failed" not in output
    assert not list(Store(tmp_path / "broken").records())


def test_faults_and_markup_on_the_command_line(tmp_path: Path) -> None:
    """A hanging and a crashing method beside a sound one, with the options that people have."""
    methods = ["--method", "faulty:fault=hang", "--method", "faulty:fault=crash", "--method", "faulty:fault=print"]
    process = begin(*SLOWLY[:9], *methods, "--metric", "mean", "--timeout", "3", "--workers", "2", cwd=tmp_path)
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 1
    assert "4 runs finished, 8 failed" in output
    assert "the fit took longer than the 3 s allowed" in output
    assert "SIGSEGV" in output
    assert "[bold]" not in output, "what a plugin prints is in its log"


@pytest.mark.slow
def test_killed_many_times_at_random_moments(tmp_path: Path, unbroken: Path, alive: Callable[[int], bool]) -> None:
    """The sweep itself, or all its workers too, with kill -9: no record is lost, doubled or torn."""
    dice = random.Random(0)
    finished: dict[str, bytes] = {}
    for _ in range(12):
        process = begin(*SLOWLY, "--results", "broken", "--workers", "3", cwd=tmp_path)
        assert process.stdout is not None
        for line in process.stdout:  # the start takes seconds in which nothing happens; aim at the rest
            if line.startswith(("fitting", "[")):
                break
        time.sleep(dice.uniform(0, 2))
        if dice.random() < 0.5:
            for pid in filter(alive, workers(tmp_path / "broken")):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        process.kill()
        process.communicate(timeout=60)
        time.sleep(0.3)
        assert not any(map(alive, workers(tmp_path / "broken")))
        now = {path.parent.name: path.read_bytes() for path in (tmp_path / "broken" / "runs").glob("*/record.json")}
        assert all(now[key] == content for key, content in finished.items()), "what was finished stays as it was"
        finished = now
        if len(finished) == 12:
            break
    process = begin(*SLOWLY, "--results", "broken", cwd=tmp_path)
    process.communicate(timeout=200)
    assert process.returncode == 0
    assert ampbench("store", "check", "--results", "broken", cwd=tmp_path).returncode == 0
    columns = ["seed", "observation", "mean", "key", "status"]
    assert load(tmp_path / "broken")[columns].equals(load(unbroken)[columns])


@pytest.mark.slow
def test_a_full_disk_ends_the_sweep(tmp_path: Path, alive: Callable[[int], bool]) -> None:
    """With its reason, and no process left; with room again, the same command goes on."""
    results = tmp_path / "results"
    results.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(results)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("no file systems can be mounted here")
    try:
        filler = results / "filler"
        process = begin(*SLOWLY, cwd=tmp_path)
        wait_for(process, "[2/12]")
        with contextlib.suppress(OSError), open(filler, "wb", buffering=0) as file:
            while file.write(bytes(4096)):
                pass
        output, _ = process.communicate(timeout=100)
        assert process.returncode == 2
        assert "No space left on device" in output
        assert "Traceback" not in output
        assert not any(map(alive, workers(results)))
        filler.unlink()
        process = begin(*SLOWLY, cwd=tmp_path)
        output, _ = process.communicate(timeout=100)
        assert process.returncode == 0
        assert len(load(results)) == 12
    finally:
        subprocess.run(["umount", str(results)], check=True)
