"""A small store, and bundles of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ampbench.results import Record, Run
from ampbench.results.manifest import about
from ampbench.results.publication import held, publish
from ampbench.results.record import Draw, Measured
from ampbench.results.store import Store

RUN = Run("two_moons", "1", "npe", "npe:a=1", 10, 1, 0, 100, ("c2st",), ("torch==2.13.*",))
SAMPLES = np.zeros((100, 2), np.float32)
WHEN = "2026-01-0{}T00:00:00+00:00"


def record(number: int, error: str = "", seconds: float = 1.0, value: float = 0.5) -> Record:
    metrics = {} if error else {"c2st": Measured(value)}
    run, status, kind = replace(RUN, observation=number), "failed" if error else "ok", "error" if error else ""
    versions = {"ampbench": "0.1.0", "torch": f"2.1{number}"}
    return Record(run, status, error, "", metrics, seconds, 0.1, 10, "cpu", WHEN.format(number), versions, "", kind)


def fill(folder: Path) -> Store:
    """Return a store with two good results and a failure."""
    store = Store(folder)
    for number in (1, 2):
        each = record(number)
        store.put_draw(each.run, SAMPLES + number, Draw(1.0, 0.1, 10, "cpu", {}, ""))
        store.put(each, SAMPLES + number)
    store.put(record(3, error="boom"), None)
    return store


def written(store: Store, path: Path, samples: bool = True, **says: Any) -> Path:
    publish(held([store]), path, about(**says), lambda _: {"CITATION.cff": "cff", "references.bib": "bib"}, samples)
    return path
