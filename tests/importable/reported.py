"""Small stores for the tests of reports, and a browser that notes what a page does."""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ampbench.results import Record, Run
from ampbench.results.record import Check, Measured
from ampbench.results.store import Store

HOSTILE = (
    "<script>document.title='owned'</script></script><img src=http://evil.example/x onerror=\"document.title='owned'\">"
    "'\"`${document.title='owned'}{{ 7*7 }}{% raw %}<!--<script>--> javascript:document.title='owned' &lt; "
    "\u2028\u2029\u202ereversed\u200f\x00\x1b[31m</style></dialog> ]]> =1+1"
)
AMP = "amp:divergence=jsd,family=implicit"
MEANS = {"npe": 0.6, AMP: 0.62, "rejection-abc": 0.8}
HOW = {"classifier": "MLP (20, 20) relu adam, no early stopping", "folds": 5, "standard_error": 0.001}


def put(
    store: Store,
    task: str,
    method: str,
    scores: Mapping[str, float | None],
    samples: np.ndarray | None = None,
    **fields: Any,
) -> None:
    """Store a run; further fields replace those of the run or the record."""
    own = {"budget": 1000, "observation": 1, "seed": 0, "samples": 100, "task_version": "1"}
    run = own | {name: fields.pop(name) for name in own if name in fields}
    requested = Run(
        task, run.pop("task_version"), method, method, metrics=tuple(scores), packages=("torch==2.13.*",), **run
    )
    metrics = {name: Measured(value, "" if value is not None else "it has none", HOW) for name, value in scores.items()}
    record = {
        "status": "ok",
        "error": "",
        "traceback": "",
        "metrics": metrics,
        "fit_seconds": 2.5,
        "sample_seconds": 0.1,
    }
    record |= {"simulations": 1000}
    record |= {"device": "cpu", "finished": "2026-01-01T00:00:00+00:00"}
    record |= {"versions": {"python": "3.11.7", "torch": "2.13.0"}, "commit": "0123456789ab"}
    store.put(Record(requested, **(record | fields)), samples)


def sound_store(folder: Path) -> Path:
    """Store results of three tasks, one of them forward-only, with samples of one of them, and a failed run."""
    store, draw = Store(folder), np.random.default_rng(0)
    checks = (Check("too wide", 2.0, 1.2, "theta[0]"), Check("dropped modes", 0.0, 0.0))
    for task in ("two_moons", "slcp"):
        for method, mean in MEANS.items():
            for budget in (1000, 10_000):
                for observation in (1, 2, 3):
                    score = mean - budget / 1e5 + 0.03 * observation + 0.002 * draw.standard_normal()
                    theta = draw.normal(0, 0.3, (200, 2)) if task == "two_moons" else None
                    scores = {"c2st": score, "mmd": score / 10}
                    put(store, task, method, scores, theta, budget=budget, observation=observation, checks=checks)
    for observation in (1, 2, 3):
        put(store, "epidemic", "npe", {"mpd": 1.5}, draw.uniform(0.2, 0.4, (200, 3)), observation=observation)
    failed = {"status": "failed", "kind": "timeout", "error": "it took longer than 60 s", "traceback": "…"}
    put(store, "slcp", "npe", {}, observation=4, **failed)
    return folder


def hostile_store(folder: Path) -> Path:
    """Store results whose texts are all hostile."""
    store = Store(folder)
    text = HOSTILE.encode("utf-8", "backslashreplace").decode()
    for task in (text, "two_moons"):
        for method in (text, f"amp:family={text}", "npe"):
            fields = {"device": text, "commit": text, "versions": {text: text}, "task_version": text}
            checks = (Check(text, 2.0, 1.0, text, text),)
            for observation in (1, 2):
                put(store, task, method, {text: 0.5, "c2st": 0.6}, observation=observation, checks=checks, **fields)
    put(store, text, text, {}, observation=3, status="failed", kind="error", error=text, traceback=text)
    return folder


@dataclass
class Visit:
    """An open page, with its messages, errors and requests."""

    page: Any
    messages: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)


CHROMIUM = shutil.which("chromium")
REASON = "needs a browser and its driver: apt-get install chromium; pip install 'ampbench[test]'"
needs_browser = pytest.mark.skipif(not CHROMIUM or not importlib.util.find_spec("playwright"), reason=REASON)


@contextmanager
def browser() -> Iterator[Any]:
    """Start a headless Chromium."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-dev-shm-usage"])
        yield started
        started.close()


@contextmanager
def visit(started: Any, path: Path, **options: Any) -> Iterator[Visit]:
    """Open a file, and wait until its scripts have run; afterwards check that nothing was logged or requested."""
    context = started.new_context(**options)
    made = Visit(context.new_page())
    made.page.on("console", lambda message: made.messages.append(message.text))
    made.page.on("pageerror", lambda error: made.messages.append(str(error)))
    made.page.on("dialog", lambda dialog: made.messages.append(f"a dialog: {dialog.message}"))
    made.page.on("request", lambda request: made.requests.append(request.url))
    made.page.goto(path.as_uri())
    made.page.wait_for_selector("html[data-ready]", timeout=60_000)
    yield made
    context.close()
    assert made.messages == []
    assert {url.partition("#")[0] for url in made.requests} == {path.as_uri()}
