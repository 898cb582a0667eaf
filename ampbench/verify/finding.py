"""What a check finds, and the verdict on it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

LEVEL = 1e-3
"""Probability that a correct task fails by chance, over all its checks together."""

Verdict = Literal["ok", "failed", "skipped"]


@dataclass(frozen=True)
class Finding:
    """What one check found: a probability, or a plain fact.

    Attributes:
        check: the check's name.
        detail: the statistics in words.
        p: the p-value, corrected for the number of statistics that the check looked at; None for a plain fact.
        verdict: of a plain fact; a finding with a p-value gets its verdict from :func:`judge`.
    """

    check: str
    detail: str
    p: float | None = None
    verdict: Verdict = "ok"


@dataclass(frozen=True)
class Row:
    """One line of the report on a task: numbers and strings only."""

    task: str
    check: str
    verdict: Verdict
    detail: str
    p: float | None = None


class SkipCheck(Exception):  # noqa: N818 — not an error
    """Raised by a check that has nothing to look at; the message is the reason."""


def smallest(check: str, tested: Sequence[tuple[str, float]], remark: str = "") -> Finding:
    r"""Join many p-values to one finding: the smallest times their number (Bonferroni).

    Arguments:
        check: the check's name.
        tested: what was tested, and its p-value.
        remark: what else the reader should know.

    A p-value that is NaN counts as 0.

    Raises:
        SkipCheck: nothing was tested.

    Example:
        >>> smallest("prior", [("mean of theta[0]", 0.5), ("mean of theta[1]", 0.01)])
        Finding(check='prior', detail='2 statistics, lowest: mean of theta[1]', p=0.02, verdict='ok')
    """
    if not tested:
        raise SkipCheck(remark or "no statistic of it can be judged")
    name, p = min(((what, 0.0 if math.isnan(p) else p) for what, p in tested), key=lambda each: each[1])
    detail = f"{len(tested)} statistics, lowest: {name}" + (f"; {remark}" if remark else "")
    return Finding(check, detail, min(1.0, p * len(tested)))


def judge(task: str, findings: Sequence[Finding]) -> list[Row]:
    """Turn findings into rows: a p-value fails below ``LEVEL`` divided by the number of p-values of the task.

    Example:
        >>> [row.verdict for row in judge("mine", [Finding("prior", "", 0.3), Finding("simulator", "", 1e-9)])]
        ['ok', 'failed']
    """
    number = sum(finding.p is not None for finding in findings)
    return [
        Row(task, finding.check, _verdict(finding, LEVEL / max(1, number)), finding.detail, finding.p)
        for finding in findings
    ]


def _verdict(finding: Finding, level: float) -> Verdict:
    if finding.p is None:
        return finding.verdict
    return "ok" if finding.p >= level else "failed"
