r"""Classifier two-sample test by scikit-learn's own classifier: the yardstick for :mod:`ampbench.metrics.c2st`.

The definition is the same (Lueckmann et al. 2021), one fold after the other. It is many times slower.

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
from ampbench.metrics.checks import check, z_score
from ampbench.options import at_least


@final
class SklearnC2ST(Metric):
    """Classifier two-sample test accuracy, by scikit-learn.

    Arguments:
        folds: number of cross-validation folds.
        seed: seed of the folds' shuffle and of the classifier.
    """

    packages = ("scikit-learn",)

    def __init__(self, folds: int = 5, seed: int = 1) -> None:
        at_least(self, folds=(folds, 2))
        self.folds = folds
        self.seed = seed

    def measure(self, samples: Tensor, reference: Tensor) -> Measurement:
        """Return the accuracy, with its standard error over folds."""
        from sklearn.model_selection import KFold, cross_val_score
        from sklearn.neural_network import MLPClassifier

        check("c2st-sklearn", samples, reference, least=self.folds)
        q, p = z_score("c2st-sklearn", samples.cpu(), reference.cpu())
        data = np.concatenate([p.numpy(), q.numpy()])
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
                "version": "1",
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
