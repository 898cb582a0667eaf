"""No text of a plugin, a result, an exception or a path does more than stand in the output of any command."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.distributions import Independent, Normal

from ampbench import hookimpl, registry
from ampbench.cli import main
from ampbench.errors import FitWarning
from ampbench.graph import Graph, Simulator, density, simulator
from ampbench.hookspecs import KINDS
from ampbench.interfaces import HasReference, Measurement, Method, Metric, Observation, Posterior, Progress, Task
from ampbench.registry import Plugin, Registry
from ampbench.results import Record, Run, load
from ampbench.results.record import Check, Measured
from ampbench.results.store import Store
from ampbench.text import encodable

TEXTS = (
    "\x1b[45mmagenta",
    "\x1b]0;title\x07",
    "\x9b45m",
    "[red]x[/red] [/]",
    "[link=file:///etc/passwd]x[/link]",
    "a trailing backslash \\",
    ":smile:",
    "over\rwritten",
    "two\nlines",
    "\u202ereversed\u2066",
    "zero\u200bwidth\ufeff",
    "\u2028\x85\x0b\x0c\x00\x7f\x08",
    "\udc9b \ud800",  # the other way round, JSON would join them to a character
    "=cmd|' /C calc'!A0",
    "@SUM(A1)",
    "+1+1",
    "\t=1+1",
    "$\\input{x}$",
    "| a | b |",
    "<script>alert(1)</script>",
    "[x](javascript:alert(1)) ![y](http://z) **b** # `c`",
)
EVERYTHING = " ".join(TEXTS)
STORABLE = encodable(EVERYTHING)
"""A record with a lone surrogate is damaged."""
WHEN = "2026-01-01T00:00:00+00:00"
RUN = Run("two_moons", "1", "npe", "npe", 10, 1, 0, 100, ("c2st",))
CODES = re.compile(r"\x1b\[(?!45m)[0-9;]*m|\x1b\[\?25[lh]|\x1b\[2K|\x1b\[1A|\r")
"""Codes of rich: colours, of which only the texts above have a magenta ground, and lines that change."""


class Hostile(Task, HasReference):
    version = EVERYTHING
    source = EVERYTHING

    @property
    def graph(self) -> Graph:
        prior = Independent(Normal(torch.zeros(1), torch.ones(1)), 1)
        return Graph(density("theta", prior), simulator("x", lambda t: t + torch.randn_like(t), ["theta"]))

    def observations(self) -> Mapping[int, Observation]:
        return {1: Observation(torch.tensor([0.5]), torch.tensor([0.0]), 1)}

    def reference(self, observation: Tensor, n: int, seed: int) -> Tensor:
        raise RuntimeError(EVERYTHING)


Hostile.__doc__ = EVERYTHING


class Fails(Method):
    def fit(self, simulator: Simulator, device: torch.device, progress: Progress) -> Posterior:
        warnings.warn(EVERYTHING, FitWarning, stacklevel=2)
        raise RuntimeError(EVERYTHING)


class Measures(Metric):
    def measure(self, samples: Tensor, reference: Tensor) -> Measurement:
        raise RuntimeError(EVERYTHING)


class Unbuildable(Method):
    def __init__(self) -> None:
        raise RuntimeError(EVERYTHING)

    def fit(self, simulator: Simulator, device: torch.device, progress: Progress) -> Posterior:
        raise NotImplementedError


def hostile_plugin() -> SimpleNamespace:
    """Return a plugin with a component of every kind and every text, and some with usable names."""
    hooks: dict[str, Any] = {}
    named: dict[str, dict[str, Any]] = {
        "tasks": {"hostile": Hostile},
        "methods": {"fails": Fails, "unbuildable": Unbuildable},
        "metrics": {"measures": Measures},
    }
    for kind in KINDS:
        lazy = registry.Lazy("nowhere:Nothing", EVERYTHING, EVERYTHING, {EVERYTHING: EVERYTHING})
        hooks[kind] = hook_of(dict.fromkeys(TEXTS, lazy) | named.get(kind, {}))
    return SimpleNamespace(**hooks)


def hook_of(components: dict[str, Any]) -> Callable[[], dict[str, Any]]:
    @hookimpl
    def hook() -> dict[str, Any]:
        return components

    return hook


@pytest.fixture(scope="module")
def hostile() -> Registry:
    made = registry.load()
    made.register(Plugin(EVERYTHING, EVERYTHING, EVERYTHING, EVERYTHING), hostile_plugin())
    return made


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A results directory with a hostile name, and records, a status file and stray files full of hostile texts."""
    name = os.fsdecode(b"[red]r[/red] \x1b[45m\n\r" + b"\xff\x9b")
    folder = tmp_path_factory.mktemp("store") / name
    store = Store(folder)
    store.prepare()
    for number, text in enumerate((EVERYTHING, STORABLE, "[red]x[/red] [/]", "backslash \\", "=1\n+1")):
        run = replace(RUN, task=text, task_version=text, method=text, resolved=text, metrics=(text,), packages=(text,))
        checks = (Check("dropped modes", 2.0, 1.0, text, text),)
        common = (10, text, WHEN, {text: text}, text)
        metrics = {
            text: Measured(0.5, text, {text: text, "standard_error": 0.1}),
            "c2st": Measured(0.5 + number / 100, text, {}),
        }
        good = Record(run, "ok", "", "", metrics, 1.0, 0.1, *common, checks=checks)
        store.put(good, np.zeros((3, 1)))
        store.put(Record(replace(run, observation=2), "failed", text, text, {}, 1.0, 0.1, *common, "error"), None)
    state: dict[str, Any] = {"total": 3, "done": 1, "failed": 1, "seconds": 9.0, "left": 3.0}
    state["best"] = {"task": EVERYTHING, "budget": 10, "method": EVERYTHING, "metric": EVERYTHING, "mean": 0.5, "n": 1}
    state["running"] = [{"fit": EVERYTHING, "step": EVERYTHING, "done": 1, "total": 3, "seconds": 2.0}]
    sign = {"host": EVERYTHING, "pid": 1, "began": EVERYTHING, "state": state}
    (folder / "active").mkdir(exist_ok=True)
    (folder / "active" / "x\x1b[45m.json").write_text(json.dumps(sign))
    return folder


