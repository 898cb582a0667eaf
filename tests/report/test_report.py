"""Reports without a browser: what is gathered, what the file holds, and what the command says."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from markupsafe import Markup
from reported import AMP, HOSTILE, hostile_store, needs_browser, put, sound_store

from ampbench.cli import main
from ampbench.errors import ResultsError, ResultsWarning
from ampbench.report import gather, page
from ampbench.report.gather import _parts
from ampbench.report.markdown import markdown
from ampbench.report.page import ASSETS, LIBRARIES, in_script
from ampbench.report.payload import OUTSIDE, STEPS, payload
from ampbench.report.watch import state, watch
from ampbench.results import load
from ampbench.results.store import Store
from ampbench.text import to_csv


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return sound_store(tmp_path_factory.mktemp("sound") / "results")


def run(*arguments: object) -> int:
    """Call the command line; return its exit code."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["ampbench", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
    return int(ended.value.code or 0)


def data(html: str) -> Any:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', html, re.DOTALL)
    assert found
    return json.loads(found[1])


def test_methods_tasks_and_their_parts(sound: Path) -> None:
    found = gather([sound])
    assert [(each.label, each.divergence, each.family) for each in found.methods] == [
        ("amp jsd implicit", "jsd", "implicit"),
        ("npe", "none", "none"),
        ("rejection-abc", "none", "none"),
    ]
    tasks = {task.spec: task for task in found.tasks}
    assert list(tasks) == ["epidemic", "slcp", "two_moons"]
    assert tasks["epidemic"].labels["kind"] == "forward-only"
    assert tasks["epidemic"].pairs is not None
    assert tasks["epidemic"].pairs.reference is None
    two_moons = tasks["two_moons"].pairs
    assert two_moons is not None
    assert two_moons.reference is not None
    assert [(each.method, each.budget) for each in two_moons.draws[:2]] == [(AMP, 10_000), ("npe", 10_000)]
    assert {each.runs for each in tasks["two_moons"].coverage} == {3}
    assert "no posterior samples are stored" in tasks["slcp"].remarks[0]


@pytest.mark.parametrize(
    ("resolved", "expected"),
    [
        ("amp:divergence=jsd,divergences.z=(mmd:bandwidths=3),family=flow", ("jsd, mmd", "flow")),
        ("amp:families.z=gaussian,families.w=flow", ("none", "flow, gaussian")),
        ("npe", ("none", "none")),
        ("((", ("none", "none")),
    ],
)
def test_divergences_and_families_of_a_spec(resolved: str, expected: tuple[str, str]) -> None:
    assert (_parts(resolved, "divergence"), _parts(resolved, "family")) == expected


def test_the_file_holds_all_it_needs_and_allows_nothing_else(sound: Path) -> None:
    html = page(gather([sound]))
    policy = Markup(re.search(r'Content-Security-Policy" content="([^"]*)"', html)[1]).unescape()  # type: ignore[index]
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe" not in policy
    for element in ("script", "style"):
        for text in re.findall(rf"<{element}>(.*?)</{element}>", html, re.DOTALL):
            digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
            assert f"'sha256-{digest}'" in policy
    assert not re.search(
        r"<(?:link|img|iframe|base)\b|\s(?:src|style|on\w+)=", re.sub(r"(?s)<script.*?</script>", "", html)
    )
    assert len(html.encode()) < 1_000_000


def test_the_libraries_are_those_that_were_vendored() -> None:
    stated = json.loads((ASSETS / "vendor/vendored.json").read_text())
    assert {f"vendor/{name}" for name in stated} == set(LIBRARIES)
    for name, about in stated.items():
        content = (ASSETS / "vendor" / name).read_bytes()
        assert hashlib.sha256(content).hexdigest() == about["sha256"]
        assert f"v{about['version']} Copyright".encode() in content[:100]
        assert (ASSETS / "vendor" / name.replace(".min", "").replace(".umd", "").replace(".js", ".LICENSE")).is_file()


