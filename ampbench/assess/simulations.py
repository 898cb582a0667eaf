"""The simulations of an assessment that are made before its fits: stored ones, or batches of a slow simulator.

All fits share the training simulations: a fit uses the first ones, as many as its budget. The held-out simulations are
others. Of stored simulations, the held-out rows are chosen at random, with the seed of the assessment, since a file may
be sorted; the training simulations are all other rows, in their order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from ampbench.counts import count
from ampbench.errors import UsageError
from ampbench.graph import Graph
from ampbench.seeding import derive, seeded
from ampbench.simulations import BatchedSimulator, Batches, Simulations


@dataclass(frozen=True)
class Prepared:
    """Simulations for an assessment.

    Attributes:
        held_out: those on which fits are judged.
        training: those to which methods are fitted.
    """

    held_out: Simulations
    training: Simulations


def split_stored(simulations: Simulations, held_out: int, seed: int) -> Prepared:
    """Split stored simulations at random into held-out and training ones.

    Arguments:
        simulations: all rows.
        held_out: number of held-out rows.
        seed: seed of the assessment.

    Raises:
        UsageError: no row is left for training.
    """
    held_out = count("the number of held-out simulations", held_out)
    if held_out >= len(simulations):
        raise UsageError(
            f"{simulations.origin} hold {len(simulations):,} simulations, of which {held_out:,} are to be held out: "
            "none is left for training; hold out fewer"
        )
    with seeded(derive(seed, "assess", "split")):
        order = torch.randperm(len(simulations))
    return Prepared(simulations.take(order[:held_out]), simulations.take(order[held_out:].sort().values))


def simulate_in_batches(
    graph: Graph, observed: Sequence[str], held_out: int, budget: int, seed: int, how: Batches
) -> Prepared:
    """Simulate all that an assessment needs.

    Arguments:
        graph: the model.
        observed: names of its observed variables.
        held_out: number of held-out simulations.
        budget: the largest budget, which is the number of training simulations.
        seed: seed of the assessment.
        how: size of a batch, child processes and folder.

    Raises:
        UsageError: the graph has axes, along which a simulation has no single size.
        SimulationError: a batch failed, or the probe before the first one.
    """
    if graph.axes:
        raise UsageError(
            f"the model has axes ({', '.join(axis.name for axis in graph.axes)}), along which methods choose the sizes "
            "of simulations; assess it without workers, batch and store"
        )
    purposes = {"held out": count("the number of held-out simulations", held_out), "training": count("budget", budget)}
    sources = {
        purpose: BatchedSimulator(graph, observed, n, derive(seed, "assess", purpose), how)
        for purpose, n in purposes.items()
    }
    sources["held out"].probe()
    made = {
        purpose: Simulations(source.sample(source.budget), f"the {purpose} simulations")
        for purpose, source in sources.items()
    }
    return Prepared(made["held out"], made["training"])
