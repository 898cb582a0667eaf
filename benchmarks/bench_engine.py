"""The engine: the time of a training step, for every divergence with every continuous family, and as graphs grow."""

from __future__ import annotations

from ampbench.graph import Simulator

from .common import gaussian, step

DIVERGENCES = (
    "jsd(refine=0)",
    "kl(refine=0)",
    "kl-likelihood",
    "kl-ratio",
    "blend(first=jsd,second=kl,weight=0.5)",
    "mmd",
    "f-kl",
    "pearson",
    "hellinger",
    "jeffreys",
    "total-variation",
    "wasserstein",
    "energy",
    "riesz(refine=0)",
    "forward-kl",
)
"""Without resampling of draws, whose steps are others."""

FAMILIES = ("implicit", "gaussian", "mixture", "flow", "maf")


class Steps:
    """Networks of the default size and 256 rows of two components in a step; the mean of 16 steps."""

    params = (DIVERGENCES, FAMILIES)
    param_names = ("divergence", "family")
    unit = "ms"
    timeout = 300

    def setup(self, divergence: str, family: str) -> None:
        if divergence == "forward-kl" and family == "implicit":
            raise NotImplementedError("maximum likelihood needs a density")

    def track_step(self, divergence: str, family: str) -> float:
        options = f"divergence={divergence},family={family},particles=2,steps=17,checks=1"
        return step(f"amp:{options}", Simulator(gaussian(), ["z1"], 1000, seed=0))


class Chains:
    """A chain whose last variable is observed: one tuple for every latent."""

    params = (("jsd", "forward-kl"), (2, 8))
    param_names = ("divergence", "length")
    unit = "ms"
    timeout = 300

    def track_step(self, divergence: str, length: int) -> float:
        family = "implicit" if divergence == "jsd" else "flow"
        source = Simulator(gaussian(length), [f"z{length - 1}"], 1000, seed=0)
        return step(f"amp:divergence={divergence},family={family},steps=17,checks=1", source)


class Templates:
    """State spaces of 10 to 100 times, with one network for all times."""

    params = ("jsd", "energy", "forward-kl")
    param_names = ("divergence",)
    unit = "ms"
    timeout = 300

    def track_step(self, divergence: str) -> float:
        from ampbench_tasks.lgssm import template

        family = "gaussian" if divergence == "forward-kl" else "implicit"
        options = f"divergence={divergence},family={family},particles=2,steps=17,checks=1"
        return step(f"amp-templates:{options}", Simulator(template((10, 100)), ["x"], 20_000, seed=0))
