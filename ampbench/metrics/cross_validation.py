"""Classifier two-sample tests by classifiers of scikit-learn, one fold after the other."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from ampbench.interfaces import Measurement
from ampbench.metrics.checks import z_score

if TYPE_CHECKING:
    from sklearn.base import ClassifierMixin


def cross_validated(
    metric: str, classifier: ClassifierMixin, name: str, samples: Tensor, reference: Tensor, folds: int, seed: int
) -> Measurement:
    """Return the held-out accuracy of a classifier, with its standard error over folds.

    Arguments:
        metric: its name, for messages.
        classifier: untrained.
        name: of the classifier, for the provenance.
        samples: shape (n, D), labelled 1.
        reference: shape (m, D), labelled 0; both are standardised by its mean and standard deviation.
        folds: number of folds.
        seed: of their shuffle.
    """
    from sklearn.model_selection import KFold, cross_val_score

    q, p = z_score(metric, samples.cpu(), reference.cpu())
    data = np.concatenate([p.numpy(), q.numpy()])
    labels = np.concatenate([np.zeros(len(p)), np.ones(len(q))])
    parts = KFold(n_splits=folds, shuffle=True, random_state=seed)
    accuracy = cross_val_score(classifier, data, labels, cv=parts, scoring="accuracy", error_score="raise")
    return Measurement(
        float(accuracy.mean()),
        {
            "version": "1",
            "classifier": name,
            "z_score": "reference",
            "folds": folds,
            "seed": seed,
            "n_samples": len(samples),
            "n_reference": len(reference),
            "standard_error": float(accuracy.std(ddof=1) / folds**0.5),
        },
    )