SWEEP = ["--task", "hostile", "--method", "fails", "--budget", "9"]
COMMANDS: Mapping[str, Sequence[str]] = {
    "list": ["list"],
    "list metrics": ["list", "metrics"],
    "list of an unknown kind": ["list", EVERYTHING],
    "plugins": ["plugins"],
    "doctor": ["doctor"],
    "verify": ["verify", "hostile", "--quick", "--check", "prior moments", "--check", "reference"],
    "verify of an unknown task": ["verify", EVERYTHING],
    "reference build": ["reference", "build", "hostile", "--samples", "10", "--output", "\x1b[45m\udcff"],
    "reference export": ["reference", "export", "hostile", "--output", "\x1b[45m\udcff.npz"],
    "run": ["run", *SWEEP, "--executor", "in-process", "--results"],
    "run of what cannot be built": [
        "run",
        "--task",
        "hostile",
        "--method",
        "unbuildable",
        "--budget",
        "9",
        "--executor",
        "in-process",
        "--results",
    ],
    "run of an unknown method": ["run", "--task", "hostile", "--method", EVERYTHING, "--budget", "9"],
    "run with an unknown option": ["run", f"--{EVERYTHING}", "9"],
    "run of a missing file": ["run", EVERYTHING],
    "run with a bad number": ["run", "--budget", EVERYTHING],
    "run with a bad selection": ["run", *SWEEP, "--select", EVERYTHING],
    "run on an unknown device": ["run", *SWEEP, "--device", EVERYTHING],
    "an unknown command": [EVERYTHING],
    "plan": ["plan", *SWEEP, "--results"],
    "plan as JSON": ["plan", *SWEEP, "--json", "--results"],
    "status": ["status", "--results"],
    "failures": ["failures", "--traceback", "--results"],
    "failures as JSON": ["failures", "--json", "--results"],
    "failures of an unknown kind": ["failures", "--kind", EVERYTHING, "--results"],
    "store check": ["store", "check", "--results"],
    "store gc": ["store", "gc", "--dry-run", "--failed", "--results"],
    "results": ["results", "--results"],
    "results as JSON": ["results", "--json", "--results"],
    "results as CSV": ["results", "--csv", "--results"],
    "compare": ["compare", "--noise", "--results"],
    "compare with published": ["compare", "--published", "--mix", "--results"],
    "compare as Markdown": ["compare", "--markdown", "--results"],
    "compare as LaTeX": ["compare", "--latex", "--results"],
    "compare as CSV": ["compare", "--csv", "--results"],
    "compare as JSON": ["compare", "--json", "--results"],
    "atlas": ["atlas", "--results"],
    "atlas of an unknown task": ["atlas", "--task", EVERYTHING, "--results"],
    "atlas as JSON": ["atlas", "--json", "--results"],
    "export of several": ["export", "x.nc", "--results"],
    "export of an unknown task": ["export", "x.nc", "--task", "two_moons", "--results"],
    "ledger": ["ledger", "--method", EVERYTHING],
    "infer": ["infer", "hostile", "--observation", "0.5", "--method", "fails", "--output", "\x1b[45m[red]\udcff"],
    "infer with a bad observation": ["infer", "hostile", "--observation", EVERYTHING],
    "assess of an unknown module": ["assess", f"{EVERYTHING}:x", "--prior", "uniform(0,1)"],
}


