from __future__ import annotations

import _thread
import threading
import time

import numpy as np
import pytest
import torch

from ampbench.errors import MetricError
from ampbench.metrics.c2st import C2ST, EarlyC2ST
from ampbench.metrics.c2st_sklearn import SklearnC2ST
from ampbench.metrics.mlp import Split, Training, fit_all
from ampbench.metrics.mmd import MMD
from ampbench.seeding import seeded
from ampbench.threads import limited_threads


def test_c2st_of_known_gaussians() -> None:
    """The best accuracy for N(0, 1) against N(m, 1) is Φ(m / 2)."""
    with seeded(0):
        reference, samples = torch.randn(4000, 1), torch.randn(4000, 1) + 2
    measurement = C2ST().measure(samples, reference)
    assert abs(measurement.value - 0.8413) < 0.02
    assert measurement.provenance["classifier"] == "MLP (10, 10) relu adam, no early stopping"
    assert (measurement.provenance["folds"], measurement.provenance["seed"]) == (5, 1)
    assert 0 < measurement.provenance["standard_error"] < 0.02


def test_c2st_sklearn_is_the_published_definition() -> None:
    """Written out once more, as Lueckmann et al. 2021 describe it."""
    from sklearn.model_selection import KFold, cross_val_score
    from sklearn.neural_network import MLPClassifier

    with seeded(0):
        reference, samples = 3 + 2 * torch.randn(300, 2), 3.5 + 2 * torch.randn(300, 2)
    x = (reference - reference.mean(0)) / reference.std(0)
    y = (samples - reference.mean(0)) / reference.std(0)
    classifier = MLPClassifier((20, 20), activation="relu", solver="adam", max_iter=10000, random_state=1)
    scores = cross_val_score(
        classifier,
        np.concatenate([x.numpy(), y.numpy()]),
        np.concatenate([np.zeros(300), np.ones(300)]),
        cv=KFold(5, shuffle=True, random_state=1),
        scoring="accuracy",
    )
    assert SklearnC2ST().measure(samples, reference).value == pytest.approx(scores.mean(), abs=1e-12)


@pytest.mark.parametrize(("dimensions", "shift"), [(1, 0.0), (2, 0.7), (3, 3.0)])
def test_c2st_makes_the_steps_of_scikit_learn(dimensions: int, shift: float) -> None:
    """Same initial weights, shuffles, updates and stopping rule; rounding differs, and may turn single points."""
    with seeded(0):
        reference, samples = torch.randn(500, dimensions), torch.randn(500, dimensions) + shift
    ours, theirs = C2ST().measure(samples, reference), SklearnC2ST().measure(samples, reference)
    assert ours.value == pytest.approx(theirs.value, abs=0.003)
    assert ours.provenance["standard_error"] == pytest.approx(theirs.provenance["standard_error"], abs=0.003)


def test_stopping_rule_is_that_of_scikit_learn() -> None:
    """Epoch for epoch, on batches of unequal size (480 training rows)."""
    from sklearn.neural_network import MLPClassifier

    with seeded(0):
        x = torch.cat([torch.randn(300, 2), torch.randn(300, 2) + 1])
    y, rows = torch.arange(600).ge(300).float(), torch.arange(600)
    split = Split(x, y, rows[rows % 5 != 0], rows[rows % 5 == 0])
    (fit,) = fit_all([split], Training(units=8, epochs=10_000, seed=3))
    theirs = MLPClassifier((8, 8), max_iter=10_000, random_state=3).fit(x[split.train].numpy(), y[split.train].numpy())
    assert fit.epochs == theirs.n_iter_
    assert fit.loss == pytest.approx(theirs.loss_, abs=1e-5)
    assert fit.accuracy == pytest.approx(theirs.score(x[split.test].numpy(), y[split.test].numpy()), abs=0.01)


