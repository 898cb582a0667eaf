"""What is a model? A directed graph of variables and their conditionals, its inverse, and its simulations."""

from ampbench.graph.factorization import Factor, inverse, structure
from ampbench.graph.model import Graph, Node, density, join, learned, simulator
from ampbench.graph.simulation import Simulator

__all__ = ["Factor", "Graph", "Node", "Simulator", "density", "inverse", "join", "learned", "simulator", "structure"]
