"""Reference points that need no other package: the prior, the exact posterior, and rejection ABC."""

from __future__ import annotations

from collections.abc import Mapping

from ampbench.hookspecs import Lazy, hookimpl


@hookimpl
def methods() -> Mapping[str, Lazy]:
    """What a method should at least beat, and what none can beat."""
    return {
        "prior": Lazy(
            "ampbench_baselines.prior:Prior",
            "the prior, whatever is observed: the worst to expect",
            "a reference point",
        ),
        "reference": Lazy(
            "ampbench_baselines.reference:Reference",
            "the task's exact posterior: the best possible",
            "a reference point",
        ),
        "rejection-abc": Lazy(
            "ampbench_baselines.rejection_abc:RejectionABC", "nearest prior simulations", "Tavaré et al. 1997"
        ),
    }
