"""The built-in divergences: one per file, registered through the same door as everybody's."""

from __future__ import annotations

from collections.abc import Mapping

from ampbench.hookspecs import hookimpl
from ampbench.registry import Lazy


@hookimpl
def divergences() -> Mapping[str, Lazy]:
    """The rows of the table of divergences."""
    return {
        "jsd": Lazy(
            "ampbench_divergences.jsd:JSD", "Jensen-Shannon divergence, the paper's centre", "Karaletsos 2016, §3.1"
        ),
        "kl": Lazy(
            "ampbench_divergences.kl:KL", "reverse Kullback-Leibler divergence KL(q‖p)", "Karaletsos 2016, §5.3"
        ),
        "mmd": Lazy("ampbench_divergences.mmd:MMD", "maximum mean discrepancy, no adversary", "Karaletsos 2016, §5.5"),
    }
