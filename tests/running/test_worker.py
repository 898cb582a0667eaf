"""Jobs in processes of their own: real faults, each of which costs its own runs only."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ampbench import registry
from ampbench.cli.run import with_workers
from ampbench.errors import ResultsError, UsageError
from ampbench.interfaces import Executor, Job, Limits
from ampbench.interfaces.events import Event, Finished, Note, Sampling
from ampbench.results import Run, load
from ampbench.results.store import Store
from ampbench.running import jobs, sweep
from ampbench.running.executors import InProcess, Local
from ampbench.running.process import Stopped
from ampbench.running.runlog import log_path
from ampbench.running.worker import isolated

FAULTY = Path(__file__).parents[1] / "faulty_plugin"


@pytest.fixture(autouse=True)
def _faulty(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.syspath_prepend(FAULTY)
    yield
    assert not multiprocessing.active_children()


class Heard:
    def __init__(self) -> None:
        self.events: list[Event] = []

    def __call__(self, event: Event) -> None:
        self.events.append(event)

    @property
    def notes(self) -> list[str]:
        return [event.text for event in self.events if isinstance(event, Note)]

    @property
    def finished(self) -> list[int]:
        return [event.record.run.observation for event in self.events if isinstance(event, Finished)]


def runs(methods: list[str], metric: str = "mean", **more: object) -> list[Run]:
    asked = {"tasks": ["normals"], "metrics": [metric], "budgets": [20], "samples": 50, "methods": methods, **more}
    return sweep.runs(sweep.check(asked, "test"), registry.load())


def execute(folder: Path, wanted: list[Run], executor: Executor | None = None, limits: Limits | None = None) -> Heard:
    heard = Heard()
    todo = jobs.pending(wanted, Store(folder))
    work = [Job(group, folder, "cpu", limits or Limits()) for group in jobs.group_by_fit(todo)]
    (executor or Local(workers=2)).execute(work, heard)
    return heard


def outcomes(folder: Path, wanted: list[Run]) -> dict[int, str]:
    """The kind of failure of each observation, "" if it went well."""
    store = Store(folder)
    records = [store.get(run.key) for run in wanted]
    return {record.run.observation: record.kind for record in records if record}


@pytest.mark.parametrize(
    ("fault", "kind", "message"),
    [
        ("raise", "error", "RuntimeError: cannot fit"),
        ("sys-exit", "error", "SystemExit: gone"),
        ("exit", "crashed", "its worker process ended itself with exit status 3"),
        ("hang", "timeout", "the fit took longer than the 2 s allowed"),
        ("hang-in-c", "timeout", "the fit took longer than the 2 s allowed"),
        ("crash", "crashed", "its worker process crashed with SIGSEGV"),
        ("kill", "killed", "its worker process was killed by SIGKILL"),
        ("memory", "memory", "can't allocate memory"),
    ],
)
def test_a_fault_in_a_fit_costs_its_own_runs(tmp_path: Path, fault: str, kind: str, message: str) -> None:
    """Beside it, a sound method goes through; nobody's record is missing."""
    bad, good = runs([f"faulty:fault={fault}"]), runs(["faulty"])
    heard = execute(
        tmp_path, [*bad, *good], limits=Limits(seconds=2 if kind == "timeout" else None, memory=1.5, retries=1)
    )
    assert outcomes(tmp_path, bad) == dict.fromkeys((1, 2, 3, 4), kind)
    assert outcomes(tmp_path, good) == dict.fromkeys((1, 2, 3, 4), "")
    assert len(heard.finished) == 8
    failed = load(tmp_path).query("status == 'failed'")
    assert failed["error"].str.contains(message, regex=False).all()
    record = Store(tmp_path).get(bad[0].key)
    assert record is not None
    assert record.traceback
    if fault == "crash":
        assert 'ampbench_faulty.py", line' in record.traceback, "faulthandler says where"


