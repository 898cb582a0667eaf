r"""Gradients through discrete samples: the Gumbel-softmax relaxation, straight through.

.. math:: \text{hard} = \operatorname{onehot} \arg\max_k (\ell_k + g_k), \qquad
          \text{soft} = \operatorname{softmax}\!\left(\frac{\ell + g}{\tau}\right), \qquad g_k \sim \text{Gumbel}(0, 1)

The hard value follows the law with logits :math:`\ell` exactly; it is what adversaries and the next factors see. The
gradient is the soft value's. It is **biased** for two reasons: losses are differentiated where they have no values,
between the corners, and the soft value has another mean than the hard one. For one bit at p = ½ and a linear loss, the
gradient is 0.67 of the right one at :math:`\tau = 1`, 0.86 at ½ and 0.99 at ⅒, while its variance grows like
:math:`1/\tau`. A fixed point where the adversary is flat, as at q = p, stays one. Divergences that use the density
alone (``forward-kl``) do not differentiate samples, and have no bias.

References:
    Jang, Gu, Poole 2017, *Categorical reparameterization with Gumbel-softmax*, arXiv:1611.01144.
    Maddison, Mnih, Teh 2017, *The concrete distribution*, arXiv:1611.00712.
    Bengio, Léonard, Courville 2013, *Estimating or propagating gradients through stochastic neurons*, arXiv:1308.3432.
"""

from __future__ import annotations

from torch import Tensor


def straight_through(hard: Tensor, soft: Tensor) -> Tensor:
    """Return the hard values, to the last bit, with the gradient of the soft ones."""
    return hard + (soft - soft.detach())  # adds an exact 0; (hard + soft) − soft may come out as 1.0000001
