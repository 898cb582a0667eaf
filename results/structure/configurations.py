"""The configurations that are compared on every model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
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
        spec: of the method, with the number of epochs left open if it depends on the size; of an external one, its
            script and options.
        template: whether on the template, or on the flat graph.
        epochs: of flat graphs, by the size on which each is trained; by default there is only the first of the model.
        embedding: of ``npe``, the network in front of its flow.
        children_first: whether children are sampled before their parents, as before decision 24; for trees.
        external: whether the method runs in an environment of its own.
    """

    spec: str
    template: bool = True
    epochs: Mapping[int, int] = field(default_factory=dict)
    embedding: Literal["", "gru", "set"] = ""
    children_first: bool = False
    external: bool = False

    def graph(self, flat: Graph) -> Graph:
        """Return the flat graph whose inverse has the order of this configuration."""
        return ChildrenFirst(*flat.nodes) if self.children_first else flat

    def method(self, size: int = 0) -> Method:
        """Return the method; for a flat graph, whose size is the number of times or groups if they are embedded."""
        method: Method = registry.load().build("methods", self.resolved(size))
        if not self.embedding:
            return method
        assert isinstance(method, NPE)
        return EmbeddedNPE(method, self.embedding, size)

    def resolved(self, size: int) -> str:
        """Return the spec, with the number of epochs."""
        return self.spec.format(epochs=self.epochs[size]) if self.epochs else self.spec


def shared(divergence: str, family: str, steps: int, **options: object) -> Configuration:
    """One network for all repeats, with messages."""
    more = "".join(f",{name}={value}" for name, value in options.items())
    return Configuration(f"amp-templates:divergence={divergence},family={family},steps={steps}{more}")


def flat(divergence: str, family: str, steps: int, **options: object) -> Configuration:
    """A network for every factor of the flat graph."""
    more = "".join(f",{name}={value}" for name, value in options.items())
    return Configuration(f"amp:divergence={divergence},family={family},steps={steps}{more}", False)


RESAMPLED = f"jsd({SMALL},refine=1)"
IMPLICIT = f"implicit({SMALL})"
GAUSSIAN = f"gaussian({SMALL})"
FLOW = "flow(dropout=0)"
FLAT_NPE = "npe:max_epochs={epochs}"
"""Epochs are chosen such that a training takes about 300 seconds of a core, as long as ``jsd`` on the template."""

FIXED = {
    "forward-kl": shared("forward-kl", GAUSSIAN, 2500, learning_rate=0.001),
    "jsd": shared(JSD, IMPLICIT, 4000),
    "jsd, resampled": shared(RESAMPLED, IMPLICIT, 2000),
    "no sharing": flat(f"jsd({SMALL})", IMPLICIT, 800, learning_rate=0.004, adversary_learning_rate=0.004),
    "npe": Configuration("npe:max_epochs=60", False),
    "energy": shared("energy", IMPLICIT, 3000, particles=8),
    "riesz": shared("riesz(refine=0)", IMPLICIT, 3000, particles=8),
    "global": shared(JSD, IMPLICIT, 2000, scope="global"),
    "global, equal time": shared(JSD, IMPLICIT, 5000, scope="global"),
}
"""Of models that are trained at one size; an equal time is that of ``jsd``, and so is that of ``jsd, resampled``."""

CONFIGURATIONS: Mapping[str, Mapping[str, Configuration]] = {
    "chain_50": FIXED | {"global, equal time": shared(JSD, IMPLICIT, 3300, scope="global")},
    "tree_3": FIXED | {"old order": replace(FIXED["no sharing"], children_first=True)},
    "tree_4": FIXED,
    "tree_6": {
        "forward-kl": shared("forward-kl", GAUSSIAN, 2500, learning_rate=0.001),
        "jsd": shared(JSD, IMPLICIT, 4000),
    },
    "lgssm": {
        "forward-kl": shared("forward-kl", GAUSSIAN, 3000, learning_rate=0.001),
        "jsd": shared(JSD, IMPLICIT, 4000),
        "jsd, resampled": shared(RESAMPLED, IMPLICIT, 2000),
        "energy": shared("energy", IMPLICIT, 3000, particles=8),
        "riesz": shared("riesz(refine=0)", IMPLICIT, 3000, particles=8),
        "global": shared(JSD, IMPLICIT, 1000, scope="global"),
        "global, equal time": shared(JSD, IMPLICIT, 3500, scope="global"),
        "npe": Configuration(FLAT_NPE, False, {10: 10, 50: 25}),
        "npe gru": Configuration(f"{FLAT_NPE},batch_size=1000", False, {10: 11, 50: 14}, embedding="gru"),
    },
    "hierarchical": {
        "forward-kl": shared("forward-kl", FLOW, 6000, learning_rate=0.001),
        "jsd": shared(JSD, IMPLICIT, 4000),
        "jsd, resampled": shared(RESAMPLED, IMPLICIT, 2000),
        "energy": shared("energy", IMPLICIT, 4000, particles=8),
        "riesz": shared("riesz(refine=0)", IMPLICIT, 4000, particles=8),
        "global": shared(JSD, IMPLICIT, 2000, scope="global"),
        "global, equal time": shared(JSD, IMPLICIT, 5600, scope="global"),
        "npe": Configuration(FLAT_NPE, False, {3: 11, 10: 27}),
        "npe set": Configuration(FLAT_NPE, False, {3: 10, 10: 27}, embedding="set"),
        "bayesflow": Configuration("bayesflow/approximate.py --steps 2000", external=True),
    },
    "chain_binomial_sites": {
        "forward-kl": shared("forward-kl", FLOW, 6000, learning_rate=0.001),
        "jsd": shared(JSD, IMPLICIT, 4000),
        "jsd, resampled": shared(RESAMPLED, IMPLICIT, 2000),
        "energy": shared("energy", IMPLICIT, 4000, particles=8),
    },
    "radon": {
        "forward-kl": shared("forward-kl", FLOW, 2000, learning_rate=0.001, batch_size=8),
        "jsd": shared(JSD, IMPLICIT, 1500, batch_size=8),
        "energy": shared("energy", IMPLICIT, 1500, particles=8, batch_size=8),
    },
}
"""By model and label."""
