"""Deterministic checks: shapes, finite values and supports of simulations and of numbered observations.

The graph refuses wrong shapes, NaN and values outside the declared supports when it is sampled, so that a large
simulation checks them. Batches of one row are simulated too, and numbered observations are checked explicitly.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch

from ampbench.errors import UsageError
from ampbench.interfaces import Observation
from ampbench.verify.finding import Finding
from ampbench.verify.subject import Subject

SINGLE_ROW_BATCHES = 5
"""Number of batches of one row."""


def shapes(subject: Subject) -> Iterator[Finding]:
    """Check simulations, numbered observations, and the refusal of a number that does not exist."""
    theta, x = subject.simulate(subject.effort.simulations, None, "shapes")
    for i in range(SINGLE_ROW_BATCHES):
        subject.simulate(1, theta[i], "one row", i)
    yield Finding("shapes", f"{len(x)} simulations: theta {theta.shape[1]}, x {x.shape[1]}, finite, in their supports")
    numbered = subject.task.observations()
    faults = [f"observation {number}: {fault}" for number, each in numbered.items() if (fault := _fault(subject, each))]
    faults += _unknown_number(subject)
    yield Finding(
        "observations",
        "; ".join(faults) or f"{len(numbered)} numbered observations",
        None,
        "failed" if faults else "ok",
    )


def _fault(subject: Subject, observation: Observation) -> str:
    """Return a description of the fault of an observation; empty if it has none."""
    task, sizes = subject.task, subject.sizes
    width = sum(sizes[name] for name in task.observed)
    if observation.x.shape != (width,):
        return f"x has shape {tuple(observation.x.shape)}, but simulations have ({width},)"
    if not bool(torch.isfinite(observation.x).all()):
        return "x is not finite"
    theta = observation.theta
    if theta is None or bool(theta.isnan().all()):  # real data: the true parameters are unknown
        return ""
    if theta.shape != (len(subject.names),):
        return f"theta has shape {tuple(theta.shape)}, but the prior draws ({len(subject.names)},)"
    parts = theta[None].split([sizes[name] for name in task.latents], dim=1)
    for name, part in zip(task.latents, parts, strict=True):
        support = task.graph[name].support
        if not bool(torch.all(support.check(part))):
            return f"{name} = {part[0].tolist()} is outside its support {support}"
    return ""


def _unknown_number(subject: Subject) -> list[str]:
    """Return a fault if the task does not refuse an observation number that does not exist."""
    try:
        subject.task.numbered(-1)
    except UsageError:
        return []
    return ["observation -1 was not refused with a UsageError"]
