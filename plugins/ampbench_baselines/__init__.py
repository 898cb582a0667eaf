"""Baseline methods that need no other package: the prior, the exact posterior, and rejection ABC."""

from __future__ import annotations

from collections.abc import Mapping

from ampbench.hookspecs import Lazy, hookimpl

TAVARE_1997 = """
@article{tavare1997inferring,
  author = {Tavaré, Simon and Balding, David J. and Griffiths, Robert C. and Donnelly, Peter},
  title = {Inferring Coalescence Times from {DNA} Sequence Data},
  journal = {Genetics},
  volume = {145},
  year = {1997}
}
"""


@hookimpl
def methods() -> Mapping[str, Lazy]:
    """Return the reference points prior and exact posterior, and rejection ABC."""
    return {
        "prior": Lazy(
            "ampbench_baselines.prior:Prior",
            "the prior, for any observation: the score without inference",
            "a reference point",
        ),
        "reference": Lazy(
            "ampbench_baselines.reference:Reference",
            "the task's exact posterior: the best attainable score",
            "a reference point",
        ),
        "rejection-abc": Lazy(
            "ampbench_baselines.rejection_abc:RejectionABC",
            "nearest prior simulations",
            "Tavaré et al. 1997",
            bibtex=TAVARE_1997,
        ),
    }
