r"""The simulator against golden statistics: what an independent implementation produced at some theta.

Shares below cut points, and shares of neighbours that lie below theirs together, are compared by Fisher's exact test,
which holds for rare events and for discrete data; see :class:`ampbench.interfaces.golden.Summary`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from torch import Tensor

from ampbench.errors import UsageError
from ampbench.interfaces import HasGolden
from ampbench.interfaces.golden import LEVELS, Golden, Summary
from ampbench.verify.finding import Finding, SkipCheck, smallest
from ampbench.verify.statistics import shares
from ampbench.verify.subject import Subject


def golden_statistics(subject: Subject) -> Golden:
    """Return the task's golden statistics; raises :class:`SkipCheck` if it has none (for these options)."""
    if not isinstance(subject.task, HasGolden):
        raise SkipCheck("the task has no golden statistics")
    try:
        return subject.task.golden()
    except UsageError as error:  # they may exist for the default options only
        raise SkipCheck(str(error)) from error


def simulator_golden(subject: Subject) -> Iterator[Finding]:
    """Compare simulations at the golden thetas."""
    golden = golden_statistics(subject)
    names = subject.observed_names
    tested = []
    for i, (theta, law) in enumerate(golden.given):
        _, x = subject.simulate(subject.effort.simulations, theta, "golden", i)
        tested += share_tests(law, x, names, f" at golden theta {i + 1}")
    remark = f"{subject.effort.simulations} simulations at {len(golden.given)} thetas against {golden.source}"
    yield smallest("simulator", tested, remark)


def share_tests(law: Summary, samples: Tensor, names: Sequence[str], place: str) -> list[tuple[str, float]]:
    """Compare samples (n, L) with a law: what was tested, and its p-value."""
    if law.cuts.shape[1] != samples.shape[1]:
        raise ValueError(
            f"golden statistics{place} are of {law.cuts.shape[1]} components, but {samples.shape[1]} were drawn; "
            "record them again"
        )
    what = [*(f"{level:.0%} cut of {{}}" for level in LEVELS), "{} with the next"]
    table = shares(law, samples)
    return [
        (what[row].format(name) + place, float(table[row, column]))
        for row in range(len(what))
        for column, name in enumerate(names)
    ]
