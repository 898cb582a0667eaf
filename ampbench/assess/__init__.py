"""Which method, how many simulations, and is it calibrated? Assessments on the user's own simulator."""

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
