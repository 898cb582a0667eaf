"""Certification: a task is examined by everything it can show, not trusted.

:func:`certify` runs the checks of this package, one per file, on any task, and returns frozen rows. A check with a
statistic gives a p-value that already accounts for all the statistics it looked at; a row fails below 0.001 divided by
the number of p-values of the task, so that a correct task fails by chance in one of a thousand examinations.
"""

from ampbench.verify.certify import CHECKS, certify
from ampbench.verify.finding import LEVEL, Row
from ampbench.verify.subject import QUICK, Effort, Subject

__all__ = ["CHECKS", "LEVEL", "QUICK", "Effort", "Row", "Subject", "certify"]
