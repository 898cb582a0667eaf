"""``ampbench plugin check`` on an installed plugin of broken components: each end of a test is told in words."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

MUTANTS = Path(__file__).parent.parent / "testing" / "mutant_plugin"


def check(*arguments: str, folder: Path | None = None) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([str(folder or MUTANTS), os.environ.get("PYTHONPATH", "")])
    return subprocess.run(
        [sys.executable, "-m", "ampbench", "plugin", "check", *arguments],
        env=os.environ | {"PYTHONPATH": path, "COLUMNS": "80", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )


def findings(*arguments: str) -> tuple[int, list[dict[str, Any]]]:
    done = check(*arguments, "--json")
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, json.loads(done.stdout)


def module(tmp_path: Path, text: str) -> Path:
    """Return a folder with an installed plugin of one module."""
    (tmp_path / "ampbench_third.py").write_text(text)
    metadata = tmp_path / "third-7.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: third\nVersion: 7.0\n")
    (metadata / "entry_points.txt").write_text("[ampbench]\nthird = ampbench_third\n")
    return tmp_path


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "cause", "seen", "advice"),
    [
        ("hangs", "timeout", "it was still running after 8 s", "look for a loop without an end"),
        ("exits", "crashed", "its worker process ended itself with exit status 7", "look for os._exit"),
        ("killed", "killed", "its worker process was killed by SIGKILL", "the system kills what fills the memory"),
        ("raises", "exception", r"it raised ValueError: the width\x1b[31m is wrong", "mend this line"),
    ],
)
def test_every_end_is_explained(name: str, cause: str, seen: str, advice: str) -> None:
    code, rows = findings(f"mutant-{name}", "--kind", "divergence", "--timeout", "8")
    failed = [row for row in rows if row["verdict"] == "failed"]
    assert code == 1
    assert {row["cause"] for row in failed} == {cause}
    assert {row["check"] for row in rows if row["verdict"] == "ok"} >= {
        "is made",
        "every adversary weight gets a gradient",
    }
    first = failed[0]
    assert seen.replace(r"\x1b", "\x1b") in first["seen"]
    assert advice in first["next"]
    if cause in ("timeout", "exception"):
        assert first["function"] == "family_loss"
        assert first["file"] == str(MUTANTS / "ampbench_mutants.py")
        assert first["code"] in Path(first["file"]).read_text().splitlines()[first["line"] - 1]


def test_words_on_a_terminal() -> None:
    """At 80 columns, without control characters of the plugin."""
    done = check("mutant-no-divergence")
    assert done.returncode == 1, done.stderr
    assert "divergence 'mutant-no-divergence' of ampbench-mutants 1.0" in done.stdout
    told = " ".join(done.stdout.split())
    assert "FAILED is made" in told
    assert "seen what the hook divergences names makes a SoundMetric" in told
    assert "expected an instance of ampbench.interfaces.Divergence" in told
    assert "next derive the class from Divergence" in told
    assert "repeat: ampbench plugin check mutant-no-divergence" in told
    assert max(len(line.rstrip()) for line in done.stdout.splitlines()) <= 80
    assert "\x1b" not in done.stdout


def test_broken_plugins(tmp_path: Path) -> None:
    """One that cannot be imported has a finding; its line is named."""
    done = check("--json", folder=module(tmp_path, "import os\n\nvalue = {}['no such key']\n"))
    (row,) = json.loads(done.stdout)
    assert done.returncode == 1
    assert (row["subject"], row["check"], row["seen"]) == (
        "plugin 'third'",
        "is loaded",
        "it raised KeyError: 'no such key'",
    )
    assert (row["line"], row["code"]) == (3, "value = {}['no such key']")


@pytest.mark.slow
@pytest.mark.parametrize(("text", "line"), [("import time\ntime.sleep(900)\n", 2), ("import os\n\nos._exit(3)\n", 0)])
def test_plugins_that_end_the_loading(tmp_path: Path, text: str, line: int) -> None:
    done = check("--timeout", "8", folder=module(tmp_path, text))
    assert done.returncode == 2
    assert "the plugins cannot be loaded" in done.stderr
    assert "AMPBENCH_DISABLE_PLUGINS=" in done.stderr
    if line:
        assert f"ampbench_third.py, line {line}, of plugin 'third'" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["mutant-soud"], "did you mean 'mutant-sound'"),
        (["--kind", "divergenc"], "did you mean 'divergence'"),
        (["jsd", "--kind", "task"], "no installed plugin, distribution or task is called 'jsd'"),
        (["a\x1b[31mb"], "holds control characters"),
    ],
)
def test_bad_usage_exits_with_2(arguments: list[str], message: str) -> None:
    done = check(*arguments)
    assert done.returncode == 2, done.stdout
    assert message in done.stderr
    assert "\x1b" not in done.stderr


def test_a_wrong_option_of_the_spec_is_named() -> None:
    done = check("jsd:width=", "--kind", "divergence")
    assert done.returncode == 1
    assert "option 'width' of divergence 'jsd'" in " ".join(done.stdout.split())
