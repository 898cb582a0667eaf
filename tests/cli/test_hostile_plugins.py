"""Broken plugins in real commands: none is silent, none ends in a traceback, and each is named with the way out."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from ampbench.results.store import Store

RUN = ["run", "--task", "two_moons", "--metric", "mmd", "--budget", "20", "--samples", "20", "--observation", "1"]
HEAD = """
    import sys
    from ampbench import hookimpl
    from ampbench.hookspecs import Lazy

    class Wordless(BaseException):
        def __str__(self):
            raise SystemExit(0)
"""
RAISED = [
    "sys.exit(0)",
    "raise KeyboardInterrupt",
    "raise GeneratorExit",
    "raise Wordless",
    "raise ValueError('x' * 10**7)",
]


def ampbench(folder: Path, module: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Execute a command with a plugin, which lies in the folder as an installed distribution does."""
    (folder / "ampbench_third.py").write_text(textwrap.dedent(HEAD) + textwrap.dedent(module))
    metadata = folder / "third-7.0.dist-info"
    metadata.mkdir(exist_ok=True)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: third\nVersion: 7.0\n")
    (metadata / "entry_points.txt").write_text("[ampbench]\nthird = ampbench_third\n")
    path = os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-m", "ampbench", *arguments],
        capture_output=True,
        text=True,
        cwd=folder,
        env=os.environ | {"PYTHONPATH": path, "COLUMNS": "200"},
        timeout=300,
    )
    assert "Traceback" not in done.stdout + done.stderr
    return done


@pytest.mark.parametrize("raised", RAISED)
def test_a_plugin_that_raises_at_import(tmp_path: Path, raised: str) -> None:
    done = ampbench(tmp_path, raised, "list")
    assert done.returncode == 2
    assert "plugin 'third' (ampbench_third, from third 7.0) is broken" in done.stderr
    assert "set AMPBENCH_DISABLE_PLUGINS=third" in done.stderr
    assert len(done.stderr) < 3000


@pytest.mark.parametrize(
    "arguments", [[*RUN, "--method", "prior"], ["plan", *RUN[1:7], "--method", "prior"], ["plugins"]]
)
def test_every_command_names_it(tmp_path: Path, arguments: list[str]) -> None:
    done = ampbench(tmp_path, "sys.exit(0)", *arguments)
    assert done.returncode == 2
    assert "plugin 'third'" in done.stderr


def test_doctor_names_it_and_checks_the_others(tmp_path: Path) -> None:
    done = ampbench(tmp_path, "sys.exit(0)", "doctor")
    assert done.returncode == 1
    shown = " ".join(done.stdout.split())
    assert "PROBLEM plugins plugin 'third' (ampbench_third, from third 7.0) is broken: SystemExit: 0" in shown
    assert "two_moons" in shown
    lazy = "@hookimpl\ndef methods():\n    return {'gone': Lazy('no_such_module:X'), 'odd': Lazy('sys:version')}"
    done = ampbench(tmp_path, lazy, "doctor")
    assert done.returncode == 1
    shown = " ".join(done.stdout.split())
    assert "PROBLEM method gone method 'gone' of plugin 'third'" in shown
    assert "it is a str, not a class or function" in shown
    assert shown.count("PROBLEM") == 2


@pytest.mark.parametrize(
    ("ending", "code", "told"),
    [
        ("sys.exit(0)", 2, "executor 'bad' of plugin 'third' (ampbench_third, from third 7.0) failed: SystemExit: 0"),
        ("raise KeyboardInterrupt", 2, "failed: KeyboardInterrupt"),
        ("return", 1, "the executor 'bad' ended without an error before 1 of 1 runs were done"),
    ],
)
def test_an_executor_that_does_not_execute(tmp_path: Path, ending: str, code: int, told: str) -> None:
    module = f"""
    class Bad:
        def execute(self, jobs, listener):
            {ending}

    @hookimpl
    def executors():
        return {{"bad": Bad}}
    """
    done = ampbench(tmp_path, module, *RUN, "--method", "prior", "--executor", "bad")
    assert (done.returncode, told in done.stdout + done.stderr) == (code, True)


@pytest.mark.parametrize("executor", ["local", "in-process"])
def test_fits_that_raise_cost_themselves_and_name_the_plugin(tmp_path: Path, executor: str) -> None:
    """And no file holds their long text."""
    module = f"""
    from ampbench.interfaces import Method

    class Raising(Method):
        def __init__(self, number: int) -> None:
            self.number = number

        def fit(self, simulator, device, progress):
            exec({RAISED!r}[self.number])

    @hookimpl
    def methods():
        return {{"raising": Raising}}
    """
    bad = [part for number in range(len(RAISED)) for part in ("--method", f"raising:number={number}")]
    done = ampbench(tmp_path, module, *RUN, *bad, "--method", "prior", "--executor", executor)
    assert done.returncode == 1
    assert "1 runs finished, 5 failed" in done.stdout
    records = [each for each in Store(tmp_path / "results").records() if not each.ok]
    assert {each.kind for each in records} == {"error"}
    assert all("(raised in plugin 'third' (ampbench_third, from third 7.0))" in each.error for each in records)
    assert sum(path.stat().st_size for path in (tmp_path / "results").rglob("*") if path.is_file()) < 200_000
