"""New projects: their names, their folder, and that each is in order and passes its conformance tests at once."""

from __future__ import annotations

import keyword
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from ampbench.errors import UsageError
from ampbench.hookspecs import KINDS
from ampbench.registry import Registry
from ampbench.scaffold import Names, project_of, write
from ampbench.scaffold.names import MAX_LENGTH, names_of

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture(scope="module")
def known() -> dict[str, list[str]]:
    some = {"divergences": ["jsd", "kl-ratio"], "tasks": ["two_moons"], "metrics": ["c2st"]}
    return {hook: some.get(hook, []) for hook in KINDS}


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("", "it is empty"),
        ("ampbench-", "it is empty"),
        ("../x", "it contains '.'"),
        ("a/b", "it contains '/'"),
        ("a\\b", "it contains .*such as 'a-b'"),
        ("a b", "such as 'a-b'"),
        ("/etc/passwd", "such as 'etc-passwd'"),
        ("9lives", "it begins with a digit"),
        ("été", "such as 'ete'"),
        ("数", "such as 'le-cam'"),
        ("\x1b[31m", "it contains"),
        ("a\n", "it contains"),
        ("a:b", "it contains ':'"),
        ("a,b=c(d)", "such as 'a-b-c-d'"),
        ("-a", "a hyphen or underscore stands"),
        ("a--b", "a hyphen or underscore stands"),
        ("a_", "a hyphen or underscore stands"),
        ("$name", r"it contains '\$'"),
        ("a" * (MAX_LENGTH + 1), "at most 40"),
        ("jsd", "a divergence 'jsd' is registered already"),
        ("JSD", "a divergence 'jsd' is registered already"),
        ("kl_ratio", "a divergence 'kl-ratio' is registered already"),
        ("dask", "plugin 'ampbench_dask'|a module 'ampbench_dask' is installed already"),
    ],
)
def test_names_that_cannot_be(name: str, told: str, known: dict[str, list[str]]) -> None:
    with pytest.raises(UsageError, match=told):
        names_of(name, "divergence", known)


@pytest.mark.parametrize("kind", KINDS.values())
@pytest.mark.parametrize(
    "name", ["class", "None", "import", "divergence", "tensor", "Method", "a1", "x" * MAX_LENGTH, "a_b-C"]
)
def test_awkward_names_work(name: str, kind: str, known: dict[str, list[str]]) -> None:
    """Keywords, kinds and names that the modules import; the module defines the class, and nothing it imports."""
    names = names_of(name, kind, known)
    project = project_of(names)
    assert names.cls.isidentifier()
    assert not keyword.iskeyword(names.cls)
    code = project.files[f"{names.module}.py"]
    compile(code, "module", "exec")
    space: dict[str, object] = {"__name__": names.module}
    exec(code, space)
    assert space[names.hook]() == {name: space[names.cls]}
    assert tomllib.loads(project.files["pyproject.toml"])["project"]["entry-points"]["ampbench"] == {
        names.point: names.module
    }


def test_an_unknown_kind(known: dict[str, list[str]]) -> None:
    with pytest.raises(UsageError, match=r"unknown kind of component 'divergences'; .*did you mean 'divergence'"):
        names_of("x", "divergences", known)


def test_a_prefix_is_not_repeated(known: dict[str, list[str]]) -> None:
    assert names_of("ampbench-le-cam", "divergence", known) == names_of("le-cam", "divergence", known)


@pytest.mark.parametrize("what", ["folder", "file", "link"])
def test_nothing_is_overwritten(tmp_path: Path, what: str) -> None:
    path = tmp_path / "mine"
    {"folder": path.mkdir, "file": path.touch, "link": lambda: path.symlink_to("nowhere")}[what]()
    with pytest.raises(UsageError, match=r"mine' exists already, and nothing in it is changed"):
        write(project_of(Names("x", "divergence")), path)
    assert [each.name for each in tmp_path.rglob("*")] == ["mine"]


def test_a_divergence_is_short() -> None:
    code = project_of(Names("le-cam", "divergence")).files["ampbench_le_cam.py"]
    assert len(code.splitlines()) < 40
    page = (ROOT / "docs" / "write-a-plugin.md").read_text(encoding="utf-8")
    assert f"{len(code.splitlines())} lines for a divergence" in page


def made(folder: Path, kind: str) -> tuple[Names, Path]:
    names = Names(f"my-{kind}", kind)
    write(project_of(names), folder / names.distribution)
    return names, folder / names.distribution


@pytest.mark.parametrize("kind", KINDS.values())
def test_projects_are_formatted_and_linted(tmp_path: Path, kind: str) -> None:
    ruff = shutil.which("ruff", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
    if ruff is None:
        pytest.skip("ruff is not installed: pip install 'ampbench[dev]'")
    _, folder = made(tmp_path, kind)
    for words in (["check", "--no-cache", "."], ["format", "--no-cache", "--check", "."]):
        done = subprocess.run([ruff, *words], cwd=folder, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout


@pytest.mark.slow
def test_projects_have_types(tmp_path: Path) -> None:
    pytest.importorskip("mypy")
    folders = [made(tmp_path, kind)[1] for kind in KINDS.values()]
    files = [str(file) for folder in folders for file in folder.glob("*.py")]
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--config-file", str(folders[0] / "pyproject.toml"), *files],
        cwd=tmp_path,
        env=os.environ | {"MYPYPATH": os.pathsep.join([str(ROOT), *map(str, folders)])},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS.values())
def test_installed_projects_pass(tmp_path: Path, kind: str) -> None:
    """After ``pip install``, for ``ampbench plugin check`` and for pytest."""
    pytest.importorskip("hatchling", reason="hatchling builds the projects: pip install 'ampbench[dev]'")
    names, folder = made(tmp_path, kind)
    target = tmp_path / "installed"
    install = ["install", "-q", "--no-deps", "--no-build-isolation", "--no-index", "--target", str(target), str(folder)]
    subprocess.run([sys.executable, "-m", "pip", *install], check=True)
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(target), os.environ.get("PYTHONPATH", "")]),
        "OMP_NUM_THREADS": "1",
    }
    for words in (["ampbench", "plugin", "check", names.component, "--timeout", "400"], ["pytest", "-q"]):
        done = subprocess.run(
            [sys.executable, "-m", *words], cwd=folder, env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout + done.stderr
    assert " failed" not in done.stdout


def test_the_uses_name_what_exists(registry: Registry) -> None:
    """Tasks and methods in the commands that a new project shows."""
    for kind in KINDS.values():
        words = project_of(Names("x", kind)).use.split()
        for option, hook in (("--task", "tasks"), ("--method", "methods")):
            spec = words[words.index(option) + 1].partition(":")[0]
            assert spec == "x" or spec in registry.entries(hook)
