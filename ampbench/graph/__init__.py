"""Models: directed graphs of variables and their conditionals, with their inverses and simulations."""

from ampbench.graph.axes import Chain, Plate, Tree, previous
from ampbench.graph.factorization import Factor, inverse, structure
from ampbench.graph.failures import Failed
from ampbench.graph.model import Graph, component_names, join, split
from ampbench.graph.node import Node, covariate, density, learned, simulator
from ampbench.graph.probe import probe_simulators
from ampbench.graph.simulation import Simulator
from ampbench.graph.single import one_at_a_time

__all__ = [
    "Chain",
    "Factor",
    "Failed",
    "Graph",
    "Node",
    "Plate",
    "Simulator",
    "Tree",
    "component_names",
    "covariate",
    "density",
    "inverse",
    "join",
    "learned",
    "one_at_a_time",
    "previous",
    "probe_simulators",
    "simulator",
    "split",
    "structure",
]
