"""Trackers that raise, hang or end their process: each costs a note that names it, no record, and no other tracker."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterable
from itertools import product
from pathlib import Path

import pytest
from _pytest.mark import ParameterSet

from ampbench import registry
from ampbench.interfaces import Job, Limits
from ampbench.interfaces.events import Event, Finished, Note
from ampbench.results import Run
from ampbench.results.store import Store
from ampbench.running import jobs, sweep
from ampbench.running.executors import Local

FAULTY = Path(__file__).parents[1] / "faulty_plugin"
HOOKS = ("run_started", "fit_finished", "run_finished")
BROKEN = """
import sys
from ampbench import hookimpl
from ampbench_faulty import commit

@hookimpl
def {hook}(run):
    {action}
"""
SOUND = """
import os
from ampbench import hookimpl

def hear(hook, run):
    with open({path!r}, "a") as file:
        file.write(f"{{hook}} {{run.observation}} {{os.getpid()}}\\n")
""" + "".join(f"\n@hookimpl\ndef {hook}(run):\n    hear({hook!r}, run)\n" for hook in HOOKS)
ENDS = {
    "exit": "commit('exit')",
    "exit well": "__import__('os')._exit(0)",
    "crash": "commit('crash')",
    "kill": "commit('kill')",
    "hang": "commit('hang')",
    "hang in C": "commit('hang-in-c')",
    "memory": "commit('memory')",
}
"""What ends the process of a hook."""
RAISES = {
    "raise": "commit('raise')",
    "sys.exit": "sys.exit(0)",
    "Ctrl-C": "raise KeyboardInterrupt",
    "its own": "raise type('Own', (BaseException,), {})",
}
ACTIONS = ENDS | RAISES
PLACES = ("a_tracker", "z_tracker")
"""Names of the broken tracker, which is called after or before the sound one."""


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], None]:
    """Install a plugin, given its name and code."""
    monkeypatch.syspath_prepend(FAULTY)
    monkeypatch.syspath_prepend(tmp_path / "plugins")

    def write(name: str, code: str) -> None:
        monkeypatch.delitem(sys.modules, name, raising=False)  # that of another test
        about = tmp_path / "plugins" / f"{name}-1.0.dist-info"
        about.mkdir(parents=True)
        (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (about / "entry_points.txt").write_text(f"[ampbench]\n{name} = {name}\n")
        (about.parent / f"{name}.py").write_text(code)

    return write


def execute(folder: Path, method: str, seconds: float | None, **limits: float) -> tuple[list[Run], list[Event]]:
    asked = {"tasks": ["normals"], "metrics": ["mean"], "budgets": [20], "samples": 50, "methods": [method]}
    asked["observations"] = [1, 2]
    runs = sweep.runs(sweep.check(asked, "test"), registry.load())
    events: list[Event] = []
    groups = jobs.group_by_fit(runs)
    work = [Job(group, folder, "cpu", Limits(seconds=seconds, **limits)) for group in groups]
    Local(workers=1).execute(work, events.append)
    return runs, events


def read(heard: Path) -> list[list[str]]:
    """Hook, observation and process of each call."""
    return [line.split() for line in heard.read_text().splitlines()]


def notes(events: list[Event]) -> list[str]:
    return [event.text for event in events if isinstance(event, Note)]


def quickly(cases: Iterable[tuple[str, ...]], *fast: tuple[str, ...]) -> list[ParameterSet]:
    """Return cases, all but some of which are slow."""
    return [pytest.param(*case, marks=[] if case in fast else pytest.mark.slow) for case in cases]


@pytest.mark.parametrize(
    ("name", "hook", "action"),
    quickly(
        product(PLACES, HOOKS, ACTIONS),
        *product(PLACES[:1], HOOKS, ["exit", "hang"]),
        *product(PLACES[:1], HOOKS[-1:], ["raise", "Ctrl-C", "memory"]),
    ),
)
def test_a_broken_tracker_costs_a_note(
    tmp_path: Path, install: Callable[[str, str], None], hook: str, action: str, name: str
) -> None:
    """Without a retry of the fit, and also if it is called before the sound one."""
    heard = tmp_path / "heard"
    install(name, BROKEN.format(hook=hook, action=ACTIONS[action]))
    install("m_tracker", SOUND.format(path=str(heard)))
    seconds = 2.0 if action.startswith("hang") else None
    runs, events = execute(tmp_path / "r", "kept", seconds, memory=1.5, retries=0)
    assert all(record is not None and record.ok for record in map(Store(tmp_path / "r").get, (run.key for run in runs)))
    assert sorted(event.record.run.observation for event in events if isinstance(event, Finished)) == [1, 2]
    found = notes(events)
    assert all(f"the life-cycle hook {hook} of plugin {name!r} failed: " in note for note in found)
    calls_heard = read(heard)
    assert sorted(run for hook, run, _ in calls_heard if hook == "run_finished") == ["1", "2"]
    assert {run for hook, run, _ in calls_heard if hook == "run_started"} == {"1", "2"}
    calls = 1 if hook == "fit_finished" else 2
    if action in RAISES:
        assert len(found) == calls
    else:
        assert sum("hooks of this plugin are not called again for this fit" in note for note in found) == 1
    if seconds:
        assert "failed: it took longer than the 2 s allowed" in found[0]


@pytest.mark.parametrize(
    ("name", "action"), quickly(product(PLACES, ACTIONS), *product(PLACES[:1], ["exit", "hang", "its own"]))
)
def test_a_lost_worker_is_not_heard_of_in_the_process_of_the_sweep(
    tmp_path: Path, install: Callable[[str, str], None], action: str, name: str
) -> None:
    """Where the fit ended its process, nobody is left but the parent; it survives what its trackers do."""
    heard = tmp_path / "heard"
    install(name, BROKEN.format(hook="run_finished", action=ACTIONS[action]))
    install("m_tracker", SOUND.format(path=str(heard)))
    seconds = 2.0 if action.startswith("hang") else None
    runs, events = execute(tmp_path / "r", "faulty:fault=exit", seconds, memory=1.5)
    records = [Store(tmp_path / "r").get(run.key) for run in runs]
    assert [record.kind for record in records if record] == ["crashed", "crashed"]
    assert sorted(run for hook, run, _ in read(heard) if hook == "run_finished") == ["1", "2"]
    assert str(os.getpid()) not in {pid for _, _, pid in read(heard)}
    assert all(f"the life-cycle hook run_finished of plugin {name!r} failed: " in note for note in notes(events))
    assert len(notes(events)) >= (2 if action in RAISES else 1)


def test_the_time_of_a_hook_is_not_that_of_a_step(tmp_path: Path, install: Callable[[str, str], None]) -> None:
    """Four calls of 1.1 s each, where a step may take 2 s: each has a limit of its own."""
    for name in PLACES:
        install(name, BROKEN.format(hook="run_finished", action="import time; time.sleep(1.1)"))
    start = time.monotonic()
    runs, events = execute(tmp_path / "r", "faulty", 2)
    assert time.monotonic() - start > 4.4
    assert not notes(events)
    assert all(record is not None and record.ok for record in map(Store(tmp_path / "r").get, (run.key for run in runs)))
