"""The diagnosis: honest where the fit is exact, and it finds, sizes and places what is wrong where it is not."""

from __future__ import annotations

import math
import warnings
from typing import Any

import pytest
import torch
from scipy.stats import binomtest, norm
from torch import Tensor, nn

from ampbench.amp import AMP, diagnostics
from ampbench.amp.chains import BottomUp
from ampbench.amp.comparisons import LocalComparison, TuplesBySite
from ampbench.amp.diagnostics import ChainPair, accuracy, diagnose, jsd, kl, p_value, warn_if_told_apart
from ampbench.amp.sites import Site
from ampbench.errors import FitWarning, UsageError
from ampbench.graph import Factor, Graph, Simulator
from ampbench.interfaces import Conditional, Divergence, HasLogRatio, Tuples, fit
from ampbench.interfaces.tuples import UNKNOWN
from ampbench.registry import Registry
from ampbench.results.schema import DIAGNOSIS
from ampbench.seeding import seeded
from ampbench_divergences.jsd import JSD
from ampbench_divergences.mmd import MMD

Z1, Z2 = Factor("z1", ("x",)), Factor("z2", ("z1",))
SPREAD = {"z1": (2 / 3) ** 0.5, "z2": 0.5**0.5}
SLOPE = {"z1": 2 / 3, "z2": 1 / 2}
QUICK = "divergence=jsd(width=32,depth=1),family=implicit(width=32,depth=1)"


class Shifted(Conditional):
    """The exact conditional of the unit Gaussian chain, shifted by so many of its standard deviations."""

    def __init__(self, name: str, shift: float) -> None:
        super().__init__()
        self.name = name
        self.shift = shift

    def forward(self, context: Tensor) -> Tensor:
        return SLOPE[self.name] * context + SPREAD[self.name] * (torch.randn_like(context) + self.shift)


class Residual(nn.Module):
    """The log-ratio of the exact conditional and the shifted one."""

    def __init__(self, name: str, shift: float) -> None:
        super().__init__()
        self.name = name
        self.shift = shift

    def forward(self, tuples: Tuples) -> Tensor:
        residual = (tuples.variable - SLOPE[self.name] * tuples.context) / SPREAD[self.name]
        return (self.shift**2 / 2 - self.shift * residual).squeeze(-1)


def chain_pair(shift1: float, shift2: float, divergence: Divergence | None = None) -> ChainPair:
    """The unit Gaussian chain against families that are exact up to shifts, with exact adversaries."""
    shifts = {"z1": shift1, "z2": shift2}
    families = {name: lambda size, context, name=name: Shifted(name, shifts[name]) for name in shifts}
    evidence = frozenset(["x"])
    bottom_up = BottomUp({evidence: (Z1, Z2)}, {"x": 1, "z1": 1, "z2": 1}, families)
    judge = divergence or JSD(width=8, depth=1)
    comparisons = [
        LocalComparison(
            str(Site((f.variable,), f.context)), Site((f.variable,), f.context), evidence, (f,), judge, UNKNOWN
        )
        for f in (Z1, Z2)
    ]
    return ChainPair(bottom_up, comparisons, [Residual(name, shifts[name]) for name in shifts])


def simulations(n: int) -> dict[str, Tensor]:
    z2 = torch.randn(n, 1)
    z1 = z2 + torch.randn(n, 1)
    return {"z2": z2, "z1": z1, "x": z1 + torch.randn(n, 1)}


def seen(
    pair: ChainPair, rows: dict[str, Tensor], teacher_forcing: bool = True
) -> tuple[ChainPair, TuplesBySite, TuplesBySite]:
    return pair, *pair.on_simulations(rows, teacher_forcing)


def test_an_exact_fit_passes() -> None:
    with seeded(0):
        frame = diagnose(*seen(chain_pair(0.0, 0.0), simulations(1500), teacher_forcing=False), folds=2, level=0.01)
    assert frame["tuple"].tolist() == ["(z1 | x)", "(z2 | z1)"]
    assert frame["verdict"].tolist() == ["no difference found"] * 2
    assert (frame["accuracy"].sub(0.5).abs() < 4 * frame["accuracy_error"] + 1e-9).all()
    assert (frame["jsd"] < 0.01).all()