def test_memory_that_is_short_to_the_last_byte(tmp_path: Path) -> None:
    """Even where there is no room left to report it."""
    wanted = runs(["faulty:fault=memory-of-small-objects"])
    execute(tmp_path, wanted, limits=Limits(memory=0.8))
    assert outcomes(tmp_path, wanted) == dict.fromkeys((1, 2, 3, 4), "memory")


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        ("raise", "error"),
        ("nan", "invalid-samples"),
        ("short", "invalid-samples"),
        ("shape", "invalid-samples"),
        ("exit", "crashed"),
        ("hang", "timeout"),
        ("kill", "killed"),
    ],
)
def test_the_observation_at_fault_is_singled_out(tmp_path: Path, fault: str, kind: str) -> None:
    wanted = runs([f"faulty:fault={fault},where=sample,observation=2"])
    execute(tmp_path, wanted, limits=Limits(seconds=2 if kind == "timeout" else None, retries=2))
    got = outcomes(tmp_path, wanted)
    assert got.pop(2) == kind
    others = "not-run" if fault == "kill" else ""  # its retries were spent on the kills
    assert {kind for observation, kind in got.items() if observation > 2} == {others}


@pytest.mark.parametrize(("fault", "kind"), [("exit", "crashed"), ("hang", "timeout"), ("raise", "metric")])
def test_a_fault_in_a_metric_costs_no_fit(tmp_path: Path, fault: str, kind: str) -> None:
    """Each of the four observations ends the process of its fit; the fit is made once."""
    wanted = runs(["faulty"], f"mean:fault={fault}")
    job = Job(tuple(wanted), tmp_path, limits=Limits(seconds=2 if kind == "timeout" else None, retries=0))
    isolated(job, Heard())
    assert outcomes(tmp_path, wanted) == dict.fromkeys((1, 2, 3, 4), kind)
    events = [json.loads(line)["event"] for line in log_path(tmp_path, wanted[0]).read_text().splitlines()]
    assert events.count("fitting") == 1
    record = Store(tmp_path).get(wanted[0].key)
    assert record is not None
    assert record.simulations == 20, "what is known of the fit is kept with the failure"


def test_a_killed_worker_is_replaced(tmp_path: Path) -> None:
    wanted = runs([f"faulty:fault=kill,where=sample,observation=3,once={tmp_path / 'killed'}"])
    heard = execute(tmp_path / "r", wanted)
    assert outcomes(tmp_path / "r", wanted) == dict.fromkeys((1, 2, 3, 4), "")
    (note,) = heard.notes
    assert "killed by SIGKILL" in note
    assert "observation 3" in note
    assert sorted(heard.finished) == [1, 2, 3, 4]


def fittings(folder: Path, run: Run) -> int:
    """How often a run's fit was made, or begun."""
    events = [json.loads(line)["event"] for line in log_path(folder, run).read_text().splitlines()]
    return events.count("fitting")


COLUMNS = ["method", "seed", "observation", "mean", "status", "simulations", "key"]


@pytest.mark.parametrize("retries", [0, 1])
def test_a_kept_fit_outlives_its_worker(tmp_path: Path, retries: int) -> None:
    """Killed between the fit and the third of four samples: another worker, or the next command, goes on from there."""
    wanted = runs([f"kept:fault=kill,where=sample,observation=3,once={tmp_path / 'killed'}"])
    execute(tmp_path / "broken", wanted, limits=Limits(retries=retries))
    assert (tmp_path / "killed").exists()
    done = dict.fromkeys((1, 2, 3, 4), "")
    assert outcomes(tmp_path / "broken", wanted) == (
        done if retries else dict.fromkeys((1, 2, 4), "not-run") | {3: "killed"}
    )
    execute(tmp_path / "broken", wanted)
    assert outcomes(tmp_path / "broken", wanted) == done
    assert fittings(tmp_path / "broken", wanted[0]) == 1
    execute(tmp_path / "unbroken", wanted)
    assert load(tmp_path / "broken")[COLUMNS].equals(load(tmp_path / "unbroken")[COLUMNS])
    assert load(tmp_path / "broken")["fit_seconds"].nunique() == 1


@pytest.mark.parametrize(("fault", "kind"), [("exit", "crashed"), ("hang", "timeout")])
def test_a_fault_in_sampling_costs_no_fit(tmp_path: Path, fault: str, kind: str) -> None:
    """Where fits are kept, it is no retry either: each of the four observations ends the process."""
    wanted = runs([f"kept:fault={fault},where=sample"])
    execute(tmp_path, wanted, limits=Limits(seconds=2 if kind == "timeout" else None, retries=0))
    assert outcomes(tmp_path, wanted) == dict.fromkeys((1, 2, 3, 4), kind)
    assert fittings(tmp_path, wanted[0]) == 1


