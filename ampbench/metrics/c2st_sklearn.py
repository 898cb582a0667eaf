r"""Classifier two-sample test by scikit-learn's own classifier: the implementation that validates ``c2st``.

The definition is that of :mod:`ampbench.metrics.c2st` (Lueckmann et al. 2021). Folds are trained one after the other,
which is many times slower.

References:
    Lopez-Paz & Oquab 2017, *Revisiting classifier two-sample tests*, arXiv:1610.06545.
    Lueckmann et al. 2021, *Benchmarking simulation-based inference*, arXiv:2101.04653, appendix.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, final

from torch import Tensor

from ampbench.interfaces import Measurement
from ampbench.metrics.cross_validation import CrossValidatedC2ST

if TYPE_CHECKING:
    from sklearn.base import ClassifierMixin


@final
class SklearnC2ST(CrossValidatedC2ST):
    """Classifier two-sample test accuracy of scikit-learn's multilayer perceptron.

    Arguments:
        folds: number of cross-validation folds.
        seed: seed of the folds' shuffle, of the classifier, and of the choice of rows if the sets differ in size.
    """

    name = "c2st-sklearn"

    def classifier(self, components: int) -> tuple[ClassifierMixin, str]:
        """Return an untrained perceptron, and its description."""
        from sklearn.neural_network import MLPClassifier

        units = 10 * components
        perceptron = MLPClassifier(
            hidden_layer_sizes=(units, units), activation="relu", solver="adam", max_iter=10000, random_state=self.seed
        )
        return perceptron, f"sklearn MLPClassifier ({units}, {units}) relu adam, no early stopping"

    def measure(self, samples: Tensor, reference: Tensor) -> Measurement:
        """Return the accuracy, with its standard error over folds."""
        with _interruptible():
            return super().measure(samples, reference)


@contextmanager
def _interruptible() -> Iterator[None]:
    """Raise KeyboardInterrupt on Ctrl-C; scikit-learn would stop training and score the half-trained classifier."""
    message = "Training interrupted by user"
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message)
        try:
            yield
        except UserWarning as warning:
            if message in str(warning):
                raise KeyboardInterrupt from warning
            raise
