"""Information that single precision would lose is kept, or its loss is named."""

from __future__ import annotations

import sys
from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.distributions import Independent, Normal, Uniform

from ampbench.api import infer
from ampbench.assess.subject import read_observation
from ampbench.errors import PrecisionWarning
from ampbench.graph import Graph, Simulator, density, simulator
from ampbench.graph.coordinates import Coordinates
from ampbench.graph.external import External
from ampbench.graph.precision import stored
from ampbench.graph.prior import LatentPrior
from ampbench.interfaces import HasDensity
from ampbench.seeding import seeded

EPOCH = 1.2e9
"""A time in seconds since 1970, in whose neighbourhood single precision has a spacing of 128."""
NORMAL = Independent(Normal(torch.zeros(2), torch.ones(2)), 1)


def uniform(low: float, high: float) -> Independent:
    """A uniform prior of one component in double precision."""
    bounds = (torch.tensor([each], dtype=torch.float64) for each in (low, high))
    return Independent(Uniform(*bounds), 1)


@pytest.mark.parametrize(
    ("change", "double"),
    [
        (lambda z: z, False),
        (lambda z: 100 + z, False),
        (lambda z: EPOCH + 0.1 * z, True),
        (lambda z: -EPOCH + 0.1 * z, True),
        (lambda z: 1e42 * z, True),
        (lambda z: 1e-45 * z, True),
        (lambda z: torch.full_like(z, 0.1), False),
        (lambda z: 0.1 + 1e-17 * z.round(), False),
        (lambda z: (1e9 + 10 * z).round().long(), True),
        (lambda z: (100 * z).round().long(), False),
        (lambda z: (EPOCH + 0.1 * z).float(), False),
    ],
)
def test_values_stay_in_double_precision_where_rounding_would_lose_them(
    change: Callable[[Tensor], Tensor], double: bool
) -> None:
    values = change(torch.randn(50, 1, dtype=torch.float64))
    assert (stored(values).dtype == torch.float64) == double
    if double:
        assert torch.equal(stored(values), values.double())


@pytest.mark.parametrize("factor", [0.1, 1e-3])
def test_coordinates_are_those_of_centred_values(factor: float) -> None:
    z = torch.randn(500, 2, dtype=torch.float64)
    coordinates = Coordinates(EPOCH + factor * z, torch.distributions.constraints.real)
    u = coordinates.encode(EPOCH + factor * z)
    assert u.dtype == torch.float32
    assert torch.allclose(u.double(), (z - z.mean(0)) / z.std(0), atol=1e-3)
    assert torch.allclose(coordinates.decode(u), EPOCH + factor * z, rtol=0, atol=1e-6)


def test_a_simulator_remembers_which_variables_need_double_precision() -> None:
    graph = Graph(density("theta", NORMAL), simulator("x", lambda t: EPOCH + 0.1 * t.double(), ["theta"]))
    source = Simulator(graph, ["x"], 100, seed=0)
    for n in (20, 1):
        values = source.sample(n)
        assert (values["theta"].dtype, values["x"].dtype) == (torch.float32, torch.float64)
        assert torch.allclose((values["x"] - EPOCH) / 0.1, values["theta"].double(), atol=1e-5)


def test_a_prior_far_from_0_has_its_draws_and_its_density() -> None:
    graph = Graph(density("theta", uniform(EPOCH, EPOCH + 2)), simulator("x", lambda t: t - EPOCH, ["theta"]))
    prior = LatentPrior(graph, ["theta"])
    drawn = prior.sample((2000,))
    assert float((drawn - EPOCH).mean()) == pytest.approx(1, abs=0.06)
    assert torch.allclose(prior.log_prob(drawn).exp().double(), torch.tensor(0.5, dtype=torch.float64))


METHODS = ["amp:divergence=forward-kl,family=gaussian,steps=300", "rejection-abc:accept=50"]


