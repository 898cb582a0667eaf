"""Checks of a release: what wheel and sdist contain, and a run from the wheel alone in a new environment.

``python tests/check_package.py DIST [INSTALL_OPTION...]``, where DIST holds one wheel and one sdist; further arguments
are given to ``pip install``, such as ``--find-links FOLDER``. ``tox -e package`` builds both and calls this.
"""

from __future__ import annotations

import subprocess
import sys
import tarfile
import tempfile
import tomllib
import venv
import zipfile
from configparser import ConfigParser
from pathlib import Path

ROOT = Path(__file__).parents[1]
MAX_WHEEL_BYTES = 25_000_000
"""See docs/decisions/0025-what-the-wheel-holds.md."""
TINY_RUN = "run --task two_moons --method prior --budget 10 --samples 100 --observation 1 --metric mmd --json"


def check_wheel(wheel: Path) -> None:
    """Check size, packages, entry points and data."""
    assert wheel.stat().st_size < MAX_WHEEL_BYTES, f"{wheel} has {wheel.stat().st_size} bytes"
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    packages = {Path(each).name for each in project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]}
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        entry_points = ConfigParser()
        entry_points.read_string(archive.read(next(n for n in names if n.endswith("entry_points.txt"))).decode())
    top = {name.partition("/")[0] for name in names}
    assert {name for name in top if not name.endswith(".dist-info")} == packages, top
    tests = [name for name in names if "/tests/" in name or Path(name).name.startswith(("test_", "conftest"))]
    assert not tests, tests
    assert dict(entry_points["ampbench"]) == project["project"]["entry-points"]["ampbench"]
    source = {path.relative_to(ROOT / "tasks").as_posix() for path in (ROOT / "tasks").rglob("data/*/*")}
    assert source <= set(names), sorted(source - set(names))
    assert "ampbench/py.typed" in names


def check_sdist(sdist: Path) -> None:
    """Check that tests, documentation and policies are there."""
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    wanted = {
        "tests/check_package.py",
        "docs/index.md",
        "CHANGELOG.md",
        "SECURITY.md",
        "LICENSE",
        "PKG-INFO",
        "tox.ini",
    }
    assert wanted <= names, wanted - names


def check_installed(wheel: Path, options: list[str]) -> None:
    """Install the wheel in a new environment, and run it there, away from the source."""
    with tempfile.TemporaryDirectory() as folder:
        venv.create(folder, with_pip=True)
        python = Path(folder) / "bin" / "python"
        subprocess.run([python, "-m", "pip", "install", "-q", *options, wheel], check=True, cwd=folder)
        for command in ("--version", "list tasks", "doctor --quiet", TINY_RUN, "compare --metric mmd --quiet"):
            print(f"ampbench {command}", flush=True)
            subprocess.run([python, "-I", "-m", "ampbench", *command.split()], check=True, cwd=folder)


def main(dist: Path, options: list[str]) -> None:
    """Check the wheel and the sdist of a folder."""
    (wheel,), (sdist,) = dist.glob("*.whl"), dist.glob("*.tar.gz")
    several = ["--ignore", "W009"]  # packages at the top level: the built-in plugins
    for tool in (["twine", "check", "--strict", wheel, sdist], ["check_wheel_contents", *several, wheel]):
        subprocess.run([sys.executable, "-m", *map(str, tool)], check=True)
    check_wheel(wheel)
    check_sdist(sdist)
    check_installed(wheel, options)
    print(f"{wheel.name}: {wheel.stat().st_size / 1e6:.1f} MB, in order")


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve(), sys.argv[2:])