def test_numbers_of_the_page_are_those_of_the_store(sound: Path) -> None:
    frame = load(sound)
    found = data(page(gather([sound])))
    runs = found["runs"]
    scores = dict(zip(runs["key"], runs["scores"][found["metrics"].index("c2st")], strict=True))
    for row in frame[frame["c2st"].notna()].itertuples():
        assert scores[row.key] == pytest.approx(row.c2st, rel=1e-5)
    assert runs["status"].count("failed") == 1
    assert json.loads(found["texts"][runs["request"][0]]) in (["c2st", "mmd"], ["mpd"])


def test_points_are_stored_as_shares_of_the_frame(sound: Path) -> None:
    pairs = gather([sound]).tasks[2].pairs
    assert pairs is not None
    (found,) = [task["pairs"] for task in payload(gather([sound]))["tasks"] if task["spec"] == "two_moons"]
    low, high = np.array(found["low"]), np.array(found["high"])
    steps = np.frombuffer(base64.b64decode(found["draws"][0]["points"]), dtype="<u2").reshape(-1, 2)
    theta = pairs.draws[0].theta
    inside = steps != OUTSIDE
    assert np.abs((low + steps / STEPS * (high - low)) - theta)[inside].max() < 1e-3
    assert ((theta < low) | (theta > high))[~inside].all()


@pytest.mark.parametrize("text", ["</script><script>", "<!--", "&lt;", "'\"", "\u2028\u2029", "\ud800"])
def test_json_cannot_end_its_element(text: str) -> None:
    written = str(in_script({"a": text}))
    assert not set(written) & set("<>&'")
    assert written.isascii()
    assert json.loads(written) == {"a": text}


def test_hostile_texts_are_escaped_in_every_form(tmp_path: Path) -> None:
    content = gather([hostile_store(tmp_path)])
    html, text = page(content), markdown(content)
    assert "<script>document" not in html
    assert "<img" not in html
    assert html.count("<script") == 4
    assert not re.search("[\u2028\u2029\u202e\u200f\x00\x1b]", html + text)
    assert "<script" not in text
    assert "\\u202e" in html
    assert HOSTILE.partition("\u2028")[0].split("'")[0] not in text


def test_markdown(sound: Path) -> None:
    text = markdown(gather([sound]))
    assert "### c2st, 10,000 simulations, 100 samples" in text
    assert "| timeout | it took longer than 60 s |" in text
    assert "REJ-ABC" not in text, "published scores are of 10,000 samples"
    assert "| SNPE | 10000 | mlp-10d (sbibm), 10,000 samples | 0.554 | 10 (10 observations) | yes |" in text
    assert "| NRE-C | 10000 | mlp-10d (sbibm), 10,000 samples | 0.595 | 50 (10 observations) | no |" in text
    widths = {
        line.count("|") for line in text.partition("### c2st, 1,000")[2].partition("\n- ")[0].splitlines() if line
    }
    assert widths - {0} == {7}


def empty(folder: Path) -> None:
    (folder / "runs").mkdir(parents=True)


def one(folder: Path) -> None:
    put(Store(folder), "two_moons", "npe", {"c2st": 0.7})


def failed(folder: Path) -> None:
    put(Store(folder), "two_moons", "npe", {}, status="failed", kind="error", error="it broke", traceback="…")


def without_value(folder: Path) -> None:
    put(
        Store(folder),
        "two_moons",
        "npe",
        {"c2st": None, "mmd": 0.1},
        status="failed",
        kind="metric",
        error="c2st: it has none",
    )


def unknown(folder: Path) -> None:
    put(Store(folder), "a_task_of_nobody", "nobody:x=1", {"a metric": 0.5}, np.zeros((100, 2)))


def flat(folder: Path) -> None:
    for observation in (1, 2):
        put(Store(folder), "two_moons", "npe", {"c2st": 0.5}, np.zeros((100, 2)), observation=observation)


@pytest.mark.parametrize("make", [empty, one, failed, without_value, unknown, flat])
def test_small_and_strange_stores_give_a_page(tmp_path: Path, make: Any) -> None:
    make(tmp_path / "results")
    content = gather([tmp_path / "results"])
    assert "<h2>Leaderboard</h2>" in page(content)
    assert markdown(content).startswith("# ampbench report")


