"""Conformance tests for plugin authors; our own components pass the same ones.

Subclass the class of your component, make the component, and let pytest find it::

    from ampbench.testing import DivergenceConformance

    class TestLeCam(DivergenceConformance):
        def make(self):
            return LeCam()
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from torch import Tensor
from torch.distributions import Independent, Normal

from ampbench import registry
from ampbench.errors import AmpbenchError, MetricError
from ampbench.graph import Graph, Simulator, density, simulator
from ampbench.interfaces import (
    BatchedMetric,
    CanRestore,
    Conditional,
    Divergence,
    Executor,
    Family,
    HasDensity,
    HasHistory,
    HasLogRatio,
    HasReference,
    HasState,
    Job,
    Method,
    Metric,
    Posterior,
    Sequential,
    Task,
    Tuples,
    fit,
    rebuild,
    silent,
)
from ampbench.interfaces.events import Event, Finished
from ampbench.interfaces.tuples import Laws
from ampbench.results import Record, Run, tensors
from ampbench.results.store import Store
from ampbench.running import runner, sweep
from ampbench.seeding import seeded
from ampbench.spec import Spec


class DivergenceConformance(ABC):
    """What the engine relies on in a divergence."""

    rows = 512

    @abstractmethod
    def make(self) -> Divergence:
        """Make the divergence under test."""

    def sides(self, shift: Tensor) -> tuple[Tuples, Tuples]:
        """Top-down samples N(0, 1), and two particles of bottom-up samples N(shift, 1), with a shared context."""
        laws = _ShiftedLaws(shift)
        context = torch.randn(self.rows, 2)
        p = Tuples(torch.randn(self.rows, 1), context, laws)
        q = Tuples(torch.randn(2, self.rows, 1) + shift, context.expand(2, -1, -1), laws)
        return p, q

    def test_losses_are_finite_scalars(self) -> None:
        """Both losses are finite, on tuples with and without a particle dimension."""
        with seeded(0):
            divergence, (p, q) = self.make(), self.sides(torch.zeros(()))
            adversary = divergence.adversary(3)
            for loss in (divergence.adversary_loss(adversary, p, q), divergence.family_loss(adversary, p, q)):
                assert loss.shape == ()
                assert torch.isfinite(loss)

    def test_every_adversary_weight_gets_a_gradient(self) -> None:
        """The adversary's loss reaches every one of its parameters."""
        with seeded(0):
            divergence, (p, q) = self.make(), self.sides(torch.ones(()))
            adversary = divergence.adversary(3)
            weights = list(adversary.parameters())
            if weights:
                gradients = torch.autograd.grad(divergence.adversary_loss(adversary, p, q), weights)
                assert all(torch.isfinite(gradient).all() for gradient in gradients)

    def test_families_descend_towards_p(self) -> None:
        """With a trained adversary, a positive shift of q has a positive slope, a negative one a negative slope."""
        for value in (1.0, -1.0):
            with seeded(1):
                shift = torch.tensor(value, requires_grad=True)
                divergence = self.make()
                adversary = divergence.adversary(3)
                self.train(divergence, adversary, shift.detach())
                loss = divergence.family_loss(adversary, *self.sides(shift))
                (slope,) = torch.autograd.grad(loss, shift)
                assert slope * value > 0

    def test_log_ratio(self) -> None:
        """A divergence that declares a log-ratio learns it: on the tuples of both sides, to a third of its spread."""
        divergence = self.make()
        if not isinstance(divergence, HasLogRatio):
            return
        with seeded(1):
            shift = torch.ones(())
            adversary = divergence.adversary(3)
            self.train(divergence, adversary, shift)
            for side in self.sides(shift):
                estimate, exact = divergence.log_ratio(adversary, side).detach(), shift / 2 - side.variable[..., 0]
                assert estimate.shape == exact.shape
                assert float((estimate - exact).square().mean()) < 1 / 9

    def train(self, divergence: Divergence, adversary: torch.nn.Module, shift: Tensor) -> None:
        """Train the adversary for a while on fresh samples."""
        weights = list(adversary.parameters())
        if not weights:
            return
        optimiser = torch.optim.Adam(weights, 1e-3)
        for _ in range(200):
            optimiser.zero_grad()
            divergence.adversary_loss(adversary, *self.sides(shift)).backward()
            optimiser.step()


