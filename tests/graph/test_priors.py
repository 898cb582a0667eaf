"""Priors as people have them: each is a distribution over vectors whose draws are in its support, or is refused."""

from __future__ import annotations

import math
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats
from table_of_priors import NO_VECTORS, OTHERS, TORCH, TWO, ArrayPrior, Disc, O, Z
from torch import distributions as td
from torch.distributions import (
    Dirichlet,
    Distribution,
    Exponential,
    Gamma,
    Independent,
    MixtureSameFamily,
    MultivariateNormal,
    Normal,
    Poisson,
    TransformedDistribution,
    Uniform,
    biject_to,
    constraints,
)
from torch.distributions import transforms as tt

from ampbench.errors import GraphError, SamplingError, SupportWarning
from ampbench.graph import Graph, density, simulator
from ampbench.graph.coordinates import Coordinates, is_partly_discrete
from ampbench.graph.copies import own
from ampbench.graph.prior import LatentPrior
from ampbench.graph.priors import as_distribution
from ampbench.graph.scipy_priors import VECTORS
from ampbench.seeding import seeded


def classes() -> set[str]:
    """Names of the distributions of torch."""
    found = {name: getattr(td, name) for name in td.__all__}
    return {name for name, each in found.items() if isinstance(each, type) and issubclass(each, Distribution)}


def test_the_table_has_every_distribution_of_torch() -> None:
    assert classes() == TORCH.keys() | NO_VECTORS.keys()
    assert all(type(make()).__name__ == name for name, make in TORCH.items())


@pytest.mark.parametrize("name", [*TORCH, *OTHERS])
def test_draws_are_vectors_inside_the_support_with_a_density(name: str) -> None:
    prior = as_distribution((TORCH | OTHERS)[name]())
    with seeded(1):
        drawn, nested, one = prior.sample(torch.Size([200])), prior.sample(torch.Size([2, 3])), prior.sample()
    assert prior.batch_shape == ()
    assert prior.event_shape == one.shape == drawn.shape[1:]
    assert one.ndim == 1
    assert nested.shape == (2, 3, *one.shape)
    assert prior.log_prob(drawn).shape == (200,)
    assert prior.log_prob(one).shape == ()
    assert prior.log_prob(nested).shape == (2, 3)
    assert bool(prior.log_prob(drawn).isfinite().all())
    assert bool(prior.support.check(drawn).all())
    with seeded(1):
        assert torch.equal(prior.sample(torch.Size([200])), drawn)
    node = density("theta", (TORCH | OTHERS)[name]())
    assert node.size == len(one)
    assert node.support.is_discrete == prior.support.is_discrete


@pytest.mark.parametrize("name", [*TORCH, *OTHERS])
def test_coordinates_and_back(name: str) -> None:
    """Decoded coordinates are in the support, unless no bijection describes it; a simplex has one less."""
    prior = density("theta", (TORCH | OTHERS)[name]())
    with seeded(2):
        drawn = prior.sample(200).double()
    if prior.support.is_discrete:
        return
    coordinates = Coordinates(drawn, prior.support)
    u = coordinates.encode(drawn)
    close = (coordinates.decode(u) - drawn).abs() <= 1e-4 * (1 + drawn.abs())
    assert float(close.all(1).double().mean()) > 0.98  # heavy tails are clamped
    decoded = coordinates.decode(2 * torch.randn(100, coordinates.size)).to(drawn)
    inside = prior.support.check(decoded).reshape(100, -1).all(1)
    assert bool(inside.all()) or name in {"mixture with a gap", "boxes"}
    slope = coordinates.log_slope(decoded[inside])
    assert slope.shape == (int(inside.sum()),)
    assert bool(slope.isfinite().all())


@pytest.mark.parametrize("name", [*TORCH, *OTHERS])
def test_nodes_keep_copies(name: str) -> None:
    prior = as_distribution((TORCH | OTHERS)[name]())
    twin = own(prior)
    with seeded(3):
        drawn = prior.sample(torch.Size([5]))
    with seeded(3):
        assert torch.equal(twin.sample(torch.Size([5])), drawn)
    assert torch.equal(twin.log_prob(drawn), prior.log_prob(drawn))
    assert bool(twin.support.check(drawn).all())


