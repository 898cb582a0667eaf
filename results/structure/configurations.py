"""The configurations that are compared on every model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

SMALL = "width=64,depth=2"
JSD = f"jsd({SMALL},refine=0)"


@dataclass(frozen=True)
class Configuration:
    """How the networks are trained.

    Attributes:
        spec: of the method.
        template: whether on the template, or on the flat graph.
        sizes: of a flat graph, the sizes on which it is trained, each for itself; the first of the model by default.
    """

    spec: str
    template: bool = True
    sizes: tuple[int, ...] = ()


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

CONFIGURATIONS: Mapping[str, Mapping[str, Configuration]] = {
    **{
        name: {
            "forward-kl": shared("forward-kl", GAUSSIAN, 2500, learning_rate=0.001),
            "jsd": shared(JSD, IMPLICIT, 4000),
            "no sharing": flat(f"jsd({SMALL})", IMPLICIT, 800, learning_rate=0.004, adversary_learning_rate=0.004),
            "npe": Configuration("npe:max_epochs=60", False),
            "energy": shared("energy", IMPLICIT, 3000, particles=8),
            "riesz": shared("riesz(refine=0)", IMPLICIT, 3000, particles=8),
            "global": shared(JSD, IMPLICIT, 2000, scope="global"),
        }
        for name in ("chain_50", "tree_3", "tree_4")
    },
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
        "npe": Configuration("npe:max_epochs=60", False, (10, 50)),
    },
    "hierarchical": {
        "forward-kl": shared("forward-kl", FLOW, 4000, learning_rate=0.001),
        "jsd": shared(JSD, IMPLICIT, 5000),
        "energy": shared("energy", IMPLICIT, 4000, particles=8),
        "riesz": shared("riesz(refine=0)", IMPLICIT, 4000, particles=8),
        "global": shared(JSD, IMPLICIT, 2000, scope="global"),
        "npe": Configuration("npe:max_epochs=60", False, (3, 10)),
    },
    "chain_binomial_sites": {
        "forward-kl": shared("forward-kl", FLOW, 4000, learning_rate=0.001),
        "jsd": shared(JSD, IMPLICIT, 5000),
        "energy": shared("energy", IMPLICIT, 4000, particles=8),
    },
    "radon": {
        "forward-kl": shared("forward-kl", FLOW, 4000, learning_rate=0.001, batch_size=8),
        "jsd": shared(JSD, IMPLICIT, 5000, batch_size=8),
        "energy": shared("energy", IMPLICIT, 4000, particles=8, batch_size=8),
    },
}
"""By model and label."""