class _ShiftedLaws(Laws):
    """The densities of :meth:`DivergenceConformance.sides`: q is N(shift, 1), and the context ignores the variable."""

    def __init__(self, shift: Tensor) -> None:
        self.shift = shift

    def family(self, tuples: Tuples) -> Tensor:
        return Normal(self.shift, 1.0).log_prob(tuples.variable).sum(-1)

    def likelihood(self, tuples: Tuples) -> Tensor:
        return Normal(0.0, 1.0).log_prob(tuples.context).sum(-1)


class FamilyConformance(ABC):
    """What the engine relies on in a family; for families of discrete values see :class:`DiscreteFamilyConformance`."""

    @abstractmethod
    def make(self) -> Family:
        """Make the family under test."""

    def conditional(self, features: int, context: int) -> Conditional:
        """Build a conditional as it is after training, with parameters that follow from the seed 0."""
        with seeded(0):
            return self.make()(features, context).eval()

    def test_shapes(self) -> None:
        """(*, C) becomes (*, features), also without context; a density has shape (*,)."""
        for features, context, batch in ((1, 0, (7,)), (3, 2, (5,)), (2, 4, (6, 5)), (2, 0, (6, 5))):
            conditional = self.conditional(features, context)
            contexts = torch.zeros(*batch, context)
            samples = conditional(contexts)
            assert samples.shape == (*batch, features)
            if isinstance(conditional, HasDensity):
                assert conditional.log_prob(samples, contexts).shape == batch

    def test_every_weight_gets_a_gradient(self) -> None:
        """Samples are reparametrised: they depend on every parameter."""
        with seeded(0):
            conditional = self.conditional(2, 3)
            loss = conditional(torch.randn(64, 3)).square().mean()
            gradients = torch.autograd.grad(loss, list(conditional.parameters()))
            assert all(torch.isfinite(gradient).all() for gradient in gradients)
            assert all(bool(gradient.any()) for gradient in gradients)

    def test_seed_and_noise(self) -> None:
        """The same seed gives the same numbers; one context gives different samples."""
        conditional = self.conditional(2, 3)
        with seeded(1):
            first = conditional(torch.ones(20, 3))
        with seeded(1):
            again = conditional(torch.ones(20, 3))
        assert torch.equal(first, again)
        assert bool((first.std(0) > 0).all())

    def test_density_belongs_to_the_samples(self) -> None:
        """Where there is a density, it integrates to 1 and has the samples' mean and variance."""
        conditional = self.conditional(1, 2)
        if not isinstance(conditional, HasDensity):
            return
        samples, points, cell = self.samples_and_grid(conditional, 1, 4001)
        mass = conditional.log_prob(points, torch.ones(len(points), 2)).detach().double().exp() * cell
        assert abs(float(mass.sum()) - 1) < 1e-3
        centre = samples.mean()
        for power in (1, 2):
            drawn = (samples - centre) ** power
            expected = float((mass * (points[:, 0] - centre) ** power).sum())
            assert abs(float(drawn.mean()) - expected) < 5 * float(drawn.std()) / len(drawn) ** 0.5

    def test_gradient_of_the_density(self) -> None:
        """Where there is a density, its score at the samples is finite and has mean zero, along random directions."""
        conditional = self.conditional(2, 2)
        if not isinstance(conditional, HasDensity):
            return
        with seeded(1):
            context = torch.ones(400, 2)
            slopes = torch.stack(
                [
                    self.slopes(conditional, conditional.log_prob(conditional(context).detach(), context).mean())
                    for _ in range(50)
                ]
            )
        assert bool(torch.isfinite(slopes).all())
        assert bool((slopes.std(0) > 0).all())
        assert bool((slopes.mean(0).abs() < 5 * slopes.std(0) / 50**0.5).all())

    def test_gradient_through_the_samples(self) -> None:
        """Where there is a density q, samples carry the gradient of E[f(x)] = ∫ f q, along random directions."""
        conditional = self.conditional(2, 2)
        if not isinstance(conditional, HasDensity):
            return

        def loss(x: Tensor) -> Tensor:
            return x[..., 0].sin() + x[..., 0] * x[..., 1] + x[..., 1].square()

        _, points, cell = self.samples_and_grid(conditional, 2, 301)
        mass = conditional.log_prob(points, torch.ones(len(points), 2)).exp() * cell
        assert abs(float(mass.detach().sum()) - 1) < 1e-3
        exact = self.slopes(conditional, (mass * loss(points)).sum())
        with seeded(1):
            slopes = torch.stack(
                [self.slopes(conditional, loss(conditional(torch.ones(1000, 2))).mean()) for _ in range(50)]
            )
        assert bool(((slopes.mean(0) - exact).abs() < 5 * slopes.std(0) / 50**0.5).all())

    def samples_and_grid(self, conditional: Conditional, features: int, each: int) -> tuple[Tensor, Tensor, float]:
        """Samples given a context of ones, a grid (each^features, features) that covers them, and its cells' size."""
        with seeded(1):
            samples = conditional(torch.ones(20_000, 2)).detach()
        axis = torch.linspace(-1, 1, each)
        spread = 8 * samples.std(0)
        points = torch.cartesian_prod(*[axis] * features).reshape(-1, features) * spread + samples.mean(0)
        return samples[:, 0], points, float(((axis[1] - axis[0]) * spread).prod())

    def slopes(self, conditional: Conditional, value: Tensor) -> Tensor:
        """Slopes of a value along three random directions of the conditional's parameters, the same at every call."""
        weights = list(conditional.parameters())
        gradients = torch.autograd.grad(value, weights, allow_unused=True)
        generator = torch.Generator().manual_seed(0)
        total = torch.zeros(3)
        for weight, gradient in zip(weights, gradients, strict=True):
            direction = torch.randn(3, *weight.shape, generator=generator)
            if gradient is not None:
                total = total + (direction * gradient).flatten(1).sum(1)
        return total


