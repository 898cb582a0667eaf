r"""Rows of a batch: tests that they are independent draws of one distribution.

A simulator that draws a mixture's component, or a noise scale, once per *batch* has the right marginal distribution
over many calls, but its rows depend on each other. Three tests of each component, at one theta and over the prior:

- batches: ranks, and their distances to the middle rank, do not depend on the batch (Kruskal-Wallis test);
- neighbours: neither ranks nor these distances are correlated between consecutive rows;
- single rows: batches of one row have the distribution of the pooled larger batches (Kolmogorov-Smirnov test), which
  detects a normalisation over the batch.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from ampbench.verify.finding import Finding, smallest
from ampbench.verify.statistics import groups, neighbours, two_sample
from ampbench.verify.subject import Subject

BATCH_SIZE = 150
"""Number of rows of a batch."""
SINGLE_ROW_BATCHES = 30
"""Number of batches of one row."""
MAX_COMPONENTS = 30
"""Largest number of components that are tested."""


def rows(subject: Subject) -> Iterator[Finding]:
    """Check that rows are independent and identically distributed, within and between batches."""
    theta = subject.fresh("rows").theta
    tested = []
    for where, given in (("over the prior", None), ("at one theta", theta)):
        batches = [
            _joint(subject.simulate(BATCH_SIZE, given, "rows", where, i), given) for i in range(subject.effort.batches)
        ]
        singles = torch.cat(
            [_joint(subject.simulate(1, given, "rows", where, "one", i), given) for i in range(SINGLE_ROW_BATCHES)]
        )
        columns = _columns(batches[0].shape[1])
        names = [f"{_name(subject, given, column)} {where}" for column in columns.tolist()]
        tested += _tests([batch[:, columns] for batch in batches], singles[:, columns], names)
    yield smallest("rows", tested, f"{subject.effort.batches} batches of {BATCH_SIZE}, {SINGLE_ROW_BATCHES} of 1")


def _joint(values: tuple[Tensor, Tensor], given: Tensor | None) -> Tensor:
    """Return theta and x joined, or x alone if theta is fixed."""
    return torch.cat(values, dim=1) if given is None else values[1]


def _tests(batches: list[Tensor], singles: Tensor, names: list[str]) -> list[tuple[str, float]]:
    """Return the name and the p-value of each test, for batches (n, K) and single rows (m, K) of K components."""
    together = torch.cat(batches)
    tested = [(f"{name}, batches of one row", p) for name, p in zip(names, two_sample(singles, together), strict=True)]
    for k, name in enumerate(names):
        tested += [(f"{name}, {len(batches)} batches", p) for p in groups(torch.stack(batches)[..., k, None])]
        tested += [(f"{name}, consecutive rows", p) for p in neighbours(together[:, k, None])]
    return tested


def _columns(width: int) -> Tensor:
    return torch.linspace(0, width - 1, min(width, MAX_COMPONENTS)).round().long()


def _name(subject: Subject, given: Tensor | None, column: int) -> str:
    observed = subject.observed_names
    return ([*subject.names, *observed] if given is None else observed)[column]