def test_accuracy_and_divergences_have_their_closed_forms() -> None:
    """A shift by δ standard deviations: accuracy Φ(δ/2), KL δ²/2, JSD by quadrature; all below it up to noise."""
    shift = 1.0
    grid = torch.linspace(-9, 10, 20_001, dtype=torch.float64)
    p, q = (torch.distributions.Normal(mean, 1.0).log_prob(grid).exp() for mean in (0.0, shift))
    middle = (p + q) / 2
    exact_jsd = float(torch.trapezoid((p * (p / middle).log() + q * (q / middle).log()) / 2, grid))
    with seeded(1):
        frame = diagnose(*seen(chain_pair(shift, 0.0), simulations(4000)), folds=2, level=0.01)
    exact = {"accuracy": norm.cdf(shift / 2), "jsd": exact_jsd, "kl": shift**2 / 2}
    row = frame.iloc[0]
    for name, value in exact.items():
        assert row[name] == pytest.approx(value, abs=4 * row[f"{name}_error"] + 0.02), name
        assert row[name] < value + 4 * row[f"{name}_error"], name
    assert row["adversary_accuracy"] == pytest.approx(exact["accuracy"], abs=4 * row["adversary_error"])
    assert row["verdict"] == "told apart"


def test_bounds_hold_with_equality_for_the_true_log_ratio() -> None:
    with seeded(2):
        p, q = torch.randn(200_000), torch.randn(200_000) + 0.5
    exact = 0.125 - 0.5 * p, 0.125 - 0.5 * q
    assert kl(*exact).value == pytest.approx(0.125, abs=4 * kl(*exact).error)
    assert accuracy(*exact).value == pytest.approx(norm.cdf(0.25), abs=4 * accuracy(*exact).error)
    for wrong in ((0.5 * exact[0], 0.5 * exact[1]), (2 * exact[0], 2 * exact[1]), (exact[0] + 1, exact[1] + 1)):
        assert kl(*wrong).value < kl(*exact).value
        assert jsd(*wrong).value < jsd(*exact).value
    assert jsd(torch.zeros(9), torch.zeros(9)).value == pytest.approx(0, abs=1e-6)


def test_teacher_forcing_places_the_fault() -> None:
    """Through the chain a wrong z1 spoils the tuple of z2 as well; on simulated contexts it does not."""
    with seeded(3):
        rows, wrong = simulations(1500), chain_pair(1.0, 0.0)
        chained = diagnose(*seen(wrong, rows, teacher_forcing=False), folds=2, level=0.01)
        forced = diagnose(*seen(wrong, rows), folds=2, level=0.01)
    assert chained["verdict"].tolist()[0] == "told apart"
    assert chained["p_value"].max() < 0.001
    assert forced["verdict"].tolist() == ["told apart", "no difference found"]


def test_a_small_difference_is_called_small() -> None:
    """The adversary is right, and knows at 20,000 simulations: accuracy Φ(0.05) = 0.52."""
    with seeded(4):
        frame = diagnose(*seen(chain_pair(0.1, 0.0), simulations(20_000)), folds=2, level=0.01)
    assert frame["verdict"].tolist() == ["small difference", "no difference found"]


def test_p_values_of_a_given_function_are_honest() -> None:
    """For exact chains P(p ≤ α) ≤ α at every α, whatever the function and however few the pairs."""
    with seeded(5):
        for n in (5, 60):
            values = []
            for _ in range(1000):
                x = torch.randn(n)  # both chains share the evidence, which the function may use
                a, b, c = torch.randn(3)
                chains = (a * x + b * (x / 2 + torch.randn(n)) + c for _ in range(2))
                values.append(p_value(*chains))
            for alpha in (0.01, 0.05, 0.2, 0.5):
                below = sum(value <= alpha for value in values)
                assert binomtest(below, 1000, alpha, alternative="greater").pvalue > 1e-3


def test_p_values_of_cross_fitting_are_honest_and_pooling_would_not_be(monkeypatch: pytest.MonkeyPatch) -> None:
    """A rule that chases the chance difference a of one fold's means is right on the other if that one's, b, agrees.

    Both counts are then above a half together. Their sum is ±(|a| + |b|), which passes the pooled test's bound in 9.5 %
    of exact fits instead of 5 %.
    """

    def linear(p: Tensor, q: Tensor) -> nn.Module:
        direction = p.mean(0) - q.mean(0)
        return lambda rows: rows @ direction

    monkeypatch.setattr(diagnostics, "train_classifier", linear)
    joined, pooled = [], []
    with seeded(6):
        for _ in range(1500):
            p, q = torch.randn(400, 1).sign(), torch.randn(400, 1).sign()
            parts = diagnostics._cross_fit(p, q, 2)
            joined.append(diagnostics._of_classifier(parts)["p_value"])
            pooled.append(p_value(*(torch.cat(side) for side in zip(*parts, strict=True))))
    rejected = {name: sum(value <= 0.05 for value in them) for name, them in (("joined", joined), ("pooled", pooled))}
    assert binomtest(rejected["joined"], 1500, 0.05, alternative="greater").pvalue > 1e-3
    assert binomtest(rejected["pooled"], 1500, 0.05, alternative="greater").pvalue < 1e-6