class DiscreteFamilyConformance(FamilyConformance):
    """What the engine relies on in a family of discrete values; their gradients may be biased."""

    @abstractmethod
    def values(self, features: int) -> Tensor:
        """All values that a variable with so many components can take, shape (m, features)."""

    def test_density_belongs_to_the_samples(self) -> None:
        """Samples are possible values to the last bit; probabilities sum to 1 and are the samples' frequencies."""
        conditional = self.conditional(3, 2)
        assert isinstance(conditional, HasDensity)
        values = self.values(3)
        with seeded(1):
            samples = conditional(torch.ones(20_000, 2)).detach()
        equal = (samples[:, None] == values).all(-1)
        assert bool(equal.any(1).all())
        probability = conditional.log_prob(values, torch.ones(len(values), 2)).exp().detach()
        assert abs(float(probability.sum()) - 1) < 1e-5
        error = (probability * (1 - probability) / len(samples)).sqrt()
        assert bool(((equal.float().mean(0) - probability).abs() < 5 * error).all())

    def test_gradient_through_the_samples(self) -> None:
        """Relaxed gradients are biased; but where one value is always better, they lead towards it."""
        conditional = self.conditional(3, 2)
        context = torch.ones(2000, 2)
        for best in self.values(3):
            with seeded(1):
                loss = (conditional(context) - best).square().sum(-1).mean()
            weights = list(conditional.parameters())
            gradients = torch.autograd.grad(loss, weights)
            likelier = torch.autograd.grad(self.log_probability(conditional, best), weights)
            assert sum(float((a * b).sum()) for a, b in zip(gradients, likelier, strict=True)) < 0

    def log_probability(self, conditional: Conditional, value: Tensor) -> Tensor:
        """The log-probability of a value given a context of ones."""
        assert isinstance(conditional, HasDensity)
        return conditional.log_prob(value[None], torch.ones(1, 2)).sum()