@pytest.mark.slow
def test_a_killed_sweep_goes_on(tmp_path: Path) -> None:
    """The whole process group, with ``kill -9``, after the fit and before the last sample; then the same command."""
    killed, results = tmp_path / "killed", tmp_path / "results"
    spec = f"kept:fault=hang,where=sample,observation=4,once={killed}"
    words = f"run --task normals --method {spec} --metric mean --budget 20 --samples 50 --results {results}"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(each for each in sys.path if each)}
    command = [sys.executable, "-m", "ampbench", *words.split()]
    sweep = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, start_new_session=True)
    for _ in range(1200):
        if killed.exists():
            break
        time.sleep(0.1)
    os.killpg(sweep.pid, signal.SIGKILL)
    sweep.wait()
    wanted = runs([spec])
    assert outcomes(results, wanted) == {}
    assert len(list((results / "draws").glob("*.json"))) == 3
    subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, check=True, timeout=300)
    assert fittings(results, wanted[0]) == 1
    execute(tmp_path / "unbroken", wanted)
    assert load(results)[COLUMNS].equals(load(tmp_path / "unbroken")[COLUMNS])


@pytest.mark.slow
def test_the_fork_server_is_replaced(tmp_path: Path) -> None:
    """It takes its children with it; all are started again."""
    from multiprocessing import forkserver

    wanted = runs(["faulty:seconds=1", "faulty:seconds=1.1"])
    server = forkserver._forkserver

    def kill() -> None:
        os.kill(server._forkserver_pid, signal.SIGKILL)

    timer = threading.Timer(0.6, kill)
    server.ensure_running()
    timer.start()
    heard = execute(tmp_path, wanted)
    timer.join()
    assert outcomes(tmp_path, wanted) == dict.fromkeys((1, 2, 3, 4), "")
    assert heard.notes
    assert len(heard.finished) == 8


def test_a_stopped_job_leaves_no_process(tmp_path: Path) -> None:
    wanted = runs(["faulty:fault=hang,where=sample,observation=2"])
    stop = threading.Event()

    def listen(event: Event) -> None:
        if isinstance(event, Sampling) and event.run.observation == 2:
            stop.set()

    with pytest.raises(Stopped):
        isolated(Job(tuple(wanted), tmp_path), listen, stop)
    pids = {json.loads(line)["pid"] for line in log_path(tmp_path, wanted[0]).read_text().splitlines()} - {os.getpid()}
    assert pids
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)


def test_a_store_that_cannot_be_written_ends_the_sweep(tmp_path: Path) -> None:
    """Whatever else was computed would be lost."""
    (tmp_path / "runs").mkdir(parents=True)
    (tmp_path / "draws").write_text("in the way")
    with pytest.raises(ResultsError, match="cannot write"):
        execute(tmp_path, runs(["faulty"]), limits=Limits())


def test_results_do_not_depend_on_who_computes_them(tmp_path: Path) -> None:
    """In this process or in workers, one or two, in any order, at once or one by one: the same bits."""
    methods = ["faulty", "amp:steps=20,divergence=jsd(width=8,depth=1),family=implicit(width=8,depth=1)"]
    wanted = runs(methods)
    execute(tmp_path / "here", wanted, InProcess())
    execute(tmp_path / "one", wanted, Local(workers=1))
    execute(tmp_path / "two", wanted[::-1], Local(workers=2))
    for run in wanted[::3]:
        execute(tmp_path / "parts", [run])
    execute(tmp_path / "parts", wanted)
    expected = load(tmp_path / "here")
    assert len(expected) == 8
    columns = ["method", "seed", "observation", "mean", "status", "simulations", "key"]
    for folder in ("one", "two", "parts"):
        assert load(tmp_path / folder)[columns].equals(expected[columns])
        for run in wanted:
            ours, theirs = Store(tmp_path / folder).samples(run.key), Store(tmp_path / "here").samples(run.key)
            assert ours.tobytes() == theirs.tobytes()


