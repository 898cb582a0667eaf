"""The benchmarks ask for components that exist, and the steps that they time are those of the fit."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from types import ModuleType

from ampbench.graph import Simulator
from ampbench.registry import Registry

Benchmark = Callable[[str], ModuleType]


def test_every_spec_builds(benchmark: Benchmark, registry: Registry) -> None:
    engine, accuracy = benchmark("bench_engine"), benchmark("bench_accuracy")
    steps = [f"amp:divergence={one},family={other}" for one, other in itertools.product(*engine.Steps.params)]
    for spec in (*steps, *accuracy.POSTERIORS.values(), *accuracy.CHAINS.values()):
        registry.build("methods", spec)
    for metric in benchmark("bench_metrics").Metrics.params[0]:
        registry.build("metrics", metric)
    for task in benchmark("bench_tasks").Simulations.params:
        registry.build("tasks", task)


def test_every_divergence_has_its_steps_timed(benchmark: Benchmark, registry: Registry) -> None:
    timed = {spec.partition("(")[0] for spec in benchmark("bench_engine").DIVERGENCES}
    assert timed == set(registry.entries("divergences"))


def test_the_time_of_a_step_is_below_that_of_the_fit(benchmark: Benchmark) -> None:
    common = benchmark("common")
    source = Simulator(common.gaussian(), ["z1"], 50, seed=0)
    start = time.process_time()
    step = common.step("amp:divergence=energy,particles=2,steps=5,batch_size=16", source)
    assert 0 < 4 * step < 1000 * (time.process_time() - start)


def test_templates_of_benchmarks_have_as_many_repeats_as_they_say(benchmark: Benchmark) -> None:
    for axis, last in (("plate", 16), ("chain", 16), ("tree", 31)):
        timed = benchmark("bench_graph").Templates()
        timed.setup(axis, 16)
        assert len(timed.observed) == last
        timed.time_flat_inverse(axis, 16)
        timed.time_template_inverse(axis, 16)
