"""Sweeps on a dask scheduler and workers as processes of this machine, and their loss."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from ampbench import registry
from ampbench.interfaces import Executor, Job
from ampbench.interfaces.events import Event, Finished, Fitting, Measuring, Sampling
from ampbench.results import load
from ampbench.running import sweep
from ampbench.testing import ExecutorConformance
from ampbench_dask.scheduler import Dask

pytest.importorskip("distributed")
pytestmark = pytest.mark.slow

FAULTY = Path(__file__).parents[1] / "faulty_plugin"
RUN = ["run", "--task", "normals", "--budget", "20", "--samples", "50", "--method", "faulty:seconds=0.5"]
RUN += ["--metric", "mean:seconds=0.2", "--seed", "0", "--seed", "1", "--seed", "2", "--seed", "3"]
"""Sixteen runs, four fits."""


class Cluster:
    """A scheduler and workers as processes."""

    def __init__(self, folder: Path, host: str = "127.0.0.1") -> None:
        self.folder = folder
        with socket.socket() as probe:
            probe.bind((host, 0))
            self.port = probe.getsockname()[1]
        self.address = f"tcp://{host}:{self.port}"
        self.processes: list[subprocess.Popen[bytes]] = []

    def start(self, *command: str, before: Sequence[str] = (), daemon: bool = False) -> subprocess.Popen[bytes]:
        environment = os.environ | {
            "PYTHONPATH": os.pathsep.join([str(FAULTY), *filter(None, sys.path)]),
            "DASK_DISTRIBUTED__WORKER__DAEMON": str(daemon),
        }
        log = open(self.folder / f"dask-{len(self.processes)}.log", "wb")  # noqa: SIM115 — the process owns it
        process = subprocess.Popen(
            [*before, sys.executable, "-m", *command], env=environment, stdout=log, stderr=log, cwd=self.folder
        )
        log.close()
        self.processes.append(process)
        return process

    def scheduler(self) -> subprocess.Popen[bytes]:
        return self.start("distributed.cli.dask_scheduler", "--host", self.address, "--dashboard-address", ":0")

    def worker(self, before: Sequence[str] = ()) -> subprocess.Popen[bytes]:
        """Start a worker without a nanny, so that a signal reaches the worker itself."""
        options = ["--nthreads", "1", "--no-nanny", "--no-dashboard"]
        return self.start("distributed.cli.dask_worker", self.address, *options, before=before)

    def nanny(self, daemon: bool) -> subprocess.Popen[bytes]:
        options = ["--nthreads", "1", "--no-dashboard"]
        return self.start("distributed.cli.dask_worker", self.address, *options, daemon=daemon)

    def run(self, *more: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "ampbench", *RUN, "--executor", f"dask:address={self.address}", *more]
        environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(FAULTY), *filter(None, sys.path)])}
        return subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=self.folder
        )

    def end(self) -> None:
        for process in self.processes:
            process.kill()
        for process in self.processes:
            process.wait()


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    cluster = Cluster(tmp_path)
    cluster.scheduler()
    yield cluster
    cluster.end()


def wait_for(process: subprocess.Popen[str], start: str) -> list[str]:
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line)
        if line.startswith(start):
            return lines
    pytest.fail(f"no line begins with {start}: {lines}")


def check(folder: Path, output: str) -> None:
    """Check that every run has one record, and that the output has one line for each."""
    assert "16 runs finished, 0 failed" in output
    frame = load(folder / "results")
    assert len(frame) == 16
    assert (frame["status"] == "ok").all()
    assert frame["key"].is_unique
    lines = [line for line in output.splitlines() if line.startswith("[")]
    assert len(lines) == 16


def pids(folder: Path) -> set[int]:
    logs = "".join(path.read_text() for path in (folder / "results" / "logs").glob("*.jsonl"))
    return {json.loads(line)["pid"] for line in logs.splitlines()}


class TestDask(ExecutorConformance):
    @pytest.fixture(autouse=True)
    def _cluster(self, cluster: Cluster) -> None:
        cluster.worker()
        self.address = cluster.address

    def make(self) -> Executor:
        return Dask(self.address)


def test_a_sweep_and_a_worker_killed_in_it(cluster: Cluster, tmp_path: Path) -> None:
    """The other worker repeats the job; the numbers equal those of a sweep in one process."""
    first, _ = cluster.worker(), cluster.worker()
    process = cluster.run()
    before = wait_for(process, "[2/16]")
    first.send_signal(signal.SIGKILL)
    rest, _ = process.communicate(timeout=200)
    assert process.returncode == 0
    check(tmp_path, "".join(before) + rest)
    local = cluster.run("--results", "local", "--executor", "in-process")
    local.communicate(timeout=100)
    columns = ["seed", "observation", "mean", "key"]
    assert load(tmp_path / "results")[columns].equals(load(tmp_path / "local")[columns])


def test_progress_comes_through(cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The listener receives events of steps, not only finished runs."""
    monkeypatch.syspath_prepend(FAULTY)
    cluster.worker()
    asked = {"tasks": ["normals"], "metrics": ["mean"], "budgets": [20], "samples": 50, "methods": ["faulty:seconds=1"]}
    runs = sweep.runs(sweep.check(asked, "test"), registry.load())
    events: list[Event] = []
    Dask(cluster.address).execute([Job(tuple(runs), tmp_path)], events.append)
    assert {type(event) for event in events} >= {Fitting, Sampling, Measuring, Finished}
    assert any(isinstance(event, Fitting) and 0 < event.done < 10 for event in events)
    assert all(event.run in runs for event in events if isinstance(event, Fitting))


