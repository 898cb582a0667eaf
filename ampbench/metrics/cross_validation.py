r"""Classifier two-sample tests by cross-validation; with classifiers of scikit-learn, one fold after the other.

The accuracy of a classifier that knows nothing is the share of the larger class, so that 0.5 means equal distributions
for sets of equal size only. Of two sets of different sizes, as many rows of the larger one are drawn without
replacement, seeded, as the smaller one has.

The expected accuracy is 0.5 at least if the rows are independent. It is below if a row in the test fold has a
counterpart of the other class among the training rows: copies up to rounding, or sets that were drawn with the same
random numbers. A score below 0.5 by more than three standard errors of guessing, :math:`3 / \sqrt{4 (n + m)}`, is
stored with a remark.

References:
    Lopez-Paz & Oquab 2017, *Revisiting classifier two-sample tests*, arXiv:1610.06545: sets of equal size.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from ampbench.interfaces import Measurement, Metric
from ampbench.metrics.checks import standardised
from ampbench.options import at_least

if TYPE_CHECKING:
    from sklearn.base import ClassifierMixin


class CrossValidated(Metric):
    """A metric that trains a classifier for each fold of a cross-validation.

    Arguments:
        folds: number of cross-validation folds.
        seed: seed of the folds' shuffle, of the classifier, and of the choice of rows if the sets differ in size.
    """

    packages = ("scikit-learn",)

    def __init__(self, folds: int = 5, seed: int = 1) -> None:
        at_least(self, folds=(folds, 2))
        self.folds = folds
        self.seed = seed

    def prepared(self, metric: str, samples: Tensor, reference: Tensor, min_size: int = 0) -> tuple[Tensor, Tensor]:
        """Return both sets standardised by the reference, (k, D) each, with k the size of the smaller one.

        Raises:
            MetricError: see :func:`ampbench.metrics.checks.standardised`; a set has fewer rows than there are folds.
        """
        q, p = standardised(metric, samples, reference, max(self.folds, min_size))
        k = min(len(q), len(p))
        return self._chosen(q, k), self._chosen(p, k)

    def _chosen(self, values: Tensor, k: int) -> Tensor:
        """Return k rows in their order, drawn without replacement; all rows if there are no more."""
        if len(values) == k:
            return values
        order = torch.randperm(len(values), generator=torch.Generator().manual_seed(self.seed))
        return values[order[:k].sort().values.to(values.device)]


def comparison(accuracy: float, samples: Tensor, reference: Tensor) -> Mapping[str, str | int]:
    """Return the provenance of the sets that an accuracy compares: their sizes, the choice of rows, and a remark."""
    n, m = len(samples), len(reference)
    k = min(n, m)
    entries: dict[str, str | int] = {"n_samples": k, "n_reference": k}
    if n != m:
        entries["chosen"] = f"{k} of {max(n, m)} {'samples' if n > m else 'reference samples'}"
    if accuracy < 0.5 - 3 / (8 * k) ** 0.5:
        entries["remark"] = "below chance: rows of the two sets depend on each other, such as copies up to rounding"
    return entries


class CrossValidatedC2ST(CrossValidated):
    """Held-out accuracy of a scikit-learn classifier that separates samples from reference samples."""

    name: str

    @abstractmethod
    def classifier(self, components: int) -> tuple[ClassifierMixin, str]:
        """Return an untrained classifier for D components, and its description for the provenance."""

    def measure(self, samples: Tensor, reference: Tensor) -> Measurement:
        """Return the accuracy, with its standard error over folds.

        Samples are labelled 1 and reference samples 0; both are standardised by the reference's mean and standard
        deviation.
        """
        from sklearn.model_selection import KFold, cross_val_score

        q, p = self.prepared(self.name, samples.cpu(), reference.cpu())
        classifier, description = self.classifier(q.shape[1])
        data = np.concatenate([p.numpy(), q.numpy()])
        labels = np.concatenate([np.zeros(len(p)), np.ones(len(q))])
        parts = KFold(n_splits=self.folds, shuffle=True, random_state=self.seed)
        accuracy = cross_val_score(classifier, data, labels, cv=parts, scoring="accuracy", error_score="raise")
        return Measurement(
            float(accuracy.mean()),
            {
                "version": "1",
                "classifier": description,
                "z_score": "reference",
                "folds": self.folds,
                "seed": self.seed,
                **comparison(float(accuracy.mean()), samples, reference),
                "standard_error": float(accuracy.std(ddof=1) / self.folds**0.5),
            },
        )
