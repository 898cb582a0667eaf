"""A plugin of deliberately broken components, one fault each, beside sound ones."""

from __future__ import annotations

import os
import time
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, Independent, Normal
from torch.nn.functional import softplus

from ampbench.graph import Graph, Simulator, density, join, simulator
from ampbench.hookspecs import hookimpl
from ampbench.interfaces import (
    Conditional,
    Divergence,
    Executor,
    Family,
    HasDensity,
    HasLikelihood,
    HasLogRatio,
    HasReference,
    Measurement,
    Method,
    Metric,
    Posterior,
    Progress,
    Task,
    Tuples,
)
from ampbench.interfaces.events import Finished
from ampbench.metrics.checks import standardised
from ampbench.networks import Adversary, ResidualMLP
from ampbench.running.worker import isolated

GENERATOR = torch.Generator().manual_seed(0)


class SoundDivergence(Divergence, HasLogRatio):
    def adversary(self, features: int) -> nn.Module:
        return Adversary(features, 32, depth=1)

    def adversary_loss(self, adversary: nn.Module, p: Tuples, q: Tuples) -> Tensor:
        return softplus(-adversary(p)).mean() + softplus(adversary(q)).mean()

    def family_loss(self, adversary: nn.Module, p: Tuples, q: Tuples) -> Tensor:
        return softplus(-adversary(q)).mean()


class WrongShape(SoundDivergence):
    def family_loss(self, adversary, p, q):
        return softplus(-adversary(q))


class NotANumber(SoundDivergence):
    def adversary_loss(self, adversary, p, q):
        return super().adversary_loss(adversary, p, q) * torch.tensor(0.0).log()


class NoTensor(SoundDivergence):
    def family_loss(self, adversary, p, q):
        return super().family_loss(adversary, p, q).item()


class Random(SoundDivergence):
    generator = torch.Generator().manual_seed(0)

    def family_loss(self, adversary, p, q):
        return super().family_loss(adversary, p, q) + torch.rand((), generator=self.generator)


class Constant(SoundDivergence):
    def family_loss(self, adversary, p, q):
        return torch.zeros((), requires_grad=True)


class WrongSign(SoundDivergence):
    def family_loss(self, adversary, p, q):
        return -super().family_loss(adversary, p, q)


class IgnoresContext(SoundDivergence):
    def adversary(self, features):
        network = Adversary(features, 32, depth=1)

        class Blind(nn.Module):
            def __init__(self):
                super().__init__()
                self.network = network

            def forward(self, tuples):
                return self.network(Tuples(tuples.variable, 0 * tuples.context))

        return Blind()


class Mutates(SoundDivergence):
    def adversary_loss(self, adversary, p, q):
        p.variable.add_(1.0)
        return super().adversary_loss(adversary, p, q)


class Raises(SoundDivergence):
    def family_loss(self, adversary, p, q):
        raise ValueError("the width\x1b[31m is wrong")


class Hangs(SoundDivergence):
    def family_loss(self, adversary, p, q):
        while True:
            time.sleep(0.01)


class Exits(SoundDivergence):
    def family_loss(self, adversary, p, q):
        os._exit(7)


class Killed(SoundDivergence):
    def family_loss(self, adversary, p, q):
        os.kill(os.getpid(), 9)


class WrongRatio(SoundDivergence):
    def log_ratio(self, adversary, tuples):
        return -adversary(tuples)


class IdleWeight(SoundDivergence):
    def adversary(self, features):
        network = super().adversary(features)
        network.idle = nn.Parameter(torch.zeros(3))
        return network


class SoundFamily(Family):
    def __call__(self, features: int, context: int) -> Conditional:
        return SoundConditional(ResidualMLP(context, 2 * features, 16, depth=1))


class SoundConditional(Conditional, HasDensity):
    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, context: Tensor) -> Tensor:
        return self.distribution(context).rsample()

    def log_prob(self, value: Tensor, context: Tensor) -> Tensor:
        return self.distribution(context).log_prob(value)

    def distribution(self, context: Tensor) -> Distribution:
        mean, scale = self.network(context).chunk(2, dim=-1)
        return Independent(Normal(mean, softplus(scale) + 1e-4), 1)


def family(**methods):
    """Return a family whose conditional has other methods."""
    conditional = type("BrokenConditional", (SoundConditional,), methods)

    class Broken(Family):
        def __call__(self, features, context):
            return conditional(ResidualMLP(context, 2 * features, 16, depth=1))

    return Broken


def wrong_density(self, value, context):
    return Normal(*self.network(context).chunk(2, dim=-1)[:1], 1.0).log_prob(value).sum(-1)


def narrow_sample(self, context):
    found = self.distribution(context)
    return found.mean + 0.5 * (found.rsample() - found.mean)


def own_noise(self, context):
    found = self.distribution(context)
    return found.mean + found.stddev * torch.randn((*context.shape[:-1], 1), generator=GENERATOR)


def half_detached(self, context):
    found = self.distribution(context)
    return found.mean.detach() + (found.rsample() - found.mean) + 0.1 * found.mean - 0.1 * found.mean.detach()


