"""No text of a plugin, a result, an exception or a path does more than stand in the output of any command."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import sys
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.distributions import Independent, Normal

import ampbench
from ampbench import hookimpl, registry
from ampbench.cli import main
from ampbench.errors import FitWarning
from ampbench.graph import Graph, Simulator, density, simulator
from ampbench.interfaces import HasReference, Measurement, Method, Metric, Observation, Posterior, Progress, Task
from ampbench.registry import Plugin, Registry
from ampbench.results import Record, Run, load
from ampbench.results.record import Check, Measured
from ampbench.results.store import Store

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
    "\ud800\udc9b",
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
WHEN = "2026-01-01T00:00:00+00:00"
RUN = Run("two_moons", "1", "npe", "npe", 10, 1, 0, 100, ("c2st",))
CODES = re.compile(r"\x1b\[(?!45m)[0-9;]*m|\x1b\[\?25[lh]|\x1b\[2K|\x1b\[1A|\r")
"""What rich itself writes to a terminal: colours, of which no text here is magenta on purpose, and lines that change."""


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
    for kind in ampbench.hookspecs.KINDS:
        lazy = registry.Lazy("nowhere:Nothing", EVERYTHING, EVERYTHING, {EVERYTHING: EVERYTHING})
        components = dict.fromkeys(TEXTS, lazy) | named.get(kind, {})

        def hook(found: dict[str, Any] = components) -> dict[str, Any]:
            return found

        hook.__name__ = kind
        hooks[kind] = hookimpl(_without_arguments(hook, kind))
    return SimpleNamespace(**hooks)


def _without_arguments(hook: Callable[[], dict[str, Any]], kind: str) -> Callable[[], dict[str, Any]]:
    def called() -> dict[str, Any]:
        return hook()

    called.__name__ = kind
    return called


@pytest.fixture(scope="module")
def hostile() -> Registry:
    made = registry.load()
    made.register(Plugin(EVERYTHING, EVERYTHING, EVERYTHING, EVERYTHING), hostile_plugin())
    return made


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A results directory with a hostile name, and records, a status file and stray files full of hostile texts."""
    name = os.fsdecode("[red]r[/red] \x1b[45m\n\r".encode() + b"\xff\x9b")
    folder = tmp_path_factory.mktemp("store") / name
    store = Store(folder)
    store.prepare()
    for number, text in enumerate((EVERYTHING, "[red]x[/red] [/]", "backslash \\", "=1\n+1"), start=1):
        run = replace(RUN, task=text, task_version=text, method=text, resolved=text, metrics=(text,), packages=(text,))
        checks = (Check("dropped modes", 2.0, 1.0, text, text),)
        common = (10, text, WHEN, {text: text}, text)
        metrics = {text: Measured(0.5, text, {text: text}), "c2st": Measured(0.5 + number / 100, text, {})}
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


COMMANDS: Mapping[str, Sequence[str]] = {
    "list": ["list"],
    "list metrics": ["list", "metrics"],
    "list of an unknown kind": ["list", EVERYTHING],
    "plugins": ["plugins"],
    "doctor": ["doctor"],
    "verify": ["verify", "hostile", "--quick", "--check", "prior", "--check", "reference"],
    "verify of an unknown task": ["verify", EVERYTHING],
    "reference build": ["reference", "build", "hostile", "--samples", "10", "--output", EVERYTHING.replace("\x00", "")],
    "reference export": ["reference", "export", "hostile", "--output", "\x1b[45m\udcff.npz"],
    "run": ["run", "--task", "hostile", "--method", "fails", "--budget", "9", "--executor", "in-process", "--results"],
    "run of what cannot be built": ["run", "--task", "hostile", "--method", "unbuildable", "--budget", "9", "--executor", "in-process", "--results"],
    "run of an unknown method": ["run", "--task", "hostile", "--method", EVERYTHING, "--budget", "9"],
    "run with an unknown option": ["run", f"--{EVERYTHING}", "9"],
    "run of a missing file": ["run", EVERYTHING],
    "run with a bad number": ["run", "--budget", EVERYTHING],
    "run with a bad selection": ["run", "--task", "hostile", "--method", "fails", "--budget", "9", "--select", EVERYTHING],
    "run on an unknown device": ["run", "--task", "hostile", "--method", "fails", "--budget", "9", "--device", EVERYTHING],
    "an unknown command": [EVERYTHING],
    "plan": ["plan", "--task", "hostile", "--method", "fails", "--budget", "9", "--results"],
    "plan as JSON": ["plan", "--task", "hostile", "--method", "fails", "--budget", "9", "--json", "--results"],
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
    monkeypatch.setattr(registry, "load", lambda: hostile)
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


def visible(text: str) -> str:
    """Return what a terminal would not show as a character, line ends left out."""
    return "".join(each for each in text if each != "\n" and not each.isprintable())


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("name", COMMANDS)
def test_commands_print_printable_characters(
    name: str, here: Callable[[str], int | str | None], capsys: pytest.CaptureFixture[str]
) -> None:
    assert here(name) in (None, 0, 1, 2)
    shown = capsys.readouterr()
    assert shown.out or shown.err
    assert visible(shown.out) == ""
    assert visible(shown.err) == ""
