"""What a release is made of: its number, the fragments of the changelog, and the policy on security."""

from __future__ import annotations

import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
KINDS = {each["directory"] for each in PROJECT["tool"]["towncrier"]["type"]}
FRAGMENTS = sorted(
    path for path in (ROOT / "changelog.d").iterdir() if path.name not in ("README.md", "template.md.jinja")
)


def test_the_last_release_is_the_same_everywhere() -> None:
    fallback = PROJECT["tool"]["hatch"]["version"]["fallback-version"]
    (cited,) = re.findall(r"^version: (.*)$", (ROOT / "CITATION.cff").read_text(encoding="utf-8"), re.MULTILINE)
    assert cited == fallback
    released = re.findall(r"^## (\d\S*) ", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert not released or released[0] == fallback


@pytest.mark.parametrize("path", FRAGMENTS, ids=lambda path: path.name)
def test_fragments(path: Path) -> None:
    """Their name has an issue and a kind, and each line is a sentence."""
    assert re.fullmatch(rf"\d+\.({'|'.join(KINDS)})\.md", path.name)
    lines = path.read_text(encoding="utf-8").splitlines()
    assert lines
    for line in lines:
        assert re.fullmatch(r"(- )?\S.*[.:]\)?", line), line


def test_the_changelog_has_every_sentence() -> None:
    if shutil.which("towncrier") is None:
        pytest.skip("needs towncrier: pip install towncrier")
    draft = subprocess.run(
        ["towncrier", "build", "--draft", "--version", "9.9"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    for path in FRAGMENTS:
        for line in path.read_text(encoding="utf-8").splitlines():
            assert f"- {line.removeprefix('- ')} (issue {path.name.partition('.')[0]})" in draft


def test_the_image_copies_what_the_wheel_is_built_from() -> None:
    allowed = {
        line[1:] for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines() if line[:1] == "!"
    }
    wheel = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    needed = {each.partition("/")[0] for each in wheel} | {"pyproject.toml", PROJECT["project"]["readme"]}
    assert needed | set(PROJECT["project"]["license-files"]) <= allowed


def test_the_security_policy_names_the_page_of_promises() -> None:
    assert "(docs/security.md)" in (ROOT / "SECURITY.md").read_text(encoding="utf-8")
