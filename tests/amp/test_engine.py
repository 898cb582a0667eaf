"""The loop: it is deterministic, it respects devices, it says where it broke, and it finds closed-form posteriors."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
import torch
from torch.distributions import Bernoulli, Independent, Poisson, Uniform, constraints

from ampbench.amp import AMP, engine
from ampbench.amp.engine import PENALTY_EVERY
from ampbench.amp.posterior import AMPPosterior
from ampbench.amp.sources import minibatch, split
from ampbench.errors import TrainingError, UsageError
from ampbench.graph import Graph, Simulator, density, learned, simulator
from ampbench.interfaces import Tuples, UnfinishedFitError, fit
from ampbench.networks import Adversary, gradient_penalty
from ampbench.registry import Registry
from ampbench.seeding import seeded
from ampbench_divergences.jsd import JSD

SMALL = "(width=32,depth=1)"
PAIRS = [
    (divergence, f"{family}{SMALL}")
    for divergence in (f"jsd{SMALL}", f"kl{SMALL}", "mmd")
    for family in ("implicit", "gaussian")
]
QUICK = f"divergence=jsd{SMALL},family=implicit{SMALL}"


def amp(registry: Registry, options: str) -> AMP:
    return registry.build("methods", f"amp:{options}")


@pytest.mark.parametrize(("divergence", "family"), PAIRS)
@pytest.mark.parametrize("scope", ["local", "global"])
def test_every_combination_trains_on_a_chain(
    registry: Registry, chain: Graph, divergence: str, family: str, scope: str
) -> None:
    """The local scope puts an adversary on each of the two tuples, the global one a single one on all variables."""
    method = amp(registry, f"divergence={divergence},family={family},scope={scope},steps=30,particles=2")
    posterior = fit(method, Simulator(chain, ["x"], 500, seed=0))
    assert isinstance(posterior, AMPPosterior)
    assert len(posterior.trained.adversaries) == (2 if scope == "local" else 1)
    assert posterior.sample(torch.zeros(1), 7).shape == (7, 2)
    assert {name: value.shape for name, value in posterior.sample_variables(torch.zeros(1), 7).items()} == {
        "z2": (7, 1),
        "z1": (7, 1),
    }


@pytest.mark.parametrize(("divergence", "family"), PAIRS)
def test_conjugate_gaussian(registry: Registry, gaussian_graph: Graph, divergence: str, family: str) -> None:
    """theta | x is N(x / 2, 1 / 2)."""
    method = amp(registry, f"divergence={divergence},family={family},steps=1500,batch_size=128")
    posterior = fit(method, Simulator(gaussian_graph, ["x"], 5000, seed=0))
    with seeded(0):
        for x in (-1.0, 0.0, 1.5):
            samples = posterior.sample(torch.tensor([x]), 4000)
            assert abs(float(samples.mean()) - x / 2) < 0.15
            assert abs(float(samples.std()) - 0.5**0.5) < 0.15


def test_chain_posterior(registry: Registry, chain: Graph) -> None:
    """z2, z1 | x of the unit Gaussian chain: means x/3 and 2x/3, variances 2/3, correlation 1/2."""
    posterior = fit(amp(registry, f"{QUICK},steps=1000"), Simulator(chain, ["x"], 5000, seed=0))
    with seeded(0):
        samples = posterior.sample(torch.tensor([1.5]), 4000)
    assert torch.allclose(samples.mean(0), torch.tensor([0.5, 1.0]), atol=0.2)
    assert torch.allclose(samples.std(0), torch.tensor([2 / 3, 2 / 3]).sqrt(), atol=0.2)
    assert abs(float(torch.corrcoef(samples.T)[0, 1]) - 0.5) < 0.2


def test_simulators_need_no_gradient(registry: Registry) -> None:
    """A rounding, numpy simulator is as good as any, and samples stay inside the prior's box."""
    prior = Independent(Uniform(torch.zeros(1), torch.ones(1)), 1)
    graph = Graph(density("theta", prior), simulator("x", lambda t: (10 * t).numpy().round(), ["theta"]))
    posterior = fit(amp(registry, f"{QUICK},steps=50"), Simulator(graph, ["x"], 300, seed=0))
    samples = posterior.sample(torch.tensor([3.0]), 500)
    assert bool(((samples >= 0) & (samples <= 1)).all())


