"""Models: directed graphs of variables and their conditionals, with their inverses and simulations."""

from ampbench.graph.axes import Chain, Plate, Tree, previous
from ampbench.graph.factorization import Factor, inverse, structure
from ampbench.graph.model import Graph, component_names, join, split
from ampbench.graph.node import Node, covariate, density, learned, simulator
from ampbench.graph.simulation import Simulator

__all__ = [
    "Chain",
    "Factor",
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
    "previous",
    "simulator",
    "split",
    "structure",
]
