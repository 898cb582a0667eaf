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

from torch import Tensor

from ampbench.interfaces import Measurement, Metric
from ampbench.metrics.checks import check
from ampbench.metrics.cross_validation import cross_validated
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
        from sklearn.neural_network import MLPClassifier

        check("c2st-sklearn", samples, reference, least=self.folds)
        units = 10 * samples.shape[1]
        classifier = MLPClassifier(
            hidden_layer_sizes=(units, units), activation="relu", solver="adam", max_iter=10000, random_state=self.seed
        )
        name = f"sklearn MLPClassifier ({units}, {units}) relu adam, no early stopping"
        with _interruptible():
            return cross_validated("c2st-sklearn", classifier, name, samples, reference, self.folds, self.seed)


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