@pytest.fixture
def here(
    hostile: Registry, results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str], int | str | None]:
    """Run a command in this process, and return its exit code."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(registry, "load", lambda on_fault=None: hostile)
    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)  # which main replaces
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    monkeypatch.setenv("COLUMNS", "80")

    def called(name: str) -> int | str | None:
        arguments = list(COMMANDS[name])
        folder = [str(results)] if arguments[-1] == "--results" else []
        monkeypatch.setattr(sys, "argv", ["ampbench", *arguments, *folder])
        try:
            main()
        except SystemExit as ended:
            return ended.code
        except Exception:  # of a plugin
            sys.excepthook(*sys.exc_info())  # as the interpreter does
        return 1

    return called


def hidden(text: str) -> str:
    """Return the characters of a text that are not printable, line ends left out."""
    return "".join(each for each in text if each != "\n" and not each.isprintable())


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("name", COMMANDS)
def test_commands_print_printable_characters(
    name: str, here: Callable[[str], int | str | None], capsys: pytest.CaptureFixture[str]
) -> None:
    assert here(name) in (None, 0, 1, 2)
    shown = capsys.readouterr()
    assert shown.out or shown.err
    assert hidden(shown.out) == ""
    assert hidden(shown.err) == ""
    assert "Traceback" not in shown.err or name.startswith("reference"), "where the task itself raises an error"


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("form", ["csv", "json"])
def test_exported_results_are_read_as_they_were(
    form: str,
    here: Callable[[str], int | str | None],
    results: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """In CSV, characters that are not printable are escaped for good; what begins like a formula is as it was."""
    here(f"results as {form.upper()}")
    (tmp_path / f"theirs.{form}").write_text(capsys.readouterr().out, encoding="utf-8")
    theirs, ours = (load(path).sort_values("key", ignore_index=True) for path in (tmp_path / f"theirs.{form}", results))
    assert theirs["key"].tolist() == ours["key"].tolist()
    kept = ours["task"] != STORABLE
    assert kept.sum() < len(kept)
    columns = [name for name in theirs if name in {"task", "method", "=1\n+1", "c2st", "budget", "finished"}]
    assert len(columns) == 6
    rows = slice(None) if form == "json" else kept
    assert theirs.loc[rows, columns].equals(ours.loc[rows, columns])


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("name", ["plugins", "results", "compare", "run", "status", "verify", "reference export"])
@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_any_encoding_will_do(
    name: str, encoding: str, here: Callable[[str], int | str | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding=encoding) for _ in range(2))
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", err)
    assert here(name) in (None, 0, 1)
    for stream in (out, err):
        stream.flush()
        assert isinstance(stream.buffer, io.BytesIO)
        assert hidden(stream.buffer.getvalue().decode(encoding)) == ""


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize(
    "name", ["list", "plugins", "doctor", "run", "status", "results", "compare", "atlas", "verify"]
)
def test_a_terminal_gets_codes_of_rich_only(
    name: str, here: Callable[[str], int | str | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a terminal, output has colours, and a line that changes; no text adds to them."""
    monkeypatch.setenv("TERM", "xterm")
    ours, theirs = os.openpty()
    seen: list[bytes] = []
    reader = threading.Thread(target=lambda: seen.extend(iter(lambda: read(ours), b"")))
    reader.start()
    with open(theirs, "w", encoding="utf-8") as terminal:
        monkeypatch.setattr(sys, "stdout", terminal)
        monkeypatch.setattr(sys, "stderr", terminal)
        assert here(name) in (None, 0, 1)
    reader.join()
    os.close(ours)
    shown = b"".join(seen).decode()
    assert hidden(CODES.sub("", shown)) == ""
    assert "magenta" in re.sub(r"\s", "", shown), "it was there to be shown"


def read(terminal: int) -> bytes:
    """Return what was written to a terminal; nothing once its other side is closed."""
    try:
        return os.read(terminal, 65536)
    except OSError:
        return b""


PLUGIN = """
from ampbench import hookimpl
from ampbench.registry import Lazy

@hookimpl
def tasks():
    return {"\\x1b[45mmagenta": Lazy("nowhere:X", "\\x9b45m [/]", "\\u202e")}
"""


@pytest.mark.slow
@pytest.mark.parametrize("encoding", ["ascii", "utf-8"])
@pytest.mark.parametrize("command", ["list", "plugins", "\x1b[45m"])
def test_an_installed_plugin_and_an_argument_in_a_process(command: str, encoding: str, tmp_path: Path) -> None:
    (tmp_path / "magenta.py").write_text(PLUGIN)
    (tmp_path / "magenta-1.dist-info").mkdir()
    metadata = "Metadata-Version: 2.1\nName: \x1b[45mmagenta[/]\nVersion: 1\x1b]0;x\x07\n"
    (tmp_path / "magenta-1.dist-info" / "METADATA").write_text(metadata)
    (tmp_path / "magenta-1.dist-info" / "entry_points.txt").write_text("[ampbench]\n\x1b[45mmagenta[/] = magenta\n")
    path = os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])])
    settings = {"LC_ALL": "C", "PYTHONIOENCODING": encoding, "PYTHONPATH": path, "COLUMNS": "80"}
    done = subprocess.run(
        [sys.executable, "-m", "ampbench", command], capture_output=True, env=os.environ | settings, timeout=120
    )
    shown = (done.stdout + done.stderr).decode(encoding)
    assert done.returncode in (0, 1, 2)
    assert "45mmagenta" in re.sub(r"\s", "", shown) or command == "\x1b[45m"
    assert hidden(shown) == ""