@pytest.mark.parametrize("name", [name for name in TORCH if name not in {"MixtureSameFamily", "VonMises"}])
def test_good_distributions_of_torch_stay_themselves(name: str) -> None:
    """So that the numbers of runs with them stay: only numbers become vectors."""
    law = TORCH[name]()
    prior = as_distribution(law)
    if name in {"GeneralizedPareto", "TransformedDistribution"}:  # torch names too large a support
        assert prior.log_prob(prior.sample()).shape == ()
    elif law.batch_shape:
        assert isinstance(prior, Independent)
        assert prior.base_dist is law
    else:
        assert prior is law


@pytest.mark.parametrize("name", NO_VECTORS)
def test_distributions_of_torch_without_vectors(name: str) -> None:
    make, message = NO_VECTORS[name]
    with pytest.raises(GraphError, match=rf"(?s)node 'theta': the prior.*{name}.*{message}"):
        density("theta", make())


BOUNDS: dict[str, tuple[Callable[[], Any], list[float], list[float]]] = {
    "VonMises": (TORCH["VonMises"], [-math.pi], [math.pi]),
    "GeneralizedPareto": (TORCH["GeneralizedPareto"], [0.0, 0.0], [1 / 0.3, math.inf]),
    "affine": (TORCH["TransformedDistribution"], [-1.0], [2.0]),
    "rising": (OTHERS["rising image"], [math.e], [math.e**3]),
    "falling": (OTHERS["falling image"], [-math.inf], [2.0]),
    "both": (OTHERS["images"], [0.0, -math.inf], [math.inf, 0.0]),
    "exponential": (lambda: TransformedDistribution(Normal(Z, O), [tt.ExpTransform()]), [0.0], [math.inf]),
    "logistic": (lambda: TransformedDistribution(Uniform(Z, O), [tt.SigmoidTransform().inv]), [-math.inf], [math.inf]),
    "mixture": (OTHERS["mixture with a gap"], [0.0], [4.0]),
    "scipy": (OTHERS["scipy vector"], [0.0, 2.0], [1.0, 5.0]),
    "scipy half": (OTHERS["scipy half bounded"], [1.0], [math.inf]),
}


