"""What a plugin implements: Task, Divergence, Family, Method, Posterior, Metric.

Each is an abstract class with few duties. Optional abilities are classes of their own (:class:`HasReference`,
:class:`HasLikelihood`, :class:`HasDensity`, …) and are asked for by type.

A component whose numbers come from another package than torch and numpy names it in a class attribute, such as
``packages = ("scikit-learn",)``: a result belongs to the versions that it was computed with.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor, nn

from ampbench.interfaces.tuples import Tuples


class Divergence(ABC):
    """A local divergence between the two chains at one tuple (METHOD: one row of the table of divergences).

    The engine hands both losses the same things: the adversary that :meth:`adversary` built for this tuple, and the
    tuples (x_i, context) of the top-down chain p and of the bottom-up chain q. An adversary maps tuples to logits
    d = log p − log q (or, for feature-based divergences, to features).

    Attributes:
        paired: whether row i of both tuples must share the evidence, as in a scoring rule; there are no such pairs when
            a model is learned from data.
        likelihood: whether the families are fitted by their density, at p's tuples alone. Where all divergences are so,
            nothing is drawn from q in training, and the checkpoint is chosen by the held-out density.
        refine: for how long at most, as a share of the training, an adversary goes on alone when the families are
            trained, so that its log-ratio can thin their draws (:mod:`ampbench.amp.refinement`); 0: not at all.
    """

    paired: bool = False
    likelihood: bool = False
    refine: float = 0.0

    @abstractmethod
    def adversary(self, features: int) -> nn.Module:
        """Build the adversary of a tuple with that many components; without parameters if none is trained."""

    @abstractmethod
    def adversary_loss(self, adversary: nn.Module, p: Tuples, q: Tuples) -> Tensor:
        """Return the scalar that the adversary's parameters ξ descend; q carries no gradient."""

    @abstractmethod
    def family_loss(self, adversary: nn.Module, p: Tuples, q: Tuples) -> Tensor:
        """Return the scalar that the families' parameters φ descend through q."""


class HasLogRatio:
    """The ability of a divergence: what its adversary learns is the log-ratio of the chains at the tuple.

    Diagnostics rely on it: where it is positive the adversary takes the tuple for the model's, and 0 is as good as can
    be. A potential, a feature map, or a ratio up to a function of the context (eq. 10) is none.
    """

    def log_ratio(self, adversary: nn.Module, tuples: Tuples) -> Tensor:
        """Return the estimate of log p(tuple) − log q(tuple), shape ``(*,)``: most adversaries put out just that."""
        return adversary(tuples)
