"""Classifier two-sample tests by cross-validation; with classifiers of scikit-learn, one fold after the other."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from ampbench.interfaces import Measurement, Metric
from ampbench.metrics.checks import check, z_score
from ampbench.options import at_least

if TYPE_CHECKING:
    from sklearn.base import ClassifierMixin


class CrossValidated(Metric):
    """A metric that trains a classifier for each fold of a cross-validation.

    Arguments:
        folds: number of cross-validation folds.
        seed: seed of the folds' shuffle and of the classifier.
    """

    packages = ("scikit-learn",)

    def __init__(self, folds: int = 5, seed: int = 1) -> None:
        at_least(self, folds=(folds, 2))
        self.folds = folds
        self.seed = seed


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

        check(self.name, samples, reference, min_size=self.folds)
        classifier, description = self.classifier(samples.shape[1])
        q, p = z_score(self.name, samples.cpu(), reference.cpu())
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
                "n_samples": len(samples),
                "n_reference": len(reference),
                "standard_error": float(accuracy.std(ddof=1) / self.folds**0.5),
            },
        )
