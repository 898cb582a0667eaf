"""The built documentation in a browser: formulas are drawn, nothing is loaded from elsewhere, no link is broken."""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = [path for path in DOCS.rglob("*.md") if "_build" not in path.parts]
WITH_FORMULAS = ["idea", "structure", "metrics", "tasks/slcp", "how-to/12-pitfalls-of-c2st"]
DRAWN = "document.querySelectorAll('.math').length <= document.querySelectorAll('mjx-container').length"
_LINK = re.compile(r"\[[^\]]*\]\(([^)#\s]+)(?:#[^)\s]*)?\)")


@pytest.mark.parametrize("page", [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *PAGES], ids=lambda page: page.stem)
def test_the_files_that_a_page_links_exist(page: Path) -> None:
    for target in _LINK.findall(re.sub(r"```.*?```|`[^`]*`", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)):
        if ":" not in target:
            assert (page.parent / target).exists(), f"{page.relative_to(ROOT)} links {target}"


def test_every_page_is_in_a_table_of_contents() -> None:
    """Sphinx warns of a page without one only while it builds."""
    trees = "\n".join(
        f"{page.parent.relative_to(DOCS).as_posix()}/{entry}"
        for page in PAGES
        for tree in re.findall(r"```\{toctree\}\n(.*?)```", page.read_text(encoding="utf-8"), flags=re.DOTALL)
        for entry in tree.splitlines()
    ).replace("./", "")
    for page in PAGES:
        name = page.relative_to(DOCS).with_suffix("").as_posix()
        assert name in trees.splitlines() or name == "index", f"no table of contents lists {name}"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("furo", reason="the pages need: pip install 'ampbench[docs]'")
    folder = tmp_path_factory.mktemp("html")
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-b", "html", str(DOCS), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api", reason="browser tests need: pip install playwright")
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("browser tests need Debian's package chromium: apt-get install chromium")
    with playwright.sync_playwright() as started:
        found = started.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield found
        found.close()


@pytest.mark.slow
@pytest.mark.parametrize("width", [400, 1200])
def test_pages_work_offline(built: Path, browser: Any, width: int) -> None:
    """Every request but those for files is refused and recorded; formulas become drawings."""
    asked: list[str] = []
    errors: list[str] = []

    def only_files(route: Any) -> None:
        if route.request.url.startswith(("file:", "data:")):
            route.continue_()
        else:
            asked.append(route.request.url)
            route.abort()

    context = browser.new_context(viewport={"width": width, "height": 900})
    context.route("**/*", only_files)
    for name in ["index", "how-to/index", *WITH_FORMULAS]:
        page = context.new_page()
        page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
        page.goto(f"file://{built}/{name}.html")
        formulas = page.locator(".math").count()
        if name in WITH_FORMULAS[:-1]:
            assert formulas > 0
        if formulas:
            page.wait_for_selector("mjx-container svg")
            page.wait_for_function(DRAWN)
            assert page.locator("[data-mml-node=merror]").count() == 0
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), f"{name} is wider than {width}"
        page.close()
    assert asked == []
    assert errors == []


def test_the_vendored_file_is_the_released_one() -> None:
    digest = hashlib.sha256((DOCS / "static" / "mathjax" / "tex-svg.js").read_bytes()).hexdigest()
    assert digest == "d4295dc33744836935c1399feece5159577b34c5c8ffb9f1c6324cd82e03a882"
