"""The built-in tasks: one per file, registered through the same door as everybody's."""

from __future__ import annotations

from collections.abc import Mapping

from ampbench.hookspecs import hookimpl
from ampbench.registry import Lazy


@hookimpl
def tasks() -> Mapping[str, Lazy]:
    """Tasks of Lueckmann et al. 2021, with exact references."""
    source = "Lueckmann et al. 2021, appendix"
    return {
        "gaussian_linear": Lazy(
            "ampbench_tasks.gaussian_linear:GaussianLinear", "mean of a Gaussian, conjugate; theta 10, x 10", source
        ),
        "gaussian_mixture": Lazy(
            "ampbench_tasks.gaussian_mixture:GaussianMixture",
            "common mean of a wide and a narrow Gaussian; theta 2, x 2",
            source,
        ),
        "two_moons": Lazy("ampbench_tasks.two_moons:TwoMoons", "bimodal with thin crescents; theta 2, x 2", source),
    }
