"""Samples for pair plots: of stored runs with reference and true parameters, and of files."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ampbench import files, npz, registry
from ampbench.errors import ResultsError, UsageError
from ampbench.figures.pairs import MAX_COMPONENTS, MAX_SETS, pair_plot, pair_plots
from ampbench.graph.prior import parameter_names
from ampbench.interfaces import HasReference, ShipsReference, Task
from ampbench.metrics.references import reference_samples
from ampbench.plots.stored import selected
from ampbench.reporting.labels import labels
from ampbench.results.bundle import is_bundle, open_store
from ampbench.results.checksums import Damage, is_directory
from ampbench.text import from_csv_cell

__all__ = ["MAX_COMPONENTS", "Pairs", "of_files", "of_runs", "pair_plot", "pair_plots"]

ONE_OF = ("task", "budget", "samples", "seed", "observation")
"""The columns that runs side by side have in common."""


@dataclass(frozen=True)
class Pairs:
    """Samples of several methods for one pair plot.

    Attributes:
        samples: by label, draws (n, D).
        names: of the D components.
        title: what the samples have in common.
        reference: draws of the exact posterior, shape (m, D), or None.
        truth: true parameters, shape (D,), or None.
        remarks: what is left out.
    """

    samples: Mapping[str, Tensor]
    names: tuple[str, ...]
    title: str = ""
    reference: Tensor | None = None
    truth: Tensor | None = None
    remarks: tuple[str, ...] = ()

    def with_reference(self, path: Path | None) -> Pairs:
        """Return these samples with the reference samples of a file; unchanged without a file."""
        if path is None:
            return self
        drawn, _, remarks = _read(path)
        if drawn.shape[1] != len(self.names):
            raise UsageError(f"{path} has samples of {drawn.shape[1]} components, where {len(self.names)} should be")
        return replace(self, reference=drawn, remarks=(*self.remarks, *remarks))

    def with_truth(self, text: str) -> Pairs:
        """Return these samples with true parameters, numbers separated by commas; unchanged without a text."""
        if not text:
            return self
        try:
            values = [float(part) for part in text.split(",")]
        except ValueError as error:
            raise UsageError(f"cannot read the true parameters {text!r}; write numbers such as 0.5,-1.2") from error
        if len(values) != len(self.names) or not all(map(math.isfinite, values)):
            raise UsageError(
                f"{len(values)} true parameters {text!r}, where {len(self.names)} finite numbers should be: "
                f"{', '.join(self.names)}"
            )
        return replace(self, truth=torch.tensor(values, dtype=torch.float64))

    def choosing(self, text: str) -> Pairs:
        """Return the components that are named, or numbered from 0; without a text all, with a remark on hidden ones.

        Raises:
            UsageError: there is no such component, or there are too many.
        """
        if not text:
            more = len(self.names) - MAX_COMPONENTS
            told = f"the first {MAX_COMPONENTS} of {len(self.names)} components are drawn; choose by --components"
            return replace(self, remarks=(*self.remarks, told)) if more > 0 else self
        places = list(dict.fromkeys(self._place(part.strip()) for part in text.split(",") if part.strip()))
        if not 0 < len(places) <= MAX_COMPONENTS:
            raise UsageError(f"{len(places)} components chosen; choose 1 to {MAX_COMPONENTS}")
        cut = {label: drawn[:, places] for label, drawn in self.samples.items()}
        return replace(
            self,
            samples=cut,
            names=tuple(self.names[place] for place in places),
            reference=None if self.reference is None else self.reference[:, places],
            truth=None if self.truth is None else self.truth[places],
        )

    def _place(self, part: str) -> int:
        if part in self.names:
            return self.names.index(part)
        if re.fullmatch(r"\d{1,9}", part) and int(part) < len(self.names):
            return int(part)
        raise UsageError(f"no component {part!r}; there are: {', '.join(self.names)}, or numbers from 0")


def of_runs(results: Path, wanted: Mapping[str, Sequence[Any]]) -> Pairs:
    """Return the samples of stored runs of one task, budget, sample size, seed and observation.

    Arguments:
        results: the results directory, or a bundle.
        wanted: column → allowed values; several for ``method``.

    Raises:
        UsageError: no run matches, the runs differ in other columns than the method, or there are too many.
        ResultsError: no samples are stored; the message has the command that makes them again.
    """
    if not is_directory(results) and not is_bundle(results):
        raise ResultsError(
            f"{str(results)!r} is no results directory; only a results directory contains samples, or a bundle"
        )
    frame = selected(results, wanted, ONE_OF)
    if len(frame) > MAX_SETS:
        choices = "; ".join(f"--method {method}" for method in frame["method"])
        raise UsageError(f"{len(frame)} methods match, and at most {MAX_SETS} are drawn; choose among: {choices}")
    named, store, found, lost = labels(frame["method"]), open_store(results), dict[str, Tensor](), list[str]()
    for row in frame.sort_values("method").itertuples():
        if row.status != "ok":
            lost.append(f"{named[row.method]} failed, or a metric of it: {row.error}")
        try:
            found[named[row.method]] = torch.from_numpy(store.samples(row.key))
        except ResultsError as error:
            lost.append(f"{named[row.method]} is not drawn: {error}")
    if not found:
        raise ResultsError(f"no samples to draw: {lost[-1]}")
    first = frame.iloc[0]
    task: Task = registry.load().build("tasks", first["task"])
    title = (
        f"{first['task']}, observation {first['observation']}, {first['budget']:,} simulations, seed {first['seed']}"
    )
    pairs = Pairs(found, parameter_names(task.graph, task.latents), title, remarks=tuple(lost))
    if task.version != first["task_version"]:
        told = f"no reference: the runs are of version {first['task_version']} of the task, installed is {task.version}"
        return replace(pairs, remarks=(*pairs.remarks, told))
    return _with_exact(pairs, task, int(first["observation"]), int(first["samples"]))


def _with_exact(pairs: Pairs, task: Task, number: int, samples: int) -> Pairs:
    """Return samples with the reference and the true parameters of an observation, if there are any."""
    truth = task.numbered(number).theta
    known = truth if bool(truth.isfinite().any()) else None
    if not isinstance(task, HasReference | ShipsReference):
        told = "no reference: the task is forward-only"
        return replace(pairs, truth=known, remarks=(*pairs.remarks, told))
    return replace(pairs, truth=known, reference=reference_samples(task, number, samples))


def of_files(paths: Sequence[Path]) -> Pairs:
    """Return the samples of files.

    Arguments:
        paths: npz with an array theta (n, D), csv with a column for each component, or folders of ``ampbench infer``.

    Raises:
        UsageError: a file cannot be read, or files have other components than the first one.
    """
    found: dict[str, Tensor] = {}
    names: tuple[str, ...] = ()
    remarks: list[str] = []
    for path in paths:
        drawn, own, told = _read(path)
        names = names or own
        if len(own) != len(names) or (own != names and not {own, names} & {_numbered(len(names))}):
            raise UsageError(f"{path} has the components {', '.join(own)}, but {paths[0]} has {', '.join(names)}")
        names = own if names == _numbered(len(names)) else names
        found[str(path) if path.name in found else path.name] = drawn
        remarks += told
    return Pairs(found, names, remarks=tuple(remarks))


def _numbered(size: int) -> tuple[str, ...]:
    return tuple(f"theta[{i}]" for i in range(size))


def _read(path: Path) -> tuple[Tensor, tuple[str, ...], list[str]]:
    """Return samples (n, D), the names of the components, and a remark on rows that are left out."""
    source = path / "samples.csv" if path.is_dir() else path
    try:
        if source.suffix == ".npz":
            with files.opened(source, files.MAX_DATA_BYTES) as file:
                values = npz.read_arrays(file, names=["theta"])["theta"]
            names = _numbered(values.shape[-1])
        elif source.suffix == ".csv":
            values, names = _csv(source)
        else:
            raise ValueError("it is no .npz, no .csv, and no folder of 'ampbench infer'")
        if values.ndim != 2 or 0 in values.shape or values.dtype.kind not in "fiub":
            raise ValueError(f"theta has the shape {values.shape} and the type {values.dtype}, not (n, D) of numbers")
    except KeyError as error:
        raise UsageError(
            f"{source} has no array theta (n, D) of samples, such as 'ampbench reference export' writes; "
            "of a fit (posterior.npz) give the folder of 'ampbench infer'"
        ) from error
    except Exception as error:  # whatever the file holds
        raise UsageError(f"no samples can be read from {source}: {Damage.of(source, error).reason}") from error
    values = values.astype(float)
    good = np.isfinite(values).all(1)
    told = [] if good.all() else [f"{path}: {int((~good).sum())} of {len(good)} rows are NaN or infinite, and left out"]
    return torch.from_numpy(values[good]), names, told


def _csv(path: Path) -> tuple[np.ndarray, tuple[str, ...]]:
    import pandas as pd

    with files.opened(path, files.MAX_DATA_BYTES) as file:
        table = pd.read_csv(file, dtype=str)
    return table.astype(float).to_numpy(), tuple(from_csv_cell(str(name)) for name in table.columns)