@pytest.mark.parametrize("name", BOUNDS)
def test_bounds_are_those_of_the_draws(name: str) -> None:
    make, low, high = BOUNDS[name]
    prior = as_distribution(make())
    size = prior.event_shape[0]
    edges = torch.tensor([low * (size // len(low)), high * (size // len(high))], dtype=torch.float64)
    middle = prior.sample().double()
    for i in range(size):
        for edge, outwards in ((edges[0, i], -1), (edges[1, i], 1)):
            if edge.isfinite():
                beyond = middle.clone()
                beyond[i] = edge + outwards * 0.01
                assert not bool(prior.support.check(beyond).all())
    whole = biject_to(getattr(prior.support, "whole", prior.support))
    reached = whole(torch.stack([torch.full_like(middle, -15), torch.full_like(middle, 15)])).sort(0).values
    finite = edges.isfinite()
    assert torch.allclose(reached[finite].double(), edges[finite], atol=1e-4)
    assert bool((reached[~finite].abs() >= 10).all())


def test_a_list_has_the_product_of_the_densities() -> None:
    first, second = Normal(1.0, 2.0), Uniform(torch.tensor([2.0, 3.0]), torch.tensor([4.0, 7.0]))
    prior = as_distribution([first, second, stats.expon(scale=2.0)])
    theta = torch.tensor([[0.5, 3.0, 4.0, 1.0], [2.0, 3.5, 3.1, 0.1]])
    expected = first.log_prob(theta[:, 0]) - math.log(2 * 4) - math.log(2) - theta[:, 3] / 2
    assert torch.allclose(prior.log_prob(theta).float(), expected)
    drawn = prior.sample(torch.Size([20_000]))
    assert torch.allclose(drawn.mean(0).float(), torch.tensor([1.0, 3.0, 5.0, 2.0]), atol=0.1)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (stats.gamma([2.0, 3.0], scale=0.5), Gamma(torch.tensor([2.0, 3.0]), 2 * O)),
        (stats.norm([0.0, 1.0], 2.0), Normal(torch.tensor([0.0, 1.0]), 2 * O)),
        (stats.poisson([1.0, 3.0]), Poisson(torch.tensor([1.0, 3.0]))),
        (stats.uniform([0.0, 2.0], [1.0, 3.0]), Uniform(torch.tensor([0.0, 2.0]), torch.tensor([1.0, 5.0]))),
        (stats.dirichlet([1.0, 2.0, 3.0]), Dirichlet(torch.tensor([1.0, 2.0, 3.0]))),
        (stats.multivariate_normal(cov=[[2.0, 1.0], [1.0, 2.0]]), MultivariateNormal(Z, torch.eye(2) + 1)),
    ],
    ids=lambda law: type(law).__name__,
)
def test_densities_of_scipy_are_those_of_torch(ours: Any, theirs: Distribution) -> None:
    prior, other = as_distribution(ours), as_distribution(theirs)
    drawn = other.sample(torch.Size([50]))
    assert torch.allclose(prior.log_prob(drawn).float(), other.log_prob(drawn), atol=1e-4)
    assert bool(other.support.check(prior.sample(torch.Size([200])).float()).all())


def test_a_mixture_of_boxes_has_its_density_in_the_boxes_alone() -> None:
    prior = as_distribution(OTHERS["mixture with a gap"]())
    assert prior.log_prob(torch.tensor([[0.5], [2.0], [3.5]])).exp().tolist() == [0.5, 0.0, 0.5]
    assert prior.support.check(torch.tensor([[0.5], [2.0], [3.5]])).tolist() == [True, False, True]


def test_mixed_lists_are_partly_discrete() -> None:
    for laws in ([Normal(0.0, 1.0), Poisson(3.0)], [Dirichlet(torch.ones(3)), stats.bernoulli(0.3)]):
        assert is_partly_discrete(as_distribution(laws).support)
    assert not is_partly_discrete(as_distribution(OTHERS["list of counts"]()).support)


@pytest.mark.parametrize("outside", ["infinite", "error"])
def test_a_prior_without_support_lives_where_its_density_is_positive(outside: str) -> None:
    with pytest.warns(SupportWarning, match="a Disc without a support; it is taken to be where log_prob is greater"):
        prior = as_distribution(Disc(outside))
    theta = torch.tensor([[0.5, 0.5], [1.0, 1.0], [0.0, 0.9], [3.0, 0.0]])
    assert prior.support.check(theta).tolist() == [True, False, True, False]
    graph = Graph(density("theta", prior))
    assert graph.log_prob({"theta": theta}, ["theta"]).isfinite().tolist() == [True, False, True, False]


def test_a_declared_support_needs_no_warning() -> None:
    box = constraints.independent(constraints.interval(-1, 1), 1)
    assert density("theta", Disc("density"), support=box).support.check(torch.tensor([[2.0, 0.0]])).tolist() == [False]


def test_restricted_priors_have_the_density_of_the_region() -> None:
    pytest.importorskip("sbi")
    from sbi.utils import BoxUniform, RestrictedPrior

    prior = as_distribution(RestrictedPrior(BoxUniform(Z, O), lambda theta: theta.sum(-1) < 1))
    drawn = prior.sample(torch.Size([500]))
    assert bool((drawn.sum(1) < 1).all())
    theta = torch.tensor([[0.2, 0.2], [0.8, 0.8], [-1.0, 0.0]])
    assert prior.support.check(theta).tolist() == [True, False, False]
    assert torch.allclose(prior.log_prob(theta[:2]).exp(), torch.tensor([2.0, 0.0]), atol=0.03)
    nowhere = as_distribution(RestrictedPrior(BoxUniform(Z, O), lambda theta: theta.sum(-1) > 5))
    with pytest.raises(SamplingError, match="0 of 10100 draws of the prior are in the region"):
        nowhere.sample()


def test_priors_of_sbi_are_taken_apart() -> None:
    pytest.importorskip("sbi")
    from sbi.utils import BoxUniform, MultipleIndependent
    from sbi.utils.user_input_checks import process_prior

    box, rate = BoxUniform(Z, O), Gamma(torch.ones(1), torch.ones(1))
    assert as_distribution(box) is box
    joint = as_distribution(MultipleIndependent([rate, box, MultivariateNormal(Z, torch.eye(2))]))
    theta = joint.sample(torch.Size([4, 5]))
    expected = -theta[..., 0] - theta[..., 3:].square().sum(-1) / 2 - math.log(2 * math.pi)
    assert torch.allclose(joint.log_prob(theta), expected)
    with pytest.warns(UserWarning, match="Casting 1D Uniform"):
        processed = process_prior(Uniform(torch.zeros(1), torch.ones(1)))[0]
    assert as_distribution(processed).log_prob(torch.full((3, 1), 0.5)).tolist() == [0.0, 0.0, 0.0]
    processed = process_prior(Exponential(torch.ones(1, dtype=torch.float64)))[0]
    assert as_distribution(processed).log_prob(torch.ones(3, 1, dtype=torch.float64)).tolist() == [-1.0, -1.0, -1.0]


def test_scipy_has_no_gradient() -> None:
    with pytest.raises(GraphError, match="no gradient, which this method needs"):
        as_distribution(stats.norm()).log_prob(torch.zeros(1, requires_grad=True))


def test_double_precision_stays_where_it_is_needed() -> None:
    prior = [stats.uniform(1.2e9, 1.0), Uniform(0.0, 1.0)]
    values = Graph(density("theta", prior)).sample(100)["theta"]
    assert values.dtype == torch.float64
    assert 0.1 < float(values[:, 0].std()) < 0.5
    assert Graph(density("theta", stats.uniform(1.0, 1.0))).sample(100)["theta"].dtype == torch.float32


def test_latents_of_several_kinds_have_one_support() -> None:
    graph = Graph(
        density("a", Dirichlet(torch.ones(3))), density("b", Exponential(1.0)), density("c", Normal(0.0, 1.0))
    )
    prior = LatentPrior(graph, ["a", "b", "c"])
    assert bool(prior.support.check(prior.sample((50,))).all())
    bijection = biject_to(prior.support)
    u = bijection.inv(prior.sample((50,)))
    assert u.shape == (50, 4)
    assert bijection.log_abs_det_jacobian(u, bijection(u)).shape == (50,)


NAN, INF = math.nan, math.inf
DEGENERATE: dict[str, tuple[Callable[[], Any], str]] = {
    "zero width": (lambda: Uniform(1.0, 1.0, validate_args=False), "Uniform has the bounds 1.0 and 1.0"),
    "inverted": (lambda: Uniform(2 * O, O, validate_args=False), "Uniform has the bounds 2.0 and 1.0 in component 0"),
    "infinite": (lambda: Uniform(0.0, INF, validate_args=False), "Uniform has the bounds 0.0 and inf"),
    "NaN bound": (lambda: Uniform(NAN, 1.0, validate_args=False), "Uniform has the bounds nan and 1.0"),
    "scale": (lambda: Normal(Z, torch.tensor([1.0, 0.0]), validate_args=False), "Normal has scale=0.0 in component 1"),
    "negative": (lambda: td.LogNormal(0.0, -1.0, validate_args=False), "LogNormal has scale=-1.0, .* positive"),
    "NaN": (lambda: Independent(Normal(O * NAN, O, validate_args=False), 1), "Normal has loc=nan in component 0"),
    "infinite scale": (lambda: Gamma(1.0, INF), "Gamma has rate=inf"),
    "concentration": (lambda: Dirichlet(torch.tensor([1.0, 0.0]), validate_args=False), "Dirichlet has concentration="),
    "in a list": (lambda: [Normal(0.0, 1.0), Uniform(2.0, 1.0, validate_args=False)], "entry 1 .*bounds 2.0 and 1.0"),
    "in a mixture": (
        lambda: MixtureSameFamily(TWO, Normal(Z, torch.tensor([1.0, 0.0]), validate_args=False)),
        "Normal has scale=0.0 in component 1",
    ),
    "transform": (
        lambda: TransformedDistribution(Normal(Z, O), [tt.AffineTransform(1.0, 0.0)]),
        "TransformedDistribution has an AffineTransform of scale 0",
    ),
    "scipy width": (lambda: stats.uniform(1, 0), r"uniform\(1, 0\) of scipy has parameters that are not allowed"),
    "scipy inverted": (lambda: stats.uniform(2, scale=-1), r"uniform\(2, scale=-1\) of scipy"),
    "scipy scale": (lambda: stats.norm(0, 0), r"norm\(0, 0\) of scipy"),
    "scipy NaN": (lambda: stats.norm(loc=NAN), r"norm\(loc=nan\) of scipy"),
    "scipy infinite": (lambda: stats.uniform(0, INF), r"uniform\(0, inf\) of scipy"),
    "scipy rounded": (lambda: stats.uniform(1e20, 1.0), r"uniform\(1e\+20, 1.0\) of scipy has the bounds 1e\+20 and"),
    "scipy shape": (lambda: stats.gamma(-1.0), r"gamma\(-1.0\) of scipy"),
    "scipy order": (lambda: stats.truncnorm(2, 1), r"truncnorm\(2, 1\) of scipy"),
}


@pytest.mark.parametrize("name", DEGENERATE)
def test_distributions_that_do_not_exist(name: str) -> None:
    make, message = DEGENERATE[name]
    with pytest.raises(GraphError, match=r"(?s)node 'theta': the prior.* does not exist: .*|entry 1.*") as told:
        density("theta", make())
    assert told.match(message)


def without(*names: str) -> Any:
    """An object with ``sample`` and ``log_prob`` but for these."""
    members = {name: each for name, each in vars(ArrayPrior).items() if name in {"sample", "log_prob", "support"}}
    return type("Odd", (), {name: each for name, each in members.items() if name not in names})()


def odd(**members: Any) -> Any:
    return type("Odd", (ArrayPrior,), {name: staticmethod(each) for name, each in members.items()})()


def lists() -> Any:
    return odd(sample=lambda shape: [[0.5, 0.5]] * shape[0])


REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "None": (lambda: None, "is None, .* give a torch distribution such as"),
    "class": (lambda: Normal, "is the class Normal, .* make an object of it"),
    "function": (lambda: lambda n: Normal(Z, O), "is a function, .* give a torch distribution"),
    "text": (lambda: "normal(0,1)", r"is the text 'normal\(0,1\)'"),
    "number": (lambda: 3.0, "is a float"),
    "dict": (lambda: {"a": Normal(0.0, 1.0)}, r"is a dict, .* list\(prior.values\(\)\)"),
    "tensor": (lambda: torch.zeros(5, 2), r"is Tensor of shape \(5, 2\), .*gaussian_kde"),
    "array": (lambda: np.zeros((5, 2)), r"is ndarray of shape \(5, 2\), .*gaussian_kde"),
    "empty list": (lambda: [], "is an empty list; give"),
    "empty tuple": (lambda: (), "is an empty tuple; give"),
    "nested list": (lambda: [Normal(0.0, 1.0), [Normal(0.0, 1.0)]], "entry 1 is itself a list of 1; .* a flat list"),
    "list of None": (lambda: [Normal(0.0, 1.0), None], "entry 1 is None"),
    "list of classes": (lambda: [Normal], "entry 0 is the class Normal"),
    "list of matrices": (lambda: [Normal(0.0, 1.0), td.Wishart(4.0, torch.eye(2))], r"entry 1.*event shape \(2, 2\)"),
    "no components": (lambda: Normal(torch.zeros(0), torch.ones(0)), r"event shape \(0,\).* with D > 0"),
    "matrix": (lambda: Normal(torch.zeros(2, 2), 1.0), r"batch shape \(2, 2\).* parameters of shape \(D,\)"),
    "matrix event": (lambda: Independent(Normal(torch.zeros(2, 2), 1.0), 2), r"event shape \(2, 2\).* shape \(D,\)"),
    "batch of vectors": (lambda: MultivariateNormal(torch.zeros(3, 2), torch.eye(2)), "of the batch as a list"),
    "absolute value": (lambda: TransformedDistribution(Normal(Z, O), [tt.AbsTransform()]), "image of Real.*declare it"),
    "scaled counts": (lambda: TransformedDistribution(Poisson(O), [tt.AffineTransform(0.0, 2.0)]), "discrete Poisson"),
    "vectors of a bounded law": (
        lambda: TransformedDistribution(Independent(Uniform(Z, O), 1), [tt.StickBreakingTransform()]),
        "under StickBreakingTransform is not known; .*declare it",
    ),
    "family of scipy": (lambda: stats.gamma, r"is the family 'gamma' of scipy, .* as in scipy.stats.gamma\(2.0\)"),
    "multivariate family": (lambda: stats.multivariate_normal, "is the family 'multivariate_normal' of scipy"),
    "scipy matrix": (lambda: stats.wishart(3, np.eye(2)), "is 'wishart' of scipy, .* list of independent priors"),
    "scipy inverse": (lambda: stats.invwishart(3, np.eye(2)), "is 'invwishart' of scipy"),
    "scipy counts": (lambda: stats.multinomial(3, [0.5, 0.5]), "is 'multinomial' of scipy"),
    "scipy sphere": (lambda: stats.uniform_direction(3), "is 'uniform_direction' of scipy"),
    "scipy array": (lambda: stats.norm([[0.0, 1.0]]), r"arrays of shape \(1, 2\)"),
    "scipy halves": (lambda: stats.rv_discrete(values=([0.5, 1.5], [0.5, 0.5]))(), "that are not whole"),
    "scipy plane": (lambda: stats.multivariate_normal(Z, np.ones((2, 2)), allow_singular=True), "rank 1 in 2 dim"),
    "no density": (lambda: without("log_prob"), r"is a Odd without log_prob; .*infer_graph\(Graph\(simulator"),
    "no draws": (lambda: without("sample"), "is a Odd, not a torch Distribution"),
    "lists": (lists, r"returned list, but a tensor or array of shape \(3, D\)"),
    "one draw": (lambda: odd(sample=lambda shape: np.zeros(2)), r"returned ndarray of shape \(2,\)"),
    "matrices": (lambda: odd(sample=lambda shape: np.zeros((3, 2, 2))), r"returned the shape \(3, 2, 2\)"),
    "failure": (lambda: odd(sample=lambda shape: 1 / 0), "failed .ZeroDivisionError"),
    "density of components": (lambda: odd(log_prob=lambda value: value), r"log_prob failed at 3 draws"),
    "NaN density": (lambda: odd(log_prob=lambda value: np.full(3, NAN)), r"log_prob is \[nan, nan, nan\] at its draws"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_prior_is_refused_with_a_next_step(name: str) -> None:
    make, message = REFUSED[name]
    with pytest.raises(GraphError, match=rf"(?s)^node 'theta': the prior.*{message}"):
        density("theta", make())


def test_conditionals_with_parents_may_be_callables() -> None:
    child = density("x", lambda theta: Independent(Normal(theta, 1.0), 1), ["theta"])
    values = Graph(density("theta", Normal(0.0, 1.0)), child, simulator("y", torch.clone, ["x"])).sample(4)
    assert values["y"].shape == (4, 1)


def test_known_vectors_of_scipy_exist() -> None:
    assert all(hasattr(stats, name.removesuffix("_frozen")) for name in VECTORS)


def test_nodes_can_be_pickled() -> None:
    for name in ("list", "scipy vector", "mixture with a gap", "scipy Dirichlet"):
        again = pickle.loads(pickle.dumps(density("theta", OTHERS[name]())))
        with seeded(0):
            assert again.sample(3).shape[0] == 3


@pytest.mark.skipif(not hasattr(stats, "Normal"), reason="since scipy 1.15")
def test_what_scipy_copies_wrongly_is_not_pickled() -> None:
    with pytest.raises(TypeError, match=r"such as scipy.stats.norm\(0, 2\)"):
        pickle.dumps(density("theta", stats.Normal(mu=0.0, sigma=2.0)))