FAMILIES = {
    "sound": SoundFamily,
    "wrong-shape": family(log_prob=lambda self, v, c: self.distribution(c).base_dist.log_prob(v)),
    "nan": family(forward=lambda self, c: self.distribution(c).rsample() * torch.nan),
    "random": family(forward=own_noise),
    "constant": family(forward=lambda self, c: self.distribution(c).mean + self.distribution(c).stddev),
    "ignores-context": family(distribution=lambda self, c: SoundConditional.distribution(self, 0 * c)),
    "mutates": family(forward=lambda self, c: self.distribution(c.add_(1.0)).rsample()),
    "raises": family(forward=lambda self, c: {}["no such key"]),
    "no-gradient": family(forward=lambda self, c: self.distribution(c).sample()),
    "wrong-gradient": family(forward=half_detached),
    "wrong-density": family(log_prob=wrong_density),
    "narrow": family(forward=narrow_sample),
}


class SoundTask(Task, HasLikelihood, HasReference):
    version, source = "1", "a test"

    @cached_property
    def graph(self) -> Graph:
        prior = Independent(Normal(torch.zeros(2), torch.ones(2)), 1)
        return Graph(density("theta", prior), simulator("x", self.simulate, ["theta"], size=2))

    def simulate(self, theta: Tensor) -> Tensor:
        return theta + 0.5 * torch.randn_like(theta)

    def log_likelihood(self, theta: Tensor, x: Tensor) -> Tensor:
        return Normal(theta, 0.5).log_prob(x).sum(-1)

    def reference(self, observation: Tensor, n: int, seed: int) -> Tensor:
        x = self.check_observation(observation)
        return 0.8 * x + 0.2**0.5 * torch.randn(n, 2, generator=torch.Generator().manual_seed(seed))


class WrongLikelihood(SoundTask):
    def log_likelihood(self, theta, x):
        return Normal(theta, 0.8).log_prob(x).sum(-1)


class SummedLikelihood(SoundTask):
    def log_likelihood(self, theta, x):
        return Normal(theta, 0.5).log_prob(x)


class SilentNoise(SoundTask):
    def simulate(self, theta):
        return theta[:1] + 0 * theta


class OwnGenerator(SoundTask):
    generator = torch.Generator().manual_seed(0)

    def simulate(self, theta):
        return theta + torch.randn(theta.shape, generator=self.generator)


class NanTask(SoundTask):
    def simulate(self, theta):
        return theta * torch.nan


class ShortSimulation(SoundTask):
    def simulate(self, theta):
        return theta[:-1]


class WrongReference(SoundTask):
    def reference(self, observation, n, seed):
        return super().reference(observation, n, seed) + 0.5


class UnseededReference(SoundTask):
    def reference(self, observation, n, seed):
        return 0.8 * self.check_observation(observation) + 0.2**0.5 * torch.randn(n, 2)


class CarelessReference(SoundTask):
    def reference(self, observation, n, seed):
        return 0.8 * observation + 0.2**0.5 * torch.randn(n, 2, generator=torch.Generator().manual_seed(seed))


class SoundMethod(Method):
    drop_bias = ""

    def fit(self, simulator: Simulator, device: torch.device, progress: Progress) -> Posterior:
        values = simulator.sample(simulator.remaining)
        theta, x = join(values, simulator.latents), join(values, simulator.observed)
        inputs = torch.cat([torch.ones(len(x), 1), x], 1)
        weights = torch.linalg.lstsq(inputs, theta).solution.round(decimals=3)  # its last bits vary from call to call
        residuals = theta - inputs @ weights
        return self.posterior(weights, residuals.std(0).round(decimals=3))

    def posterior(self, weights: Tensor, deviations: Tensor) -> Posterior:
        return SoundPosterior(weights, deviations)


class SoundPosterior(Posterior):
    def __init__(self, weights: Tensor, deviations: Tensor) -> None:
        self.weights, self.deviations = weights, deviations

    def mean(self, x: Tensor) -> Tensor:
        return torch.cat([torch.ones(*x.shape[:-1], 1), x], -1) @ self.weights

    def sample(self, observation: Tensor, n: int) -> Tensor:
        return self.mean(observation) + self.deviations * torch.randn(n, 2)


def method(bases=(SoundPosterior,), **methods):
    """Return a method whose posterior has other methods."""
    broken = type("BrokenPosterior", bases, methods)

    class Broken(SoundMethod):
        def posterior(self, weights, deviations):
            return broken(weights, deviations)

    return Broken


class NoPosterior(SoundMethod):
    def fit(self, simulator, device, progress):
        return "a posterior"


class Overspends(SoundMethod):
    def fit(self, simulator, device, progress):
        return super().fit(simulator.renewed(1), device, progress) if simulator.sample(simulator.budget + 1) else None