class TaskConformance(ABC):
    """What the benchmark relies on in a task; ``ampbench verify`` looks deeper.

    Attributes:
        calibration: how many fresh observations the reference is judged on.
    """

    calibration = 300

    @abstractmethod
    def make(self) -> Task:
        """Make the task under test."""

    def test_simulations(self) -> None:
        """Simulations are finite vectors of constant size, and follow from the seed."""
        task = self.make()
        first = Simulator(task.graph, task.observed, 100, seed=3).sample(100)
        again = Simulator(task.graph, task.observed, 100, seed=3).sample(100)
        other = Simulator(task.graph, task.observed, 100, seed=4).sample(100)
        for name, value in first.items():
            assert torch.equal(value, again[name])
            assert not torch.equal(value, other[name])

    def test_numbered_observations(self) -> None:
        """Observations have the sizes of the simulations, and their parameters lie in the prior's support."""
        task = self.make()
        source = Simulator(task.graph, task.observed, 2, seed=0)
        sizes = {name: value.shape[1] for name, value in source.sample(2).items()}
        for observation in task.observations().values():
            assert observation.x.shape == (sum(sizes[name] for name in source.observed),)
            assert observation.theta.shape == (sum(sizes[name] for name in source.latents),)
            if observation.theta.isnan().all():
                continue  # real data: nobody knows its parameters
            parts = observation.theta.split([sizes[name] for name in source.latents])
            for name, part in zip(source.latents, parts, strict=True):
                assert bool(torch.all(task.graph[name].support.check(part)))

    def test_unknown_observation(self) -> None:
        """A number that does not exist is refused."""
        self.refused(lambda: self.make().numbered(-1), "observation -1")

    def test_parameters_outside_the_support(self) -> None:
        """Parameters outside their support, of the wrong shape, or NaN are refused before anything is simulated."""
        task = self.make()
        source = Simulator(task.graph, task.observed, 100, seed=0)
        values = source.sample(2)
        for name in source.latents:
            outside = torch.full_like(values[name], -1e30)
            bad = [values[name][:1], values[name] * torch.nan]
            if not bool(torch.all(task.graph[name].support.check(outside))):
                bad.append(outside)
            for value in bad:
                self.refused(partial(source.sample, 2, {name: value}), f"{name} = {value}")

    def test_reference(self) -> None:
        """Reference samples have the right shape, lie in the support, and follow from the seed."""
        task = self.make()
        if not isinstance(task, HasReference):
            return
        observation = task.observation(5)
        first = task.reference(observation.x, 200, 1)
        assert first.shape == (200, len(observation.theta))
        assert first.dtype == torch.float32
        for name, part in task.graph.split(first, task.latents).items():
            assert bool(torch.all(task.graph[name].support.check(part)))
        assert torch.equal(first, task.reference(observation.x, 200, 1))
        assert not torch.equal(first, task.reference(observation.x, 200, 2))

    def test_bad_observations(self) -> None:
        """An observation of the wrong shape, or with NaN, has no reference."""
        task = self.make()
        if not isinstance(task, HasReference):
            return
        x = task.observation(5).x
        for bad in (x[:-1], x[None], x * torch.nan):
            self.refused(partial(task.reference, bad, 10, 0), f"the observation {bad}")

    def test_reference_is_calibrated(self) -> None:
        """Ranks of true parameters among reference samples are uniform (simulation-based calibration)."""
        from scipy.stats import kstest

        task = self.make()
        if not isinstance(task, HasReference):
            return
        ranks = []
        for seed in range(self.calibration):
            observation = task.observation(seed)
            ranks.append((task.reference(observation.x, 99, seed) < observation.theta).float().mean(0))
        p_values = kstest(torch.stack(ranks).numpy(), "uniform").pvalue
        assert p_values.min() > 1e-3 / len(p_values)

    def refused(self, act: Callable[[], object], what: str) -> None:
        """Check that an act raises an error that ampbench raises on purpose."""
        try:
            act()
        except AmpbenchError:
            return
        raise AssertionError(f"{what} was not refused")


