"""Run all checks on one task; an exception in one check does not stop the others."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from ampbench.errors import unknown
from ampbench.faults import named, pass_interruption
from ampbench.verify.calibration import calibration
from ampbench.verify.finding import Finding, Row, SkipCheck, judge
from ampbench.verify.golden import simulator_golden
from ampbench.verify.importance import importance
from ampbench.verify.likelihood import likelihood
from ampbench.verify.population import population
from ampbench.verify.prior import prior_density, prior_golden, prior_moments
from ampbench.verify.reference import reference, reference_balance, shipped
from ampbench.verify.reproducibility import reproducibility
from ampbench.verify.rows import rows
from ampbench.verify.shapes import shapes
from ampbench.verify.subject import Subject

Check = Callable[[Subject], Iterator[Finding]]

CHECKS: Mapping[str, Check] = {
    "shapes": shapes,
    "rows": rows,
    "reproducible": reproducibility,
    "prior golden": prior_golden,
    "prior moments": prior_moments,
    "prior density": prior_density,
    "simulator": simulator_golden,
    "likelihood": likelihood,
    "reference": reference,
    "balance": reference_balance,
    "importance": importance,
    "second sampler": population,
    "shipped": shipped,
    "calibration": calibration,
}
"""The checks by name, from deterministic to statistical and from cheap to expensive."""


def quiet(check: str) -> None:
    """Report no progress."""


def certify(
    name: str, subject: Subject, checks: Sequence[str] = tuple(CHECKS), progress: Callable[[str], None] = quiet
) -> list[Row]:
    """Run checks on a task, and return one row per finding.

    Arguments:
        name: the task's name in the rows.
        subject: the task, with the seed and the effort of the certification.
        checks: names of checks in :data:`CHECKS`.
        progress: called with the name of each check before it begins.

    Raises:
        UsageError: an unknown check.
    """
    findings = []
    for check in checks:
        if check not in CHECKS:
            raise unknown("check", check, CHECKS)
        progress(check)
        findings += _findings(check, subject)
    return judge(name, findings)


def _findings(check: str, subject: Subject) -> list[Finding]:
    """Return the findings of one check; an exception becomes a failed finding."""
    findings = []
    try:
        for finding in CHECKS[check](subject):
            findings.append(finding)
    except SkipCheck as reason:
        findings.append(Finding(check, str(reason), None, "skipped"))
    except BaseException as error:  # a third party's task may raise anything
        pass_interruption(error)
        findings.append(Finding(check, named(error), None, "failed"))
    return findings
