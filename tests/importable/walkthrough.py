r"""Execution of a how-to page from start to end, as a reader would do it.

A page consists of text and of fenced blocks of three kinds, which are executed in their order, in one folder:

========================================  ==========================================================================
``{code-block} python`` with a caption    a file of this name is written (any language)
``console``                               lines after ``$`` are commands; the lines below are their output
``python``                                an example of the interpreter, with ``>>>``; all of a page share their names
========================================  ==========================================================================

Any other block is refused, so that nothing on a page goes untested. Outputs are compared by :func:`agree`. ``pip
install`` is not executed, because it would change the environment of the tests: the project in the folder becomes
importable, with its entry points, as by an editable installation.
"""

from __future__ import annotations

import doctest
import os
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ABSOLUTE, RELATIVE = 0.05, 0.1
"""Largest differences of a number with a decimal point between a page and an execution."""
ANYTHING = "…"
"""What a page writes for a part of an output that it leaves out."""

_FENCE = re.compile(r"^```(\S.*?)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_INDENTED = re.compile(r"\n\n {4,}(\S.*)")
_CAPTION = re.compile(r":caption: (\S+)\n+")
_NUMBER = re.compile(r"(?<![\w.])[-+−]?\d+\.\d+(?:e[-+]?\d+)?")
_VALUE = r"([-+−]?\d+(?:\.\d+)?(?:e[-+]?\d+)?)"


@dataclass(frozen=True)
class Step:
    """A block of a page: its kind is ``file``, ``console`` or ``python``; a file has a name."""

    kind: str
    text: str
    name: str = ""


def steps(page: str) -> Iterator[Step]:
    """Return the executable blocks of a page; raises :class:`ValueError` for a block of another kind."""
    if found := _INDENTED.search(_FENCE.sub("", page)):
        raise ValueError(f"an indented block is not executed: {found[1]!r}")
    for language, body in _FENCE.findall(page):
        caption = _CAPTION.match(body)
        if language.startswith("{code-block}") and caption:
            yield Step("file", body[caption.end() :], caption[1])
        elif language == "console" or (language == "python" and ">>> " in body):
            yield Step(language, body)
        elif language not in ("{toctree}", "{note}"):
            raise ValueError(f"a block ```{language} is not executed: {body[:60]!r}")


def commands(text: str) -> Iterator[tuple[str, str]]:
    """Return the commands of a block, each with the output below it."""
    for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
        command, _, output = re.sub(r"\\\n\s*", "", part).partition("\n")
        yield command, output


def agree(expected: str, got: str) -> bool:
    """Return whether an output agrees with that of a page.

    Numbers with a decimal point may differ by :data:`ABSOLUTE` or :data:`RELATIVE`; ``…`` stands for anything; amounts
    of white space do not count; all else is equal.
    """
    pattern, values = "", []
    for piece in re.split(rf"({ANYTHING}|\s+|{_NUMBER.pattern})", expected.strip()):
        if piece == ANYTHING:
            pattern += r"[\s\S]*?"
        elif _NUMBER.fullmatch(piece):
            pattern, values = pattern + _VALUE, [*values, _float(piece)]
        else:
            pattern += r"\s+" if piece.isspace() else re.escape(piece)
    found = re.fullmatch(pattern, got.strip())
    return found is not None and all(
        abs(value - _float(text)) <= max(ABSOLUTE, RELATIVE * abs(value))
        for value, text in zip(values, found.groups(), strict=True)
    )


def _float(text: str) -> float:
    return float(text.replace("−", "-"))


class _Checker(doctest.OutputChecker):
    def check_output(self, want: str, got: str, optionflags: int) -> bool:
        return agree(want, got)


def execute(page: str, folder: Path) -> int:
    """Execute all blocks of a page in a folder, which is the current one; return their number.

    Raises:
        AssertionError: an output differs, or a command fails.
        ValueError: as :func:`steps` does.
    """
    names: dict[str, object] = {}
    number = 0
    for number, step in enumerate(steps(page), start=1):
        if step.kind == "file":
            path = folder / step.name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(step.text, encoding="utf-8")
        elif step.kind == "console":
            for command, output in commands(step.text):
                got = _installed(folder) if command.startswith("pip install") else _run(command, folder)
                assert agree(output, got), f"$ {command}\nexpected:\n{output}\ngot:\n{got}"
        else:
            test = doctest.DocTestParser().get_doctest(step.text, names, f"block {number}", None, None)
            report: list[str] = []
            failed = doctest.DocTestRunner(_Checker(), verbose=False).run(test, out=report.append, clear_globs=False)
            assert failed.failed == 0, "".join(report)
            names = test.globs
    return number


def _run(command: str, folder: Path) -> str:
    assert subprocess.run(["bash", "-n", "-c", command]).returncode == 0, f"no shell takes $ {command}"
    words = shlex.split(command)
    if words[0] in ("ampbench", "pytest"):
        words = [sys.executable, "-m", *words]
    done = subprocess.run(
        words,
        capture_output=True,
        text=True,
        cwd=folder,
        env=os.environ | {"COLUMNS": "100", "TERMINAL_WIDTH": "100", "PYTHONPATH": os.pathsep.join(_path(folder))},
    )
    assert done.returncode == 0, f"$ {command}\nexit code {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout


def _path(folder: Path) -> list[str]:
    """Return what commands import from: the projects that a page installed, and what these tests import from."""
    projects = [str(file.parent) for file in folder.glob("*/pyproject.toml")]
    return [*projects, *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]


def _installed(folder: Path) -> str:
    """Describe the projects below a folder to ``importlib.metadata``, as an editable installation does."""
    for file in folder.glob("*/pyproject.toml"):
        project = tomllib.loads(file.read_text(encoding="utf-8"))["project"]
        info = file.parent / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
        info.mkdir(exist_ok=True)
        (info / "METADATA").write_text(f"Name: {project['name']}\nVersion: {project['version']}\n")
        lines = [f"{name} = {module}\n" for name, module in project["entry-points"]["ampbench"].items()]
        (info / "entry_points.txt").write_text("[ampbench]\n" + "".join(lines))
    return ""