METHODS = {
    "sound": SoundMethod,
    "no-posterior": NoPosterior,
    "overspends": Overspends,
    "wrong-shape": method(sample=lambda self, x, n: SoundPosterior.sample(self, x, n)[:, :1]),
    "nan": method(sample=lambda self, x, n: SoundPosterior.sample(self, x, n) / 0 * 0),
    "random": method(sample=lambda self, x, n: self.mean(x) + torch.randn(n, 2, generator=GENERATOR)),
    "constant": method(sample=lambda self, x, n: self.mean(x).expand(n, -1)),
    "ignores-data": method(sample=lambda self, x, n: SoundPosterior.sample(self, 0 * x, n)),
    "mutates": method(sample=lambda self, x, n: SoundPosterior.sample(self, x.add_(1.0), n)),
    "raises": method(sample=lambda self, x, n: 1 / 0),
    "wrong-density": method(
        (SoundPosterior, HasDensity),
        log_prob=lambda self, v, x: Normal(self.mean(x), 2 * self.deviations).log_prob(v).sum(-1),
    ),
}


class SoundMetric(Metric):
    def measure(self, samples: Tensor, reference: Tensor) -> Measurement:
        q, p = standardised("sound", samples, reference, min_size=10)
        return Measurement(float((q.mean(0) - p.mean(0)).norm() + (q.std(0) - p.std(0)).norm()), {"version": "1"})


class MetricNan(SoundMetric):
    def measure(self, samples, reference):
        return Measurement(super().measure(samples, reference).value * float("nan"))


class MetricTensor(SoundMetric):
    def measure(self, samples, reference):
        return Measurement(torch.tensor(super().measure(samples, reference).value))


class MetricNumber(SoundMetric):
    def measure(self, samples, reference):
        return 0.5


class MetricConstant(SoundMetric):
    def measure(self, samples, reference):
        super().measure(samples, reference)
        return Measurement(0.5)


class MetricReversed(SoundMetric):
    def measure(self, samples, reference):
        return Measurement(-super().measure(samples, reference).value)


class MetricRandom(SoundMetric):
    generator = torch.Generator().manual_seed(0)

    def measure(self, samples, reference):
        return Measurement(
            super().measure(samples, reference).value + 0.01 * float(torch.rand(1, generator=self.generator))
        )


class MetricMutates(SoundMetric):
    def measure(self, samples, reference):
        samples.sub_(reference.mean(0))
        return super().measure(samples, reference)


class MetricScatters(SoundMetric):
    def measure(self, samples, reference):
        value = super().measure(samples, reference).value
        return Measurement(value + 2 * float((1e4 * samples[0, 0].double().abs()) % 1) * (value < 1))


class MetricCareless(Metric):
    def measure(self, samples, reference):
        return Measurement(float((samples.mean(0) - reference.mean(0)).norm()))


class Loses(Executor):
    def execute(self, jobs, listener):
        for job in jobs[:-1]:
            isolated(job, listener)


class Twice(Executor):
    def execute(self, jobs, listener):
        for job in jobs:
            isolated(job, lambda event: [listener(event) for _ in range(1 + isinstance(event, Finished))])


class InThread(Executor):
    def execute(self, jobs, listener):
        with ThreadPoolExecutor(1) as pool:
            for done in [pool.submit(isolated, job, listener) for job in jobs]:
                done.result()


DIVERGENCES = {
    "sound": SoundDivergence,
    "wrong-shape": WrongShape,
    "nan": NotANumber,
    "no-tensor": NoTensor,
    "random": Random,
    "constant": Constant,
    "wrong-sign": WrongSign,
    "ignores-context": IgnoresContext,
    "mutates": Mutates,
    "raises": Raises,
    "hangs": Hangs,
    "exits": Exits,
    "killed": Killed,
    "wrong-ratio": WrongRatio,
    "idle-weight": IdleWeight,
}
TASKS = {
    "sound": SoundTask,
    "wrong-likelihood": WrongLikelihood,
    "summed-likelihood": SummedLikelihood,
    "one-row": SilentNoise,
    "random": OwnGenerator,
    "nan": NanTask,
    "short": ShortSimulation,
    "wrong-reference": WrongReference,
    "unseeded-reference": UnseededReference,
    "careless-reference": CarelessReference,
}
METRICS = {
    "sound": SoundMetric,
    "nan": MetricNan,
    "tensor": MetricTensor,
    "number": MetricNumber,
    "constant": MetricConstant,
    "reversed": MetricReversed,
    "random": MetricRandom,
    "mutates": MetricMutates,
    "scatters": MetricScatters,
    "careless": MetricCareless,
}
EXECUTORS = {"loses": Loses, "twice": Twice, "in-thread": InThread}


@hookimpl
def divergences():
    return {f"mutant-{name}": made for name, made in DIVERGENCES.items()} | {"mutant-no-divergence": SoundMetric}


@hookimpl
def families():
    return {f"mutant-{name}": made for name, made in FAMILIES.items()}


@hookimpl
def tasks():
    return {f"mutant-{name}": made for name, made in TASKS.items()}


@hookimpl
def methods():
    return {f"mutant-{name}": made for name, made in METHODS.items()}


@hookimpl
def metrics():
    return {f"mutant-{name}": made for name, made in METRICS.items()}


@hookimpl
def executors():
    return {f"mutant-{name}": made for name, made in EXECUTORS.items()}
