"""Batches: the numbers do not depend on workers or interruptions, and no finished batch is simulated again."""

from __future__ import annotations

import functools
import os
import signal
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from slow_simulator import faulty, prior, simulate
from torch import Tensor
from torch.distributions import Independent, Normal, Uniform

import ampbench
from ampbench import assess
from ampbench.errors import (
    FitWarning,
    PrecisionWarning,
    ResultsError,
    ResultsWarning,
    SimulationError,
    StoredWarning,
    UsageError,
)
from ampbench.graph import Graph, Plate, Simulator, density, simulator
from ampbench.graph.external import External
from ampbench.interfaces import Limits, Progress, Task, silent
from ampbench.registry import Registry
from ampbench.seeding import seeded
from ampbench.simulations import BatchedSimulator, Batches, Folder
from ampbench.simulations.batched import portable
from ampbench.simulations.identity import identity

GRAPH = Graph(density("theta", prior), simulator("x", simulate, ["theta"]))


@pytest.fixture(autouse=True)
def short_fits() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FitWarning)
        yield


@pytest.fixture
def calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file in which the simulator notes its calls."""
    path = tmp_path / "calls"
    path.touch()
    monkeypatch.setenv("SLOW_SIMULATOR_CALLS", str(path))
    return path


def run(
    graph: Graph = GRAPH,
    n: int = 50,
    seed: int = 0,
    workers: int = 0,
    size: int = 10,
    store: Path | None = None,
    seconds: float | None = None,
    progress: Progress = silent,
) -> dict[str, Tensor]:
    folder = None if store is None else Folder.open(store, identity(graph, seed, size))
    how = Batches(size, workers, Limits(seconds=seconds), folder, progress)
    return BatchedSimulator(graph, ["x"], n, seed, how).sample(n)


def equal(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def test_the_numbers_do_not_depend_on_workers(tmp_path: Path) -> None:
    first = run()
    assert first["theta"].shape == first["x"].shape == (50, 2)
    assert equal(first, run(workers=1))
    assert equal(first, run(workers=2, store=tmp_path / "store"))
    assert equal(first, run(store=tmp_path / "store"))
    assert equal({name: value[:30] for name, value in first.items()}, run(n=30))
    assert not equal(first, run(seed=1))
    assert not equal(first, run(size=25))
    assert len(first["x"].unique()) == 100


def test_lambdas_and_closures_are_sent_to_child_processes() -> None:
    width = 0.5
    graph = Graph(density("theta", prior), simulator("x", lambda t: t + width * torch.randn_like(t), ["theta"]))
    assert equal(run(graph, workers=2), run(graph))


def test_what_no_other_process_can_have_is_refused(tmp_path: Path) -> None:
    lock = threading.Lock()

    def locked(theta: Tensor) -> Tensor:
        with lock:
            return theta

    graph = Graph(density("theta", prior), simulator("x", locked, ["theta"]))
    with pytest.raises(
        UsageError, match=r"cannot be sent to a child process: .*lock.* Let it be a function at the top"
    ):
        run(graph, workers=1)
    assert equal(run(graph), run(graph))


def test_stored_batches_are_not_simulated_again(tmp_path: Path, calls: Path) -> None:
    seen: list[tuple[int, int]] = []
    first = run(n=45, store=tmp_path / "store")
    assert calls.stat().st_size == 5
    assert equal(first, run(n=45, store=tmp_path / "store", progress=lambda *step: seen.append(step)))
    assert calls.stat().st_size == 5
    assert seen == [(45, 45)]
    more = run(n=60, store=tmp_path / "store")  # the last batch of the smaller run had five rows
    assert calls.stat().st_size == 7
    assert equal(more, run(n=60))


def test_seeds_of_any_type_are_one(tmp_path: Path, calls: Path) -> None:
    options: dict[str, Any] = {"budget": 20, "batch": 10, "store": tmp_path / "store", "method": "mc-abc:accept=5"}
    for seed in (3, np.int64(3), torch.tensor(3), 3.0):
        ampbench.infer(prior, simulate, seed=seed, probe=False, **options)
    assert calls.stat().st_size == 2


def test_progress_counts_simulations() -> None:
    seen: list[tuple[int, int]] = []
    run(n=25, progress=lambda *step: seen.append(step))
    assert seen == [(0, 25), (10, 25), (20, 25), (25, 25)]


@pytest.mark.parametrize("damage", ["torn", "flipped", "empty"])
def test_a_damaged_batch_is_simulated_again(damage: str, tmp_path: Path, calls: Path) -> None:
    first = run(store=tmp_path / "store")
    path = sorted((tmp_path / "store").glob("*/*.npz"))[2]
    content = path.read_bytes()
    middle = len(content) // 2
    torn = {"torn": content[:middle], "empty": b"", "flipped": content[:middle] + b"\xff\xfe" + content[middle + 2 :]}
    path.write_bytes(torn[damage])
    with pytest.warns(ResultsWarning, match="is damaged: its checksum does not match its content"):
        again = run(store=tmp_path / "store")
    assert equal(first, again)
    assert calls.stat().st_size == 6
    assert equal(first, run(store=tmp_path / "store"))


def other_simulate(theta: Tensor) -> Tensor:
    return theta


OTHERS: dict[str, tuple[dict[str, Any], str]] = {
    "seed": ({"seed": 1}, "seed is 0 there and 1 here"),
    "batch": ({"size": 25}, "batch is 10 there and 25 here"),
    "prior": (
        {
            "graph": Graph(
                density("theta", Independent(Uniform(torch.zeros(2), 2.0), 1)), simulator("x", simulate, ["theta"])
            )
        },
        r"prior is \{.* there and \{.* here",
    ),
    "simulator": (
        {"graph": Graph(density("theta", prior), simulator("x", other_simulate, ["theta"]))},
        r'simulator is \{"x": "simulate"\} there and \{"x": "other_simulate"\} here',
    ),
    "a bound number": (
        {"graph": Graph(density("theta", prior), simulator("x", functools.partial(simulate, n=2), ["theta"]))},
        r'simulator is \{"x": "simulate"\} there and \{"x": "simulate\(n=2\)"\} here',
    ),
    "variables": (
        {"graph": Graph(density("t", prior), simulator("x", simulate, ["t"]))},
        r'variables is \["theta", "x"\] there and \["t", "x"\] here',
    ),
}


@pytest.mark.parametrize("kind", OTHERS)
def test_the_store_of_another_run_is_refused(kind: str, tmp_path: Path) -> None:
    run(store=tmp_path / "store")
    options, message = OTHERS[kind]
    with pytest.raises(UsageError, match=f"belongs to other simulations: {message}"):
        run(store=tmp_path / "store", **options)


def test_folders_that_are_no_store_are_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    with pytest.raises(UsageError, match=r"holds other files, such as 'notes.txt'"):
        run(store=tmp_path)
    with pytest.raises(UsageError, match="is a file; give a folder"):
        run(store=tmp_path / "notes.txt")
    run(store=tmp_path / "store")
    (tmp_path / "store" / "simulations.json").write_text("{")
    with pytest.raises(ResultsError, match=r"simulations.json is damaged"):
        run(store=tmp_path / "store")


def test_simulators_are_told_apart_by_what_is_bound_to_them() -> None:
    def with_width(width: float) -> Graph:
        each = ampbench.one_at_a_time(lambda theta: width * theta)
        return Graph(density("theta", prior), simulator("x", each, ["theta"]))

    def command(*words: str) -> Graph:
        return Graph(density("theta", prior), simulator("x", External(words, timeout=1, size=1), ["theta"]))

    graphs = [with_width(0.1), with_width(0.2), command("run", "a"), command("run", "b")]
    assert len({identity(graph, 0, 10)["simulator"]["x"] for graph in graphs}) == 4
    assert identity(with_width(0.1), 0, 10) == identity(with_width(0.1), 0, 10)


@pytest.mark.parametrize("fault", ["hang", "exit"])
def test_a_probe_that_hangs_or_crashes_is_an_error(fault: str) -> None:
    with pytest.raises(SimulationError, match=r"took longer than|ended itself with exit status 3"):
        ampbench.infer(
            Independent(Uniform(torch.tensor([0.98, 0.0]), 1.0), 1),
            functools.partial(faulty, fault=fault),
            budget=20,
            batch=500,
            workers=1,
            timeout=0.5,
            method="prior",
        )


@pytest.mark.parametrize("task", ["two_moons", "slcp", "gaussian_linear", "sir", "eight_schools", "lotka_volterra"])
def test_the_models_of_tasks_are_sent_to_child_processes(task: str, registry: Registry) -> None:
    made: Task = registry.build("tasks", task)
    here, there = (
        BatchedSimulator(graph, made.observed, 4, 0, Batches(size=2)).sample(4)
        for graph in (made.graph, portable(made.graph)())
    )
    assert equal(here, there)


def test_changed_source_code_is_noticed(tmp_path: Path) -> None:
    first = run(store=tmp_path / "store")

    @functools.wraps(simulate)
    def wrapped(theta: Tensor) -> Tensor:
        return simulate(theta)

    graph = Graph(density("theta", prior), simulator("x", wrapped, ["theta"]))
    assert equal(first, run(graph, store=tmp_path / "store"))  # a wrapper is no change
    changed = identity(GRAPH, 0, 10) | {"source": {"x": "another"}}
    with pytest.warns(StoredWarning, match="the source code of simulator 'x' is not that"):
        Folder.open(tmp_path / "store", changed)


@pytest.mark.parametrize("workers", [0, 1, 2])
@pytest.mark.parametrize("fault", ["raise", "exit", "hang"])
def test_a_fault_names_the_batch_and_keeps_the_others(fault: str, workers: int, tmp_path: Path) -> None:
    if workers == 0 and fault != "raise":
        pytest.skip("in this process, only an exception can be caught")
    graph = Graph(density("theta", prior), simulator("x", functools.partial(faulty, fault=fault), ["theta"]))
    said = {"raise": "ValueError: no convergence", "exit": "exit status 3", "hang": "longer than the 1 s allowed"}[
        fault
    ]
    with pytest.raises(
        SimulationError, match=rf"batch \d of 5 failed, 10 simulations of theta from \(.*\): .*{said}"
    ) as caught:
        run(graph, workers=workers, store=tmp_path / "store", seconds=1)
    stored = len(list((tmp_path / "store").glob("*/*.npz")))
    assert f"{stored} of 5 batches are stored in '{tmp_path / 'store'}', and the same call continues" in str(
        caught.value
    )
    if workers == 0:
        assert "are lost; store=FOLDER keeps them" in str(_fails(graph))


def _fails(graph: Graph) -> SimulationError:
    with pytest.raises(SimulationError) as caught:
        run(graph)
    return caught.value


def test_a_disk_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    folder = Folder.open(tmp_path / "store", identity(GRAPH, 0, 10))
    (tmp_path / "store" / "a").touch()
    with pytest.raises(ResultsError, match=r"cannot write .*; make room there"):
        folder.put("a/b", {"x": np.zeros(1)})


SCRIPT = """
import sys
import ampbench
from slow_simulator import prior, simulate

