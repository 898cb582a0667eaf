"""Assessment of methods and budgets on the user's own simulator: held-out scores, calibration, a recommendation."""

from ampbench.assess.assessment import HeldOut, hold_out, outcomes, prior_outcome, trials
from ampbench.assess.outcome import Outcome, faults
from ampbench.assess.recommendation import Recommendation, recommend

__all__ = [
    "HeldOut",
    "Outcome",
    "Recommendation",
    "faults",
    "hold_out",
    "outcomes",
    "prior_outcome",
    "recommend",
    "trials",
]