def test_early_stopping_returns_to_the_best_epoch() -> None:
    """On 200 training rows in ten dimensions the perceptron overfits; watched rows stop it before."""
    with seeded(0):
        x = torch.randn(3000, 10)
        y = torch.arange(3000).remainder(2).float()
        x[:, 0] += y
    rows = torch.arange(3000)
    training = Training(units=100, epochs=1000, seed=1, patience=20)
    without, early = fit_all(
        [
            Split(x, y, rows[:200], rows[1000:]),
            Split(x, y, rows[:200], rows[1000:], watch=rows[200:1000]),
        ],
        training,
    )
    assert early.epochs < without.epochs / 2
    assert early.loss > 2 * without.loss
    assert early.accuracy > without.accuracy + 0.03


def test_early_c2st_is_that_of_sbi() -> None:
    """Equal definitions, other random numbers: equal up to the noise of training."""
    c2st = pytest.importorskip("sbi.utils.metrics").c2st
    with seeded(0):
        reference, samples = torch.randn(1000, 2), torch.randn(1000, 2) + torch.tensor([1.0, 0.0])
    ours, theirs = EarlyC2ST().measure(samples, reference), float(c2st(reference, samples, classifier="mlp"))
    assert ours.value == pytest.approx(theirs, abs=0.02)
    assert ours.value == pytest.approx(0.6915, abs=0.03)  # Φ(1/2), the best there is


def test_c2st_does_not_depend_on_the_number_of_threads() -> None:
    """The folds are trained in as many stacks as there are threads; the number of threads is restored."""
    with seeded(0):
        samples, reference = torch.randn(403, 2) + 0.3, torch.randn(400, 2)
    alone = C2ST().measure(samples, reference)
    with limited_threads(2):
        assert C2ST().measure(samples, reference) == alone
        assert torch.get_num_threads() == 2


def test_bad_samples_are_named() -> None:
    with pytest.raises(MetricError, match="c2st: 400 of 400 samples are NaN or infinite"):
        C2ST().measure(torch.full((400, 2), torch.nan), torch.randn(400, 2))


def test_constant_reference_is_refused() -> None:
    with pytest.raises(MetricError, match="c2st: component 1 of the reference is constant"):
        C2ST().measure(torch.randn(50, 2), torch.randn(50, 2) * torch.tensor([1.0, 0.0]))


def test_mmd_is_independent_of_units() -> None:
    with seeded(0):
        reference, samples = torch.randn(800, 2), torch.randn(800, 2) + 0.5
    scaled = MMD().measure(100 * samples + 7, 100 * reference + 7)
    assert scaled.value == pytest.approx(MMD().measure(samples, reference).value, rel=1e-3)


@pytest.mark.parametrize("metric", [C2ST(), MMD()], ids=["c2st", "mmd"])
def test_messages_name_metric_and_values(metric: C2ST | MMD) -> None:
    good, name = torch.randn(50, 2), type(metric).__name__.lower()
    bad = good.clone()
    bad[3, 1] = torch.nan
    with pytest.raises(MetricError, match=f"{name}: 1 of 50 samples are NaN or infinite"):
        metric.measure(bad, good)
    with pytest.raises(MetricError, match=f"{name}: samples have 2 components, but the reference has 3"):
        metric.measure(good, torch.randn(50, 3))
    with pytest.raises(MetricError, match=rf"{name}: the shape of the reference is \(1, 2\)"):
        metric.measure(good, good[:1])


@pytest.mark.parametrize("metric", [C2ST(), SklearnC2ST()], ids=["batched", "scikit-learn"])
def test_ctrl_c_is_not_swallowed(metric: C2ST | SklearnC2ST) -> None:
    """A score of a half-trained classifier must not come out; scikit-learn would catch the interrupt and go on."""
    with seeded(0):
        samples, reference = torch.randn(20_000, 6), torch.randn(20_000, 6)
    timer = threading.Timer(1.0, _thread.interrupt_main)
    timer.start()
    start = time.monotonic()
    try:
        with pytest.raises(KeyboardInterrupt):
            metric.measure(samples, reference)
        assert time.monotonic() - start < 30
    finally:
        timer.cancel()
