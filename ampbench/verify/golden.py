r"""The simulator against golden statistics: summaries of an independent implementation's output at some thetas.

Shares of samples below cut points, and shares with two neighbouring components below their cut points, are compared by
Fisher's exact test, which is valid for rare events and for discrete data; see
:class:`ampbench.interfaces.golden.Summary`.
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
    """Return the task's golden statistics; raise :class:`SkipCheck` if it has none (for its options)."""
    if not isinstance(subject.task, HasGolden):
        raise SkipCheck("the task has no golden statistics")
    try:
        return subject.task.golden()
    except UsageError as error:  # they may exist for the default options only
        raise SkipCheck(str(error)) from error


def simulator_golden(subject: Subject) -> Iterator[Finding]:
    """Compare simulations at the golden thetas with the golden statistics."""
    golden = golden_statistics(subject)
    names = subject.observed_names
    tested = []
    for i, (theta, summary) in enumerate(golden.given):
        _, x = subject.simulate(subject.effort.simulations, theta, "golden", i)
        tested += share_tests(summary, x, names, f" at golden theta {i + 1}")
    remark = f"{subject.effort.simulations} simulations at {len(golden.given)} thetas against {golden.source}"
    yield smallest("simulator", tested, remark)


def share_tests(golden: Summary, samples: Tensor, names: Sequence[str], where: str) -> list[tuple[str, float]]:
    """Compare samples (n, L) with a golden summary; return the name and the p-value of each statistic.

    Raises:
        ValueError: the numbers of components differ.
    """
    if golden.cuts.shape[1] != samples.shape[1]:
        raise ValueError(
            f"golden statistics{where} are of {golden.cuts.shape[1]} components, but {samples.shape[1]} were drawn; "
            "record them again"
        )
    statistics = [*(f"{level:.0%} cut of {{}}" for level in LEVELS), "{} with the next"]
    table = shares(golden, samples)
    return [
        (statistics[row].format(name) + where, float(table[row, column]))
        for row in range(len(statistics))
        for column, name in enumerate(names)
    ]
