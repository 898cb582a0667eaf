"""--json and --quiet of every command: one documented document on standard output, notes elsewhere or nowhere."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_group

from ampbench.cli import main
from ampbench.cli.app import app
from ampbench.results import schema

PAGE = (Path(__file__).parents[2] / "docs" / "output.md").read_text(encoding="utf-8")

RUN = "--budget 10 --samples 50 --observation 1 --metric mmd --task two_moons --task gaussian_linear --method prior"
ARGUMENTS = {
    "run": f"{RUN} --executor in-process",
    "status": "",
    "plan": RUN,
    "failures": "",
    "list": "tasks",
    "plugins": "",
    "results": "",
    "atlas": "",
    "export": "out.nc --task two_moons",
    "compare": "",
    "ledger": "--task two_moons --budget 1000",
    "publish": "results --output bundle.zip",
    "cite": "results",
    "verify": "gaussian_linear --check rows --quick",
    "assess": "two_moons --budgets 100 --methods rejection-abc --held-out 50",
    "infer": "two_moons --observation 0,0 --held-out 0 --method rejection-abc --budget 100 --samples 9 --predictions 9",
    "doctor": "",
    "completion": "bash",
    "report": "results",
    "plot pairs": "--task two_moons",
    "plot budget": "",
    "plot pareto": "",
    "plot graph": "two_moons",
    "plugin new": "my-divergence --kind divergence",
    "store check": "",
    "store merge": "results --into merged",
    "store gc": "--dry-run",
    "reference export": "two_moons --output reference.npz --samples 10",
}
UNTRIED = {
    "reproduce": "takes ten minutes; its array is the table of tests/reporting/test_ledger.py",
    "plot calibration": "needs kept fits; tests/cli/test_plot.py",
    "plot training": "needs kept fits; tests/cli/test_plot.py",
    "plugin check": "takes a process for each test; tests/cli/test_plugin_check.py",
    "reference build": "takes minutes; tests/metrics/test_references.py",
}
TABLES = {
    "results": schema.RESULTS,
    "plan": schema.PLAN,
    "failures": schema.FAILED_RUNS,
    "atlas": schema.FINDINGS,
    "ledger": schema.LEDGER,
    "verify": schema.CERTIFICATION,
}
"""Commands whose documents are arrays of rows of a table of docs/schema.md."""


def commands() -> dict[str, Any]:
    group = get_group(app)
    found = {}
    for name, command in group.commands.items():
        inner = getattr(command, "commands", None)
        found |= {f"{name} {each}": value for each, value in inner.items()} if inner else {name: command}
    return found


def documented(command: str) -> set[str]:
    of_all = "plot pairs" if command.startswith("plot ") else command
    section = PAGE.split(f"### `ampbench {of_all}`\n")[1].split("\n##")[0]
    return set(re.findall(r"^\| `(\w+)` \|", section, flags=re.MULTILINE))


def execute(arguments: list[str]) -> int:
    """Run the command line in this process, and return its exit code."""
    before, shown = sys.argv, warnings.showwarning
    sys.argv = ["ampbench", *arguments]
    try:
        with pytest.raises(SystemExit) as ended:
            main()
    finally:
        sys.argv, warnings.showwarning = before, shown
    return int(ended.value.code or 0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made, before = tmp_path_factory.mktemp("output"), Path.cwd()
    os.chdir(made)
    assert execute(["run", *ARGUMENTS["run"].split(), "--quiet"]) == 0
    os.chdir(before)
    return made


def skip_without_extra(name: str) -> None:
    for needed, package, extra in (("export", "arviz_base", "arviz"), ("plot", "corner", "plots")):
        if name.startswith(needed) and importlib.util.find_spec(package) is None:
            pytest.skip(f"needs ampbench[{extra}]")


@pytest.mark.parametrize("name", commands())
def test_every_command_has_both_options(name: str) -> None:
    flags = {flag for each in commands()[name].params for flag in each.opts}
    assert {"--json", "--quiet"} <= flags, f"{name}: declare json, and register it in COMMANDS or GROUPS of cli/app.py"


def test_every_command_is_tried() -> None:
    unknown = set(commands()) - set(ARGUMENTS) - set(UNTRIED)
    assert not unknown, f"add arguments of {unknown} to ARGUMENTS, and their documents to docs/output.md"


@pytest.mark.parametrize("name", ARGUMENTS)
def test_json_is_one_documented_document(
    name: str, folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    skip_without_extra(name)
    monkeypatch.chdir(folder)
    code = execute([*name.split(), *ARGUMENTS[name].split(), "--json"])
    assert code == 0 or name == "doctor"

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    found = json.loads(capfd.readouterr().out, parse_constant=refuse)
    rows = found if isinstance(found, list) else [found]
    for row in rows:
        if name in TABLES:
            assert set(TABLES[name].names) <= set(row)
        else:
            assert set(row) == documented(name)
    assert rows or name == "failures"


@pytest.mark.parametrize("name", sorted(set(ARGUMENTS) - {"assess", "infer", "doctor", "verify", "plugin new"}))
def test_quiet_prints_no_notes(
    name: str, folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    skip_without_extra(name)
    monkeypatch.chdir(folder)
    assert execute([*name.split(), *ARGUMENTS[name].split(), "--quiet"]) == 0
    out = capfd.readouterr().out
    for note in ("results already", "see: ampbench", "p-value of that difference", "--details", "standard error over"):
        assert note not in out
    assert (out == "") == (name == "run")


@pytest.mark.parametrize(
    "arguments",
    [
        ["run", "--task", "two_mons", "--method", "prior", "--budget", "10", "--json"],
        ["results", "--results", "nowhere", "--json"],
        ["run", "--budgte", "10", "--json"],
        ["status", "--json", "--results", "nowhere"],
        ["infer", "two_moons", "--observation", "0,0,0", "--json"],
    ],
)
def test_an_error_is_a_document_too(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert execute(arguments) == 2
    out, err = capfd.readouterr()
    found = json.loads(out)
    assert set(found) == {"error", "exit_code"}
    assert found["exit_code"] == 2
    assert found["error"] in err


def test_what_a_simulator_prints_is_not_in_the_document(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "talkative.py").write_text("def simulate(theta):\n    print('here I am')\n    return theta + 1\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    arguments = "talkative:simulate --prior uniform(0,1)^2 --observation 1,1 --method rejection-abc --budget 100"
    execute(["infer", *arguments.split(), "--samples", "9", "--predictions", "9", "--held-out", "0", "--json"])
    out, err = capfd.readouterr()
    assert json.loads(out)["draws"] == 9
    assert "here I am" in err
