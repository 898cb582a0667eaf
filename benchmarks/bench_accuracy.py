"""Accuracy at small budgets, as errors: a rise is a change for the worse.

On one machine with one torch the numbers follow from the seed, so that any change comes from the code. But a change
in the last bits of a fit alters a C2ST by up to 0.02 by chance.
"""

from __future__ import annotations

import statistics

from ampbench.interfaces import HasReference, Posterior
from ampbench.seeding import seeded

from .common import fitted, task

POSTERIORS = {
    "jsd implicit": "amp:divergence=jsd,family=implicit,steps=250",
    "riesz implicit": "amp:divergence=riesz,family=implicit,particles=8,steps=120",
    "forward-kl flow": "amp:divergence=forward-kl,family=flow,steps=250",
    "npe": "npe",
}
CHAINS = {
    "amp jsd": "amp:divergence=jsd(width=64,depth=0),family=implicit(width=64,depth=0),steps=60",
    "amp forward-kl": "amp:divergence=forward-kl,family=gaussian,steps=100",
    "amp-templates forward-kl": "amp-templates:divergence=forward-kl,family=gaussian,steps=100",
}
"""Methods by short names. The trainings are shorter than the default ones."""


class C2ST:
    """C2ST of posteriors from 1,000 simulations, by the classifier that stops early: mean over fresh observations."""

    params = (tuple(POSTERIORS), ("two_moons", "gaussian_mixture"))
    param_names = ("method", "task")
    unit = "accuracy"
    timeout = 600
    observations = (101, 102, 103)
    samples = 1000

    def track_c2st_early(self, method: str, name: str) -> float:
        from ampbench.metrics.c2st import EarlyC2ST

        posterior, model = fitted(POSTERIORS[method], name, budget=1000), task(name)
        assert isinstance(model, HasReference)
        scores = []
        for seed in self.observations:
            x = model.observation(seed).x
            with seeded(seed):
                drawn = posterior.sample(x, self.samples)
            scores.append(EarlyC2ST().measure(drawn, model.reference(x, self.samples, seed)).value)
        return statistics.fmean(scores)


class Chain:
    """KL(q‖p) per latent of a Gaussian state space with ten times, both taken as Gaussian: mean over observations.

    By the exact mean m and deviation s of a latent, and mean and variance of the residuals (z − m)/s of the draws.
    """

    params = tuple(CHAINS)
    param_names = ("method",)
    unit = "nats"
    timeout = 600
    observations = (101, 102, 103)
    samples = 2000

    def track_kl_per_latent(self, method: str) -> float:
        posterior = fitted(CHAINS[method], "lgssm", budget=2000)
        return statistics.fmean(self._kl(posterior, seed) for seed in self.observations)

    def _kl(self, posterior: Posterior, seed: int) -> float:
        model = task("lgssm")
        assert isinstance(model, HasReference)
        x = model.observation(seed).x
        exact = model.reference(x, 20_000, seed)
        with seeded(seed):
            residuals = (posterior.sample(x, self.samples) - exact.mean(0)) / exact.std(0)
        mean, variance = residuals.mean(0), residuals.var(0)
        return float(((variance + mean**2 - 1 - variance.log()) / 2).mean())
