"""Simulations beyond calls of a simulator in this process: stored ones, and slow ones, in batches that are kept."""

from ampbench.simulations.arrays import Simulations
from ampbench.simulations.batched import BatchedSimulator
from ampbench.simulations.batches import Batches
from ampbench.simulations.folder import Folder
from ampbench.simulations.learned_prior import LearnedPrior, learn_prior
from ampbench.simulations.reading import read_simulations, read_variables
from ampbench.simulations.sources import (
    first_rows,
    in_batches,
    limits_of,
    model_of,
    refuse_sequential,
    source,
    stored_model,
)
from ampbench.simulations.stored import StoredSimulator, warn_if_other_prior

__all__ = [
    "BatchedSimulator",
    "Batches",
    "Folder",
    "LearnedPrior",
    "Simulations",
    "StoredSimulator",
    "first_rows",
    "in_batches",
    "learn_prior",
    "limits_of",
    "model_of",
    "read_simulations",
    "read_variables",
    "refuse_sequential",
    "source",
    "stored_model",
    "warn_if_other_prior",
]