@pytest.mark.parametrize("method", METHODS)
def test_the_posterior_does_not_depend_on_the_origin_of_the_data(method: str) -> None:
    """x = 1.2e9 + θ / 10: the posterior was the prior before."""
    moved = infer(NORMAL, lambda t: EPOCH + 0.1 * (t + 0.5 * torch.randn_like(t)).double(), budget=1000, method=method)
    plain = infer(NORMAL, lambda t: 0.1 * (t + 0.5 * torch.randn_like(t)), budget=1000, method=method)
    with seeded(0):
        found = moved.sample(torch.tensor([EPOCH + 0.1, EPOCH - 0.1], dtype=torch.float64), 500)
    with seeded(0):
        expected = plain.sample(torch.tensor([0.1, -0.1]), 500)
    assert torch.allclose(found, expected, atol=0.05)


@pytest.mark.parametrize("method", METHODS)
def test_the_posterior_does_not_depend_on_the_origin_of_the_parameters(method: str) -> None:
    posterior = infer(
        uniform(EPOCH, EPOCH + 1), lambda t: t - EPOCH + 0.1 * torch.randn_like(t), budget=1000, method=method
    )
    x = torch.tensor([0.5])
    samples = posterior.sample(x, 500)
    assert samples.dtype == torch.float64
    assert bool(((samples >= EPOCH) & (samples <= EPOCH + 1)).all())
    assert float((samples - EPOCH).mean()) == pytest.approx(0.5, abs=0.05)
    assert float(samples.std()) < 0.18  # the prior's is 0.29
    assert isinstance(posterior, HasDensity)
    grid = EPOCH + torch.linspace(0.0005, 0.9995, 1000, dtype=torch.float64)[:, None]
    assert float(posterior.log_prob(grid, x.expand(1000, -1)).exp().mean()) == pytest.approx(1, abs=0.02)


def test_an_external_program_keeps_its_digits() -> None:
    program = "import sys; next(sys.stdin); [print([1.2e9 + 0.1 * float(each.strip()[1:-1])]) for each in sys.stdin]"
    external = External((sys.executable, "-c", program), timeout=60, size=1)
    prior = Independent(Normal(torch.zeros(1), torch.ones(1)), 1)
    values = Graph(density("theta", prior), simulator("x", external, ["theta"], size=1)).sample(20)
    assert torch.allclose((values["x"] - EPOCH) / 0.1, values["theta"].double(), atol=1e-5)


@pytest.mark.parametrize(
    ("text", "kind"), [("0.5, -1e-2", torch.float32), ("3", torch.float32), ("1200000000.05 1", torch.float64)]
)
def test_an_observation_is_read_as_precisely_as_it_is_written(text: str, kind: torch.dtype) -> None:
    assert read_observation(text).dtype == kind
    assert read_observation("1200000000.05").tolist() == [1200000000.05]


@pytest.mark.parametrize(
    ("simulate", "message"),
    [
        (
            lambda t: EPOCH + 0.1 * t,
            r"component 0 of 'x' \(and 1 more.* is about 1.2e\+09 in float32, whose spacing there is 1.4e\+02",
        ),
        (lambda t: EPOCH + 300 * t, r"component 0 of 'x' .* double precision"),
        (lambda t: 1.2e18 + 0.1 * t.double(), r"component 0 of 'x' .* is about 1.2e\+18 in float64"),
        (lambda t: torch.cat([t, 1000 + 1e-4 * t], 1), "component 2 of 'x'"),
    ],
)
def test_lost_information_is_named(simulate: Callable[[Tensor], Tensor], message: str) -> None:
    graph = Graph(density("theta", NORMAL), simulator("x", simulate, ["theta"]))
    with pytest.warns(PrecisionWarning, match=message):
        graph.sample(100)


def test_an_observation_with_too_few_digits_is_named() -> None:
    posterior = infer(
        NORMAL,
        lambda t: EPOCH + 0.1 * t.double(),
        budget=100,
        method="amp:divergence=forward-kl,family=gaussian,steps=5",
    )
    with pytest.warns(PrecisionWarning, match="the observation of 'x' is in float32"):
        posterior.sample(torch.tensor([EPOCH, EPOCH]), 3)


@pytest.mark.parametrize("simulate", [lambda t: 1000 * t, lambda t: (5e5 + t).round(), lambda t: 0 * t + 0.1])
def test_ordinary_values_are_not_warned_of(simulate: Callable[[Tensor], Tensor]) -> None:
    Graph(density("theta", NORMAL), simulator("x", simulate, ["theta"])).sample(100)
