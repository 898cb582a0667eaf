r"""Classifier two-sample test (C2ST) as defined by Lueckmann et al. 2021, with all folds trained at once.

Both sets are z-scored by the reference's mean and standard deviation. A multilayer perceptron (two layers of 10·D ReLU
units, Adam, until its training loss no longer falls) is trained to classify samples against reference samples; the
score is its held-out accuracy, averaged over 5 shuffled folds: 0.5 for indistinguishable sets, 1 for separable ones.

Without early stopping, a classifier in many dimensions overfits its training set, and the score falls far below the
best possible accuracy. ``c2st-early`` stops when the accuracy on a tenth of the training rows no longer rises.

All folds are trained as one stack by :mod:`ampbench.metrics.mlp`, which makes scikit-learn's steps with scikit-learn's
random numbers. ``c2st-sklearn`` calls scikit-learn itself. Other classifiers give other values of a metric that is also
called C2ST; compare only values with equal provenance.

References:
    Lopez-Paz & Oquab 2017, *Revisiting classifier two-sample tests*, arXiv:1610.06545.
    Lueckmann et al. 2021, *Benchmarking simulation-based inference*, arXiv:2101.04653, appendix.
    Tejero-Cantero et al. 2020, *sbi: a toolkit for simulation-based inference*; ``sbi.utils.metrics.c2st``.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import numpy as np
import torch
from torch import Tensor

from ampbench.errors import MetricError
from ampbench.interfaces import Measurement
from ampbench.metrics.cross_validation import CrossValidated, comparison
from ampbench.metrics.mlp import PATIENCE, Fit, Split, Training, fit_all


@dataclass(frozen=True)
class Recipe:
    """Settings of a classifier's training; each hidden layer has 10 units for each component.

    Attributes:
        name: the metric's name, for messages.
        version: the metric's version, raised when a change alters values.
        stopping: the stopping rule in words, for the provenance.
        epochs: the largest number of epochs.
        patience: the number of epochs without improvement after which training stops.
        watched: share of the training rows that are held out for early stopping; with 0, training stops by its loss.
        min_size: smallest number of rows of a set; rows of both classes must be left to watch.
    """

    name: str
    version: str
    stopping: str
    epochs: int = 10_000
    patience: int = PATIENCE
    watched: float = 0.0
    min_size: int = 2


class _Perceptron(CrossValidated):
    """Cross-validated accuracy of stacked perceptrons, computed on the samples' device."""

    recipe: Recipe

    def measure(self, samples: Tensor, reference: Tensor) -> Measurement:
        """Return the held-out accuracy, with its standard error over folds."""
        problems = self._problems(*self.prepared(self.recipe.name, samples, reference, self.recipe.min_size))
        training = Training(10 * samples.shape[1], self.recipe.epochs, self.seed, self.recipe.patience)
        return self._outcome(fit_all(problems, training), samples, reference)

    def _problems(self, samples: Tensor, reference: Tensor) -> list[Split]:
        """Return the classification problem of each fold."""
        from sklearn.model_selection import KFold

        x, device = torch.cat([reference, samples]), samples.device
        y = torch.cat([torch.zeros(len(reference), device=device), torch.ones(len(samples), device=device)])
        problems = []
        for train, test in KFold(n_splits=self.folds, shuffle=True, random_state=self.seed).split(x):
            train, watch = self._held_out(train, y.cpu().numpy())
            rows = [torch.from_numpy(rows).to(device) for rows in (train, test, watch)]
            problems.append(Split(x, y, rows[0], rows[1], rows[2] if len(watch) else None))
        return problems

    def _held_out(self, train: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Split the training rows into rows to train on and rows to watch for early stopping, stratified by class."""
        from sklearn.model_selection import train_test_split

        if not self.recipe.watched:
            return train, train[:0]
        train, watch = train_test_split(train, test_size=self.recipe.watched, stratify=y[train], random_state=self.seed)
        return train, watch

    def _outcome(self, fits: Sequence[Fit], samples: Tensor, reference: Tensor) -> Measurement:
        if not all(math.isfinite(fit.loss) for fit in fits):
            raise MetricError(f"{self.recipe.name}: the classifier diverged; look for outliers in the samples")
        units, accuracies = 10 * samples.shape[1], [fit.accuracy for fit in fits]
        accuracy = statistics.fmean(accuracies)
        return Measurement(
            accuracy,
            {
                "version": self.recipe.version,
                "classifier": f"MLP ({units}, {units}) relu adam, {self.recipe.stopping}",
                "z_score": "reference",
                "folds": self.folds,
                "seed": self.seed,
                **comparison(accuracy, samples, reference),
                "standard_error": statistics.stdev(accuracies) / self.folds**0.5,
            },
        )


@final
class C2ST(_Perceptron):
    """Classifier two-sample test accuracy by the published definition.

    Arguments:
        folds: number of cross-validation folds.
        seed: seed of the folds' shuffle, of the classifier, and of the choice of rows if the sets differ in size.
    """

    recipe = Recipe("c2st", version="2", stopping="no early stopping")


@final
class EarlyC2ST(_Perceptron):
    """Classifier two-sample test accuracy with early stopping, as sbi's ``c2st(classifier="mlp")``; many times faster.

    Its values differ from those of :class:`C2ST`.

    Arguments:
        folds: number of cross-validation folds.
        seed: seed of the folds' shuffle, of the classifier, and of the choice of rows if the sets differ in size.
    """

    recipe = Recipe(
        "c2st-early",
        version="1",
        stopping="early stopping on 10 %, patience 50",
        epochs=1000,
        patience=50,
        watched=0.1,
        min_size=20,
    )
