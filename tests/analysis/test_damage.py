"""Files of an analysis that are damaged: the command names them, and does not take them for results."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from damaged_store import UNUSUAL

from ampbench.errors import UsageError

Command = Callable[[str], int]
ARGUMENTS = (
    "some_model:simulator --prior some_model:prior --observation 1,2 --method rejection-abc:accept=30 --budget 200 "
    "--samples 20 --predictions 10 --held-out 60"
)
CONTENTS = {
    "request.json": ["", "[1]", "[" * 10**5, '{"budget": ' + "9" * 400 + "}"],
    "posterior.npz": ["", "PK"],
    "samples.csv": ["", "theta[0],theta[1]\n1,2\n", "\0" * 100, "a,b\n" + "x,y\n" * 20],
    "predictions.csv": ["", "x[0],x[1]\n1,2\n"],
    "calibration.json": ["", "{}", '{"held_out": 1, "fault": "f", "p": 1e999, "coverage": {}, "outside": ""}', "[1]"],
}


@pytest.mark.slow
@pytest.mark.parametrize(("name", "content"), [(name, content) for name in CONTENTS for content in CONTENTS[name]])
def test_a_damaged_file_is_named(command: Command, folder: Path, name: str, content: str) -> None:
    _begin(command, folder, name)
    (folder / "posterior" / name).write_text(content)
    with pytest.raises(UsageError, match=rf"posterior.{name}|holds another inference"):
        command(ARGUMENTS)


@pytest.mark.parametrize("name", ["request.json", "samples.csv", "calibration.json"])
def test_a_fifo_is_named(command: Command, folder: Path, name: str) -> None:
    test_what_is_no_file_is_named(command, folder, "FIFO", name)


@pytest.mark.slow
@pytest.mark.parametrize("name", CONTENTS)
@pytest.mark.parametrize("kind", UNUSUAL)
def test_what_is_no_file_is_named(command: Command, folder: Path, kind: str, name: str) -> None:
    _begin(command, folder, name)
    path = folder / "posterior" / name
    path.unlink(missing_ok=True)
    UNUSUAL[kind](path)
    with pytest.raises(UsageError, match=rf"posterior.{name}"):
        command(ARGUMENTS)


def _begin(command: Command, folder: Path, name: str) -> None:
    """Make an analysis of which a file of this name is read next."""
    if name == "request.json":
        (folder / "posterior").mkdir()
        return
    assert command(ARGUMENTS) == 0
    if name == "posterior.npz":
        (folder / "posterior" / "samples.csv").unlink()


def test_an_unknown_field_of_the_request_is_no_damage(command: Command, folder: Path) -> None:
    """Later versions may write more."""
    assert command(ARGUMENTS) == 0
    path = folder / "posterior" / "request.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"later": 1}))
    assert command(ARGUMENTS) == 0
