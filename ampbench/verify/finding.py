"""Findings of checks, and the verdicts on them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

SIGNIFICANCE_LEVEL = 1e-3
"""Family-wise level of one task: the probability that a correct task fails in any of its checks."""

Verdict = Literal["ok", "failed", "skipped"]


@dataclass(frozen=True)
class Finding:
    """One result of a check: a p-value, or a deterministic verdict.

    Attributes:
        check: the check's name.
        detail: the result in words.
        p: the p-value, corrected for the number of statistics that the check tested; None for a deterministic result.
        verdict: the verdict of a deterministic result; a finding with a p-value gets its verdict from :func:`judge`.
    """

    check: str
    detail: str
    p: float | None = None
    verdict: Verdict = "ok"


@dataclass(frozen=True)
class Row:
    """One row of a certification: a finding with its verdict, in numbers and strings only."""

    task: str
    check: str
    verdict: Verdict
    detail: str
    p: float | None = None


class SkipCheck(Exception):  # noqa: N818 — not an error
    """Raised by a check that cannot be applied to a task; the message is the reason."""


def smallest(check: str, tested: Sequence[tuple[str, float]], remark: str = "") -> Finding:
    """Combine p-values to one finding: the smallest times their number (Bonferroni). A p-value of NaN counts as 0.

    Arguments:
        check: the check's name.
        tested: the name and the p-value of each statistic.
        remark: text that is appended to the finding's detail.

    Raises:
        SkipCheck: ``tested`` is empty.

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
    """Turn the findings of a task into rows with verdicts.

    A p-value fails below :data:`SIGNIFICANCE_LEVEL` divided by the number of p-values of the task.

    Example:
        >>> [row.verdict for row in judge("mine", [Finding("prior", "", 0.3), Finding("simulator", "", 1e-9)])]
        ['ok', 'failed']
    """
    number = sum(finding.p is not None for finding in findings)
    return [
        Row(task, finding.check, _verdict(finding, SIGNIFICANCE_LEVEL / max(1, number)), finding.detail, finding.p)
        for finding in findings
    ]


def _verdict(finding: Finding, level: float) -> Verdict:
    if finding.p is None:
        return finding.verdict
    return "ok" if finding.p >= level else "failed"
