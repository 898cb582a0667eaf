"""Local divergences, estimated by an adversary at one tuple of variables.

With p the top-down chain, which samples the model, and q the bottom-up chain, which samples the families, the adversary
of a tuple T descends one loss in its parameters ξ, and the families descend another loss in their parameters φ
(Karaletsos 2016, arXiv:1612.05048, eq. 5 to 7).
"""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor, nn

from ampbench.interfaces.tuples import Tuples


class Divergence(ABC):
    """A divergence between the two chains at one tuple.

    The engine calls both losses with the adversary that :meth:`adversary` built for this tuple, and with samples of the
    tuple (x_i, context) from the top-down chain p and from the bottom-up chain q. An adversary maps a tuple to the
    logit d = log p − log q, or, in feature-based divergences, to features.

    Attributes:
        paired: whether row i of p and row i of q must have the same evidence, as scoring rules require. Learning from
            data provides no such pairs.
        likelihood: whether the families are fitted by their density at samples of p alone. If this holds for all
            divergences of a fit, q is not sampled in training, and the held-out density chooses the checkpoint.
        refine: length of density-ratio resampling's own training (:mod:`ampbench.amp.refinement`, and for repeated
            variables :mod:`ampbench.amp.templates.resampling`), at most, as a share of the steps of the fit; 0: draws
            are not resampled.
        drop_bias: as :attr:`ampbench.interfaces.Method.drop_bias`; "" for a divergence that sees the model through
            samples of p alone, and not through densities.
    """

    paired: bool = False
    likelihood: bool = False
    refine: float = 0.0
    drop_bias: str = ""

    @abstractmethod
    def adversary(self, features: int) -> nn.Module:
        """Build the adversary of a tuple with ``features`` components.

        A divergence that trains no adversary returns a module without parameters.
        """

    @abstractmethod
    def adversary_loss(self, adversary: nn.Module, p: Tuples, q: Tuples) -> Tensor:
        """Return the loss, a scalar, of the adversary's parameters ξ; p and q carry no gradient."""

    @abstractmethod
    def family_loss(self, adversary: nn.Module, p: Tuples, q: Tuples) -> Tensor:
        """Return the loss, a scalar, of the families' parameters φ, differentiable through q."""


class HasLogRatio:
    """Ability of a divergence: its adversary estimates the log-ratio log p − log q at the tuple.

    Diagnostics and density-ratio resampling use the estimate. Potentials, feature maps, and ratios up to a function of
    the context (eq. 10 of Karaletsos 2016) are no log-ratios.
    """

    def log_ratio(self, adversary: nn.Module, tuples: Tuples) -> Tensor:
        """Return the estimate of log p(tuple) − log q(tuple), shape ``(*,)``; by default the adversary's output."""
        return adversary(tuples)
