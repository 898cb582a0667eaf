"""``ampbench infer``: the posterior of your data, as files in a folder."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from ampbench import registry
from ampbench.analysis import Analysis, Calibration, Request
from ampbench.assess.subject import read_model, read_observation
from ampbench.cli.interruption import exit_status, interruptible
from ampbench.cli.terminal import print_folded, print_table
from ampbench.counts import count
from ampbench.devices import usable_device
from ampbench.errors import AmpbenchError, UsageError
from ampbench.running.failures import describe_with_line

if TYPE_CHECKING:
    from pandas import DataFrame

LEAST = {"budget": 1, "samples": 2, "predictions": 0, "held_out": 0, "seed": 0}
"""Smallest value of each count."""


def run_infer(
    subject: str,
    prior: str | None,
    names: str,
    observation: str,
    method: str,
    counts: Mapping[str, int],
    output: Path,
    device: str,
    threads: int,
) -> int:
    """Infer, print a summary, and return the exit code: 1 if a step failed, 130 after Ctrl-C, 143 after SIGTERM.

    Arguments:
        subject: ``module:simulator`` if there is a prior, else a task's spec.
        prior: ``module:distribution``, or an expression such as ``uniform(0,10)^2``.
        names: of the components of theta, separated by commas.
        observation: numbers separated by commas, or the path of a file.
        method: the method's spec.
        counts: the fields of :class:`ampbench.analysis.Request` that are numbers.
        output: the folder of the files.
        device: any torch device.
        threads: CPU threads.
    """
    for name, least in LEAST.items():
        count(name.replace("_", "-"), counts[name], least)
    if counts["predictions"] > counts["samples"]:
        raise UsageError(
            f"{counts['predictions']} predictions need as many posterior draws, but --samples is {counts['samples']}"
        )
    usable_device(device)
    registry.load().checked("methods", method)
    called = tuple(part.strip() for part in names.split(",")) if names else ()
    graph, observed = read_model(subject, prior, called)
    x = tuple(read_observation(observation).double().tolist())
    request = Request(subject, prior, called, x, method, **counts)
    analysis = Analysis(request, output, graph, observed, device, threads)
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


def _predicted(predictions: DataFrame, observation: tuple[float, ...]) -> str:
    """Return how many components of the observation lie in the central intervals of their predictions."""
    low, high = predictions.quantile(0.025), predictions.quantile(0.975)
    inside = sum(a <= value <= b for a, value, b in zip(low, observation, high, strict=True))
    return (
        f"Posterior predictive: {inside} of {len(observation)} components of the observation lie in the central 95 % "
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