def check_density(posterior: Posterior, x: Tensor, n: int = 4000) -> None:
    """Assert that n samples given x, (L,), are of the density: the mean of 1{theta in a box} / q is the box's volume.

    The box holds the middle half of each component, so that the weights are bounded, and their error is known.
    """
    with seeded(1):
        samples = posterior.sample(x, n)
        assert isinstance(posterior, HasDensity)
        density = posterior.log_prob(samples, x.expand(n, -1))
    assert density.shape == (n,)
    low, high = samples.quantile(torch.tensor([0.25, 0.75]), 0)
    inside = ((samples > low) & (samples < high)).all(1)
    share = torch.where(inside, (-density).exp(), torch.zeros(())) / (high - low).prod()
    assert abs(float(share.mean()) - 1) < 5 * float(share.std()) / n**0.5


class MethodConformance(ABC):
    """What the runner relies on in a method; ``make`` should choose options that train for seconds only.

    Attributes:
        budget: of every fit.
        least: the fewest simulations that a fit may take; 0 for a reference point that needs none.
    """

    budget = 300
    least = 1

    @abstractmethod
    def make(self) -> Method:
        """Make the method under test."""

    def source(self) -> Simulator:
        """A Gaussian model with two parameters and three observed components."""
        prior = Independent(Normal(torch.zeros(2), torch.ones(2)), 1)
        weights = torch.tensor([[1.0, 0.0, 0.5], [0.0, 1.0, 0.5]])
        simulate = simulator("x", lambda theta: theta @ weights + 0.3 * torch.randn(len(theta), 3), ["theta"])
        return Simulator(Graph(density("theta", prior), simulate), ["x"], self.budget, seed=0)

    def test_fit_and_sample(self) -> None:
        """The posterior returns finite samples of the right shape, within the budget, and of its density if any."""
        source = self.source()
        posterior = fit(self.make(), source)
        x = torch.tensor([0.1, -0.2, 0.0])
        spent = source.spent
        if isinstance(posterior, Sequential):
            with seeded(1):
                fitted = posterior.fit_to(x, silent)
            posterior, spent = fitted.posterior, spent + fitted.simulations
        assert self.least <= spent <= self.budget
        samples = posterior.sample(x, 50)
        assert samples.shape == (50, 2)
        assert bool(torch.isfinite(samples).all())
        if isinstance(posterior, HasDensity):
            check_density(posterior, x)

    def test_same_seed_same_numbers(self) -> None:
        """Two fits with one seed give the same samples."""
        drawn = []
        for _ in range(2):
            posterior = fit(self.make(), self.source())
            with seeded(1):
                drawn.append(posterior.sample(torch.zeros(3), 20))
        assert torch.equal(*drawn)

    def test_a_restored_posterior_is_the_same(self) -> None:
        """A method that restores posteriors needs no simulation for it; they draw the same numbers."""
        if not isinstance(self.make(), CanRestore):
            return
        posterior = fit(self.make(), self.source())
        assert isinstance(posterior, HasState)
        state = tensors.parse(tensors.dump(posterior.state()))
        restored = rebuild(self.make(), self.source(), state)
        assert isinstance(restored, HasState)
        assert tensors.dump(restored.state()) == tensors.dump(state)
        drawn = []
        for each in (posterior, restored):
            with seeded(1):
                drawn.append(each.sample(torch.zeros(3), 20))
        assert torch.equal(*drawn)
        if isinstance(posterior, HasHistory):
            assert isinstance(restored, HasHistory)
            assert restored.history.equals(posterior.history)


