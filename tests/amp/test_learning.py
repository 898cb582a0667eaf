"""Learned conditionals: they fit the data, incomplete rows count, and what cannot be learned is refused by name."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Independent, Normal, OneHotCategorical, constraints

from ampbench import api
from ampbench.amp import AMP, diagnostics
from ampbench.amp.learning import LearnedModel, learn
from ampbench.errors import FitWarning, GraphError, UsageError
from ampbench.graph import Graph, density, join, learned
from ampbench.graph.rows import groups
from ampbench.interfaces import Conditional, silent
from ampbench.networks import BernoulliConditional, ImplicitConditional, NormalConditional
from ampbench.results.schema import DIAGNOSIS
from ampbench.seeding import seeded
from ampbench_divergences import jsd

JSD = "divergence=jsd(width=32,depth=1),family=implicit(width=32,depth=1)"
SLOPE = torch.tensor([[1.5, -1.0]])


def standard(name: str, size: int) -> object:
    return density(name, Independent(Normal(torch.zeros(size), torch.ones(size)), 1))


def factor_model(conditional: Callable[..., nn.Module]) -> Graph:
    """One standard normal factor z, and x with two components."""
    return Graph(standard("z", 1), learned("x", conditional(1, 2, width=32, depth=1), ["z"], size=2))


def two_views() -> Graph:
    """One factor seen twice."""
    views = [learned(name, NormalConditional(1, 2, width=16, depth=1), ["z"], size=2) for name in ("a", "b")]
    return Graph(standard("z", 1), *views)


@pytest.fixture(scope="module")
def factor() -> tuple[Tensor, Tensor]:
    """z, and x = (1.5, −1) z + (2, 0) + noise of standard deviation ½."""
    with seeded(0):
        z = torch.randn(3000, 1)
        return z, z @ SLOPE + 0.5 * torch.randn(3000, 2) + torch.tensor([2.0, 0.0])


@pytest.mark.parametrize("conditional", [NormalConditional, ImplicitConditional])
def test_model_and_inverse_are_learned(conditional: Callable[..., nn.Module], factor: tuple[Tensor, Tensor]) -> None:
    """The model has the moments of the data, with z inferred; Gaussian noise leaves but the sign of the factor open."""
    z, x = factor
    method = "amp:divergence=jsd(width=64,depth=2),family=implicit(width=32,depth=1),steps=800,checks=4"
    model = api.learn(factor_model(conditional), {"x": x}, method=method)
    with seeded(0):
        drawn, inferred = model.sample(3000), {name: value[0] for name, value in model.infer({"x": x}, 1).items()}
    assert torch.allclose(drawn["x"].mean(0), x.mean(0), atol=0.3)
    assert torch.allclose(drawn["x"].T.cov(), x.T.cov(), atol=0.6)
    assert torch.allclose(join(drawn, ["z", "x"]).T.cov(), join(inferred, ["z", "x"]).T.cov(), atol=0.6)
    if conditional is NormalConditional:  # where x may have any noise, nothing says which part of it is z
        assert abs(float(torch.corrcoef(torch.cat([inferred["z"], z], 1).T)[0, 1])) > 0.8


def test_known_likelihood_teaches_bits() -> None:
    """Bits carry no gradient, so that jsd cannot teach them, and eq. 10 can."""
    bits = (torch.rand(1000, 3, generator=torch.Generator().manual_seed(0)) < torch.tensor([0.9, 0.5, 0.1])).float()
    graph = factor_model(lambda parents, features, **sizes: BernoulliConditional(1, 3, **sizes))
    graph = Graph(graph["z"], learned("x", graph["x"].conditional, ["z"], torch.distributions.constraints.boolean, 3))
    with pytest.raises(UsageError, match="no loss depends on the learned conditional of 'x'"):
        api.learn(graph, {"x": bits}, method=f"amp:{JSD},steps=5,checks=1")
    spec = "divergence=kl-likelihood(width=32,depth=1),family=gaussian(width=32,depth=1)"
    model = api.learn(graph, {"x": bits}, method=f"amp:{spec},steps=300,checks=3")
    with seeded(0):
        assert torch.allclose(model.sample(3000)["x"].mean(0), bits.mean(0), atol=0.12)


def test_known_likelihood_teaches_a_transition_between_latents() -> None:
    """z → y → x with y learned and inferred together with z: x has mean 2 and variance 1 + 4 · 0.3², y the rest."""
    emission = density("x", lambda y: Independent(Normal(y, 0.3), 1), ["y"], size=1)
    with seeded(0):
        transition = learned("y", NormalConditional(1, 1, width=16, depth=1), ["z"], size=1)
        x = 2 + 1.17 * torch.randn(2000, 1)
    graph = Graph(standard("z", 1), transition, emission)
    spec = "divergence=kl-likelihood(width=32,depth=1),family=gaussian(width=16,depth=1),scope=global"
    model = api.learn(graph, {"x": x}, method=f"amp:{spec},steps=400,checks=1,learning_rate=0.002")
    with seeded(0):
        drawn = model.sample(5000)["x"]
    assert float(drawn.mean()) == pytest.approx(2, abs=0.15)
    assert float(drawn.std()) == pytest.approx(1.17, abs=0.15)


def test_the_given_graph_is_left_alone(factor: tuple[Tensor, Tensor]) -> None:
    graph = factor_model(NormalConditional)
    before = [parameter.clone() for parameter in graph["x"].conditional.parameters()]
    model = api.learn(graph, {"x": factor[1]}, method=f"amp:{JSD},steps=5,checks=1")
    assert all(torch.equal(a, b) for a, b in zip(before, graph["x"].conditional.parameters(), strict=True))
    trained = model.graph["x"].conditional.parameters()
    assert not all(torch.equal(a, b) for a, b in zip(before, trained, strict=True))


def test_same_seed_same_model(factor: tuple[Tensor, Tensor]) -> None:
    graph = factor_model(NormalConditional)
    histories = [
        api.learn(graph, {"x": factor[1]}, method=f"amp:{JSD},steps=20,checks=2", seed=seed).history
        for seed in (1, 1, 2)
    ]
    assert histories[0].equals(histories[1])
    assert not histories[0].equals(histories[2])


@pytest.mark.parametrize("scope", ["local", "global", "evidence"])
def test_every_scope_learns(scope: str, factor: tuple[Tensor, Tensor]) -> None:
    model = api.learn(
        factor_model(NormalConditional),
        {"x": factor[1]},
        method=f"amp:{JSD},scope={scope},steps=10,checks=2,particles=2",
    )
    assert {name: value.shape for name, value in model.sample(4).items()} == {"z": (4, 1), "x": (4, 2)}


def test_incomplete_rows_have_inverses_of_their_own() -> None:
    """Three groups, three inverses and three adversaries; a view that is missing is drawn from the model."""
    with seeded(0):
        data = {"a": torch.randn(60, 2), "b": torch.randn(60, 2)}
    data["a"][:20] = torch.nan
    data["b"][40:] = torch.nan
    model = api.learn(two_views(), data, method=f"amp:{JSD},steps=10,checks=2")
    losses = [name for name in model.history if name.startswith("family loss")]
    assert sorted(losses) == [
        "family loss (z | a) from a",
        "family loss (z | a, b) from a, b",
        "family loss (z | b) from b",
    ]
    completed = model.infer({"a": torch.zeros(3, 2)}, 5)
    assert {name: value.shape for name, value in completed.items()} == {"z": (5, 3, 1), "a": (5, 3, 2), "b": (5, 3, 2)}
    assert torch.allclose(completed["a"], torch.zeros(5, 3, 2), atol=1e-6)
    with pytest.raises(UsageError, match="nothing was learned about evidence on z; known: "):
        model.infer({"z": torch.zeros(3, 1)}, 5)


def test_equal_factors_are_one_conditional() -> None:
    """z → y → x: whether y is seen or not, z is inferred from y by the same family."""
    nodes = [
        learned(name, NormalConditional(1, 1, width=8, depth=1), [parent], size=1)
        for name, parent in (("y", "z"), ("x", "y"))
    ]
    data = {"x": torch.randn(40, 1), "y": torch.randn(40, 1)}
    data["y"][:20] = torch.nan
    model = api.learn(Graph(standard("z", 1), *nodes), data, method=f"amp:{JSD},steps=5,checks=1")
    assert sorted(map(str, model.trained.learned.bottom_up.factors)) == ["(y | x)", "(z | y)"]


def semi_supervised() -> tuple[Graph, dict[str, Tensor]]:
    """Bits x of a choice y and a style s; only every other row says which choice it was."""
    pixels = BernoulliConditional(3 + 1, 4, width=16, depth=1)
    graph = Graph(
        density("y", OneHotCategorical(torch.full((3,), 1 / 3))),
        standard("s", 1),
        learned("x", pixels, ["y", "s"], constraints.boolean, 4),
    )
    with seeded(0):
        data = {"x": torch.randint(2, (60, 4)).float(), "y": torch.eye(3)[torch.randint(3, (60,))]}
    data["y"][::2] = torch.nan
    return graph, data


def test_a_choice_is_seen_in_some_rows_and_inferred_in_others() -> None:
    """The label of a row is a known cause beside the inferred style, so that eq. 10 holds for both groups."""
    graph, data = semi_supervised()
    spec = "divergence=kl-likelihood(width=16,depth=1),family=gaussian(width=16,depth=1)"
    method = f"amp:{spec},families.y=categorical(width=16,depth=1),steps=5,checks=1"
    model = api.learn(graph, data, method=method)
    assert sorted(map(str, model.trained.learned.bottom_up.factors)) == ["(s | x, y)", "(y | x)"]
    inferred = model.infer({"x": data["x"][:3]}, 5)["y"]
    assert inferred.shape == (5, 3, 3)
    assert bool(constraints.one_hot.check(inferred).all())


def test_a_label_that_is_no_one_hot_vector_is_refused() -> None:
    graph, data = semi_supervised()
    data["y"][1] = torch.tensor([1.0, 1.0, 0.0])
    with pytest.raises(UsageError, match="1 rows of variable 'y' lie outside its support"):
        groups(graph, data)


def test_groups() -> None:
    nan = torch.nan
    data = {
        "a": torch.tensor([[1.0, 2.0], [nan, nan], [3.0, 4.0], [nan, nan]]),
        "b": torch.tensor([[5.0, 6.0], [7.0, 8.0], [nan, nan], [nan, nan]]),
    }
    found = groups(two_views(), data)
    assert {
        tuple(sorted(held)): {name: rows.tolist() for name, rows in each.items()} for held, each in found.items()
    } == {
        ("a", "b"): {"a": [[1, 2]], "b": [[5, 6]]},
        ("b",): {"b": [[7, 8]]},
        ("a",): {"a": [[3, 4]]},
    }


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({}, "no data: give rows of at least one of the variables z, a, b"),
        ({"a": torch.zeros(3, 2), "b": torch.zeros(4, 2)}, "different numbers of rows: {'a': 3, 'b': 4}"),
        ({"a": torch.zeros(3, 5)}, r"data of variable 'a' have shape \(3, 5\), expected \(n, 2\)"),
        ({"a": torch.tensor([[0.0, torch.nan]])}, "row 0 of variable 'a' is missing in part"),
        ({"a": torch.full((3, 2), torch.nan)}, "no row of a holds a value"),
        ({"a": torch.full((3, 2), torch.inf)}, "3 rows of variable 'a' lie outside its support"),
    ],
)
def test_bad_data(data: dict[str, Tensor], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        groups(two_views(), data)


def test_unknown_variable() -> None:
    with pytest.raises(GraphError, match="unknown variable 'c'"):
        groups(two_views(), {"c": torch.zeros(3, 2)})


@pytest.mark.parametrize(
    ("method", "message"),
    [
        ("amp:divergence=forward-kl,family=gaussian", "no loss depends on the learned conditional of 'x'"),
        ("amp:divergence=energy,particles=2", "divergence Energy compares inferred variables with the ones that made"),
        ("amp:teacher_forcing=true", "teacher forcing needs simulations of all variables"),
        ("amp:families.x=gaussian", "unknown inferred variable 'x'; known: z"),
        ("npe", "method 'npe' infers parameters but learns no model"),
    ],
)
def test_methods_that_cannot_learn(method: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        api.learn(factor_model(NormalConditional), {"x": torch.randn(50, 2)}, method=method)


class Steps(nn.Module):
    """A Gaussian step from the parent, with a slope to learn and a standard deviation that stays."""

    def __init__(self, spread: float = 1.0) -> None:
        super().__init__()
        self.slope = nn.Parameter(torch.ones(1))
        self.spread = spread

    def forward(self, parent: Tensor) -> Independent:
        return Independent(Normal(self.slope * parent, self.spread), 1)


class Correlated(Conditional):
    """The conditional of a standard normal variable given one that it is correlated with."""

    def __init__(self, correlation: float) -> None:
        super().__init__()
        self.correlation = correlation

    def forward(self, context: Tensor) -> Tensor:
        return self.correlation * context + (1 - self.correlation**2) ** 0.5 * torch.randn_like(context)


def walk(n: int, seed: int) -> dict[str, Tensor]:
    """Rows of y and x from the unit Gaussian chain z → y → x."""
    with seeded(seed):
        y = 2**0.5 * torch.randn(n, 1)
        return {"y": y, "x": y + torch.randn(n, 1)}


def settled(spread: float = 1.0, correlation: float = 0.5**0.5, adversary_steps: int = 1) -> LearnedModel:
    """That chain and q(z | y), right but for what is given, where nothing moves any more but the adversaries."""
    steps = (learned(name, Steps(s), [parent], size=1) for name, parent, s in (("y", "z", 1.0), ("x", "y", spread)))
    method = AMP(
        jsd.JSD(width=16, depth=1),
        lambda size, context: Correlated(correlation),
        steps=adversary_steps,
        learning_rate=1e-12,
        adversary_learning_rate=1e-2,
        checks=1,
    )
    with seeded(0):
        return learn(method, Graph(standard("z", 1), *steps), walk(4000, 0), torch.device("cpu"), silent)


@pytest.mark.parametrize(
    ("wrong", "verdicts"),
    [
        ({}, ["no difference found", "no difference found"]),
        ({"spread": 0.5}, ["no difference found", "told apart"]),
        ({"correlation": 0.0}, ["told apart", "no difference found"]),
    ],
    ids=["exact", "model", "inverse"],
)
def test_the_diagnosis_names_what_is_wrong(wrong: dict[str, float], verdicts: list[str], follows: Any) -> None:
    """A conditional of the model that is too narrow, or an inverse that does not listen, at its own tuple alone."""
    frame = settled(**wrong).diagnose(walk(1000, 1))
    follows(frame, DIAGNOSIS)
    assert frame["tuple"].tolist() == ["(z | y)", "( | y, x)"]
    assert frame["verdict"].tolist() == verdicts


def test_a_warning_where_an_adversary_still_tells_model_and_data_apart() -> None:
    with pytest.warns(
        FitWarning, match=r"at \( \| y, x\) with accuracy 0\.[67]\d ± 0\.0\d on 400 .*; raise steps, or take"
    ):
        settled(spread=0.5, adversary_steps=100)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        settled(adversary_steps=20)


def test_each_group_of_rows_has_its_own_diagnosis(monkeypatch: pytest.MonkeyPatch) -> None:
    """On what was held out or on fresh rows; the same numbers each time, and no trace in the random state."""
    monkeypatch.setattr(diagnostics, "train_classifier", partial(diagnostics.train_classifier, steps=20))
    data = walk(400, 2)
    data["y"][:200] = torch.nan
    model = api.learn(settled().graph, data, method=f"amp:{JSD},steps=5,checks=1")
    names = ["(y | x) from x", "(z | y) from x", "(z | y) from y, x", "( | y, x) from y, x"]
    with pytest.raises(UsageError, match=r"of 10 simulations or rows, got 20 and 3 folds at .*; hold out a larger"):
        model.diagnose(folds=3)
    state = torch.get_rng_state()
    frame = model.diagnose()
    assert torch.equal(state, torch.get_rng_state())
    assert frame["tuple"].tolist() == names
    assert frame["simulations"].tolist() == [20] * 4
    with seeded(77):
        assert frame.equals(model.diagnose())
    fresh = model.diagnose({"x": walk(40, 3)["x"]})
    assert fresh[["tuple", "simulations"]].to_numpy().tolist() == [[name, 40] for name in names[:2]]
    with pytest.raises(UsageError, match="nothing was learned about evidence on y; known: x; x, y"):
        model.diagnose({"y": walk(40, 3)["y"]})
