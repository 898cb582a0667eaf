r"""Jensen-Shannon divergence: the local divergence of Karaletsos 2016, section 3.1.

.. math:: \mathrm{JSD}(q \| p) = \tfrac12\,\mathrm{KL}(p \| m) + \tfrac12\,\mathrm{KL}(q \| m),
          \qquad m = \tfrac12(p + q)

With the optimal adversary D = p / (p + q) it equals (eq. 5)

.. math:: \tfrac12\,\mathbb E_p[\log D] + \tfrac12\,\mathbb E_q[\log(1 - D)] + \log 2.

The families descend it through samples of q, and learned conditionals through samples of p (eq. 6). That form
saturates: where D is near 0 for samples of q or near 1 for those of p, its gradient vanishes. The non-saturating form,
which ascends :math:`\mathbb E_q[\log D] + \mathbb E_p[\log(1 - D)]`, has the same fixed point and larger gradients,
and is the default.

References:
    Goodfellow et al. 2014, *Generative adversarial nets*, arXiv:1406.2661, section 3 (the non-saturating form).
"""

from __future__ import annotations

from typing import final

from torch import Tensor, nn
from torch.nn.functional import softplus

from ampbench.interfaces import HasLogRatio, Tuples
from ampbench.options import at_least
from ampbench_divergences.ratio import RatioDivergence


@final
class JSD(RatioDivergence, HasLogRatio):
    """Jensen-Shannon divergence.

    Arguments:
        saturating: whether to descend eq. 6 as the paper writes it, rather than the non-saturating form.
        width: units of each hidden layer of the adversary.
        depth: number of residual blocks of the adversary.
        refine: maximum number of steps for which the adversary is trained alone after the training of the families,
            as a share of the training's steps; 0: none.
    """

    def __init__(self, saturating: bool = False, width: int = 128, depth: int = 3, refine: float = 1.0) -> None:
        super().__init__(width, depth)
        self.saturating = saturating
        at_least(self, refine=(refine, 0))
        self.refine = refine

    def family_loss(self, adversary: nn.Module, p: Tuples, q: Tuples) -> Tensor:
        """Return ½ E_p[log D] + ½ E_q[log(1 − D)] (eq. 6), or −½ E_p[log(1 − D)] − ½ E_q[log D].

        Gradients reach the families φ through q, and learned conditionals θ through p.
        """
        of_p, of_q = adversary(p), adversary(q)
        if self.saturating:
            return -(softplus(-of_p).mean() + softplus(of_q).mean()) / 2
        return (softplus(of_p).mean() + softplus(-of_q).mean()) / 2