def test_a_damaged_record_is_named_on_the_page(sound: Path, tmp_path: Path) -> None:
    one(tmp_path)
    put(Store(tmp_path), "two_moons", "npe", {"c2st": 0.7}, observation=2)
    path = sorted(tmp_path.glob("runs/*/record.json"))[0]
    path.write_bytes(path.read_bytes()[:100])
    with pytest.warns(ResultsWarning, match=path.parent.name):
        content = gather([tmp_path])
    assert len(content.frame) == 1
    assert path.parent.name in page(content)


def test_damaged_samples_cost_the_plot_only(tmp_path: Path) -> None:
    flat(tmp_path)
    for path in tmp_path.glob("samples/*.npz"):
        path.write_bytes(b"x")
    (task,) = gather([tmp_path]).tasks
    assert (task.pairs, task.coverage) == (None, ())


def test_several_sources_show_each_run_once(sound: Path, tmp_path: Path) -> None:
    table = tmp_path / "results.csv"
    table.write_text(to_csv(load(sound)), encoding="utf-8")
    one(tmp_path / "own")
    content = gather([sound, table, tmp_path / "own"])
    assert [each.results for each in content.sources] == [40, 40, 1]
    assert len(content.frame) == 41
    assert content.remarks[0].startswith("40 results are in several")
    assert "<h2>Leaderboard</h2>" in page(gather([table]))


def test_a_missing_directory_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ResultsError, match="there is no results directory"):
        gather([tmp_path / "missing"])


def test_the_command(sound: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("report", sound, "-o", tmp_path / "a.html") == 0
    assert "40 runs of 3 methods on 3 tasks" in capsys.readouterr().out
    assert (tmp_path / "a.html").read_text().startswith("<!DOCTYPE html>")
    assert run("report", sound, "-o", tmp_path / "a.md") == 0
    assert run("report", sound, "-o", tmp_path / "b", "--format", "markdown") == 0
    assert (tmp_path / "a.md").read_text().startswith("# ampbench report")


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("-o", "a.txt"), "the suffix of a.txt names no format"),
        (("-o", "a.html", "--format", "word"), "unknown format 'word'"),
        (("-o", "missing/a.html"), "the folder missing does not exist"),
        (("-o", "."), "it is a folder"),
        (("-o", "a.pdf"), "--format pdf needs a Chromium"),
    ],
)
def test_requests_that_cannot_be_met(
    sound: Path,
    tmp_path: Path,
    arguments: tuple[str, ...],
    complaint: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("shutil.which", lambda name: None)
    assert run("report", sound, *arguments, *(("--format", "html") if arguments[-1] == "." else ())) == 2
    assert complaint in " ".join(capsys.readouterr().err.split())


@needs_browser
def test_pdf_is_printed_by_the_browser(sound: Path, tmp_path: Path) -> None:
    assert run("report", sound, "-o", tmp_path / "a.pdf") == 0
    assert (tmp_path / "a.pdf").read_bytes()[:5] == b"%PDF-"


def test_watching_writes_again_when_results_arrive(tmp_path: Path) -> None:
    written, waits = [], []

    def wait(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 2:
            put(Store(tmp_path), "two_moons", "npe", {"c2st": 0.7})
        if len(waits) == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        watch([tmp_path], lambda: written.append(len(state([tmp_path]))), wait)
    assert len(written) == 2


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_an_interrupted_watch_leaves_a_page_that_does_not_reload(sound: Path, tmp_path: Path) -> None:
    target = tmp_path / "a.html"
    command = [sys.executable, "-m", "ampbench", "report", str(sound), "-o", str(target), "--watch"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        deadline = time.monotonic() + 120
        while not target.exists() and time.monotonic() < deadline:
            time.sleep(0.1)
        assert 'data-reload="15"' in target.read_text()
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
    assert 'data-reload="0"' in target.read_text()