def test_same_seed_same_numbers(registry: Registry, gaussian_graph: Graph) -> None:
    histories = [
        fit(amp(registry, f"{QUICK},steps=40"), Simulator(gaussian_graph, ["x"], 400, seed=seed)).trained.history
        for seed in (1, 1, 2)
    ]
    assert histories[0] == histories[1] != histories[2]


def test_everything_is_made_on_the_given_device(registry: Registry, gaussian_graph: Graph) -> None:
    """Tensors made without naming a device would land on the meta device, and fail when they meet the others."""
    source = Simulator(gaussian_graph, ["x"], 300, seed=0)
    values = source.sample(300)

    class Drawn(Simulator):
        def sample(self, n: int, given: object = None) -> dict[str, torch.Tensor]:
            return values

    drawn = Drawn(gaussian_graph, ["x"], 300, seed=0)
    for divergence, family in PAIRS:
        method = amp(registry, f"divergence={divergence},family={family},steps=5")
        with torch.device("meta"):
            posterior = method.fit(drawn, torch.device("cpu"), lambda done, total: None)
            assert posterior.sample(values["x"][0], 3).device.type == "cpu"


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda(registry: Registry, gaussian_graph: Graph) -> None:
    posterior = fit(amp(registry, f"{QUICK},steps=20"), Simulator(gaussian_graph, ["x"], 300, seed=0), device="cuda")
    assert posterior.sample(torch.zeros(1), 5).device.type == "cpu"


def test_a_broken_loss_names_tuple_and_step(registry: Registry, gaussian_graph: Graph) -> None:
    method = amp(registry, f"{QUICK},steps=50,adversary_learning_rate=1e30")
    with pytest.raises(TrainingError, match=r"loss at tuple \(theta \| x\) became (nan|inf|-inf) in step \d+"):
        fit(method, Simulator(gaussian_graph, ["x"], 300, seed=0))


def test_what_was_good_before_the_training_broke_is_kept(registry: Registry, gaussian_graph: Graph) -> None:
    """The error carries the posterior of the best checkpoint so far; before the first there is none."""

    class Breaking(JSD):
        def family_loss(self, adversary: torch.nn.Module, p: Tuples, q: Tuples) -> torch.Tensor:
            seen.append(1)
            return super().family_loss(adversary, p, q) * (torch.nan if len(seen) > last else 1)

    for last, rows in ((25, 2), (5, None)):
        seen: list[int] = []
        method = amp(registry, f"{QUICK},steps=40,checks=4")
        method.divergence = Breaking(width=32, depth=1)
        with pytest.raises(
            TrainingError, match=rf"loss at tuple \(theta \| x\) became nan in step {last + 1}"
        ) as caught:
            fit(method, Simulator(gaussian_graph, ["x"], 300, seed=0))
        if rows is None:
            assert not isinstance(caught.value, UnfinishedFitError)
        else:
            assert len(caught.value.posterior.history) == rows
            assert bool(torch.isfinite(caught.value.posterior.sample(torch.zeros(1), 50)).all())


def test_the_history_is_a_frame(registry: Registry, chain: Graph) -> None:
    posterior = fit(amp(registry, f"{QUICK},steps=40,checks=4"), Simulator(chain, ["x"], 300, seed=0))
    frame = posterior.history
    assert frame["step"].tolist() == [10, 20, 30, 40]
    seen = [
        f"{player} {what}"
        for player in ("adversary", "family")
        for what in ("loss (z1 | x)", "loss (z2 | z1)", "gradient norm", "learning rate")
    ]
    assert sorted(frame) == sorted(["step", "held_out_score", *seen])
    assert bool(torch.isfinite(torch.tensor(frame.to_numpy())).all())
    assert (frame[[name for name in seen if "gradient" in name or "rate" in name]] > 0).all(axis=None)


def test_observations_are_checked(registry: Registry, gaussian_graph: Graph) -> None:
    posterior = fit(amp(registry, f"{QUICK},steps=5"), Simulator(gaussian_graph, ["x"], 100, seed=0))
    for observation in (torch.zeros(1, dtype=torch.float64), torch.zeros(1, dtype=torch.int64)):
        assert posterior.sample(observation, 3).dtype == torch.float32
    with pytest.raises(UsageError, match=r"shape \(2,\), expected \(1,\)"):
        posterior.sample(torch.zeros(2), 3)
    with pytest.raises(UsageError, match="NaN"):
        posterior.sample(torch.tensor([torch.nan]), 3)


