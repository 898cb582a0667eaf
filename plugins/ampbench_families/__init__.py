"""The built-in variational families: one per file, registered through the same door as everybody's."""

from __future__ import annotations

from collections.abc import Mapping

from ampbench.hookspecs import hookimpl
from ampbench.registry import Lazy


@hookimpl
def families() -> Mapping[str, Lazy]:
    """Nonparametric (eq. 13) and parametric (eq. 12) families."""
    return {
        "implicit": Lazy(
            "ampbench_families.implicit:Implicit", "noise-injected sampler without a density", "Karaletsos 2016, eq. 13"
        ),
        "gaussian": Lazy(
            "ampbench_families.gaussian:Gaussian", "Gaussian with full covariance", "Karaletsos 2016, eq. 12"
        ),
    }
