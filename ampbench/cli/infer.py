"""``ampbench infer``: the posterior of your data, as files in a folder."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ampbench import registry
from ampbench.analysis import Analysis, Calibration, Request
from ampbench.assess.simulations import Prepared, split_stored
from ampbench.assess.subject import read_model, read_observation
from ampbench.cli.interruption import exit_status, interruptible
from ampbench.cli.simulations import SimulationOptions, subject_of
from ampbench.cli.terminal import print_folded, print_table
from ampbench.counts import count
from ampbench.devices import usable_device
from ampbench.errors import AmpbenchError, UsageError
from ampbench.graph import Graph
from ampbench.graph.failures import check_failed
from ampbench.running.failures import describe_with_line
from ampbench.simulations import Simulations, StoredSimulator, warn_if_other_prior

if TYPE_CHECKING:
    from pandas import DataFrame

DEFAULT_BUDGET = 10_000
"""Number of simulations of a fit, unless another one is given."""
LEAST = {"budget": 1, "samples": 2, "predictions": 0, "held_out": 0, "seed": 0}
"""Smallest value of each count."""


@dataclass(frozen=True)
class Model:
    """What the arguments say about the model.

    Attributes:
        subject: ``module:simulator`` if there is a prior, else a task's spec; None for stored simulations.
        prior: ``module:distribution``, or an expression such as ``uniform(0,10)^2``.
        names: of the components of theta, separated by commas.
        simulations: stored simulations, or batches in child processes.
        failed: what becomes of failed simulations: ``error``, ``drop`` or ``code``.
        gaps: whether NaN in x is a missing entry.
    """

    subject: str | None
    prior: str | None
    names: str
    simulations: SimulationOptions
    failed: str
    gaps: bool


def run_infer(
    model: Model,
    observation: str,
    method: str,
    counts: Mapping[str, int | None],
    output: Path,
    device: str,
    threads: int,
    timeout: float | None,
) -> int:
    """Infer, print a summary, and return the exit code: 1 if a step failed, 130 after Ctrl-C, 143 after SIGTERM.

    Arguments:
        model: prior and simulator, or stored simulations.
        observation: numbers separated by commas, or the path of a file.
        method: the method's spec.
        counts: the fields of :class:`ampbench.analysis.Request` that are numbers; of the budget, None is 10,000, or all
            stored simulations.
        output: the folder of the files.
        device: any torch device.
        threads: CPU threads.
        timeout: seconds that a batch may take in a child process; None for no limit.
    """
    usable_device(device)
    registry.load().checked("methods", method)
    analysis = _analysis(model, observation, method, counts, output, device, threads, timeout)
    try:
        with interruptible():
            analysis.begin()
            missing = _report(analysis)
    except KeyboardInterrupt as error:
        word, code = exit_status(error)
        remark = f"finished steps are in {output}, and the same command again continues"
        print(f"ampbench: {word}; {remark}", file=sys.stderr)
        return code
    except AmpbenchError:
        raise
    except Exception as error:  # of the user's simulator, or of a plugin
        print(f"ampbench: {describe_with_line(error)}", file=sys.stderr)
        return 1
    print()
    print_folded(f"Files in {output}: {', '.join(sorted(each.name for each in output.iterdir()))}")
    for each in missing:
        print_folded(each)
    return 0


def _analysis(
    model: Model,
    observation: str,
    method: str,
    counts: Mapping[str, int | None],
    output: Path,
    device: str,
    threads: int,
    timeout: float | None,
) -> Analysis:
    """Return the analysis that the arguments ask for; raises :class:`UsageError` if they contradict each other."""
    options, stored = model.simulations, model.simulations.stored()
    failed = check_failed(model.failed)
    if stored is not None and (failed != "error" or model.gaps):
        raise UsageError(
            "--failed and --gaps are for a simulator, but --simulations gives finite values; leave them out"
        )
    numbers = _checked(counts, stored)
    names = tuple(part.strip() for part in model.names.split(",")) if model.names else ()
    graph, observed = _read(model, stored, names)
    prepared = None
    if stored is not None:
        warn_if_other_prior(StoredSimulator(graph, observed, None, numbers["seed"], stored))
        prepared = _split(stored, numbers)
    x = [None if math.isnan(value) else value for value in read_observation(observation).double().tolist()]
    request = Request(
        model.subject,
        model.prior,
        names,
        tuple(x),
        method,
        **numbers,
        simulations="" if stored is None else f"{options.file}, checksum {stored.checksum}",
        batch=options.batch_size,
        failed=failed,
        gaps=model.gaps,
    )
    return Analysis(
        request, output, graph, observed, device, threads, prepared, workers=options.workers or 0, timeout=timeout
    )


def _checked(counts: Mapping[str, int | None], stored: Simulations | None) -> dict[str, int]:
    """Return the counts, with those that follow from stored simulations."""
    numbers = {name: value for name, value in counts.items() if value is not None}
    for name, value in numbers.items():
        count(name.replace("_", "-"), value, LEAST[name])
    if stored is not None:
        numbers = {"budget": len(stored) - numbers["held_out"]} | numbers | {"predictions": 0}
    numbers = {"budget": DEFAULT_BUDGET} | numbers
    if numbers["predictions"] > numbers["samples"]:
        raise UsageError(
            f"{numbers['predictions']} predictions need as many posterior draws, but --samples is {numbers['samples']}"
        )
    return numbers


def _read(model: Model, stored: Simulations | None, names: Sequence[str]) -> tuple[Graph, tuple[str, ...]]:
    """Return graph and observed variables."""
    if stored is None and model.subject is not None:
        return read_model(model.subject, model.prior, names, model.gaps)
    read = subject_of(model.subject, model.prior, replace(stored, names=tuple(names)) if stored and names else stored)
    return read()


def _split(stored: Simulations, numbers: Mapping[str, int]) -> Prepared:
    """Return training and held-out simulations."""
    if numbers["held_out"]:
        return split_stored(stored, numbers["held_out"], numbers["seed"])
    return Prepared(stored, stored)


def _report(analysis: Analysis) -> list[str]:
    """Do all steps, print what they found, and return remarks on missing files."""
    request = analysis.request
    samples = analysis.samples
    print_folded(f"{request.method}, {request.budget:,} simulations, {len(samples):,} posterior draws")
    _print_summary(analysis.summary)
    print()
    if request.predictions:
        print_folded(_predicted(analysis.predictions, request.observation))
    if request.held_out:
        _print_calibration(analysis.calibration)
    return analysis.plots()


def _print_summary(table: DataFrame) -> None:
    rows = zip(table.index, table.to_numpy().tolist(), strict=True)
    print_table(["parameter", *map(str, table.columns)], ([name, *row] for name, row in rows))


def _predicted(predictions: DataFrame, observation: tuple[float | None, ...]) -> str:
    """Return how many components of the observation lie in the central intervals of their predictions."""
    low, high = predictions.quantile(0.025), predictions.quantile(0.975)
    given = [(a, value, b) for a, value, b in zip(low, observation, high, strict=True) if value is not None]
    inside = sum(a <= value <= b for a, value, b in given)
    return (
        f"Posterior predictive: {inside} of {len(given)} components of the observation lie in the central 95 % "
        f"of {len(predictions):,} simulations at posterior draws."
    )


def _print_calibration(found: Calibration | None) -> None:
    if found is None:
        print_folded("Calibration is not tested: a sequential method is fitted to one observation.")
        return
    levels = ", ".join(f"{value:.0%} in {level} % intervals" for level, value in found.coverage.items())
    print_folded(
        f"Calibration on {found.held_out:,} held-out simulations: fault {found.fault} (p-value {found.p:.2g}); true "
        f"parameters in central intervals: {levels}."
    )
    if found.outside:
        print_folded(
            f"Your observation lies outside the range of the held-out simulations: {found.outside}. The posterior "
            "is an extrapolation there; check simulator, prior and units."
        )
