"""One network for all repeats: every model, divergence and family; messages; sizes that were not trained on."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Normal

from ampbench.amp.templates import TemplateAMP
from ampbench.amp.templates.batches import Batch, choose, encode, gather, learn_coordinates, separator
from ampbench.amp.templates.chain import TemplateBottomUp
from ampbench.amp.templates.contraction import ContractingDensity, contracting
from ampbench.amp.templates.posterior import TemplatePosterior
from ampbench.amp.templates.views import TemplateViews
from ampbench.errors import GraphError, UsageError
from ampbench.graph import Chain, Graph, Plate, Simulator, density, join, previous, simulator
from ampbench.graph.template import TemplateFactor, template_inverse
from ampbench.interfaces import HasDensity, fit, rebuild
from ampbench.networks import train_classifier
from ampbench.registry import Registry
from ampbench.seeding import seeded
from ampbench.testing import repeated
from ampbench.testing.repeated import MODELS, STANDARD, noisy, normal
from ampbench_families.gaussian import Gaussian
from ampbench_tasks import lgssm

SHORT = "steps=4,checks=2,batch_size=8,repeats=32,messages=8"
Make = Callable[[str], TemplateAMP]


@pytest.fixture
def make(registry: Registry) -> Make:
    return lambda options: registry.build("methods", f"amp-templates:{options}")


def evidence_of(graph: Graph, observed: tuple[str, ...], size: int = 3) -> dict[str, Tensor]:
    """Evidence of one simulation, with a size of every axis that has several."""
    sizes = {axis.name: axis.size if isinstance(axis.size, int) else size for axis in graph.axes}
    drawn = graph.sample(1, sizes=sizes)
    return {name: drawn[name][0] for name in observed}


def budget_of(graph: Graph) -> int:
    return 1000 if graph.covariates else 8000


@pytest.mark.parametrize(
    "options",
    [
        "divergence=jsd(width=16,refine=0),family=implicit(width=16)",
        "divergence=forward-kl,family=gaussian(width=16)",
        "divergence=mmd,family=implicit(width=16),teacher_forcing=false",
        "divergence=jsd(width=16,refine=0),family=implicit(width=16),scope=global",
    ],
    ids=["jsd", "forward-kl", "inferred contexts", "global"],
)
@pytest.mark.parametrize("name", MODELS)
def test_every_model_is_inferred_at_other_sizes_and_restored(name: str, options: str, make: Make) -> None:
    build, observed, _ = MODELS[name]
    graph, method = build(), make(f"{options},{SHORT}")
    posterior = fit(method, Simulator(graph, list(observed), budget_of(graph), 0))
    assert isinstance(posterior, TemplatePosterior)
    evidence = evidence_of(graph, observed, size=4)
    again = rebuild(method, Simulator(graph, list(observed), 0, 0), posterior.state())
    draws = []
    for each in (posterior, again):
        with seeded(1):
            draws.append(each.sample_variables(evidence, 5))  # type: ignore[attr-defined]
    assert list(draws[0]) == list(graph.latents(observed))
    for latent, value in draws[0].items():
        sizes = {axis.name: axis.size if isinstance(axis.size, int) else 4 for axis in graph.axes}
        assert value.shape == (5, *(axis.repeats(sizes[axis.name]) for axis in graph[latent].along), 1)
        assert torch.isfinite(value).all()
        assert torch.equal(value, draws[1][latent])


def test_every_divergence_works_on_a_template(make: Make, registry: Registry) -> None:
    graph = repeated.schools()
    for name in registry.entries("divergences"):
        method = make(f"divergence={name},family=gaussian(width=16),particles=2,{SHORT}")
        source = Simulator(graph, ["y"], budget_of(graph), 0)
        if name in ("kl-likelihood", "blend"):
            with pytest.raises(UsageError, match="the likelihood at the tuples of"):
                fit(method, source)
            continue
        assert len(fit(method, source).sample_variables(evidence_of(graph, ("sigma", "y")), 3)) == 2  # type: ignore[attr-defined]


def test_every_continuous_family_works_on_a_template(make: Make, registry: Registry) -> None:
    graph = repeated.state_space()
    for name in set(registry.entries("families")) - {"bernoulli", "categorical", "embedded"}:
        posterior = fit(make(f"divergence=energy,family={name},particles=2,{SHORT}"), Simulator(graph, ["x"], 8000, 0))
        assert len(posterior.sample_variables(evidence_of(graph, ("x",)), 3)) == 1  # type: ignore[attr-defined]


def test_variables_have_divergences_and_families_of_their_own(make: Make) -> None:
    graph = repeated.hierarchical()
    options = f"divergence=energy,particles=2,divergences.mu=forward-kl,families.mu=gaussian(width=16),{SHORT}"
    posterior = fit(make(options), Simulator(graph, ["y"], 8000, 0))
    assert isinstance(posterior, TemplatePosterior)
    conditionals = posterior.trained.learned.bottom_up.conditionals
    assert [isinstance(each, HasDensity) for each in conditionals] == [True, False, False]
    with pytest.raises(UsageError, match="inferred variable 'y'"):
        fit(make(f"families.y=gaussian,{SHORT}"), Simulator(graph, ["y"], 8000, 0))


def parts(graph: Graph, observed: tuple[str, ...], sizes: dict[str, int], n: int) -> tuple[TemplateBottomUp, Batch]:
    """Untrained families, and a batch with all repeats chosen."""
    torch.manual_seed(0)
    values = graph.sample(n, sizes=sizes)
    coordinates = learn_coordinates(graph, [values])
    batch = encode(graph, coordinates, values, sizes, torch.device("cpu"))
    factors = [factor for factor in template_inverse(graph, observed) if not factor.barren]
    families = {factor.variable: Gaussian(width=16) for factor in factors}
    bottom_up = TemplateBottomUp(graph, observed, factors, {k: c.size for k, c in coordinates.items()}, families, 8)
    rows = {factor: choose(factor, n, sizes, 10**9) for factor in factors}
    return bottom_up, Batch(batch.sizes, batch.values, batch.present, rows)


def mean_of(conditional: nn.Module, context: Tensor) -> Tensor:
    """The mean of a Gaussian conditional, contracting or not."""
    if isinstance(conditional, ContractingDensity):
        location, scale = conditional.frame(context)
        return location + scale * mean_of(conditional.family, context)
    return conditional.distribution(context).mean  # type: ignore[operator]


def test_permuting_the_groups_permutes_their_factors_and_not_the_roots() -> None:
    bottom_up, batch = parts(repeated.hierarchical(), ("y",), {"school": 5}, 4)
    order = torch.tensor([3, 0, 4, 1, 2])
    permuted = Batch(
        batch.sizes, {k: v[:, order] if v.ndim == 3 else v for k, v in batch.values.items()}, batch.present, batch.rows
    )
    for factor in bottom_up.factors:
        contexts = []
        for each in (batch, permuted):
            context = bottom_up.context(each, bottom_up.messages(each), factor, batch.rows[factor])
            contexts.append(mean_of(bottom_up.conditional(factor), context))
        if factor.cell:
            contexts = [contexts[0].unflatten(0, (4, 5))[:, order], contexts[1].unflatten(0, (4, 5))]
        assert torch.allclose(*contexts, atol=1e-5)


def test_contexts_of_training_are_those_of_sampling() -> None:
    """With families that return their context, the chain draws what the contexts of its own draws say."""
    for name in ("state space", "many series", "tree", "nested", "parameters and states"):
        build, observed, _ = MODELS[name]
        graph = build()
        sizes = {axis.name: 3 for axis in graph.axes}
        bottom_up, batch = parts(graph, observed, sizes, 2)
        for conditional in bottom_up.conditionals:
            conditional.forward = lambda context, of=conditional: mean_of(of, context)  # type: ignore[method-assign]
        drawn = {k: v[0] for k, v in bottom_up(batch, 1).items()}
        filled = batch.with_values(drawn)
        messages = bottom_up.messages(filled)
        for factor in bottom_up.factors:
            rows = batch.rows[factor]
            expected = bottom_up.conditional(factor)(bottom_up.context(filled, messages, factor, rows))
            assert torch.allclose(gather(drawn[factor.variable], rows, len(factor.cell)), expected, atol=1e-5), (
                name,
                str(factor),
            )


def least_squares(features: Tensor, target: Tensor) -> tuple[Tensor, float]:
    """Return the coefficients and the residual standard deviation of a linear regression without intercept."""
    solution = torch.linalg.lstsq(features.double(), target.double()).solution
    return solution[:, 0], float((target - features.double() @ solution).std())


def test_exact_messages_of_a_state_space_reach_the_exact_factor() -> None:
    """Given z_{t-1} and the information h_t = x_t / r + a h_{t+1} / (1 + q J), z_t is linear-Gaussian."""
    a, q, r, length = 0.9, 0.19, 0.25, 60
    with seeded(1):
        values = repeated.state_space().sample(20_000, sizes={"time": length})
    x, z = values["x"][..., 0].double(), values["z"][..., 0].double()
    information, precision = torch.zeros_like(x), torch.zeros(length, dtype=torch.float64)
    h, j = torch.zeros(len(x), dtype=torch.float64), 0.0
    for t in reversed(range(length)):
        information[:, t], precision[t] = x[:, t] / r + h, 1 / r + j
        h, j = a * information[:, t] / (1 + q * precision[t]), float(a**2 * precision[t] / (1 + q * precision[t]))
    batch = Batch({"time": length}, {"z": z[..., None], "h": information[..., None]}, {}, {})
    factor = next(f for f in template_inverse(repeated.state_space(), ["x"]) if f.follows)
    rows = choose(factor, len(z), {"time": length - 20}, 10**9)  # far from the end, where J is constant
    features = torch.cat(
        [separator(batch, factor, rows, repeated.state_space())[:, :1], gather(batch.values["h"], rows, 1)], 1
    )
    found, deviation = least_squares(features, gather(batch.values["z"], rows, 1))
    posterior = 1 / (float(precision[0]) + 1 / q)
    assert found.tolist() == pytest.approx([posterior * a / q, posterior], abs=1e-3)
    assert deviation == pytest.approx(posterior**0.5, rel=2e-3)


def test_exact_messages_of_groups_reach_the_exact_factor() -> None:
    """Given mu, tau = 1 and the mean of its three observations, theta is linear-Gaussian."""
    groups = [Plate("school", (2, 5))]
    graph = Graph(
        density("mu", STANDARD),
        density("theta", lambda mu: normal(mu, 1.0), ["mu"], along=groups, size=1),
        simulator("y", lambda theta: theta + torch.randn(len(theta), 3), ["theta"], along=groups, size=3),
    )
    with seeded(1):
        values = graph.sample(100_000, sizes={"school": 5})
    batch = Batch({"school": 5}, {**values, "mean": values["y"].mean(-1, keepdim=True)}, {}, {})
    factor = next(f for f in template_inverse(graph, ["y"]) if f.variable == "theta")
    rows = choose(factor, 100_000, batch.sizes, 10**9)
    features = torch.cat([separator(batch, factor, rows, graph), gather(batch.values["mean"], rows, 1)], 1)
    found, deviation = least_squares(features, gather(values["theta"], rows, 1))
    assert found.tolist() == pytest.approx([0.25, 0.75], abs=2e-3)
    assert deviation == pytest.approx(0.5, rel=2e-3)


def test_an_adversary_without_evidence_cannot_detect_families_that_ignore_it(registry: Registry) -> None:
    """Samples of p(theta | mu) have the distribution of (theta, mu); with evidence they can be told apart."""
    graph = repeated.nested()
    bottom_up, batch = parts(graph, ("y",), {"school": 3, "pupil": 4}, 1500)
    divergences = {factor.variable: registry.build("divergences", "jsd") for factor in bottom_up.factors}
    views = TemplateViews.of(bottom_up, divergences)
    at = next(at for at in views.comparisons if at.site.variables == ("theta",))
    prior = graph.sample(1500, sizes=batch.sizes)
    theta = prior["theta"] - prior["mu"][:, None] + batch.values["mu"][:, None] * prior["mu"].std()
    coordinates = learn_coordinates(graph, [graph.sample(4000, sizes=batch.sizes)])
    ignoring = batch.with_values({"theta": coordinates["theta"].encode(theta)})
    p, q = views.top_down(batch), views.top_down(ignoring)
    _, reader = views.build_adversaries()
    read_p, read_q = reader(p, q)
    accuracies = []
    for one, other in ((p, q), (read_p, read_q)):
        a, b = one[at].joint.detach(), other[at].joint.detach()
        half = len(a) // 2
        classify = train_classifier(a[:half], b[:half])
        accuracies.append(
            float(((classify(a[half:]) > 0).double().mean() + (classify(b[half:]) < 0).double().mean()) / 2)
        )
    assert accuracies[0] < 0.53
    assert accuracies[1] > 0.6


def test_adversaries_see_both_chains_in_the_units_of_the_families(registry: Registry) -> None:
    """Draws of the family have mean 0 and deviation 1 there, whatever the context; draws of the model are shifted."""
    bottom_up, batch = parts(repeated.state_space(), ("x",), {"time": 5}, 2000)
    divergences = {factor.variable: registry.build("divergences", "jsd") for factor in bottom_up.factors}
    views = TemplateViews.of(bottom_up, divergences)
    _, reader = views.build_adversaries()
    p, q = views.top_down(batch), views.forced(batch, 1)
    read_p, read_q = reader(p, q)
    for at in views.comparisons:
        size = p[at].variable.shape[-1]
        mean, log_deviation = read_p[at].context[:, p[at].context.shape[-1] :][:, : 2 * size].split(size, dim=-1)
        assert torch.equal(mean, read_q[at].context[0, :, p[at].context.shape[-1] :][:, :size])
        assert torch.allclose(read_p[at].variable * log_deviation.exp() + mean, p[at].variable, atol=1e-5)
        assert float(read_q[at].variable.detach().median().abs()) < 0.05
        assert float((read_q[at].variable.abs() < 1).double().mean()) == pytest.approx(0.68, abs=0.05)


def test_families_outside_a_plate_contract_with_its_repeats() -> None:
    """v = a + u / √(1 + R): with u standard normal, v has the density of N(a, 1 / (1 + R))."""
    standard = Gaussian(width=16)(2, 5).requires_grad_(False)
    for weight in standard.parameters():
        torch.nn.init.zeros_(weight)
    family = contracting(standard, 2, [slice(1, 5)])
    assert isinstance(family.requires_grad_(False), ContractingDensity)
    message = torch.randn(3)
    for repeats in (0, 3, 1000):
        context = torch.cat([torch.zeros(1), message, torch.tensor([(1 + repeats) ** -0.5])])
        unit = standard.distribution(context[None]).stddev[0]  # type: ignore[operator]
        exact = Normal(family.anchor(message), unit / (1 + repeats) ** 0.5)
        value = exact.sample()
        assert torch.allclose(family.log_prob(value, context), exact.log_prob(value).sum(), rtol=1e-4)
        drawn = family(context.expand(20_000, -1))
        assert torch.allclose(drawn.std(0), exact.stddev, rtol=0.03)
        assert torch.allclose(drawn.mean(0), exact.mean, atol=0.03 * float(exact.stddev.max()))


@pytest.mark.parametrize("first", [False, True])
def test_repeats_are_chosen_with_equal_probability(first: bool) -> None:
    """The mean of the loss over chosen repeats is an unbiased estimate of the mean over all repeats."""
    factor = TemplateFactor("z", (Plate("school", 2), Chain("time", 3)), (previous("z"),), first=first)
    sizes = {"school": 2, "time": 3}
    every = {tuple(row) for row in choose(factor, 2, sizes, 10**9).tolist()}
    times = [0] if first else [1, 2]
    assert every == set(itertools.product(range(2), range(2), times))
    counts = dict.fromkeys(every, 0)
    for _ in range(2000):
        rows = [tuple(row) for row in choose(factor, 2, sizes, 3).tolist()]
        assert len(set(rows)) == 3
        for row in rows:
            counts[row] += 1
    expected = 2000 * 3 / len(every)
    assert all(abs(count - expected) < 5 * expected**0.5 for count in counts.values())


def test_barren_latents_are_drawn_from_the_model(make: Make) -> None:
    time = [Chain("time", (2, 5))]
    graph = Graph(
        density("z", lambda z: normal(0.9 * z, 0.4), [previous("z")], along=time, first=STANDARD, size=1),
        simulator("x", noisy(0.5), ["z"], along=time, size=1),
        density("copy", lambda z: normal(3 * z, 0.1), ["z"], along=time, size=1),
    )
    posterior = fit(make(f"divergence=energy,particles=2,{SHORT}"), Simulator(graph, ["x"], 8000, 0))
    assert isinstance(posterior, TemplatePosterior)
    assert {f.variable for f in posterior.trained.learned.bottom_up.factors} == {"z"}
    with seeded(0):
        drawn = posterior.sample_variables({"x": torch.zeros(4, 1)}, 4000)
    assert float((drawn["copy"] - 3 * drawn["z"]).std()) == pytest.approx(0.1, rel=0.03)


def along_no_known_axis(schools: int | tuple[int, int]) -> Graph:
    """Groups of which nothing is observed, below a parameter of which something is."""
    return Graph(
        density("mu", STANDARD),
        simulator("x", noisy(1.0), ["mu"], size=1),
        density("theta", lambda mu: normal(mu, 0.5), ["mu"], along=[Plate("school", schools)], size=1),
    )


def partly_latent(**options: object) -> Graph:
    """Leaves with a latent that may have no value."""
    z = density("z", lambda mu: normal(mu, 0.5), ["mu"], along=[repeated.CLADE], size=1, **options)  # type: ignore[arg-type]
    x = simulator("x", noisy(0.3), ["z"], along=[repeated.CLADE], leaves=True, size=1)
    return Graph(density("mu", STANDARD), z, x)


@pytest.mark.parametrize("scope", ["local", "global"])
@pytest.mark.parametrize(
    ("graph", "observed", "message"),
    [
        (
            repeated.hierarchical(),
            ["mu", "tau"],
            r"no latent variable \(theta, y\) has an observed descendant \(mu, tau\)",
        ),
        (repeated.schools(), ["sigma"], r"no latent variable \(mu, theta, y\) has an observed descendant \(sigma\)"),
        (repeated.hierarchical().ground({"school": 3}), ["tau"], r"no latent variable \(mu, theta, y\)"),
        (along_no_known_axis((3, 9)), ["x"], "'theta' is repeated along 'school', whose sizes are from 3 to 9, but no"),
        (partly_latent(missing=(0.0, 0.5)), ["x"], "latent 'z' has no value in some repeats"),
        (partly_latent(leaves=True), ["x"], "latent 'z' has no value in some repeats"),
        (repeated.schools(), ["mu", "theta", "y"], "nothing to infer: .* mu, theta, sigma, y"),
    ],
    ids=["observed roots", "covariates only", "flat", "unknown size", "missing", "leaves", "covariates are latent"],
)
def test_evidence_that_informs_no_latent_is_refused(
    graph: Graph, observed: list[str], message: str, scope: str, make: Make
) -> None:
    with pytest.raises(UsageError, match=message):
        fit(make(f"divergence=jsd(width=16,refine=0),scope={scope},{SHORT}"), Simulator(graph, observed, 8000, 0))


def test_evidence_may_have_no_axis(make: Make) -> None:
    source = Simulator(along_no_known_axis(4), ["x"], 8000, 0)
    posterior = fit(make(f"divergence=energy,particles=2,{SHORT}"), source)
    drawn = posterior.sample_variables({"x": torch.zeros(1)}, 5)  # type: ignore[attr-defined]
    assert {name: tuple(value.shape) for name, value in drawn.items()} == {"mu": (5, 1), "theta": (5, 4, 1)}


def test_a_flat_graph_is_inferred_through_its_template(make: Make, registry: Registry) -> None:
    for text in (
        "lgssm:length=4,missing=0.25",
        "hierarchical:groups=3",
        "gaussian_tree:depth=2",
        "eight_schools",
        "nile",
        "radon:counties=3",
        "irt_1pl:students=3,questions=2",
    ):
        task = registry.build("tasks", text)
        posterior = fit(make(f"divergence=energy,particles=2,{SHORT}"), Simulator(task.graph, task.observed, 200, 0))
        x = task.observation(1).x
        with seeded(0):
            drawn = posterior.sample(x, 7)
        assert drawn.shape == (7, len(task.observation(1).theta))
        assert torch.isfinite(drawn).all()


@pytest.mark.parametrize(
    "text",
    [
        *("lgssm:length=4,dim=3", "hierarchical:groups=3", "gaussian_tree:depth=2,branching=3", "eight_schools"),
        *("chain_binomial_sites:sites=2", "lgssm_theta:length=3", "nile:length=3", "radon:counties=3"),
        "irt_1pl:students=3,questions=2",
    ],
)
def test_templates_of_tasks_have_the_distribution_of_their_graphs(text: str, registry: Registry) -> None:
    graph = registry.build("tasks", text).graph
    repetition = graph.repetition
    with seeded(3):
        flat = graph.sample(40_000)
        drawn = repetition.unstack(repetition.template.sample(40_000, sizes=repetition.sizes))
    names = list(flat)
    a, b = (torch.cat([values[name] for name in names], 1) for values in (flat, drawn))
    low, middle, high = a.quantile(torch.tensor([0.1, 0.5, 0.9]), dim=0)
    a, b = (((each - middle) / (high - low).clamp(min=1)).tanh() for each in (a, b))  # tails are heavy
    scale = a.std(0)
    assert torch.allclose(a.mean(0) / scale, b.mean(0) / scale, atol=0.04)
    assert torch.allclose(torch.corrcoef(a.T), torch.corrcoef(b.T), atol=0.04)
    assert torch.allclose(b.std(0) / scale, torch.ones(len(scale)), atol=0.04)
    stacked = repetition.stack(flat)
    again = repetition.unstack(stacked)
    assert all(torch.equal(again[name], flat[name]) for name in flat)


def test_the_budget_counts_repeats(make: Make) -> None:
    source = Simulator(repeated.state_space(), ["x"], 8000, 0)
    assert source.sample(3, sizes={"time": 5})["z"].shape == (3, 5, 1)
    assert source.spent == 15
    fit(make(f"divergence=energy,particles=2,{SHORT}"), source)
    assert 7000 < source.spent <= 8000


def test_diagnoses_find_a_fit_that_ignores_the_evidence(make: Make) -> None:
    for divergence in ("jsd(width=16,refine=0)", "forward-kl"):
        source = Simulator(repeated.state_space(), ["x"], 40_000, 0)
        posterior = fit(make(f"divergence={divergence},family=gaussian(width=16),{SHORT}"), source)
        assert isinstance(posterior, TemplatePosterior)
        table = posterior.diagnose()
        assert list(table["tuple"]) == ["(z first | evidence)", "(z | z before, evidence)"]
        assert set(table["verdict"]) == {"told apart"}  # four steps teach nothing


def test_what_is_wrong_is_named(make: Make) -> None:
    graph = repeated.state_space()
    method = make(f"divergence=energy,particles=2,{SHORT}")
    one = Graph(density("theta", STANDARD), simulator("x", noisy(1.0), ["theta"]))
    with pytest.raises(UsageError, match="the graph has none"):
        fit(method, Simulator(one, ["x"], 100, 0))
    with pytest.raises(UsageError, match="raise the budget"):
        fit(method, Simulator(graph, ["x"], 100, 0))
    flat = graph.ground({"time": 3})
    with pytest.raises(GraphError, match="some are observed and others are latent"):
        fit(method, Simulator(flat, ["x_1", "x_2"], 100, 0))
    posterior = fit(method, Simulator(graph, ["x"], 8000, 0))
    assert isinstance(posterior, TemplatePosterior)
    with pytest.raises(UsageError, match="call sample_variables"):
        posterior.sample(torch.zeros(3), 2)
    with pytest.raises(UsageError, match="has no 'x'"):
        posterior.sample_variables({"y": torch.zeros(3, 1)}, 2)
    with pytest.raises(UsageError, match="expected \\(time, D\\)"):
        posterior.sample_variables({"x": torch.zeros(3)}, 2)
    with pytest.raises(UsageError, match="has 2 components, expected 1"):
        posterior.sample_variables({"x": torch.zeros(3, 2)}, 2)
    with pytest.raises(UsageError, match="1 repeats of 'x' are missing"):
        posterior.sample_variables({"x": torch.tensor([[0.0], [torch.nan]])}, 2)
    trees = fit(method, Simulator(repeated.tree(), ["x"], 8000, 0))
    assert isinstance(trees, TemplatePosterior)
    with pytest.raises(UsageError, match="fit no size of the axis"):
        trees.sample_variables({"x": torch.zeros(4, 1)}, 2)
    with pytest.raises(UsageError, match="scope=global"):
        fit(make(f"divergence=energy,particles=2,scope=global,{SHORT}"), Simulator(graph, ["x"], 8000, 0))
    drawn = join(flat.sample(1), ["x_1"])
    assert drawn.shape == (1, 1)


@pytest.mark.slow
def test_the_error_is_flat_along_series_longer_than_those_of_training(registry: Registry) -> None:
    """Trained on at most 100 times, and judged at 1,000 by mean and standard deviation of every state."""
    task = registry.build("tasks", "lgssm:length=1000")
    method = registry.build(
        "methods",
        "amp-templates:divergence=forward-kl,family=gaussian(width=64,depth=2),steps=1500,learning_rate=0.001",
    )
    posterior = fit(method, Simulator(lgssm.template((10, 100)), ["x"], 300_000, 0))
    x = Simulator(task.graph, task.observed, 1, seed=1).sample(1)
    stacked = task.graph.repetition.stack(x)["x"][0]
    with seeded(0):
        drawn = posterior.sample_variables({"x": stacked}, 4000)["z"][..., 0]  # type: ignore[attr-defined]
    exact = task.reference(join(x, task.observed)[0], 4000, 0)
    shift = ((drawn.mean(0) - exact.mean(0)) / exact.std(0)).abs()
    spread = (drawn.std(0) / exact.std(0)).log().abs()
    for error in (shift, spread):
        parts = error.unflatten(0, (10, 100)).mean(1)
        assert float(parts.max()) < 0.06
        assert float(parts[5:].mean()) < 1.5 * float(parts[:5].mean())
