"""What was found out about one fit, and what is wrong with its calibration."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from torch import Tensor

from ampbench.statistics.multiple_testing import holm

LEVEL = 0.05
"""Probability of a false alarm, over all fits together, and of each comparison of scores."""


SURE = 3.0
"""Standard errors from which coverage surely leans to one side."""


Fault = str
"""``none found``, ``overconfident`` (too narrow), ``underconfident`` (too wide), ``biased`` (neither), or
``wrong at x_o``: no fault on average, but one at the user's observation."""


@dataclass(frozen=True)
class Outcome:
    """What was found out about one fit; of one that failed, the reason alone.

    Attributes:
        method: its spec.
        budget: simulations it was given.
        error: why it failed, or "".
        warning: what it warned of, or "".
        spent: simulations it took.
        fit_seconds: time of the fit.
        sample_seconds: mean time of drawing for one observation.
        scores: by rule, the scores at all held-out simulations, shape (B,) each.
        coverage: by level, how often central intervals hold the truth: the mean over components.
        p: that of the hypothesis that it is calibrated, corrected for the statistics looked at.
        p_at_observation: the p-value of L-C2ST at the user's own observation; NaN without one.
        output: the end of what the process of a failed fit printed, or where it crashed.
        dispersion_z: standard errors by which the truth lies too far out in the posterior; negative: too far in.
    """

    method: str
    budget: int
    error: str = ""
    warning: str = ""
    spent: int = 0
    fit_seconds: float = float("nan")
    sample_seconds: float = float("nan")
    scores: Mapping[str, Tensor] = field(default_factory=dict)
    coverage: Mapping[float, float] = field(default_factory=dict)
    p: float = float("nan")
    dispersion_z: float = 0.0
    p_at_observation: float = float("nan")
    output: str = ""

    @property
    def ok(self) -> bool:
        """Whether it can be judged."""
        return not self.error

    @property
    def label(self) -> str:
        """Method and budget, for sentences."""
        return f"{self.method} with {self.budget:,} simulations"


def faults(found: Sequence[Outcome]) -> list[Fault]:
    """Say what is wrong with the calibration of each outcome that is ok; "" of one that is not."""
    p_values = [each.p if each.ok else math.nan for each in found] + [each.p_at_observation for each in found]
    rejected = (holm(p_values) <= LEVEL).tolist()
    pairs = zip(found, rejected[: len(found)], rejected[len(found) :], strict=True)
    return [_fault(each, on_average, locally) if each.ok else "" for each, on_average, locally in pairs]


def _fault(outcome: Outcome, on_average: bool, locally: bool) -> Fault:
    if not on_average:
        return "wrong at x_o" if locally else "none found"
    if abs(outcome.dispersion_z) < SURE:
        return "biased"
    return "overconfident" if outcome.dispersion_z > 0 else "underconfident"
