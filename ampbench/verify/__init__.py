"""Certification: statistical tests of a task's prior, simulator, likelihood and reference.

:func:`certify` runs the checks of this package on a task and returns one row per finding. Checks that need a
capability which the task lacks (a likelihood, a reference, golden statistics) are skipped. A check that computes
statistics gives one p-value, corrected for their number. A row fails if its p-value is below
:data:`SIGNIFICANCE_LEVEL` = 0.001 divided by the number of p-values of the task, so that a correct task fails by chance
in at most one of a thousand certifications.
"""

from ampbench.verify.certify import CHECKS, certify
from ampbench.verify.finding import SIGNIFICANCE_LEVEL, Row
from ampbench.verify.subject import QUICK_EFFORT, Effort, Subject

__all__ = ["CHECKS", "QUICK_EFFORT", "SIGNIFICANCE_LEVEL", "Effort", "Row", "Subject", "certify"]
