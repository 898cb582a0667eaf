"""Ctrl-C and SIGTERM at any time: one line and the exit code of a shell, and never a traceback."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

RUN = ["run", "--task", "two_moons", "--budget", "100", "--samples", "50", "--observation", "1", "--method", "prior"]


def started(folder: Path, code: str, arguments: list[str]) -> subprocess.Popen[str]:
    """Start the command line, as its console script does, in a session of its own, after some code."""
    script = (
        f"{textwrap.dedent(code)}\nimport sys\nsys.argv[1:] = {arguments!r}\nfrom ampbench.cli import main\nmain()\n"
    )
    return subprocess.Popen(
        [sys.executable, "-c", script],
        cwd=folder,
        env=os.environ | {"COLUMNS": "80"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


@pytest.mark.parametrize(
    ("module", "arguments"),
    [
        ("traceback", ["--help"]),
        ("typer", ["--help"]),
        ("ampbench.cli.app", ["list"]),
        ("pluggy", ["list"]),
        ("ampbench_sbi", ["list"]),
        ("numpy._core._multiarray_umath", ["results"]),
        ("torch._C", RUN),
        ("ampbench.running.sweep", RUN),
    ],
)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
def test_while_a_module_is_imported(tmp_path: Path, module: str, arguments: list[str], number: signal.Signals) -> None:
    code = f"""
        import os, sys

        class Interrupt:
            def find_spec(self, name, path=None, target=None):
                if name == {module!r}:
                    sys.meta_path.remove(self)
                    os.kill(os.getpid(), {int(number)})

        sys.meta_path.insert(0, Interrupt())
    """
    process = started(tmp_path, code, arguments)
    _, errors = process.communicate(timeout=120)
    if module == "traceback" and number == signal.SIGTERM:
        assert (process.returncode, errors) == (-number, ""), "ampbench does not handle it yet"
    else:
        word = {signal.SIGINT: "interrupted", signal.SIGTERM: "terminated"}[number]
        assert (process.returncode, errors) == (128 + number, f"ampbench: {word}\n")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
def test_after_the_command(tmp_path: Path, number: signal.Signals) -> None:
    code = f"import atexit, os\natexit.register(lambda: os.kill(os.getpid(), {int(number)}))"
    process = started(tmp_path, code, ["--version"])
    output, errors = process.communicate(timeout=60)
    assert output.startswith("ampbench ")
    assert process.returncode == 128 + number
    assert errors in ("ampbench: interrupted\n", "ampbench: terminated\n")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
def test_in_a_command_that_has_no_clean_up_of_its_own(tmp_path: Path, number: signal.Signals) -> None:
    code = f"""
        import os
        import ampbench.cli.listing as listing

        def interrupted(*arguments):
            try:
                os.kill(os.getpid(), {int(number)})
            finally:
                print("cleaned up")

        listing.list_components = interrupted
    """
    process = started(tmp_path, code, ["list"])
    output, errors = process.communicate(timeout=60)
    word = {signal.SIGINT: "interrupted", signal.SIGTERM: "terminated"}[number]
    assert (process.returncode, output, errors) == (128 + number, "cleaned up\n", f"ampbench: {word}\n")


def test_an_ignored_ctrl_c_stays_ignored(tmp_path: Path) -> None:
    """As a shell does it for commands in the background."""
    code = "import os, signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\n"
    code += "import ampbench.cli.listing as listing\n"
    code += "listing.list_components = lambda *arguments: os.kill(os.getpid(), signal.SIGINT)"
    process = started(tmp_path, code, ["list"])
    _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (0, "")


@pytest.mark.slow
@pytest.mark.parametrize("delay", [0.05, 0.1, 0.2, 0.4, 0.8, 1.6])
def test_in_a_terminal_while_workers_are_being_prepared(tmp_path: Path, delay: float) -> None:
    """Ctrl-C there reaches all processes of the command, whose imports take seconds."""
    process = started(tmp_path, "", RUN)
    while not list(tmp_path.glob("results/active/*.json")):
        assert process.poll() is None
        time.sleep(0.01)
    time.sleep(delay)
    os.killpg(process.pid, signal.SIGINT)
    output, errors = process.communicate(timeout=120)
    assert process.returncode == 130
    assert "interrupted after 0 of 1 runs" in output
    assert errors == ""


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
@pytest.mark.parametrize("delay", [0.3, 0.5, 0.8, 1.2, 2.0, 3.0])
def test_after_any_time(tmp_path: Path, delay: float, number: signal.Signals) -> None:
    process = started(tmp_path, "", RUN)
    time.sleep(delay)
    os.killpg(process.pid, number)
    output, errors = process.communicate(timeout=120)
    assert "Traceback" not in output + errors
    assert process.returncode == 128 + number
