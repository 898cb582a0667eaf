"""The page in a real browser: it renders, sorts, filters and explains itself; it asks for nothing and runs no text."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from reported import AMP, browser, hostile_store, needs_browser, sound_store, visit

from ampbench.report import gather, page

pytestmark = needs_browser

WIDE, PHONE = {"width": 1400, "height": 900}, {"width": 390, "height": 844}
BOARD = "#leaderboard .board:not([hidden])"


@pytest.fixture(scope="module")
def started() -> Iterator[Any]:
    with browser() as found:
        yield found


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sound")
    path = folder / "report.html"
    path.write_text(page(gather([sound_store(folder / "results")])), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hostile")
    path = folder / "report.html"
    path.write_text(page(gather([hostile_store(folder / "results")])), encoding="utf-8")
    return path


def first_column(found: Any) -> list[str]:
    return found.page.locator(f"{BOARD} tbody tr:not([hidden]) th .label").all_inner_texts()


def test_it_renders_and_sorts(started: Any, sound: Path) -> None:
    with visit(started, sound, viewport=WIDE) as found:
        assert sorted(first_column(found)) == ["amp jsd implicit", "npe", "rejection-abc"]
        found.page.locator(f"{BOARD} thead button", has_text="method").click()
        assert first_column(found) == ["amp jsd implicit", "npe", "rejection-abc"]
        found.page.keyboard.press("Enter")  # the button has the focus
        assert first_column(found) == ["rejection-abc", "npe", "amp jsd implicit"]
        assert found.page.locator(f"{BOARD} thead th[aria-sort=descending]").count() == 1
        assert found.page.locator("#grid figure svg").count() >= 2
        assert found.page.locator("#failures tbody tr").count() == 1


def test_filters_hide_rows_columns_and_tasks_and_stay_in_the_address(started: Any, sound: Path) -> None:
    with visit(started, sound, viewport=WIDE) as found:
        found.page.select_option("select[name=divergence]", "jsd")
        assert first_column(found) == ["amp jsd implicit"]
        found.page.click("button[type=reset]")
        found.page.select_option("select[name=family]", "none")
        assert sorted(first_column(found)) == ["npe", "rejection-abc"]
        found.page.fill("input[name=method]", "NPE")
        assert first_column(found) == ["npe"]
        found.page.click("button[type=reset]")
        found.page.select_option("select[name=task]", label="slcp")
        assert found.page.locator(f"{BOARD} thead th:not([hidden])").all_inner_texts()[-1].startswith("slcp")
        assert found.page.locator(".task:not([hidden])").count() == 1
        found.page.select_option("select[name=metric]", "mmd")
        found.page.select_option("select[name=budget]", "10000")
        assert "mmd, 10,000 simulations" in found.page.locator(f"{BOARD} h3").inner_text()
        found.page.reload()
        found.page.wait_for_selector("html[data-ready]")
        assert "mmd, 10,000 simulations" in found.page.locator(f"{BOARD} h3").inner_text()
        found.page.select_option("select[name=metric]", "mpd")
        found.page.select_option("select[name=budget]", "10000")
        assert found.page.locator("#no-board").is_visible()


def test_each_number_is_explained_by_one_click(started: Any, sound: Path) -> None:
    with visit(started, sound, viewport=WIDE) as found:
        row = found.page.locator(f"{BOARD} tbody tr", has=found.page.get_by_text("amp jsd implicit", exact=True))
        row.locator("button.number[data-metric]").first.click()
        shown = found.page.locator("#dialog").inner_text()
        for part in (
            "ampbench run",
            f"--method {AMP}",
            "--seed 0",
            "2.13.0",
            "MLP (20, 20)",
            "0123456789ab",
            "2026-01-01",
        ):
            assert part in shown
        found.page.keyboard.press("Escape")
        assert not found.page.locator("#dialog").is_visible()
        row.locator("button.rank").click()
        assert "permutation" in found.page.locator("#notes").inner_text()
        assert "Each pair of methods is compared" in found.page.locator("#dialog").inner_text()
        found.page.click("#dialog-close")
        found.page.locator("#runs-table button.number").first.click()
        assert "0123456789ab" in found.page.locator("#dialog").inner_text()


def test_a_task_opens_with_its_charts_and_pair_plot(started: Any, sound: Path) -> None:
    with visit(started, sound, viewport=WIDE) as found:
        task = found.page.locator(".task", has_text="two_moons")
        task.locator("summary").first.focus()
        found.page.keyboard.press("Enter")
        assert task.locator(".charts figure").count() == 4
        plot = task.locator(".pairs svg")
        assert plot.is_visible()
        assert plot.locator("path.posterior").count() == 3, "two histograms, and one panel of points"
        before = plot.locator("path.points.posterior").get_attribute("d")
        task.locator(".pairs select").select_option(index=1)
        assert task.locator(".pairs svg path.points.posterior").get_attribute("d") != before
        assert "Calibration" in task.inner_text()
        assert "too wide" in task.inner_text()
        assert "Lueckmann" in task.inner_text()


@pytest.mark.parametrize("against", ["budget", "fit_seconds", "sample_seconds"])
def test_curves_against_simulations_and_times(started: Any, sound: Path, against: str) -> None:
    with visit(started, sound, viewport=WIDE) as found:
        found.page.check(f"input[value={against}]")
        assert found.page.locator("#grid figure svg").count() == 2
        before = found.page.locator("#grid svg [aria-label=dot] > *").count()
        found.page.locator("#legend button").first.click()
        assert found.page.locator("#grid svg [aria-label=dot] > *").count() < before


@pytest.mark.parametrize("width", [320, 390, 1400])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_page_is_wider_than_its_window(started: Any, sound: Path, width: int, scheme: str) -> None:
    with visit(started, sound, viewport={"width": width, "height": 800}, color_scheme=scheme) as found:
        found.page.click("#open-all")
        assert found.page.evaluate("document.documentElement.scrollWidth") <= width
        ground = found.page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (ground == "rgb(255, 255, 255)") == (scheme == "light")


def test_the_theme_can_be_chosen(started: Any, sound: Path) -> None:
    with visit(started, sound, viewport=WIDE, color_scheme="light") as found:
        found.page.click("#theme")
        found.page.click("#theme")
        assert found.page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(20, 23, 26)"


def test_print_is_light_and_complete(started: Any, sound: Path) -> None:
    with visit(started, sound, viewport=WIDE, color_scheme="dark") as found:
        found.page.emulate_media(media="print")
        assert found.page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
        assert not found.page.locator("#filters").is_visible()
        assert found.page.pdf()[:5] == b"%PDF-"
        assert found.page.locator(".task[open]").count() == 3, "all sections are opened for the printer"


def test_hostile_texts_do_nothing(started: Any, hostile: Path) -> None:
    with visit(started, hostile, viewport=PHONE) as found:
        title = found.page.title()
        found.page.click("#open-all")
        for select in found.page.locator("#filters select").all():
            if select.is_visible():
                select.select_option(index=select.locator("option").count() - 1)
        found.page.locator("#runs-table button.number").first.click()
        assert "javascript:document.title='owned'" in found.page.locator("#dialog").inner_text()
        found.page.click("#dialog-close")
        found.page.locator("button.number[data-metric]:visible").first.click()
        found.page.click("#dialog-close")
        assert found.page.title() == title
        assert found.page.locator("img, iframe, object, a[href^=javascript]").count() == 0
        assert found.page.locator("script").count() == 4
        assert found.page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]


def test_an_injected_script_is_refused(started: Any, sound: Path) -> None:
    """What the policy forbids, whatever a fault of the page would let in."""
    with visit(started, sound, viewport=WIDE) as found:
        for attack in (
            "document.body.innerHTML = '<b>x</b>'",
            "document.body.append(Object.assign(document.createElement('script'), {text: 'document.title = 1'}))",
            "setTimeout('document.title = 1')",
            "document.body.setAttribute('onclick', 'document.title = 1')",
        ):
            with pytest.raises(Exception, match="This document requires 'Trusted"):
                found.page.evaluate(f"(() => {{ {attack} }})()")
        assert found.page.evaluate("fetch('data:,x').then(() => 'sent', () => 'refused')") == "refused"
        assert found.page.title().startswith("ampbench report")
        found.messages.clear()  # Chromium logs each refusal
        found.requests[:] = [url for url in found.requests if not url.startswith("data:")]
