"""The built-in variational families: one per file, registered by the hook that every plugin uses."""

from __future__ import annotations

from collections.abc import Mapping

from ampbench.hookspecs import Lazy, hookimpl
from ampbench.references import KARALETSOS_2016, RADEV_2020
from ampbench_families.references import (
    DURKAN_2019,
    FIGURNOV_2018,
    JANG_2017,
    MADDISON_2017,
    PAPAMAKARIOS_2017,
    ZUKO_2022,
)


@hookimpl
def families() -> Mapping[str, Lazy]:
    """Return nonparametric (eq. 13) and parametric (eq. 12) families, and a wrapper for high-dimensional evidence."""
    return {
        "implicit": Lazy(
            "ampbench_families.implicit:Implicit",
            "noise-injected sampler without a density",
            "Karaletsos 2016, eq. 13",
            bibtex=KARALETSOS_2016,
        ),
        "gaussian": Lazy(
            "ampbench_families.gaussian:Gaussian",
            "Gaussian, full or diagonal covariance",
            "Karaletsos 2016, eq. 12",
            bibtex=KARALETSOS_2016,
        ),
        "mixture": Lazy(
            "ampbench_families.mixture:Mixture",
            "mixture of diagonal Gaussians",
            "Figurnov et al. 2018",
            bibtex=FIGURNOV_2018,
        ),
        "flow": Lazy(
            "ampbench_families.flow:Flow",
            "neural spline flow (zuko)",
            "Durkan et al. 2019",
            bibtex=DURKAN_2019 + ZUKO_2022,
        ),
        "maf": Lazy(
            "ampbench_families.maf:MaskedAutoregressive",
            "masked autoregressive flow (zuko)",
            "Papamakarios et al. 2017",
            bibtex=PAPAMAKARIOS_2017 + ZUKO_2022,
        ),
        "bernoulli": Lazy(
            "ampbench_families.bernoulli:Bernoulli",
            "0/1 vectors, straight-through gradients",
            "Maddison et al. 2017",
            bibtex=MADDISON_2017,
        ),
        "categorical": Lazy(
            "ampbench_families.categorical:Categorical",
            "one-hot vectors, straight-through gradients",
            "Jang et al. 2017",
            bibtex=JANG_2017,
        ),
        "embedded": Lazy(
            "ampbench_families.embedded:Embedded",
            "any family behind an embedding of a series, an image or a set",
            "Radev et al. 2020",
            bibtex=RADEV_2020,
        ),
    }
