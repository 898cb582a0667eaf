"""The configurations that are compared on every model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from embedded import EmbeddedNPE
from old_order import ChildrenFirst

from ampbench import registry
from ampbench.graph import Graph
from ampbench.interfaces import Method
from ampbench_sbi.npe import NPE

SMALL = "width=64,depth=2"
JSD = f"jsd({SMALL},refine=0)"


@dataclass(frozen=True)
class Configuration:
    """How the networks are trained.

    Attributes:
        spec: of the method; of an external one, its script and options.
        template: whether on the template, or on the flat graph.
        sizes: of a flat graph, the sizes on which it is trained, each for itself; the first of the model by default.
        embedding: of ``npe``, the network in front of its flow.
        children_first: whether children are sampled before their parents, as before decision 24; for trees.
        external: whether the method runs in an environment of its own.
    """

    spec: str
    template: bool = True
    sizes: tuple[int, ...] = ()
    embedding: Literal["", "gru", "set"] = ""
    children_first: bool = False
    external: bool = False

    def graph(self, flat: Graph) -> Graph:
        """Return the flat graph whose inverse has the order of this configuration."""
        return ChildrenFirst(*flat.nodes) if self.children_first else flat

    def method(self, repeats: int = 0) -> Method:
        """Return the method; an embedding needs the number of repeats of the flat graph."""
        method: Method = registry.load().build("methods", self.spec)
        if not self.embedding:
            return method
        assert isinstance(method, NPE)
        return EmbeddedNPE(method, self.embedding, repeats)


def shared(divergence: str, family: str, steps: int, **options: object) -> Configuration:
    """One network for all repeats, with messages."""
    more = "".join(f",{name}={value}" for name, value in options.items())
    return Configuration(f"amp-templates:divergence={divergence},family={family},steps={steps}{more}")


def flat(divergence: str, family: str, steps: int, *sizes: int, **options: object) -> Configuration:
    """A network for every factor of the flat graph."""
    more = "".join(f",{name}={value}" for name, value in options.items())
    return Configuration(f"amp:divergence={divergence},family={family},steps={steps}{more}", False, sizes)


IMPLICIT = f"implicit({SMALL})"
GAUSSIAN = f"gaussian({SMALL})"
FLOW = "flow(dropout=0)"
FLAT_NPE = "npe:max_epochs=60"

FIXED = {
    "forward-kl": shared("forward-kl", GAUSSIAN, 2500, learning_rate=0.001),
    "jsd": shared(JSD, IMPLICIT, 4000),
    "no sharing": flat(f"jsd({SMALL})", IMPLICIT, 800, learning_rate=0.004, adversary_learning_rate=0.004),
    "npe": Configuration(FLAT_NPE, False),
    "energy": shared("energy", IMPLICIT, 3000, particles=8),
    "riesz": shared("riesz(refine=0)", IMPLICIT, 3000, particles=8),
    "global": shared(JSD, IMPLICIT, 2000, scope="global"),
}
"""Of models that are trained at one size."""

CONFIGURATIONS: Mapping[str, Mapping[str, Configuration]] = {
    "chain_50": FIXED,
    "tree_3": FIXED | {"old order": replace(FIXED["no sharing"], children_first=True)},
    "tree_4": FIXED,
    "tree_6": {
        "forward-kl": shared("forward-kl", GAUSSIAN, 2500, learning_rate=0.001),
        "jsd": shared(JSD, IMPLICIT, 4000),
    },
    "lgssm": {
        "forward-kl": shared("forward-kl", GAUSSIAN, 3000, learning_rate=0.001),
        "jsd": shared(JSD, IMPLICIT, 5000),
        "energy": shared("energy", IMPLICIT, 3000, particles=8),
        "riesz": shared("riesz(refine=0)", IMPLICIT, 3000, particles=8),
        "global": shared(JSD, IMPLICIT, 1000, scope="global"),
        "npe": Configuration(FLAT_NPE, False, (10, 50)),
        "npe gru": Configuration(FLAT_NPE, False, (10, 50), embedding="gru"),
    },
    "hierarchical": {
        "forward-kl": shared("forward-kl", FLOW, 4000, learning_rate=0.001),
        "jsd": shared(JSD, IMPLICIT, 5000),
        "energy": shared("energy", IMPLICIT, 4000, particles=8),
        "riesz": shared("riesz(refine=0)", IMPLICIT, 4000, particles=8),
        "global": shared(JSD, IMPLICIT, 2000, scope="global"),
        "npe": Configuration(FLAT_NPE, False, (3, 10)),
        "npe set": Configuration(FLAT_NPE, False, (3, 10), embedding="set"),
        "bayesflow": Configuration("bayesflow/approximate.py --steps 1000", external=True),
    },
}
"""By model and label."""
