"""The arguments of ``ampbench infer``, and the analysis that they ask for."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ampbench import registry
from ampbench.analysis import Analysis, Request
from ampbench.assess.simulations import Prepared, split_stored
from ampbench.assess.subject import read_observation
from ampbench.cli.simulations import SimulationOptions, subject_of
from ampbench.counts import count
from ampbench.devices import usable_device
from ampbench.errors import UsageError
from ampbench.graph.failures import check_failed
from ampbench.simulations import Simulations, StoredSimulator, warn_if_other_prior

DEFAULT_BUDGET = 10_000
"""Number of simulations of a fit, unless another one is given."""
LEAST = {"budget": 1, "samples": 2, "predictions": 0, "held_out": 0, "seed": 0}
"""Smallest value of each count."""


@dataclass(frozen=True)
class InferArguments:
    """The arguments, as they were given.

    Attributes:
        subject: ``module:simulator`` if there is a prior, else a task's spec; None for stored simulations.
        prior: ``module:distribution``, or an expression such as ``uniform(0,10)^2``.
        names: of the components of theta, separated by commas.
        observation: numbers separated by commas, or the path of a file.
        method: the method's spec.
        counts: the fields of :class:`ampbench.analysis.Request` that are numbers; of the budget, None is 10,000, or all
            stored simulations.
        simulations: where simulations come from.
        output: the folder of the files.
        device: any torch device.
        threads: CPU threads.
        timeout: seconds that a batch may take in a child process; None for no limit.
    """

    subject: str | None
    prior: str | None
    names: str
    observation: str
    method: str
    counts: Mapping[str, int | None]
    simulations: SimulationOptions
    output: Path
    device: str
    threads: int
    timeout: float | None


def analysis_of(given: InferArguments) -> Analysis:
    """Return the analysis that the arguments ask for; raises :class:`UsageError` if they contradict each other."""
    usable_device(given.device)
    registry.load().checked("methods", given.method)
    options, stored = given.simulations, given.simulations.stored()
    numbers = _checked(given.counts, stored)
    names = tuple(part.strip() for part in given.names.split(",")) if given.names else ()
    graph, observed = subject_of(given.subject, given.prior, stored, names, options.gaps)()
    prepared = None
    if stored is not None:
        warn_if_other_prior(StoredSimulator(graph, observed, None, numbers["seed"], stored))
        prepared = _split(stored, numbers)
    x = [None if math.isnan(value) else value for value in read_observation(given.observation).double().tolist()]
    request = Request(
        given.subject,
        given.prior,
        names,
        tuple(x),
        given.method,
        **numbers,
        simulations="" if stored is None else f"{options.file}, checksum {stored.checksum}",
        batch=options.batch_size,
        failed=check_failed(options.failed),
        gaps=options.gaps,
    )
    device, threads, workers = given.device, given.threads, options.workers or 0
    return Analysis(request, given.output, graph, observed, device, threads, prepared, workers, given.timeout)


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


def _split(stored: Simulations, numbers: Mapping[str, int]) -> Prepared:
    """Return training and held-out simulations."""
    if numbers["held_out"]:
        return split_stored(stored, numbers["held_out"], numbers["seed"])
    return Prepared(stored, stored)
