r"""Classifier two-sample test by a random forest: what sbi calls ``c2st``.

As :mod:`ampbench.metrics.c2st`, but with scikit-learn's ``RandomForestClassifier`` as it comes. Its numbers are not
those of the published benchmark: a forest cuts along the axes and is slower to see thin, oblique structure.

References:
    Tejero-Cantero et al. 2020, *sbi: a toolkit for simulation-based inference*; ``sbi.utils.metrics.c2st``.
    Lopez-Paz & Oquab 2017, *Revisiting classifier two-sample tests*, arXiv:1610.06545.
"""

from __future__ import annotations

from typing import final

from torch import Tensor

from ampbench.interfaces import Measurement, Metric
from ampbench.metrics.checks import check
from ampbench.metrics.cross_validation import cross_validated
from ampbench.options import at_least


@final
class ForestC2ST(Metric):
    """Classifier two-sample test accuracy, by a random forest.

    Arguments:
        folds: number of cross-validation folds.
        seed: seed of the folds' shuffle and of the forest.
    """

    packages = ("scikit-learn",)

    def __init__(self, folds: int = 5, seed: int = 1) -> None:
        at_least(self, folds=(folds, 2))
        self.folds = folds
        self.seed = seed

    def measure(self, samples: Tensor, reference: Tensor) -> Measurement:
        """Return the accuracy, with its standard error over folds."""
        from sklearn.ensemble import RandomForestClassifier

        check("c2st-rf", samples, reference, least=self.folds)
        forest = RandomForestClassifier(random_state=self.seed)
        name = f"sklearn RandomForestClassifier, {forest.n_estimators} trees"
        return cross_validated("c2st-rf", forest, name, samples, reference, self.folds, self.seed)
