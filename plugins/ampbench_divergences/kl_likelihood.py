r"""Reverse Kullback-Leibler divergence with a known likelihood factor: Karaletsos 2016, section 5.4.1, eq. 10.

.. math:: \mathrm{KL}(q(z \mid x) \| p(z \mid x)) - \text{const}
          = -\,\mathbb E_q[\log p(x \mid z)] + \mathbb E_q\!\left[\log \frac{1 - D_z}{D_z}\right]
          = -\,\mathbb E_q[\log p(x \mid z)] + \mathbb E_q[-d_z]

The first term is the reconstruction loss. The adversary learns only :math:`d_z = \log p(z) - \log q(z \mid x)`, with x
as a bystander: it compares q(z | x) with draws of p(z) beside the context of another row, so that both sides have the
same contexts. The constant is −log p(x).

Where the context was itself inferred (z₂ | z₁ in a chain) that "constant" −log p(z₁) depends on the factor before. No
gradient may flow into the context then, or the exact posterior would not be a fixed point; so the context is held.

The engine's gradient penalty pulls d_z towards 0, and d_z is not 0 at the solution, unlike the log-ratio of a whole
tuple. A large penalty therefore biases the result; ``kl-ratio`` is free of this.

References:
    Makhzani et al. 2015, *Adversarial autoencoders*, arXiv:1511.05644.
    Mescheder, Nowozin, Geiger 2017, *Adversarial variational Bayes*, arXiv:1701.04722.
"""

from __future__ import annotations

from dataclasses import replace
from typing import final

from torch import Tensor, nn

from ampbench.adversary import classification_loss
from ampbench.tuples import Tuples
from ampbench_divergences.ratio import RatioDivergence, beside_another_context


@final
class KLLikelihood(RatioDivergence):
    """Reverse Kullback-Leibler divergence where the model's likelihood is known.

    Arguments:
        width: units of each hidden layer of the adversary.
        depth: its number of residual blocks.
    """

    def adversary_loss(self, adversary: nn.Module, p: Tuples, q: Tuples) -> Tensor:
        """Return eq. 7 between p(z) and q(z | x), the context a bystander."""
        return classification_loss(adversary, beside_another_context(p, q), q)

    def family_loss(self, adversary: nn.Module, p: Tuples, q: Tuples) -> Tensor:
        """Return eq. 10, −E_q[log p(x | z)] − E_q[d_z].

        Raises:
            UsageError: the likelihood is unknown.
        """
        held = replace(q, context=q.context.detach())
        return -(q.laws.likelihood(held) + adversary(held)).mean()
