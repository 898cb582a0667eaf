"""Colours and width follow the environment; files and pipes are the same everywhere."""

from __future__ import annotations

import io
import os
import subprocess
import sys

import pytest

from ampbench.cli.terminal import print_table
from ampbench.console import LiteralConsole, cell, has_colours

NAMES = ("NO_COLOR", "FORCE_COLOR", "CLICOLOR", "CLICOLOR_FORCE", "COLUMNS")


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("given", "terminal", "file"),
    [
        ({}, True, False),
        ({"NO_COLOR": "1"}, False, False),
        ({"NO_COLOR": ""}, True, False),
        ({"FORCE_COLOR": "1"}, True, True),
        ({"FORCE_COLOR": "0"}, False, False),
        ({"CLICOLOR_FORCE": "1"}, True, True),
        ({"CLICOLOR_FORCE": "0"}, True, False),
        ({"CLICOLOR": "0"}, False, False),
        ({"CLICOLOR": "0", "CLICOLOR_FORCE": "1"}, True, True),
        ({"NO_COLOR": "1", "FORCE_COLOR": "1"}, False, False),
    ],
)
def test_colours(given: dict[str, str], terminal: bool, file: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    assert has_colours(terminal=True) == terminal
    assert has_colours(terminal=False) == file
    stream = io.StringIO()
    LiteralConsole(file=stream).print(cell("text", "green"))
    assert ("\x1b[32m" in stream.getvalue()) == file


@pytest.mark.parametrize(("columns", "width"), [(None, 80), ("40", 40), ("200", 200), ("1", 20), ("0", 80), ("x", 80)])
def test_the_width_of_a_file(columns: str | None, width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    if columns is not None:
        monkeypatch.setenv("COLUMNS", columns)
    assert LiteralConsole(file=io.StringIO()).width == width


@pytest.mark.parametrize("columns", ["40", "80", "200"])
def test_tables_fit_and_cut_no_number(
    columns: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    values = [0.123 + i for i in range(12)]
    print_table(["task", *map(str, range(12))], [["two_moons", *values]])
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines())) <= int(columns)
    assert all(f"{value:.3f}" in out for value in values)


@pytest.mark.skipif(sys.platform == "win32", reason="no pseudo-terminals")
def test_a_pipe_does_not_look_at_the_terminal_beside_it() -> None:
    """Standard input and error are a terminal of 200 columns, standard output is a pipe."""
    import fcntl
    import pty
    import struct
    import termios

    terminal, end = pty.openpty()
    fcntl.ioctl(end, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 200, 0, 0))
    code = (
        "from ampbench.console import LiteralConsole; print(LiteralConsole().width, LiteralConsole(stderr=True).width)"
    )
    environment = {name: value for name, value in os.environ.items() if name not in NAMES}
    done = subprocess.run(
        [sys.executable, "-c", code], stdin=end, stdout=subprocess.PIPE, stderr=end, env=environment, check=True
    )
    os.close(terminal)
    os.close(end)
    assert done.stdout.split() == [b"80", b"200"]
