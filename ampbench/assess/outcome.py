"""Outcomes of fits, and the detection of faults of their calibration."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from torch import Tensor

from ampbench.statistics.multiple_testing import holm

SIGNIFICANCE_LEVEL = 0.05
"""Significance level of the tests of calibration over all fits together, and of each comparison of scores."""

DISPERSION_THRESHOLD = 3.0
"""Smallest absolute value of ``Outcome.dispersion_z`` that shows over- or underconfidence."""

Fault = str
"""``none found``, ``overconfident`` (too narrow), ``underconfident`` (too wide), ``biased`` (neither), or
``wrong at x_o``: no fault on average, but one at the user's observation."""


@dataclass(frozen=True)
class Outcome:
    """The evaluation of one fit; for a failed fit, its error only.

    Attributes:
        method: the method's spec.
        budget: number of simulations allowed.
        error: the error message of a failed fit, or "".
        warning: texts of the fit's warnings, or "".
        spent: number of simulations used, failed ones included.
        failures: number of these simulations that failed.
        fit_seconds: duration of the fit, in seconds.
        sample_seconds: mean duration of drawing at one observation, in seconds.
        scores: scoring rule → scores at all held-out simulations, shape (B,).
        coverage: level → frequency with which central intervals contain the truth, mean over components.
        p: p-value of the hypothesis that the fit is calibrated, corrected for the number of test statistics.
        p_at_observation: p-value of L-C2ST at the user's own observation; NaN without an observation.
        output: the end of the output of a crashed process, or the location of the crash.
        dispersion_z: z-score of the distance of the truth from the centre of the posterior; positive if the posterior
            is too narrow, negative if it is too wide.
    """

    method: str
    budget: int
    error: str = ""
    warning: str = ""
    spent: int = 0
    failures: int = 0
    fit_seconds: float = float("nan")
    sample_seconds: float = float("nan")
    scores: Mapping[str, Tensor] = field(default_factory=dict)
    coverage: Mapping[float, float] = field(default_factory=dict)
    p: float = float("nan")
    dispersion_z: float = 0.0
    p_at_observation: float = float("nan")
    output: str = ""
    ranks: Tensor | None = None

    @property
    def ok(self) -> bool:
        """Whether the fit succeeded."""
        return not self.error

    @property
    def label(self) -> str:
        """Method and budget, as part of a sentence."""
        return f"{self.method} with {self.budget:,} simulations"


def faults(found: Sequence[Outcome]) -> list[Fault]:
    """Return the fault of calibration of each outcome; "" for a failed fit."""
    p_values = [each.p if each.ok else math.nan for each in found] + [each.p_at_observation for each in found]
    rejected = (holm(p_values) <= SIGNIFICANCE_LEVEL).tolist()
    pairs = zip(found, rejected[: len(found)], rejected[len(found) :], strict=True)
    return [_fault(each, on_average, locally) if each.ok else "" for each, on_average, locally in pairs]


def _fault(outcome: Outcome, on_average: bool, locally: bool) -> Fault:
    if not on_average:
        return "wrong at x_o" if locally else "none found"
    if abs(outcome.dispersion_z) < DISPERSION_THRESHOLD:
        return "biased"
    return "overconfident" if outcome.dispersion_z > 0 else "underconfident"
