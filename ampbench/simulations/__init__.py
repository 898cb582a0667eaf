"""Simulations beyond calls of a simulator in this process: stored ones, and slow ones, in batches that are kept."""

from ampbench.simulations.arrays import Simulations
from ampbench.simulations.batched import BatchedSimulator
from ampbench.simulations.batches import Batches
from ampbench.simulations.folder import Folder
from ampbench.simulations.learned_prior import LearnedPrior, learn_prior
from ampbench.simulations.reading import read_simulations
from ampbench.simulations.stored import StoredSimulator, stored_graph, warn_if_other_prior

__all__ = [
    "BatchedSimulator",
    "Batches",
    "Folder",
    "LearnedPrior",
    "Simulations",
    "StoredSimulator",
    "learn_prior",
    "read_simulations",
    "stored_graph",
    "warn_if_other_prior",
]
