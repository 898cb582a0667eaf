"""Baselines from the sbi toolbox; sbi itself is imported only when one of them is fitted."""

from __future__ import annotations

from collections.abc import Mapping

from ampbench.hookspecs import hookimpl
from ampbench.registry import Lazy


@hookimpl
def methods() -> Mapping[str, Lazy]:
    """Baselines of sbi 0.27."""
    return {
        "npe": Lazy("ampbench_sbi.npe:NPE", "neural posterior estimation (sbi)", "Greenberg et al. 2019"),
    }
