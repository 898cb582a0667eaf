from __future__ import annotations

import _thread
import threading

import numpy as np
import pytest
import torch

from ampbench.errors import MetricError
from ampbench.metrics.c2st import C2ST
from ampbench.metrics.mmd import MMD
from ampbench.seeding import seeded
from ampbench.testing import MetricConformance


class TestC2ST(MetricConformance):
    def make(self) -> C2ST:
        return C2ST()


class TestMMD(MetricConformance):
    def make(self) -> MMD:
        return MMD()


def test_c2st_of_known_gaussians() -> None:
    """The best accuracy for N(0, 1) against N(m, 1) is Φ(m / 2)."""
    with seeded(0):
        reference, samples = torch.randn(4000, 1), torch.randn(4000, 1) + 2
    measurement = C2ST().measure(samples, reference)
    assert abs(measurement.value - 0.8413) < 0.02
    assert measurement.provenance["classifier"] == "sklearn MLPClassifier (10, 10) relu adam, no early stopping"
    assert (measurement.provenance["folds"], measurement.provenance["seed"]) == (5, 1)
    assert 0 < measurement.provenance["standard_error"] < 0.02


def test_c2st_is_the_published_definition() -> None:
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
    assert C2ST().measure(samples, reference).value == pytest.approx(scores.mean(), abs=1e-12)


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
    with pytest.raises(MetricError, match=rf"{name}: the reference have shape \(1, 2\)"):
        metric.measure(good, good[:1])


def test_ctrl_c_is_not_swallowed() -> None:
    """scikit-learn catches it and goes on; a score of a half-trained classifier must not come out."""
    with seeded(0):
        samples, reference = torch.randn(20_000, 2), torch.randn(20_000, 2)
    timer = threading.Timer(1.0, _thread.interrupt_main)
    timer.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            C2ST().measure(samples, reference)
    finally:
        timer.cancel()