def test_workers_that_may_not_have_children(cluster: Cluster, tmp_path: Path) -> None:
    """Dask's nannies start daemonic workers by default; the error names the setting."""
    nanny = cluster.nanny(daemon=True)
    process = cluster.run()
    output, _ = process.communicate(timeout=100)
    assert process.returncode == 2
    assert "start it as DASK_DISTRIBUTED__WORKER__DAEMON=False dask worker" in output
    nanny.terminate()
    nanny.wait()
    cluster.nanny(daemon=False)
    process = cluster.run()
    output, _ = process.communicate(timeout=200)
    check(tmp_path, output)


def test_no_scheduler(tmp_path: Path) -> None:
    process = Cluster(tmp_path).run("--executor", "dask:address=tcp://127.0.0.1:1,patience=2")
    output, _ = process.communicate(timeout=100)
    assert process.returncode == 2
    assert "no dask scheduler answers at tcp://127.0.0.1:1 for 2 s" in output


def test_a_scheduler_restarted(cluster: Cluster, tmp_path: Path) -> None:
    """The workers end with their scheduler; the sweep continues on a new scheduler with new workers."""
    cluster.worker()
    process = cluster.run()
    before = wait_for(process, "[2/16]")
    cluster.end()
    time.sleep(3)
    cluster.scheduler()
    cluster.worker()
    rest, _ = process.communicate(timeout=300)
    output = "".join(before) + rest
    assert "submitted again" in output
    check(tmp_path, output)


def test_ctrl_c_ends_the_children_of_workers(cluster: Cluster, tmp_path: Path) -> None:
    cluster.worker()
    process = cluster.run()
    wait_for(process, "[2/16]")
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in output
    time.sleep(3)
    assert pids(tmp_path)
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids(tmp_path))
    again = cluster.run()
    output, _ = again.communicate(timeout=200)
    assert again.returncode == 0
    assert len(load(tmp_path / "results")) == 16


@pytest.fixture
def network() -> Iterator[str]:
    """Create a network namespace for a worker; return the name of its link, which can be cut."""
    name = f"amp{os.getpid() % 10_000}"
    commands = [
        f"ip netns add {name}",
        f"ip link add {name}a type veth peer name {name}b netns {name}",
        f"ip addr add 10.213.7.1/24 dev {name}a",
        f"ip link set {name}a up",
        f"ip -n {name} addr add 10.213.7.2/24 dev {name}b",
        f"ip -n {name} link set {name}b up",
        f"ip -n {name} link set lo up",
    ]
    try:
        for command in commands:
            subprocess.run(command.split(), check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)
        pytest.skip(f"no network namespaces on this machine: {error}")
    yield name
    subprocess.run(["ip", "link", "del", f"{name}a"], check=True)
    subprocess.run(["ip", "netns", "del", name], check=True)


@pytest.mark.parametrize("seconds", [5, 60])
def test_a_network_cut_and_restored(network: str, tmp_path: Path, seconds: int) -> None:
    """The sweep waits for the end of a short cut; after a long one, another worker has repeated the job."""
    cluster = Cluster(tmp_path, "10.213.7.1")
    try:
        cluster.scheduler()
        cluster.worker(["ip", "netns", "exec", network])
        process = cluster.run()
        before = wait_for(process, "[2/16]")
        subprocess.run(["ip", "link", "set", f"{network}a", "down"], check=True)
        if seconds > 30:
            cluster.worker()
        time.sleep(seconds)
        subprocess.run(["ip", "link", "set", f"{network}a", "up"], check=True)
        rest, _ = process.communicate(timeout=200)
        check(tmp_path, "".join(before) + rest)
    finally:
        cluster.end()