class MetricConformance(ABC):
    """What the runner relies on in a metric that is lowest for equal distributions."""

    @abstractmethod
    def make(self) -> Metric:
        """Make the metric under test."""

    def test_orders_distributions(self) -> None:
        """Samples of the same law score lower than shifted ones; the value and its provenance are reproducible."""
        with seeded(0):
            reference, same = torch.randn(500, 2), torch.randn(500, 2)
        near, far = self.make().measure(same, reference), self.make().measure(same + 1.5, reference)
        assert near.value < far.value
        assert near == self.make().measure(same, reference)
        assert all(isinstance(value, str | int | float) for value in near.provenance.values())

    def test_refuses_bad_input(self) -> None:
        """NaN, mismatched sizes and empty input give an error, not a number."""
        good = torch.zeros(100, 2)
        for bad in (torch.full((100, 2), torch.nan), torch.zeros(100, 3), torch.zeros(0, 2)):
            try:
                self.make().measure(bad, good)
            except AmpbenchError:
                continue
            raise AssertionError(f"samples of shape {tuple(bad.shape)} were not refused")

    def test_many_pairs_are_measured_as_each(self) -> None:
        """A batched metric gives every pair its own value, whatever else is in the batch, and a bad pair its error."""
        metric = self.make()
        if not isinstance(metric, BatchedMetric):
            return
        with seeded(0):
            pairs = [(torch.randn(n, 2) + n / 200, torch.randn(200, 2)) for n in (100, 200)]
        *many, refused = metric.measure_many([*pairs, (torch.full((100, 2), torch.nan), pairs[0][1])])
        assert many == [metric.measure(*pair) for pair in pairs]
        assert isinstance(refused, MetricError)


class ExecutorConformance(ABC):
    """What the command line relies on in an executor; its workers must see the machine's temporary directory.

    Attributes:
        task: a quick task with at least two observations.
        sound, broken: a quick method, and one whose fit raises.
    """

    task = "gaussian_linear"
    sound = "amp:steps=2,divergence=jsd(width=8,depth=1),family=implicit(width=8,depth=1)"
    broken = "amp:steps=2,divergence=energy"  # needs more particles, which its training finds out

    @abstractmethod
    def make(self) -> Executor:
        """Make the executor under test."""

    def wanted(self) -> list[Run]:
        """Two observations of each method, with two seeds."""
        asked = {"tasks": [self.task], "methods": [self.sound, self.broken], "metrics": ["mmd"], "budgets": [50]}
        more = {"samples": 10, "observations": [1, 2], "seeds": [0, 1]}
        return sweep.runs(sweep.check(asked | more, "conformance"), registry.load())

    def execute(self, folder: Path) -> list[Record]:
        """Work on what is not stored, and return what the listener heard of; it must hear in the calling thread."""
        caller, heard = threading.current_thread(), []

        def listen(event: Event) -> None:
            assert threading.current_thread() is caller
            if isinstance(event, Finished):
                heard.append(event.record)

        groups = runner.fits(runner.pending(self.wanted(), Store(folder)))
        self.make().execute([Job(group, folder) for group in groups], listen)
        return heard

    def test_every_run_has_a_record_and_is_told_once(self, tmp_path: Path) -> None:
        """Also if a method raises, which costs its own runs only."""
        heard = self.execute(tmp_path)
        assert len(heard) == 8
        assert {record.run for record in heard} == set(self.wanted())
        assert {record.run.method for record in heard if record.ok} == {str(Spec.parse(self.sound))}
        assert sorted(record.run.key for record in Store(tmp_path).records()) == sorted(r.run.key for r in heard)

    def test_only_what_failed_is_done_again(self, tmp_path: Path) -> None:
        """By a second sweep."""
        self.execute(tmp_path)
        assert {record.run.method for record in self.execute(tmp_path)} == {str(Spec.parse(self.broken))}

    def test_nothing_to_do(self) -> None:
        """Is done at once."""
        self.make().execute([], lambda event: None)
