r"""Are the rows of a batch independent draws of one law?

A simulator that draws a mixture's component, or a noise scale, once per *batch* has the right marginal law over many
calls, and is wrong in each. Three tests, at one theta and over the prior:

- batches: ranks, and their distances to the middle rank, do not depend on the batch (Kruskal-Wallis per component);
- neighbours: neither are they correlated between consecutive rows;
- single rows: batches of one row against the batches together, which finds a normalisation over the batch.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from ampbench.verify.finding import Finding, smallest
from ampbench.verify.statistics import groups, neighbours, two_sample
from ampbench.verify.subject import Subject

SIZE = 150
"""Rows of a batch."""
SINGLES = 30
"""Batches of one row."""
WIDEST = 30
"""Of larger vectors, so many components are looked at."""


def rows(subject: Subject) -> Iterator[Finding]:
    """Check that rows are independent and identically distributed, within and between batches."""
    theta = subject.fresh("rows").theta
    tested = []
    for place, given in (("over the prior", None), ("at one theta", theta)):
        batches = [
            _joint(subject.simulate(SIZE, given, "rows", place, i), given) for i in range(subject.effort.batches)
        ]
        singles = torch.cat(
            [_joint(subject.simulate(1, given, "rows", place, "one", i), given) for i in range(SINGLES)]
        )
        columns = _columns(batches[0].shape[1])
        names = [f"{_name(subject, given, column)} {place}" for column in columns.tolist()]
        tested += _tests([batch[:, columns] for batch in batches], singles[:, columns], names)
    yield smallest("rows", tested, f"{subject.effort.batches} batches of {SIZE}, {SINGLES} of 1")


def _joint(values: tuple[Tensor, Tensor], given: Tensor | None) -> Tensor:
    """Theta and x, or x alone where theta is fixed."""
    return torch.cat(values, dim=1) if given is None else values[1]


def _tests(batches: list[Tensor], singles: Tensor, names: list[str]) -> list[tuple[str, float]]:
    together = torch.cat(batches)
    tested = [(f"{name}, batches of one row", p) for name, p in zip(names, two_sample(singles, together), strict=True)]
    for k, name in enumerate(names):
        tested += [(f"{name}, {len(batches)} batches", p) for p in groups(torch.stack(batches)[..., k, None])]
        tested += [(f"{name}, consecutive rows", p) for p in neighbours(together[:, k, None])]
    return tested


def _columns(width: int) -> Tensor:
    return torch.linspace(0, width - 1, min(width, WIDEST)).round().long()


def _name(subject: Subject, given: Tensor | None, column: int) -> str:
    observed = subject.observed_names
    return ([*subject.names, *observed] if given is None else observed)[column]
