"""Stored posteriors: kept fits of a results directory, and fits in folders of ``ampbench infer``."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from ampbench import files, registry
from ampbench.analysis import Calibration
from ampbench.analysis.request import FILE
from ampbench.api import restore_graph
from ampbench.assess.subject import read_model, read_stored
from ampbench.errors import UsageError
from ampbench.graph import Graph, Simulator
from ampbench.interfaces import Method, Posterior, Task, rebuild
from ampbench.interfaces.posterior import described
from ampbench.plots.calibration import Calibrated
from ampbench.reporting.compare import latest
from ampbench.reporting.labels import labels
from ampbench.reporting.selection import matching, refuse_several
from ampbench.results import load
from ampbench.results.bundle import is_bundle, open_store
from ampbench.results.checksums import Damage
from ampbench.results.store import Store, Stored

FIT_COLUMNS = ["task", "method", "budget", "seed"]


def selected(results: Path, wanted: Mapping[str, Sequence[object]], one_of: Sequence[str]) -> pd.DataFrame:
    """Return the rows of the matching runs, in their latest versions.

    Arguments:
        results: the results directory.
        wanted: column → allowed values; none for all.
        one_of: columns that must have one value.

    Raises:
        UsageError: nothing matches, or such a column has several values; the message lists the choices.
        ResultsError: there is no such directory.
    """
    frame = load(results)
    for column, values in wanted.items():
        frame = matching(frame, column, values)
    if frame.empty:
        raise UsageError("there are no results yet; run 'ampbench run' first")
    refuse_several(frame, one_of)
    return latest(frame)[0]


def kept_fits(results: Path, wanted: Mapping[str, Sequence[object]]) -> tuple[dict[str, Posterior], list[str]]:
    """Return the kept fits of the matching runs of one task, by label, and remarks on fits that are not there.

    Raises:
        UsageError: nothing matches, several tasks do, or no fit is kept, as in any bundle.
    """
    if is_bundle(results):
        raise UsageError(
            f"{results} is a bundle, and bundles hold no fits; run again in a folder what is to be drawn: 'ampbench "
            "run' keeps fits there"
        )
    frame = selected(results, wanted, ["task"]).drop_duplicates(FIT_COLUMNS)
    named, store = labels(frame["method"]), open_store(results)
    found: dict[str, Posterior] = {}
    lost = []
    for row in frame.itertuples():
        what = f"{named[row.method]}, budget {row.budget:,}, seed {row.seed}"
        try:
            found[what] = _kept(store, row.key)
        except UsageError as error:
            lost.append(f"{what}: {error}")
    if not found:
        raise UsageError(f"{results} keeps none of the {len(lost)} selected fits: {lost[0]}")
    return found, lost


def _kept(store: Store, key: str) -> Posterior:
    entry = store.find(key)
    if not isinstance(entry, Stored):
        raise UsageError(f"the record of the run {key} cannot be read")
    run = entry.record.run
    kept = store.fit(run)
    if isinstance(kept, Damage):
        raise UsageError(f"{kept}; run it again")
    if kept is None:
        raise UsageError(
            "its fit is not kept; 'ampbench run' keeps fits of methods that can restore them, and records and samples "
            "hold neither ranks nor training curves"
        )
    loaded = registry.load()
    task: Task = loaded.build("tasks", run.task)
    if task.version != run.task_version:
        raise UsageError(f"it is of version {run.task_version} of the task, and installed is {task.version}")
    method: Method = loaded.build("methods", run.resolved)
    posterior = rebuild(method, Simulator(task.graph, task.observed, 0, run.seed), kept[1])
    return described(posterior, replace(posterior.known, method=run.method, budget=run.budget))


def fit_of_folder(path: Path) -> tuple[str, Posterior]:
    """Return the fit in a folder of ``ampbench infer``, and its label; its simulator is imported, but not called.

    Arguments:
        path: the folder, or its ``posterior.npz``.

    Raises:
        UsageError: there is no such folder, or no fit in it, or it cannot be read.
    """
    folder = path if path.is_dir() else path.parent
    request = _json(folder / FILE, f"{str(path)!r} is no folder of 'ampbench infer'")
    fit = folder / "posterior.npz"
    if not os.path.lexists(fit):
        raise UsageError(
            f"{folder} holds no fit (posterior.npz): method {request.get('method')} cannot restore it, or is not done"
        )
    graph, observed = _model(folder, request)
    label = f"{request['method']}, budget {request['budget']:,}"
    return label, restore_graph(fit, graph, list(observed), method=request["method"])


def calibration_of_folder(path: Path) -> tuple[str, Calibrated]:
    """Return what a folder of ``ampbench infer``, or its ``calibration.json``, says on the calibration of its fit.

    Raises:
        UsageError: it says nothing, or cannot be read.
    """
    folder = path if path.is_dir() else path.parent
    file = folder / "calibration.json"
    if not os.path.lexists(file):
        raise UsageError(
            f"{folder} holds no calibration.json: no held-out simulations were asked for, or the method is fitted to "
            "one observation; run 'ampbench infer' with --held-out 200 and an amortised method"
        )
    try:
        found = Calibration.read(files.read_text(file))
    except Exception as error:  # whatever the file holds
        raise UsageError(f"{Damage.of(file, error)}; delete it, and run 'ampbench infer' again") from error
    request = _json(folder / FILE, f"{str(path)!r} is no folder of 'ampbench infer'")
    levels = {float(level) / 100: share for level, share in found.coverage.items()}
    return f"{request.get('method')}, {folder.name}", Calibrated(found.held_out, found.ranks, levels)


def calibration_of_assessment(path: Path) -> tuple[dict[str, Calibrated], list[str]]:
    """Return the calibration of each fit of ``ampbench assess --json``, by label, and remarks on failed fits.

    Raises:
        UsageError: the file is none of these.
    """
    content = _json(path, f"{str(path)!r} is no output of 'ampbench assess --json'")
    try:
        found, failed = {}, []
        for row in content["fits"]:
            label = f"{row['method']}, budget {row['budget']:,}"
            if row["error"]:
                failed.append(f"{label} failed: {row['error']}")
                continue
            levels = {
                int(name.removeprefix("coverage_")) / 100: float(value)
                for name, value in row.items()
                if name.startswith("coverage_")
            }
            ranks = content.get("ranks", {}).get(label, {})
            found[label] = Calibrated(int(content["held_out"]), ranks, levels)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UsageError(f"{path} is no output of 'ampbench assess --json': {type(error).__name__} {error}") from error
    if not found:
        raise UsageError(f"{path} has no successful fit: {'; '.join(failed) or 'no fits'}")
    return found, failed


def _model(folder: Path, request: Mapping[str, Any]) -> tuple[Graph, tuple[str, ...]]:
    names = tuple(request.get("names") or ())
    if request.get("subject") is not None:
        return read_model(request["subject"], request["prior"], names, bool(request.get("gaps")))
    if request.get("prior") is None:
        raise UsageError(
            f"the fit in {folder} is of stored simulations whose prior was learned; in Python: "
            "training_plot(ampbench.restore(path, simulations=FILE).history)"
        )
    return read_stored(request["prior"], len(request["observation"]), names)


def _json(path: Path, otherwise: str) -> dict[str, Any]:
    try:
        found = json.loads(files.read_bytes(path, files.MAX_DATA_BYTES))
        if not isinstance(found, dict):
            raise ValueError("it holds no object")
    except Exception as error:  # whatever the file holds
        reason = getattr(error, "strerror", None) or error
        raise UsageError(f"{otherwise}: {path}: {reason}") from error
    return found
