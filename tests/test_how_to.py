"""Every how-to of the documentation is executed from start to end, and its outputs agree with the page."""

from __future__ import annotations

import re
import sys
import warnings
from pathlib import Path

import pytest
from walkthrough import agree, commands, execute, steps

ROOT = Path(__file__).parents[1]
PAGES = sorted((ROOT / "docs" / "how-to").glob("[0-9]*.md"), key=lambda page: int(page.stem.partition("-")[0]))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_how_to_runs(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = page.read_text(encoding="utf-8")
    if re.search(r"\bnpe\b|\bnle\b", "".join(step.text for step in steps(text))):
        pytest.importorskip("sbi", reason="the page takes a method of sbi: pip install 'ampbench[sbi]'")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "results").mkdir()
    for folder in (ROOT / "results").iterdir():
        if (folder / "README.md").exists() or (folder / "sweep.toml").exists():  # committed results
            (tmp_path / "results" / folder.name).symlink_to(folder)
    before = set(sys.modules)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the fits of the pages are short, and a reader sees warnings on the terminal
        assert execute(text, tmp_path) >= 2
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", None)).startswith(str(tmp_path)):
            del sys.modules[name]


def test_the_how_tos_are_numbered_and_listed() -> None:
    index = (ROOT / "docs" / "how-to" / "index.md").read_text(encoding="utf-8")
    assert [int(page.stem.partition("-")[0]) for page in PAGES] == list(range(1, 13))
    for page in PAGES:
        number, title = int(page.stem.partition("-")[0]), page.read_text(encoding="utf-8").splitlines()[0]
        assert title.startswith(f"# {number}. "), page.name
        assert f"({page.name})" in index


@pytest.mark.parametrize(
    ("expected", "got", "same"),
    [
        ("c2st 0.61", "c2st 0.65", True),
        ("c2st 0.61", "c2st 0.75", False),
        ("scale 120.0", "scale 131.3", True),
        ("3 runs", "4 runs", False),
        ("npe … tied", "npe 1x3\n 0.5 tied", True),
        ("npe … tied", "npe 1x3\n 0.5 worse", False),
        ("a  b\n", "a b", True),
        ("[0.1, …]", "[0.12, 3, 4]", True),
        ("0.1", "0.1 and more", False),
        ("(3, 2)", "(3, 2)", True),
        ("v1.2", "v1.2", True),
    ],
)
def test_outputs_agree_up_to_the_noise_of_a_fit(expected: str, got: str, same: bool) -> None:
    assert agree(expected, got) is same


def test_the_blocks_of_a_page() -> None:
    page = "```{code-block} toml\n:caption: a.toml\n\nx = 1\n```\n\n```console\n$ a \\\n    b\nout\n$ c\n```\n"
    file, console = steps(page)
    assert (file.name, file.text) == ("a.toml", "x = 1\n")
    assert list(commands(console.text)) == [("a b", "out\n"), ("c", "")]


NOT_EXECUTED = [
    "```python\nx = 1\n```\n",
    "```sh\n$ a\n```\n",
    "```text\na\n```\n",
    "```{code-block} toml\na\n```\n",
    "Run:\n\n    ampbench run\n",
]


@pytest.mark.parametrize("page", NOT_EXECUTED)
def test_a_block_that_nothing_executes_is_refused(page: str) -> None:
    with pytest.raises(ValueError, match="is not executed"):
        list(steps(page))


WRONG = [
    "```python\n>>> 1 + 1\n3\n```\n",
    "```console\n$ ampbench --version\nno version\n```\n",
    "```console\n$ ampbench runs\n```\n",
]


@pytest.mark.parametrize("page", WRONG)
def test_a_wrong_output_is_found(page: str, tmp_path: Path) -> None:
    with pytest.raises(AssertionError):
        execute(page, tmp_path)
