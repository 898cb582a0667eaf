r"""Classifier two-sample test: the definition of Lueckmann et al. 2021.

Both sets are z-scored by the reference's mean and standard deviation. scikit-learn's multilayer perceptron (two
layers of 10·D ReLU units, Adam, up to 10,000 iterations, no early stopping) learns to tell them apart; the score is
its accuracy, averaged over 5 shuffled folds: 0.5 if they cannot be told apart, 1 if they always can.

Other classifiers give other numbers under the same name; compare only values whose provenance agrees.

References:
    Lopez-Paz & Oquab 2017, *Revisiting classifier two-sample tests*, arXiv:1610.06545.
    Lueckmann et al. 2021, *Benchmarking simulation-based inference*, arXiv:2101.04653, appendix.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import final

import numpy as np
from torch import Tensor

from ampbench.interfaces import Measurement, Metric
from ampbench.metrics.checks import check


@final
class C2ST(Metric):
    """Classifier two-sample test accuracy.

    Arguments:
        folds: number of cross-validation folds.
        seed: seed of the folds' shuffle and of the classifier.
    """

    packages = ("scikit-learn",)

    def __init__(self, folds: int = 5, seed: int = 1) -> None:
        self.folds = folds
        self.seed = seed

    def measure(self, samples: Tensor, reference: Tensor) -> Measurement:
        """Return the accuracy, with its standard error over folds."""
        from sklearn.model_selection import KFold, cross_val_score
        from sklearn.neural_network import MLPClassifier

        check("c2st", samples, reference, least=self.folds)
        location, scale = reference.mean(0), reference.std(0)
        data = np.concatenate([((part - location) / scale).numpy() for part in (reference, samples)])
        labels = np.concatenate([np.zeros(len(reference)), np.ones(len(samples))])
        units = 10 * samples.shape[1]
        classifier = MLPClassifier(
            hidden_layer_sizes=(units, units), activation="relu", solver="adam", max_iter=10000, random_state=self.seed
        )
        folds = KFold(n_splits=self.folds, shuffle=True, random_state=self.seed)
        with _interruptible():
            accuracy = cross_val_score(classifier, data, labels, cv=folds, scoring="accuracy", error_score="raise")
        return Measurement(
            float(accuracy.mean()),
            {
                "classifier": f"sklearn MLPClassifier ({units}, {units}) relu adam, no early stopping",
                "z_score": "reference",
                "folds": self.folds,
                "seed": self.seed,
                "n_samples": len(samples),
                "n_reference": len(reference),
                "standard_error": float(accuracy.std(ddof=1) / self.folds**0.5),
            },
        )


@contextmanager
def _interruptible() -> Iterator[None]:
    """Let Ctrl-C through: scikit-learn would go on with the half-trained classifier and score that."""
    message = "Training interrupted by user"
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message)
        try:
            yield
        except UserWarning as warning:
            if message in str(warning):
                raise KeyboardInterrupt from warning
            raise
