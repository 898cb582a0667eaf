r"""Squared Hellinger divergence, as a plugin.

.. math:: H^2 = 2 - 2 \int \sqrt{p q} = \max_d\; 2 - \mathbb E_p[e^{-d/2}] - \mathbb E_q[e^{d/2}]

References:
    Nowozin, Cseke, Tomioka 2016, *f-GAN*, arXiv:1606.00709.
"""

from torch import Tensor, nn

from ampbench import hookimpl
from ampbench.adversary import Adversary
from ampbench.interfaces import Divergence
from ampbench.tuples import Tuples


class Hellinger(Divergence):
    """Squared Hellinger divergence.

    Arguments:
        limit: logits are kept between −limit and limit, so that the exponentials stay finite.
    """

    source = "Nowozin et al. 2016"

    def __init__(self, limit: float = 10.0) -> None:
        self.limit = limit

    def adversary(self, features: int) -> nn.Module:
        """Build one logit per tuple."""
        return Adversary(features, width=128, depth=3)

    def adversary_loss(self, adversary: nn.Module, p: Tuples, q: Tuples) -> Tensor:
        """Return −H² + 2, which the adversary descends."""
        return (-self._logits(adversary, p) / 2).exp().mean() + (self._logits(adversary, q) / 2).exp().mean()

    def family_loss(self, adversary: nn.Module, p: Tuples, q: Tuples) -> Tensor:
        """Return the part of H² that depends on q."""
        return -(self._logits(adversary, q) / 2).exp().mean()

    def _logits(self, adversary: nn.Module, tuples: Tuples) -> Tensor:
        return adversary(tuples).clamp(-self.limit, self.limit)


@hookimpl
def divergences() -> dict[str, type[Divergence]]:
    """Add ``hellinger``."""
    return {"hellinger": Hellinger}
