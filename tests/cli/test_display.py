"""What is said about a sweep while it goes on: counts, signs of life, logs, and the live view."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from ampbench.cli.display import Display, lines
from ampbench.cli.run import show_status
from ampbench.errors import ResultsError
from ampbench.interfaces.events import Event, Finished, Fitting, Measuring, Note, Sampling, both
from ampbench.results import Record, Run
from ampbench.results.record import Measured
from ampbench.running.heartbeat import MAX_SILENCE, Heartbeat, sweep_statuses
from ampbench.running.runlog import RunLog, log_path
from ampbench.running.tally import Tally

RUN = Run("two_moons", "1", "npe", "npe", 1000, 1, 0, 100, ("c2st", "mmd"))
RUNS = [replace(RUN, method=m, resolved=m, observation=n) for m in ("npe", "[red]amp[/red]\x1b[31m") for n in (1, 2)]


def record(run: Run, c2st: float | None, status: str = "ok") -> Record:
    metrics = {"c2st": Measured(c2st), "mmd": Measured(0.0)}
    error = "" if status == "ok" else "it\nwent [bold]wrong"
    return Record(run, status, error, "", metrics, 1.0, 1.0, 1000, "cpu", "", {}, "", "" if status == "ok" else "error")


def tally(*events: Event) -> Tally:
    made = Tally(RUNS)
    for event in events:
        made(event)
    return made


def test_counts_and_the_best_so_far() -> None:
    state = tally(
        Fitting(RUNS[0]),
        Fitting(RUNS[2], 3, 10),
        Finished(record(RUNS[0], 0.6)),
        Finished(record(RUNS[1], 0.8)),
        Finished(record(RUNS[2], 0.75, "failed")),
        Note("x"),
    ).snapshot()
    assert (state.total, state.done, state.failed) == (4, 3, 1)
    assert [(doing.step, doing.done, doing.total) for doing in state.running] == [("fit", 3, 10)], "npe is through"
    assert state.best is not None
    assert (state.best.method, state.best.metric, state.best.n) == ("npe", "c2st", 2)
    assert state.best.mean == pytest.approx(0.7)
    assert state.left == pytest.approx(state.seconds / 3)


def test_nothing_is_known_at_first() -> None:
    state = tally().snapshot()
    assert state.left is None
    assert state.best is None
    assert lines(state) == ["0 of 4 runs done, 0 failed, 0 fits in work; 0 s so far"]


def test_a_run_without_a_value_is_not_the_best() -> None:
    assert tally(Finished(record(RUNS[0], None, "failed"))).snapshot().best is None


@pytest.mark.parametrize("terminal", [False, True])
def test_the_view_fits_and_is_text(terminal: bool, capsys: pytest.CaptureFixture[str]) -> None:
    """Markup and control codes in names and messages do nothing; on a terminal no line is wider than it."""
    kept = tally(Sampling(RUNS[2]), Measuring(RUNS[2], "c2st"))
    display = Display(kept)
    console = Console(width=80, force_terminal=terminal, record=True, highlight=False, color_system=None)
    display.console = console
    for event in [Fitting(RUNS[2]), Finished(record(RUNS[2], 0.6, "failed")), Note("[blink]\x1b[5mnote")]:
        both(kept, display)(event)
    console.print(display._view())
    text = console.export_text()
    assert "[red]amp[/red]\\x1b[31m" in text
    assert "[blink]\\x1b[5mnote" in text
    assert "FAILED" in text
    assert "it went [bold]wrong" in text.replace("\n", " ")
    if terminal:
        assert max(map(len, text.splitlines())) <= 80


def test_a_long_view_is_cut() -> None:
    runs = [replace(RUN, seed=seed) for seed in range(100)]
    made = Tally(runs)
    for run in runs:
        made(Fitting(run))
    console = Console(width=80, record=True)
    console.print(Display(made)._view())
    view = console.export_text().splitlines()
    assert len(view) == 20
    assert view[-1] == "  and 82 more"


def test_signs_of_life(tmp_path: Path) -> None:
    """A sweep is alive while its process holds the lock, whatever the clock says, and leaves no trace."""
    with Heartbeat(tmp_path, tally(Fitting(RUNS[0], 1, 2)).snapshot):
        (path,) = (tmp_path / "active").glob("*.json")
        os.utime(path, (0, 0))
        (sign,) = sweep_statuses(tmp_path)
        assert (sign.pid, sign.host, sign.alive, sign.certain) == (os.getpid(), platform.node(), True, True)
        assert sign.state.running[0].done == 1
        assert show_status(tmp_path) == 0
    assert sweep_statuses(tmp_path) == []
    assert list((tmp_path / "active").iterdir()) == []


KILLED = """
import os, signal, sys, time
from pathlib import Path
from ampbench.running.heartbeat import Heartbeat
from ampbench.running.tally import Tally
with Heartbeat(Path(sys.argv[1]), Tally([]).snapshot):
    print("alive", flush=True)
    time.sleep(60)
