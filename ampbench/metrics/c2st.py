r"""Classifier two-sample test: the definition of Lueckmann et al. 2021, for many pairs of sample sets at once.

Both sets are z-scored by the reference's mean and standard deviation. A multilayer perceptron (two layers of 10·D ReLU
units, Adam, until its training loss no longer falls) learns to tell them apart; the score is its accuracy, averaged
over 5 shuffled folds: 0.5 if they cannot be told apart, 1 if they always can.

All folds of all pairs are trained as one stack by :mod:`ampbench.metrics.mlp`, which makes scikit-learn's steps, with
scikit-learn's random numbers. ``c2st-sklearn`` calls scikit-learn itself. Other classifiers give other numbers
under the same name; compare only values whose provenance agrees.

References:
    Lopez-Paz & Oquab 2017, *Revisiting classifier two-sample tests*, arXiv:1610.06545.
    Lueckmann et al. 2021, *Benchmarking simulation-based inference*, arXiv:2101.04653, appendix.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from itertools import islice
from typing import final

import torch
from torch import Tensor

from ampbench.errors import MetricError
from ampbench.interfaces import BatchedMetric, Measurement, Metric
from ampbench.metrics.checks import check, z_score
from ampbench.metrics.mlp import Fit, Split, fit_all

EPOCHS = 10_000
"""The most that a classifier trains for: far more than any needs."""


@final
class C2ST(Metric, BatchedMetric):
    """Classifier two-sample test accuracy, computed on the samples' device.

    Arguments:
        folds: number of cross-validation folds.
        seed: seed of the folds' shuffle and of the classifier.
    """

    def __init__(self, folds: int = 5, seed: int = 1) -> None:
        self.folds = folds
        self.seed = seed

    def measure(self, samples: Tensor, reference: Tensor) -> Measurement:
        """Return the accuracy, with its standard error over folds."""
        (outcome,) = self.measure_many([(samples, reference)])
        if isinstance(outcome, MetricError):
            raise outcome
        return outcome

    def measure_many(self, pairs: Sequence[tuple[Tensor, Tensor]]) -> list[Measurement | MetricError]:
        """Return the accuracy of each pair, with its standard error over folds."""
        outcomes: dict[int, Measurement | MetricError] = {}
        problems: dict[int, list[Split]] = {}
        for i, (samples, reference) in enumerate(pairs):
            try:
                check("c2st", samples, reference, least=self.folds)
                problems[i] = self._problems(*z_score("c2st", samples, reference))
            except MetricError as error:
                outcomes[i] = error
        for features in {pairs[i][0].shape[1] for i in problems}:
            alike = [i for i in problems if pairs[i][0].shape[1] == features]
            fits = iter(fit_all([split for i in alike for split in problems[i]], 10 * features, EPOCHS, self.seed))
            outcomes |= {i: self._outcome(list(islice(fits, self.folds)), *pairs[i]) for i in alike}
        return [outcomes[i] for i in range(len(pairs))]

    def _problems(self, samples: Tensor, reference: Tensor) -> list[Split]:
        """Return the classification problem of each fold."""
        from sklearn.model_selection import KFold

        x, device = torch.cat([reference, samples]), samples.device
        y = torch.cat([torch.zeros(len(reference), device=device), torch.ones(len(samples), device=device)])
        folds = KFold(n_splits=self.folds, shuffle=True, random_state=self.seed).split(x)
        return [Split(x, y, *(torch.from_numpy(rows).to(device) for rows in fold)) for fold in folds]

    def _outcome(self, fits: Sequence[Fit], samples: Tensor, reference: Tensor) -> Measurement | MetricError:
        if not all(math.isfinite(fit.loss) for fit in fits):
            return MetricError("c2st: the classifier diverged; look for outliers in the samples")
        units, accuracies = 10 * samples.shape[1], [fit.accuracy for fit in fits]
        return Measurement(
            statistics.fmean(accuracies),
            {
                "version": "2",
                "classifier": f"MLP ({units}, {units}) relu adam, no early stopping",
                "z_score": "reference",
                "folds": self.folds,
                "seed": self.seed,
                "n_samples": len(samples),
                "n_reference": len(reference),
                "standard_error": statistics.stdev(accuracies) / self.folds**0.5,
            },
        )
