r"""Classifier two-sample test by a random forest, the default classifier of sbi's ``c2st``.

As :mod:`ampbench.metrics.c2st`, but with scikit-learn's ``RandomForestClassifier`` and its default options. Values are
not comparable with those of the published benchmark: a forest splits along the axes and is less sensitive to thin,
oblique structure.

References:
    Tejero-Cantero et al. 2020, *sbi: a toolkit for simulation-based inference*; ``sbi.utils.metrics.c2st``.
    Lopez-Paz & Oquab 2017, *Revisiting classifier two-sample tests*, arXiv:1610.06545.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, final

from ampbench.metrics.cross_validation import CrossValidatedC2ST

if TYPE_CHECKING:
    from sklearn.base import ClassifierMixin


@final
class ForestC2ST(CrossValidatedC2ST):
    """Classifier two-sample test accuracy of a random forest.

    Arguments:
        folds: number of cross-validation folds.
        seed: seed of the folds' shuffle, of the forest, and of the choice of rows if the sets differ in size.
    """

    name = "c2st-rf"

    def classifier(self, components: int) -> tuple[ClassifierMixin, str]:
        """Return an untrained forest, and its description."""
        from sklearn.ensemble import RandomForestClassifier

        forest = RandomForestClassifier(random_state=self.seed)
        return forest, f"sklearn RandomForestClassifier, {forest.n_estimators} trees"
