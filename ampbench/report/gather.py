"""Gathering of a report's content from results directories, bundles and exported files."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import starmap
from pathlib import Path

import pandas as pd

from ampbench.errors import ResultsWarning
from ampbench.report.content import NONE, Content, Method, Source
from ampbench.report.tasks import Entries, Held, described
from ampbench.reporting.compare import latest
from ampbench.reporting.labels import labels
from ampbench.reporting.leaderboard import compared
from ampbench.reporting.ledger import CLASSIFIERS, PublishedComparison, compare_all
from ampbench.reporting.strongest import strongest
from ampbench.results import load, schema, validate
from ampbench.results.bundle import is_bundle
from ampbench.results.checksums import is_directory
from ampbench.results.frame import framed, metric_columns
from ampbench.results.origins import marked
from ampbench.results.provenance import versions
from ampbench.results.theirs import gathered
from ampbench.spec import Spec, component_name
from ampbench.text import line

TEXT_COLUMNS = ("task", "method", "error", "device", "commit", "task_version", "resolved", "packages", "findings")


@dataclass(frozen=True)
class _Read:
    """The results of one path: the frame, and the entries of the store, if it is one."""

    path: Path
    frame: pd.DataFrame
    entries: Entries


def gather(paths: Sequence[Path]) -> Content:
    """Return the content of a report on all results of the given directories, bundles and files.

    A run that several of them hold is shown once. Damaged records are left out, and named in the remarks.

    Raises:
        ResultsError: there is no such directory or file, or a file does not follow the schema.
    """
    with _heard() as remarks:
        read = [_read(path) for path in paths]
    frame, repeated = _joined([each.frame for each in read])
    if repeated:
        remarks.append(f"{repeated} results are in several of the given directories, and are shown once")
    summary, boards = compared(validate(frame))
    current, _ = latest(frame)
    named = labels(frame["method"])
    resolved = dict(zip(frame["method"], frame["resolved"], strict=True))
    published, best = _published(current)
    entries = {key: entry for each in reversed(read) for key, entry in each.entries.items()}
    return Content(
        sources=tuple(Source(line(str(each.path)), len(each.frame)) for each in read),
        written=datetime.now(UTC).isoformat(timespec="seconds"),
        version=versions()["ampbench"],
        frame=frame,
        requests={key: tuple(map(line, held.metrics)) for (key, _), held in entries.items()},
        summary=summary,
        boards=tuple(boards),
        methods=tuple(_method(spec, named[spec], resolved[spec]) for spec in sorted(named)),
        tasks=tuple(described(current, entries)),
        published=published.table,
        strongest=best,
        remarks=tuple(map(line, [*remarks, *summary.remarks, *summary.limits, *published.remarks])),
    )


def _read(path: Path) -> _Read:
    if not is_directory(path) and not is_bundle(path):
        return _Read(path, load(path), {})
    found = gathered(path)
    entries = found.entries
    held = zip(found.stores, entries["digest"], map(json.loads, entries["metrics"]), strict=True)
    keys = zip(entries["key"], found.origins, strict=True)
    return _Read(path, framed(entries, found.origins), dict(zip(keys, starmap(Held, held), strict=True)))


@contextmanager
def _heard() -> Iterator[list[str]]:
    """Collect warnings about results, for the page, and pass them on to the terminal."""
    texts: list[str] = []
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always", ResultsWarning)
        yield texts
    for warning in heard:
        texts.append(str(warning.message))
        warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)


def _joined(frames: Sequence[pd.DataFrame]) -> tuple[pd.DataFrame, int]:
    """Return the rows of all frames with printable texts, each run once, and the number of repetitions."""
    filled = [frame for frame in frames if not frame.empty] or list(frames[:1])
    frame = filled[0] if len(filled) == 1 else pd.concat(filled, ignore_index=True)
    single = frame.drop_duplicates(["key", "origin"], ignore_index=True)
    shown = marked(single).rename(columns=line)
    return shown.assign(**{name: shown[name].map(_printable) for name in TEXT_COLUMNS}), len(frame) - len(single)


def _printable(value: object) -> object:
    return line(value) if isinstance(value, str) else value


def _method(spec: str, label: str, resolved: str) -> Method:
    return Method(spec, label, _parts(resolved, "divergence"), _parts(resolved, "family"))


def _parts(resolved: str, option: str) -> str:
    """Return the names of a method's divergences or families: the common one, and those of single variables."""
    try:
        options = Spec.parse(resolved).options
    except Exception:  # of whoever wrote the record
        return NONE
    prefix = {"divergence": "divergences.", "family": "families."}[option]
    found = [component_name(value) for key, value in options if key == option or key.startswith(prefix)]
    return ", ".join(dict.fromkeys(found)) or NONE


def _published(frame: pd.DataFrame) -> tuple[PublishedComparison, pd.DataFrame]:
    """Return published scores beside ours, and the strongest of them; nothing without a metric that was published."""
    if not any(metric in CLASSIFIERS for metric in metric_columns(frame)):
        empty = PublishedComparison(pd.DataFrame(columns=schema.PUBLISHED_COMPARISON.names), [])
        return empty, pd.DataFrame(columns=schema.STRONGEST.names)
    return compare_all(frame), strongest(frame)
