"""The components that live in the core: they come in through the entry-point group like all others."""

from __future__ import annotations

from collections.abc import Mapping

from ampbench.hookspecs import hookimpl
from ampbench.registry import Lazy


@hookimpl
def methods() -> Mapping[str, Lazy]:
    """Adversarial message passing."""
    return {"amp": Lazy("ampbench.amp:AMP", "adversarial message passing", "Karaletsos 2016")}


@hookimpl
def metrics() -> Mapping[str, Lazy]:
    """How far posterior samples are from the reference."""
    return {
        "c2st": Lazy("ampbench.metrics.c2st:C2ST", "classifier two-sample test", "Lueckmann et al. 2021"),
        "c2st-sklearn": Lazy(
            "ampbench.metrics.c2st_sklearn:SklearnC2ST", "the same by scikit-learn, slower", "Lueckmann et al. 2021"
        ),
        "mmd": Lazy("ampbench.metrics.mmd:MMD", "maximum mean discrepancy", "Gretton et al. 2012"),
    }
