"""Models: directed graphs of variables and their conditionals, with their inverses and simulations."""

from ampbench.graph.factorization import Factor, inverse, structure
from ampbench.graph.model import Graph, Node, component_names, density, join, learned, simulator, split
from ampbench.graph.simulation import Simulator

__all__ = [
    "Factor",
    "Graph",
    "Node",
    "Simulator",
    "component_names",
    "density",
    "inverse",
    "join",
    "learned",
    "simulator",
    "split",
    "structure",
]