workers = int(sys.argv[2]) or None
posterior = ampbench.infer(
    prior, simulate, budget=200, batch=10, store=sys.argv[1], workers=workers, method="mc-abc:accept=20", probe=False
)
print("done")
"""  # without a guard for the main module, as users write it


@pytest.mark.slow
@pytest.mark.parametrize("ending", [signal.SIGKILL, signal.SIGINT])
@pytest.mark.parametrize("workers", [0, 2])
def test_an_ended_run_is_continued(ending: signal.Signals, workers: int, tmp_path: Path, calls: Path) -> None:
    store, script = tmp_path / "store", tmp_path / "script.py"
    script.write_text(SCRIPT)
    paths = os.pathsep.join(each for each in sys.path if each)
    environment = {**os.environ, "PYTHONPATH": paths, "SLOW_SIMULATOR_SECONDS": "0.3"}
    process = subprocess.Popen(
        [sys.executable, str(script), str(store), str(workers)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 120
    while len(list(store.glob("*/*.npz"))) < 3 and time.monotonic() < deadline:
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    process.send_signal(ending)
    output, errors = process.communicate(timeout=60)
    assert "done" not in output
    if ending == signal.SIGINT:
        assert "KeyboardInterrupt" in errors
        assert "of 20 batches are stored in" in errors
    time.sleep(1 if workers else 0)  # children end with their parent
    before, kept = calls.stat().st_size, len(list(store.glob("*/*.npz")))
    assert 3 <= kept < 20
    assert before - kept <= max(1, workers)
    options: dict[str, Any] = {"budget": 200, "batch": 10, "method": "mc-abc:accept=20", "probe": False}
    continued = ampbench.infer(prior, simulate, store=store, **options)
    assert calls.stat().st_size - before == 20 - kept
    fresh = ampbench.infer(prior, simulate, **options)
    with seeded(0):
        a = continued.sample(torch.tensor([0.5, 0.5]), 50)
    with seeded(0):
        assert torch.equal(a, fresh.sample(torch.tensor([0.5, 0.5]), 50))


def test_sequential_methods_simulate_in_batches(tmp_path: Path, calls: Path) -> None:
    """The rounds of a sequential method are stored too."""
    options: dict[str, Any] = {"budget": 40, "batch": 10, "probe": False}
    drawn, counts = [], []
    for store in (tmp_path / "a", tmp_path / "a", None):
        posterior = ampbench.infer(prior, simulate, method="smc-abc:population=10,kde=false", store=store, **options)
        with seeded(0):
            drawn.append(posterior.sample(torch.tensor([0.5, 0.5]), 5))
        counts.append(calls.stat().st_size)
    assert counts[0] == counts[1] == counts[2] / 2
    assert torch.equal(drawn[0], drawn[1])
    assert torch.equal(drawn[0], drawn[2])


def test_without_batches_nothing_changes() -> None:
    """The source is the plain one, whose stream the recorded runs have."""
    plain = Simulator(GRAPH, ["x"], 50, 0).sample(50)
    assert not equal(plain, run())
    options: dict[str, Any] = {"budget": 50, "method": "mc-abc:accept=50,kde=false", "probe": False}
    assert set(ampbench.infer(prior, simulate, **options).state()["theta"].flatten().tolist()) == set(
        plain["theta"].flatten().tolist()
    )


@pytest.mark.parametrize("size", [1, 7, 25])
def test_precision_does_not_depend_on_the_size_of_a_batch(size: int) -> None:
    """Batches with fewer rows than the range of a component needs keep the digits of the simulator."""

    def far(theta: Tensor) -> Tensor:
        return 1.2e9 + 0.1 * theta.double()

    graph = Graph(density("theta", prior), simulator("x", far, ["theta"]))
    values = run(graph, n=25, size=size)
    assert (values["theta"].dtype, values["x"].dtype) == (torch.float32, torch.float64)
    assert len(values["x"].unique()) == 50
    near = Graph(density("theta", prior), simulator("x", lambda t: t.double(), ["theta"]))
    assert run(near, n=25, size=size)["x"].dtype == torch.float32
    lost = Graph(density("theta", prior), simulator("x", lambda t: (1.2e9 + 0.1 * t).float(), ["theta"]))
    with pytest.warns(PrecisionWarning, match="component 0 of 'x'"):
        run(lost, n=25, size=size)


def test_another_number_of_components_is_an_error() -> None:
    def odd(theta: Tensor) -> Tensor:
        return theta if float(theta[0, 0]) < 0.5 else theta[:, :1]

    graph = Graph(density("theta", prior), simulator("x", odd, ["theta"]))
    with pytest.raises(
        SimulationError, match=r"'x' returned rows of shape \(\d,\) in batch \d, but \(\d,\) in the first"
    ):
        run(graph)


def test_repeated_variables_are_simulated_in_batches() -> None:
    group = Plate("group", (2, 4))
    one = Independent(Normal(torch.zeros(1), torch.ones(1)), 1)
    graph = Graph(density("mu", one), simulator("x", lambda mu: mu + torch.randn_like(mu), ["mu"], along=[group]))
    source = BatchedSimulator(graph, ["x"], 100, 0, Batches(size=5))
    assert source.sample(12, sizes={"group": 3})["x"].shape == (12, 3, 1)
    assert source.spent == 36


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "workers": ({"workers": 0}, "workers must be at least 1"),
    "half a worker": ({"workers": 1.5}, "workers must be a whole number"),
    "batch": ({"batch": 0}, "batch must be at least 1"),
    "timeout": ({"workers": 1, "timeout": 0}, "timeout must be above 0 seconds"),
    "timeout alone": ({"timeout": 3}, "give workers=1 or more, too"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_wrong_settings_are_refused(kind: str) -> None:
    options, message = WRONG[kind]
    with pytest.raises(UsageError, match=message):
        ampbench.infer(prior, simulate, budget=20, method="prior", **options)


def test_assessments_simulate_in_batches(tmp_path: Path, calls: Path) -> None:
    how = Batches(20, folder=Folder.open(tmp_path / "store", identity(GRAPH, 0, 20)))
    first, again = (assess.simulate_in_batches(GRAPH, ["x"], 60, 100, 0, how) for _ in range(2))
    assert calls.stat().st_size == 3 + 8  # three of the probe
    assert equal(dict(first.training.values), dict(again.training.values))
    assert (len(first.held_out), len(first.training)) == (60, 100)
    larger = assess.simulate_in_batches(GRAPH, ["x"], 60, 140, 0, how)
    assert calls.stat().st_size == 3 + 10
    assert torch.equal(larger.training.values["x"][:100], first.training.values["x"])


def test_information_that_rounding_lost_is_named_beside_gaps() -> None:
    """Every row has a gap, so that no row is complete."""

    def rounded(theta: Tensor) -> Tensor:
        return torch.cat([1.2e9 + 0.1 * theta, theta.new_full((len(theta), 1), torch.nan)], dim=1)

    prior = Independent(Uniform(torch.zeros(1), torch.ones(1)), 1)
    options = {"budget": 60, "method": "rejection-abc:accept=20", "gaps": True, "probe": False}
    for batch in (None, 20):
        with pytest.warns(PrecisionWarning, match="component 0 of 'x'"):
            ampbench.infer(prior, rounded, batch=batch, **options)  # type: ignore[arg-type]