def test_adversaries_without_a_log_ratio_are_left_alone() -> None:
    with seeded(7):
        frame = diagnose(*seen(chain_pair(1.0, 0.0, MMD()), simulations(400)), folds=2, level=0.01)
    assert frame[list(diagnostics.ADVERSARY)].isna().all(axis=None)
    assert frame["verdict"][0] != "no difference found"


def test_who_has_a_log_ratio(registry: Registry) -> None:
    """Not a potential, a feature map, a sign (total variation), a pair, or a ratio up to p(x) (eq. 10)."""
    built_in = {n for n, entry in registry.entries("divergences").items() if entry.plugin.name != "le_cam"}
    able = {name for name in built_in if isinstance(registry.build("divergences", name), HasLogRatio)}
    assert able == {"jsd", "kl", "kl-ratio", "f-kl", "pearson", "hellinger", "jeffreys"}


def test_a_warning_where_an_adversary_surely_tells_the_sides_apart() -> None:
    with seeded(8):
        rows = simulations(500)
        with pytest.warns(FitWarning, match=r"at \(z1 \| x\) with accuracy 0\.[67]\d ± 0\.0\d on 500 .*; raise steps"):
            warn_if_told_apart(*seen(chain_pair(1.0, 0.0), rows), "raise steps")
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            warn_if_told_apart(*seen(chain_pair(0.0, 0.0), rows), "raise steps")
            warn_if_told_apart(*seen(chain_pair(0.2, 0.0), rows), "raise steps")  # found, but small: accuracy 0.54
            warn_if_told_apart(*seen(chain_pair(1.0, 0.0, MMD()), rows), "raise steps")


def test_a_fit_that_cannot_succeed_warns(gaussian_graph: Graph) -> None:
    """The family does not listen to the observation; its adversary notices within a few steps."""

    class Deaf(Conditional):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(1))

        def forward(self, context: Tensor) -> Tensor:
            return 0.1 * torch.randn(*context.shape[:-1], 1) + 0.0 * self.weight

    method = AMP(JSD(width=32, depth=1), lambda features, context: Deaf(), steps=150)
    with pytest.warns(FitWarning, match=r"at \(theta \| x\)"):
        posterior = fit(method, Simulator(gaussian_graph, ["x"], 2000, seed=0))
    assert posterior.diagnose()["verdict"].tolist() == ["told apart"]


def test_a_posterior_diagnoses_itself(registry: Registry, chain: Graph, follows: Any) -> None:
    """On what was held out or on fresh simulations; the same numbers each time, and no trace in the random state."""
    method = registry.build("methods", f"amp:{QUICK},steps=20,divergences.z1=mmd")
    posterior = fit(method, Simulator(chain, ["x"], 400, seed=0))
    assert {name: value.shape for name, value in posterior.held_out.items()} == dict.fromkeys(chain.names, (40, 1))
    state = torch.get_rng_state()
    frame = posterior.diagnose()
    follows(frame, DIAGNOSIS)
    assert torch.equal(state, torch.get_rng_state())
    with seeded(77):
        assert frame.equals(posterior.diagnose())
    assert frame["adversary_accuracy"].isna().tolist() == [True, False]
    fresh = posterior.diagnose(Simulator(chain, ["x"], 100, seed=9).sample(100), teacher_forcing=True, folds=3)
    assert fresh["simulations"].tolist() == [100, 100]
    with pytest.raises(UsageError, match=r"2 folds of 10 simulations or rows, got 40 and 5 folds at \(z1 \| x\)"):
        posterior.diagnose(folds=5)
    with pytest.raises(UsageError, match="level of a test lies between 0 and 1, got 1"):
        posterior.diagnose(level=1)


def test_the_standard_error_is_that_of_the_mean() -> None:
    with seeded(9):
        d_p, d_q = torch.randn(1000, 200) + 0.3, torch.randn(1000, 200)
    found = [accuracy(*rows) for rows in zip(d_p, d_q, strict=True)]
    values = torch.tensor([each.value for each in found])
    assert float(values.std()) == pytest.approx(sum(each.error for each in found) / 1000, rel=0.1)
    assert math.isclose(found[0].lower_bound, found[0].value - 3 * found[0].error)