def test_the_best_checkpoint_is_kept_and_patience_stops(registry: Registry, gaussian_graph: Graph) -> None:
    method = amp(registry, f"{QUICK},steps=400,checks=40,patience=2,learning_rate=0.1")
    history = fit(method, Simulator(gaussian_graph, ["x"], 200, seed=0)).trained.history
    scores = [row["held_out_score"] for row in history]
    assert len(history) < 40, "training did not stop early"
    assert min(scores) not in scores[-2:]


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("steps=-1", "steps of at least 0 and below 1000000000, got steps=-1"),
        ("penalty=inf", "penalty of at least 0 and finite, got penalty=inf"),
        ("held_out=1.0", "held_out above 0 and below 1, got held_out=1.0"),
        ("learning_rate=-1", "learning_rate above 0 and finite, got learning_rate=-1.0"),
    ],
)
def test_settings_have_ranges(registry: Registry, option: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        amp(registry, option)


def test_steps_left_open_grow_as_the_root_of_many_simulations(
    registry: Registry, gaussian_graph: Graph, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert [engine.default_steps(rows) for rows in (10, 10_000, 40_000, 1_000_000)] == [6000, 6000, 12_000, 60_000]
    monkeypatch.setattr(engine, "DEFAULT_STEPS", 4)
    monkeypatch.setattr(engine, "REFERENCE_ROWS", 100)
    assert totals(registry, gaussian_graph, "jsd(refine=0)") == [8] * 8
    assert totals(registry, gaussian_graph, "jsd(refine=1)") == [16] * 16


def test_many_simulations_get_less_weight_decay(registry: Registry) -> None:
    settings = amp(registry, "weight_decay=0.1").settings
    assert [settings.on(rows).weight_decay for rows in (10, 10_000, 100_000)] == [0.1, 0.1, pytest.approx(0.01)]


def totals(registry: Registry, graph: Graph, divergence: str) -> list[int]:
    """How many steps there are to be, as every step of a fit to 400 simulations says."""
    seen: list[int] = []
    method = amp(registry, f"divergence={divergence},checks=1")
    fit(method, Simulator(graph, ["x"], 400, seed=0), progress=lambda _, total: seen.append(total))
    return seen


def test_a_tiny_budget_is_refused_and_a_small_one_works(registry: Registry, gaussian_graph: Graph) -> None:
    with pytest.raises(UsageError, match="at least 10 simulations, got 9"):
        fit(amp(registry, QUICK), Simulator(gaussian_graph, ["x"], 9, seed=0))
    posterior = fit(amp(registry, f"{QUICK},steps=3"), Simulator(gaussian_graph, ["x"], 10, seed=0))
    assert posterior.sample(torch.zeros(1), 2).shape == (2, 1)


def test_learned_nodes_are_sampled(registry: Registry, gaussian_graph: Graph) -> None:
    """Their parameters θ are left alone: training them is not part of this engine yet."""
    layer = torch.nn.Linear(1, 1)
    graph = Graph(gaussian_graph["theta"], learned("x", layer, ["theta"]))
    before = layer.weight.clone()
    fit(amp(registry, f"{QUICK},steps=5"), Simulator(graph, ["x"], 100, seed=0))
    assert torch.equal(layer.weight, before)


def test_split_and_minibatch() -> None:
    rows = {"a": torch.arange(10.0)[:, None], "b": torch.arange(10.0)[:, None]}
    held_out, rest = split(rows, 0.2)
    assert held_out["a"].flatten().tolist() == [0, 1]
    assert len(rest["a"]) == 8
    batch = minibatch(rest, 100)
    assert torch.equal(batch["a"], batch["b"])
    assert set(batch["a"].flatten().tolist()) <= set(range(2, 10))


def test_penalties_are_added_now_and_then_with_more_weight(
    registry: Registry, chain: Graph, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two local adversaries; the reported losses of a step with a penalty exceed those without by k γ times it."""
    seen: list[float] = []
    original = engine.loss_and_penalty

    def counted(*arguments: Any) -> tuple[torch.Tensor, torch.Tensor]:
        loss, penalty = original(*arguments)
        seen.append(float(penalty.detach()))
        return loss, penalty

    def history(options: str) -> Sequence[Mapping[str, float]]:
        seen.clear()
        source = Simulator(chain, ["x"], 100, seed=0)
        return fit(amp(registry, f"{QUICK},checks=1000,{options}"), source).trained.history

    monkeypatch.setattr(engine, "loss_and_penalty", counted)
    last = history(f"steps={PENALTY_EVERY}")[-1]
    penalties = list(seen)
    assert len(penalties) == 2
    assert min(penalties) > 0
    plain = history(f"steps={PENALTY_EVERY},penalty=0")[-1]
    assert not seen, "slopes that cost nothing are not computed"
    losses = [[value for name, value in row.items() if "adversary loss" in name] for row in (last, plain)]
    assert losses[0] == pytest.approx([b + PENALTY_EVERY * 1e-2 * v for b, v in zip(losses[1], penalties, strict=True)])
    history(f"steps={3 * PENALTY_EVERY - 1}")
    assert len(seen) == 2 * 2


def test_gradient_penalty_of_a_linear_logit() -> None:
    """½ ‖w‖² for each side, whatever the data."""
    adversary = Adversary(3, width=8, depth=1)
    adversary.network = torch.nn.Linear(3, 1)
    side = Tuples(torch.randn(5, 1), torch.randn(5, 2))
    expected = adversary.network.weight.square().sum()
    assert torch.allclose(gradient_penalty(adversary, side, side), expected)
    assert gradient_penalty(torch.nn.Identity(), side) == 0


def coins() -> Graph:
    """z ~ Bernoulli(0.3), x ~ N(2 z − 1, 1): P(z = 1 | x) = sigmoid(2 x + log(3 / 7))."""
    prior = Independent(Bernoulli(torch.tensor([0.3])), 1)
    noisy = simulator("x", lambda z: 2 * z - 1 + torch.randn_like(z), ["z"], size=1)
    return Graph(density("z", prior, support=constraints.independent(constraints.boolean, 1)), noisy)


def test_discrete_latents_need_a_discrete_family(registry: Registry) -> None:
    with pytest.raises(UsageError, match=r"variable 'z' is discrete .* write families\.z=bernoulli"):
        fit(amp(registry, f"{QUICK},steps=5"), Simulator(coins(), ["x"], 100, seed=0))


def test_counts_cannot_be_inferred(registry: Registry) -> None:
    """0 and 1 are counts, too, but not the coordinates of counts."""
    count = density("z", Independent(Poisson(torch.tensor([3.0])), 1))
    graph = Graph(count, simulator("x", lambda z: z + torch.randn_like(z), ["z"], size=1))
    with pytest.raises(UsageError, match=r"variable 'z' is discrete .* no family draws such values"):
        fit(amp(registry, "steps=5,families.z=bernoulli"), Simulator(graph, ["x"], 100, seed=0))


def test_discrete_posterior(registry: Registry) -> None:
    method = amp(registry, "steps=400,batch_size=128,families.z=(bernoulli:width=32,depth=1)")
    posterior = fit(method, Simulator(coins(), ["x"], 3000, seed=0))
    for x in (-1.0, 0.0, 1.0):
        drawn = posterior.sample(torch.tensor([x]), 4000)
        assert set(drawn.unique().tolist()) <= {0.0, 1.0}
        exact = 1 / (1 + 7 / 3 * math.exp(-2 * x))
        assert float(drawn.mean()) == pytest.approx(exact, abs=0.1)


def test_a_divergence_and_a_family_of_its_own_for_each_factor(registry: Registry, chain: Graph) -> None:
    """What a factor is named for is what it gets, and a name that does not exist is an error."""
    method = amp(registry, f"{QUICK},steps=20,checks=2,divergences.z1=mmd,families.z2=(gaussian:width=16,depth=1)")
    posterior = fit(method, Simulator(chain, ["x"], 300, seed=0))
    bottom_up = posterior.trained.learned.bottom_up
    kinds = {factor.variable: type(bottom_up.conditional(factor)).__name__ for factor in bottom_up.factors}
    assert kinds == {"z1": "_Sampler", "z2": "_Normal"}
    assert [len(list(each.parameters())) > 0 for each in posterior.trained.adversaries] == [False, True]
    with pytest.raises(UsageError, match="unknown inferred variable 'z3'; known: z1, z2"):
        fit(amp(registry, "divergences.z3=mmd"), Simulator(chain, ["x"], 300, seed=0))
