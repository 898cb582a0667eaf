"""Assessment of methods and budgets on the user's own simulator: held-out scores, calibration, a recommendation."""

from ampbench.assess.assessment import HeldOut, hold_out, outcomes, prior_outcome, trials
from ampbench.assess.outcome import Outcome, faults
from ampbench.assess.recommendation import Recommendation, recommend
from ampbench.assess.simulations import Prepared, simulate_in_batches, split_stored

__all__ = [
    "HeldOut",
    "Outcome",
    "Prepared",
    "Recommendation",
    "faults",
    "hold_out",
    "outcomes",
    "prior_outcome",
    "recommend",
    "simulate_in_batches",
    "split_stored",
    "trials",
]