"""


def test_a_killed_sweep_is_known_at_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    process = subprocess.Popen([sys.executable, "-c", KILLED, str(tmp_path)], stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    process.kill()
    process.wait()
    process.stdout.close()
    (path,) = (tmp_path / "active").glob("*.json")
    os.utime(path, (2e9, 2e9))  # a clock that has jumped
    (sign,) = sweep_statuses(tmp_path)
    assert not sign.alive
    assert sign.certain
    show_status(tmp_path)
    assert f"process {process.pid}, killed" in capsys.readouterr().out.replace("\n", " ")
    with Heartbeat(tmp_path, tally().snapshot):
        assert [sign.pid for sign in sweep_statuses(tmp_path)] == [os.getpid()], "the next sweep takes over"


def test_a_sweep_on_another_machine(tmp_path: Path) -> None:
    """Its lock may not be seen here; its age says that it is alive, or silent."""
    with Heartbeat(tmp_path, tally().snapshot):
        (path,) = (tmp_path / "active").glob("*.json")
        content = json.loads(path.read_text())
    other = tmp_path / "active" / "elsewhere-1.json"
    other.write_text(json.dumps(content | {"host": "elsewhere", "pid": 1}))
    (sign,) = sweep_statuses(tmp_path)
    assert (sign.alive, sign.certain) == (True, False)
    os.utime(other, (time.time() - 2 * MAX_SILENCE,) * 2)
    (sign,) = sweep_statuses(tmp_path)
    assert (sign.alive, sign.certain) == (False, False)
    with Heartbeat(tmp_path, tally().snapshot):
        assert len(sweep_statuses(tmp_path)) == 2, "what is not certain is not removed"


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"state": {"running": 1}}', "null"])
def test_nonsense_is_no_sign(tmp_path: Path, content: str) -> None:
    (tmp_path / "active").mkdir()
    (tmp_path / "active" / "x.json").write_text(content)
    assert sweep_statuses(tmp_path) == []
    assert show_status(tmp_path) == 0


def test_status_of_no_directory(tmp_path: Path) -> None:
    with pytest.raises(ResultsError, match="there is no results directory"):
        show_status(tmp_path / "nowhere")


def test_signs_and_logs_in_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    """They are left out; the store says what is wrong."""
    (tmp_path / "active").write_text("in the way")
    (tmp_path / "logs").write_text("in the way")
    with Heartbeat(tmp_path, tally().snapshot):
        RunLog(log_path(tmp_path, RUN))(Fitting(RUN))
    assert sweep_statuses(tmp_path) == []


def test_a_log_has_a_line_for_each_event(tmp_path: Path) -> None:
    log = RunLog(log_path(tmp_path, RUN))
    events = [Fitting(RUN), Fitting(RUN, 1, 9), Fitting(RUN, 9, 9), Sampling(RUN), Measuring(RUN, "c2st")]
    for event in [*events, Finished(record(RUN, 0.5)), Note("hello\nthere")]:
        log(event)
    written = [json.loads(line) for line in log_path(tmp_path, RUN).read_text().splitlines()]
    assert [line["event"] for line in written] == [
        "fitting",
        "step",
        "step",
        "sampling",
        "measuring",
        "finished",
        "note",
    ]
    assert all({"time", "host", "pid"} <= line.keys() for line in written)
    assert written[5]["key"] == RUN.key
    assert written[5]["metrics"] == {"c2st": 0.5, "mmd": 0.0}
