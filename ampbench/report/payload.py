"""The data of a report's page for its script: texts once in lists, and columns of numbers that refer to them."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Hashable, Iterable, Sequence
from typing import Any, TypeVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ampbench.report.content import Content, Coverage, Pairs, Task
from ampbench.report.samples import LEVELS
from ampbench.reporting.compare import VOLATILE_PROVENANCE, latest
from ampbench.reporting.ledger import CLASSIFIERS
from ampbench.results.frame import metric_columns
from ampbench.text import line

T = TypeVar("T", bound=Hashable)

STEPS = 60_000
"""Number of steps of the coordinates of points."""
OUTSIDE = 65_535
"""Coordinate of a point outside the plot."""
DIGITS = 6
"""Significant digits of numbers; the store has all of them."""


class Texts:
    """Texts by number, each once."""

    def __init__(self) -> None:
        self.known: dict[str, int] = {}

    def __call__(self, text: object) -> int:
        """Return the number of a text; a missing one is empty."""
        return self.known.setdefault("" if text is None or text is pd.NA else str(text), len(self.known))

    def column(self, values: Iterable[object]) -> list[int]:
        """Return the numbers of texts."""
        return [self(value) for value in values]

    @property
    def all(self) -> list[str]:
        """The texts, in the order of their numbers."""
        return list(self.known)


def payload(content: Content) -> dict[str, Any]:
    """Return the data as values that JSON has: texts, finite numbers and null, lists and mappings."""
    texts = Texts()
    metrics = metric_columns(content.frame)
    return {
        "methods": [vars(method) for method in content.methods],
        "tasks": [_task(task) for task in content.tasks],
        "metrics": metrics,
        "cells": _cells(content),
        "runs": _runs(content, metrics, texts),
        "levels": LEVELS,
        "published": _published(content.published, content.strongest),
        "texts": texts.all,
    }


def _task(task: Task) -> dict[str, Any]:
    return {
        "spec": task.spec,
        "pairs": None if task.pairs is None else _pairs(task.pairs),
        "coverage": list(map(_coverage, task.coverage)),
    }


def _coverage(coverage: Coverage) -> dict[str, Any]:
    return {**vars(coverage), "frequency": _numbers(coverage.frequency)}


def _cells(content: Content) -> dict[str, list[Any]]:
    """Return the comparison, with the times of fits and draws."""
    table = content.summary.table
    by = ["task", "method", "budget", "samples"]
    current, _ = latest(content.frame)
    fits = current.drop_duplicates([*by, "seed"]).groupby(by)["fit_seconds"].mean()
    draws = current.groupby(by)["sample_seconds"].mean()
    keys = pd.MultiIndex.from_frame(table[by]) if len(table) else []
    return {
        "task": _positions(table["task"], [task.spec for task in content.tasks]),
        "method": _positions(table["method"], [method.spec for method in content.methods]),
        "metric": table["metric"].tolist(),
        "verdict": table["verdict"].tolist(),
        **{name: table[name].tolist() for name in ("budget", "samples", "n", "seeds", "observations")},
        **{name: _numbers(table[name]) for name in ("mean", "low", "high", "diff", "diff_low", "diff_high", "p")},
        "fit_seconds": _numbers(fits.reindex(keys)),
        "sample_seconds": _numbers(draws.reindex(keys)),
    }


def _runs(content: Content, metrics: Sequence[str], texts: Texts) -> dict[str, Any]:
    frame = content.frame
    versions = [name for name in map(str, frame.columns) if name.startswith("version_")]
    stated = zip(*(frame[name] for name in versions), strict=True) if versions else ((),) * len(frame)
    names = [name.removeprefix("version_") for name in versions]
    current, _ = latest(frame)
    return {
        "task": _positions(frame["task"], [task.spec for task in content.tasks]),
        "method": _positions(frame["method"], [method.spec for method in content.methods]),
        **{name: frame[name].tolist() for name in ("budget", "samples", "observation", "seed", "simulations")},
        **{name: frame[name].tolist() for name in ("status", "key")},
        **{name: _numbers(frame[name]) for name in ("fit_seconds", "sample_seconds", "metric_seconds")},
        **{
            name: texts.column(frame[name])
            for name in ("kind", "error", "resolved", "device", "finished", "commit", "task_version", "origin")
        },
        "packages": texts.column(map(line, frame["packages"].str.cat(frame["metric_packages"], sep=" "))),
        "findings": texts.column(frame["findings"]),
        "versions": texts.column(_versions(names, each) for each in stated),
        "request": texts.column(json.dumps(content.requests.get(key, ())) for key in frame["key"]),
        "latest": frame.index.isin(current.index).astype(int).tolist(),
        "scores": [_numbers(frame[metric]) for metric in metrics],
        "provenance": [texts.column(map(_provenance, frame[f"{metric}_provenance"])) for metric in metrics],
    }


def _versions(names: Sequence[str], values: Sequence[object]) -> str:
    return line(", ".join(f"{name} {value}" for name, value in zip(names, values, strict=True) if pd.notna(value)))


def _provenance(text: object) -> str:
    """Return how a score was made, for people: ``classifier MLP (50, 50), folds 5``."""
    if not isinstance(text, str):
        return ""
    found = json.loads(text)
    return line(", ".join(f"{name} {value}" for name, value in found.items() if name not in VOLATILE_PROVENANCE))


def _published(table: pd.DataFrame, strongest: pd.DataFrame) -> list[dict[str, Any]]:
    rows = table[table["origin"] != "ours"]
    metrics = {classifier: metric for metric, classifier in CLASSIFIERS.items()}
    key = ["task", "budget", "classifier", "samples", "method", "origin"]
    best = set(strongest[key].itertuples(index=False, name=None))
    marks = [each in best for each in rows[key].itertuples(index=False, name=None)]
    return [
        {"task": row.task, "method": line(row.method), "origin": line(row.origin), "budget": int(row.budget)}
        | {"metric": metrics.get(row.classifier, ""), "samples": int(row.samples)}
        | {"mean": _number(row.mean), "se": _number(row.se)}
        | {"sequential": row.sequential, "choice": row.choice, "strongest": mark}
        for row, mark in zip(rows.itertuples(index=False), marks, strict=True)
    ]


def _pairs(pairs: Pairs) -> dict[str, Any]:
    frames = [each.theta for each in pairs.draws] if pairs.reference is None else [pairs.reference]
    shown = np.concatenate([*frames, *([] if pairs.truth is None else [pairs.truth[None]])])
    low, high = shown.min(0), shown.max(0)
    margin = 0.15 * np.where(high > low, high - low, 1.0)
    low, high = low - margin, high + margin
    return {
        "observation": pairs.observation,
        "names": pairs.names,
        "size": pairs.size,
        "low": _numbers(low),
        "high": _numbers(high),
        "truth": None if pairs.truth is None else _numbers(pairs.truth),
        "reference": None if pairs.reference is None else _points(pairs.reference, low, high),
        "draws": [
            {"method": each.method, "budget": each.budget, "seed": each.seed, "points": _points(each.theta, low, high)}
            for each in pairs.draws
        ],
    }


def _points(theta: NDArray[np.float64], low: NDArray[np.float64], high: NDArray[np.float64]) -> str:
    """Return points (n, d) as base64 of unsigned 16-bit integers, little-endian, row by row."""
    share = (theta - low) / (high - low)
    inside = (share >= 0) & (share <= 1)
    steps = np.where(inside, np.round(np.clip(share, 0, 1) * STEPS), OUTSIDE)
    return base64.b64encode(steps.astype("<u2").tobytes()).decode()


def _positions(values: Iterable[T], known: Sequence[T]) -> list[int]:
    position = {value: i for i, value in enumerate(known)}
    return [position[value] for value in values]


def _numbers(values: Iterable[float]) -> list[float | None]:
    return [_number(value) for value in values]


def _number(value: float) -> float | None:
    """Return a number with DIGITS significant digits, None for NaN, infinite and missing ones."""
    if value is pd.NA or not math.isfinite(value):
        return None
    rounded = float(f"{value:.{DIGITS}g}")
    return int(rounded) if rounded.is_integer() and abs(rounded) < 1e15 else rounded
