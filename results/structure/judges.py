"""Comparisons of posterior samples with exact ones."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ampbench.statistics.calibration import rank_statistics, uniformity_p_values


def c2st(samples: Tensor, reference: Tensor) -> float:
    """Accuracy on one half of the rows of a classifier trained on the other half: two layers of 64, stopped early."""
    from sklearn.model_selection import train_test_split
    from sklearn.neural_network import MLPClassifier

    scaled = (torch.cat([samples, reference]) - reference.mean(0)) / reference.std(0)
    labels = np.repeat([0, 1], [len(samples), len(reference)])
    train, test, train_labels, test_labels = train_test_split(
        scaled.numpy(), labels, test_size=0.5, random_state=0, stratify=labels
    )
    classifier = MLPClassifier((64, 64), early_stopping=True, max_iter=500, random_state=0)
    return float(classifier.fit(train, train_labels).score(test, test_labels))


def wasserstein(samples: Tensor, reference: Tensor) -> Tensor:
    """Return the Wasserstein-1 distance of every component, in standard deviations of the reference, shape (D,)."""
    a, b = samples.sort(0).values, reference.sort(0).values
    return (a - b).abs().mean(0) / reference.std(0)


def calibration(truth: Tensor, draws: Tensor) -> float:
    """Return the smallest p-value, after Bonferroni, of uniform ranks of true values (B, K) among draws (L, B, K)."""
    ranks = rank_statistics(truth, draws, torch.Generator().manual_seed(0))
    p_values = [p for column in ranks.T.numpy() for p in uniformity_p_values(column)]
    return min(1.0, len(p_values) * min(p_values))


def gaussian_kl(residuals: Tensor) -> Tensor:
    """Return KL(q‖p) of every column, by mean and variance of residuals (n, D) that are standard normal under p.

    It is an estimate under the assumption that q is Gaussian too; the bias of an exact q, 1/n, is subtracted.
    """
    mean, variance = residuals.mean(0), residuals.var(0)
    return (variance + mean**2 - 1 - variance.log()) / 2 - 1 / len(residuals)
