"""An external program may do anything; the caller gets numbers or an error that says what happened."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from ampbench.errors import SimulationError, UsageError
from ampbench.graph import simulator
from ampbench.graph.external import External
from ampbench.seeding import seeded

ANSWER = """
import json, random, sys
random.seed(json.loads(sys.stdin.readline())["seed"])
for line in sys.stdin:
    theta = json.loads(line)
    print(json.dumps([sum(theta), random.random()]))
"""

Make = Callable[..., External]


@pytest.fixture
def program(tmp_path: Path) -> Make:
    """Make an external simulator of two numbers from a Python program."""

    def make(text: str, timeout: float = 60.0) -> External:
        path = tmp_path / "program.py"
        path.write_text(text, encoding="utf-8")
        return External((sys.executable, str(path)), timeout, 2)

    return make


def test_numbers_come_back_in_order(program: Make) -> None:
    theta = torch.tensor([[1.0, 2.0], [0.25, 0.5], [-1.0, 1e-7]])
    x = program(ANSWER)(theta)
    assert x.dtype == torch.float32
    assert torch.equal(x[:, 0], theta.double().sum(1).float())


def test_runs_repeat_with_the_seed(program: Make) -> None:
    external, theta, drawn = program(ANSWER), torch.zeros(4, 1), []
    for seed in (1, 1, 2):
        with seeded(seed):
            drawn.append(external(theta))
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])


def test_consecutive_batches_differ(program: Make) -> None:
    external, theta = program(ANSWER), torch.zeros(4, 1)
    assert not torch.equal(external(theta), external(theta))


def test_it_is_a_simulator_of_a_graph(program: Make) -> None:
    node = simulator("x", program(ANSWER), ["theta"], size=2)
    assert node.sample(3, (torch.ones(3, 2),)).shape == (3, 2)


def test_large_input_and_output_do_not_block(program: Make) -> None:
    """A program that answers while its input is still being written would block two naive pipes."""
    theta = torch.rand(20_000, 5)
    assert program(ANSWER)(theta).shape == (20_000, 2)


def test_the_last_line_may_lack_its_end(program: Make) -> None:
    x = program("import sys; sys.stdin.read(); sys.stdout.write('[1, 2]\\n[3, 4]')")(torch.zeros(2, 1))
    assert x.tolist() == [[1.0, 2.0], [3.0, 4.0]]


def test_a_program_may_ignore_its_input(program: Make) -> None:
    """It may even close it: writing to it must not fail."""
    x = program("import os; os.close(0); print('[1, 2]\\n' * 20000, end='')")(torch.zeros(20_000, 5))
    assert x.shape == (20_000, 2)


READ = "import os, signal, sys, time; sys.stdin.read(); "
FAULTS = {
    "exit code": (READ + "print('boom', file=sys.stderr); sys.exit(3)", r"exit code 3; .*boom; run it by hand"),
    "traceback": (READ + "1 / 0", r"exit code 1; .*ZeroDivisionError"),
    "crash": (READ + "os.kill(os.getpid(), signal.SIGSEGV)", r"killed by signal 11 \(SIGSEGV\)"),
    "early exit": ("import sys; sys.exit(4)", r"exit code 4"),
    "silence": (READ, r"wrote 0 lines for 2 rows"),
    "too few lines": (
        READ + "print([1, 2])",
        r"wrote 1 lines for 2 rows of theta; line 1 is \[1, 2\]; let it print one",
    ),
    "too many lines": (READ + "print('[1, 2]\\n' * 3, end='')", r"wrote 3 lines for 2 rows"),
    "garbage": (READ + "print('[1, 2]'); print('hello')", r"line 2, which is not a list of numbers: hello"),
    "long garbage": (READ + "print('y' * 9999); print('z')", r"line 1, .*: y{120}… \(9999 characters\)"),
    "binary": (READ + "sys.stdout.buffer.write(bytes([255, 254, 10, 0, 10]))", r"line 1, which is not a list"),
    "a number": (READ + "print(1); print(2)", r"line 1, which is not a list of numbers: 1"),
    "an object": (READ + "print('{}'); print('{}')", r"line 1, which is not a list"),
    "strings": (READ + "print('[\"1\", 2]'); print('[1, 2]')", r"line 1, which is not a list of numbers"),
    "booleans": (READ + "print('[true, 2]'); print('[1, 2]')", r"line 1, which is not a list of numbers"),
    "null": (READ + "print('[null, 2]'); print('[1, 2]')", r"line 1, which is not a list of numbers"),
    "a huge integer": (READ + "print([10 ** 400, 2]); print('[1, 2]')", r"line 1, which is not a list of numbers"),
    "deep nesting": (READ + "print('[' * 100000); print('[1, 2]')", r"line 1, which is not a list of numbers"),
    "wrong length": (
        READ + "print('[1, 2]'); print('[1, 2, 3]')",
        r"wrote 3 numbers in line 2, expected 2: \[1, 2, 3\]",
    ),
    "NaN": (READ + "print('[1, 2]'); print('[NaN, 1]')", r"NaN or infinite numbers in line 2: \[NaN, 1\]"),
    "infinity": (READ + "print('[1e999, 1]'); print('[1, 2]')", r"NaN or infinite numbers in line 1"),
}


@pytest.mark.parametrize(("text", "message"), FAULTS.values(), ids=FAULTS)
def test_faults_are_named(program: Make, text: str, message: str) -> None:
    with pytest.raises(SimulationError, match=rf"(?s)external simulator `.*program\.py` .*{message}"):
        program(text)(torch.zeros(2, 1))


def test_huge_standard_error_is_read_and_shortened(program: Make) -> None:
    text = READ + "sys.stderr.write('e' * 5_000_000 + ' the end'); sys.exit(1)"
    with pytest.raises(SimulationError, match=r"exit code 1; .*e the end;") as caught:
        program(text)(torch.zeros(2, 1))
    assert len(str(caught.value)) < 1500


def test_noise_on_standard_error_does_no_harm(program: Make) -> None:
    text = "import sys; sys.stderr.write('w' * 1_000_000)" + ANSWER
    assert program(text)(torch.zeros(2, 1)).shape == (2, 2)


def test_a_hanging_program_is_killed_with_its_children(
    program: Make, tmp_path: Path, gone: Callable[[int], bool]
) -> None:
    """The child holds the pipes open: killing the program alone would leave the caller waiting for it."""
    note = tmp_path / "child"
    text = (
        "import subprocess, sys, time\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        f"open({str(note)!r}, 'w').write(str(child.pid))\n"
        "print('working', file=sys.stderr, flush=True)\n"
        "time.sleep(600)\n"
    )
    started = time.monotonic()
    with pytest.raises(SimulationError, match=r"did not finish within 3 s; .*working; raise the timeout"):
        program(text, timeout=3)(torch.zeros(2, 1))
    assert time.monotonic() - started < 30
    assert gone(int(note.read_text()))


def test_children_left_behind_are_killed(program: Make, tmp_path: Path, gone: Callable[[int], bool]) -> None:
    note = tmp_path / "child"
    text = (
        "import subprocess, sys\n"
        "quiet = subprocess.DEVNULL\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'], stdout=quiet, stderr=quiet)\n"
        f"open({str(note)!r}, 'w').write(str(child.pid))\n" + ANSWER
    )
    assert program(text)(torch.zeros(2, 1)).shape == (2, 2)
    assert gone(int(note.read_text()))


def test_a_missing_program_is_named(tmp_path: Path) -> None:
    external = External((str(tmp_path / "nowhere"),), 10.0, 2)
    with pytest.raises(SimulationError, match=r"nowhere` could not be started: .*No such file.*; check the path"):
        external(torch.zeros(2, 1))


def test_a_program_without_permission_is_named(tmp_path: Path) -> None:
    path = tmp_path / "data.txt"
    path.write_text("no program", encoding="utf-8")
    with pytest.raises(SimulationError, match="could not be started: "):
        External((str(path),), 10.0, 2)(torch.zeros(2, 1))


@pytest.mark.parametrize(
    ("command", "timeout", "size", "message"),
    [((), 1.0, 2, "empty command"), (("a",), 0.0, 2, "timeout=0"), (("a",), 1.0, 0, "size=0")],
)
def test_impossible_settings(command: tuple[str, ...], timeout: float, size: int, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        External(command, timeout, size)
