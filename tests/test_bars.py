from __future__ import annotations

import os
import pty
import subprocess
import sys
import threading

import pytest
from rich.console import Console

from ampbench.bars import progress_bar

SCRIPT = """
import sys, time
if {notebook}:
    import rich.console
    rich.console._is_jupyter = lambda: True
from ampbench.bars import progress_bar
with progress_bar("training [red]") as show:
    for done in range(1, 4):
        show(done, 3)
        time.sleep(0.15)
print("result")
"""


def stderr_of(notebook: bool, terminal: bool) -> str:
    """Run a bar in a process whose standard error is a terminal or a pipe, and return what stands there."""
    command = [sys.executable, "-W", "error", "-c", SCRIPT.format(notebook=notebook)]
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "80"}
    if not terminal:
        done = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
        assert done.stdout == "result\n"
        return done.stderr
    ours, theirs = pty.openpty()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=theirs, env=environment)
    os.close(theirs)
    seen = b""
    while True:
        try:
            part = os.read(ours, 4096)
        except OSError:  # the other side is closed
            break
        if not part:
            break
        seen += part
    assert process.communicate()[0] == b"result\n"
    assert process.returncode == 0
    return seen.decode()


@pytest.mark.parametrize(("notebook", "terminal"), [(False, True), (True, True), (True, False)])
def test_a_bar_where_a_person_looks(notebook: bool, terminal: bool) -> None:
    seen = stderr_of(notebook, terminal)
    assert "training [red]" in seen
    assert "3/3" in seen
    assert "left" in seen


def test_nothing_elsewhere() -> None:
    assert stderr_of(False, False) == ""


def test_nothing_beside_the_main_thread(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(Console, "is_terminal", True)

    def work() -> None:
        with progress_bar("training") as show:
            show(1, 2)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert capsys.readouterr().err == ""
