r"""Gaussian tree: a trait diffuses from the root of a tree to its leaves, where it is measured.

.. math::
    z \sim \mathcal N(0, 1), \qquad z_{\text{child}} \sim \mathcal N(z_{\text{parent}}, 0.6^2), \qquad
    x_{\text{leaf}} \sim \mathcal N(z_{\text{leaf}}, 0.3^2)

Variables are named by the path from the root: ``z``, ``z_1``, ``z_2``, ``z_1_1``, …, ``x_1_1_1``. A missing leaf has a
trait but no measurement.

References:
    Felsenstein 1973, *Maximum-likelihood estimation of evolutionary trees from continuous characters*,
    American Journal of Human Genetics 25, 471-492 (Brownian motion on a tree).
"""

from __future__ import annotations

from itertools import product
from typing import final

from ampbench.graph import Graph, Tree, density, previous, simulator
from ampbench.options import at_least, half_open
from ampbench_tasks.linear_gaussian import LinearGaussian, LinearGaussianTask, scalar
from ampbench_tasks.structured import kept

STEP = 0.6
NOISE = 0.3


@final
class GaussianTree(LinearGaussianTask):
    """Gaussian diffusion on a tree with noisy leaves, exact: traits are latent, measurements of leaves are observed.

    Arguments:
        depth: steps from the root to the leaves.
        branching: children of each inner variable.
        missing: share of leaves without a measurement; at least one is measured.

    Raises:
        UsageError: depth or branching below 1, missing outside [0, 1).
    """

    folder = "gaussian_tree"
    version = "1"
    source = "Felsenstein 1973"

    def __init__(self, depth: int = 3, branching: int = 2, missing: float = 0.0) -> None:
        at_least(self, depth=(depth, 1), branching=(branching, 1))
        half_open(self, missing=(missing, 0, 1))
        levels = _levels(depth, branching)
        leaves = [levels[-1][i] for i in kept(len(levels[-1]), missing)]
        inner = [scalar(f"z{path}", STEP, **{f"z{_parent(path)}": 1.0}) for level in levels for path in level]
        traits = [scalar("z", 1.0), *inner]
        measured = [scalar(f"x{path}", NOISE, **{f"z{path}": 1.0}) for path in leaves]
        model = LinearGaussian([*traits, *measured], [variable.name for variable in measured])
        super().__init__(model, depth=depth, branching=branching, missing=missing)
        names = {f"{kind}_{i}": f"{kind}{path}" for i, path in enumerate(paths(depth, branching), 1) for kind in "zx"}
        self._graph = model.graph.repeating(template(depth, branching), {"clade": depth}, names)

    @property
    def graph(self) -> Graph:
        """The graph of the model, whose variables are repeats of a template."""
        return self._graph


def template(depth: int | tuple[int, int], branching: int = 2) -> Graph:
    """Return the graph with the axis ``clade`` in place of single variables: latent z, and x observed at the leaves.

    Arguments:
        depth: steps from the root to the leaves, or the smallest and the largest number of them.
        branching: children of each inner variable.
    """
    clade = [Tree("clade", depth, branching)]
    root, below, leaf = scalar("z", 1.0), scalar("z", STEP, z=1.0), scalar("x", NOISE, z=1.0)
    return Graph(
        density("z", below.conditional, [previous("z")], size=1, along=clade, first=root.conditional()),
        simulator("x", leaf.simulate, ["z"], size=1, along=clade, leaves=True),
    )


def paths(depth: int, branching: int) -> list[str]:
    """Return the paths of all variables, level by level from the root, whose path is empty."""
    return ["", *(path for level in _levels(depth, branching) for path in level)]


def _levels(depth: int, branching: int) -> list[list[str]]:
    """Return the paths of the variables of each level below the root, such as ``_1_2``."""
    children = [f"_{child}" for child in range(1, branching + 1)]
    return [["".join(path) for path in product(children, repeat=level)] for level in range(1, depth + 1)]


def _parent(path: str) -> str:
    """Return the path of the parent."""
    return path.rpartition("_")[0]