WITHOUT_PATH = """
import sys
sys.path[:0] = sys.argv[1:-1]
from pathlib import Path
if __name__ == "__main__":
    from ampbench import registry
    from ampbench.interfaces import Job
    from ampbench.results.store import Store
    from ampbench.running import jobs, sweep
    from ampbench.running.executors import Local
    asked = {"tasks": ["normals"], "metrics": ["mean"], "budgets": [20], "samples": 50, "methods": ["faulty"]}
    runs = sweep.runs(sweep.check(asked, "test"), registry.load())
    work = [Job(group, Path(sys.argv[-1])) for group in jobs.group_by_fit(runs)]
    Local(workers=1).execute(work, lambda event: None)
    print({record.status for record in Store(Path(sys.argv[-1])).records()})
"""


@pytest.mark.slow
def test_workers_find_what_their_parent_finds(tmp_path: Path) -> None:
    """Also where only the parent's sys.path says where it is: never another installed version."""
    (tmp_path / "script.py").write_text(WITHOUT_PATH)
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    path = [each for each in sys.path if each]
    command = [sys.executable, str(tmp_path / "script.py"), *path, str(tmp_path / "results")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=100)
    assert done.stdout == "{'ok'}\n", done.stderr


def test_threads_are_limited(tmp_path: Path) -> None:
    wanted = runs(["faulty:fault=threads"])
    execute(tmp_path, wanted, limits=Limits(threads=2))
    assert {text.partition(" (raised")[0] for text in load(tmp_path)["error"]} == {"RuntimeError: 2 threads"}


def test_hooks_hear_of_every_run_once(tmp_path: Path) -> None:
    """In the worker, or from the parent where the worker is gone."""
    wanted = runs([f"faulty:fault=exit,where=sample,observation=2,heard={tmp_path / 'heard'}"])
    execute(tmp_path / "r", wanted)
    assert sorted((tmp_path / "heard").read_text().splitlines()) == ["1 ok ", "2 failed crashed", "3 ok ", "4 ok "]


def test_what_a_plugin_prints_goes_into_a_file(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    wanted = runs(["faulty:fault=print"])
    execute(tmp_path, wanted)
    assert "hello" not in capfd.readouterr().out
    assert log_path(tmp_path, wanted[0]).with_suffix(".out").read_text() == "[bold]hello[/bold] from the method\n"


@pytest.mark.slow
def test_many_kills_at_random_moments(tmp_path: Path) -> None:
    """Workers are shot one by one; with retries enough, the frame is that of an unbroken sweep."""
    import random

    wanted = runs(["faulty:seconds=0.3", "faulty:seconds=0.4"], "mean:seconds=0.05", seeds=[0, 1])
    execute(tmp_path / "unbroken", wanted)
    over = threading.Event()
    shots = []

    def shoot() -> None:
        dice = random.Random(1)
        while not over.wait(dice.uniform(0.1, 0.5)):
            for child in multiprocessing.active_children():
                if child.pid and dice.random() < 0.5:
                    os.kill(child.pid, signal.SIGKILL)
                    shots.append(child.pid)

    shooter = threading.Thread(target=shoot)
    shooter.start()
    try:
        heard = execute(tmp_path / "broken", wanted, limits=Limits(retries=1000))
    finally:
        over.set()
        shooter.join()
    assert len(shots) > 3
    assert len(heard.finished) == len(wanted) == len(set(heard.finished)) * 4
    columns = ["method", "seed", "observation", "mean", "status", "simulations", "key"]
    assert load(tmp_path / "broken")[columns].equals(load(tmp_path / "unbroken")[columns])


@pytest.mark.parametrize(
    ("spec", "workers", "message"),
    [
        ("locl", None, "unknown executor 'locl'; known: .*; did you mean 'local'"),
        ("local:workers=2", 3, "the number of workers is given twice"),
        ("local:workers=-1", None, "workers=-1"),
        ("in-process", 2, "unknown option of executor 'in-process': 'workers'"),
    ],
)
def test_wrong_executors(spec: str, workers: int | None, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        registry.load().build("executors", with_workers(spec, workers))


def test_with_workers() -> None:
    assert registry.load().build("executors", with_workers("local:per_gpu=2", 3)).workers == 3
