r"""Reverse Kullback-Leibler divergence with a known likelihood factor: Karaletsos 2016, section 5.4.1, eq. 10.

.. math:: \mathrm{KL}(q(z \mid x) \| p(z \mid x)) - \text{const}
          = -\,\mathbb E_q[\log p(x \mid z)] + \mathbb E_q\!\left[\log \frac{1 - D_z}{D_z}\right]
          = -\,\mathbb E_q[\log p(x \mid z)] + \mathbb E_q[-d_z]

The first term is the reconstruction loss. The adversary learns only :math:`d_z = \log p(z) - \log q(z \mid x)`, with x
as a bystander: it compares q(z | x) with draws of p(z) beside the context of another row, so that both sides have the
same contexts. The constant is −log p(x).

Where the context was itself inferred (z₂ | z₁ in a chain) that "constant" −log p(z₁) depends on the factor before. No
gradient may flow into the context then, or the exact posterior would not be a fixed point; so the context is held.

Where p_θ(z) is learned itself, as a transition between latents is, d_z depends on θ, but the adversary that stands for
it does not. The gradient that is lost, −E_q[∇_θ log p_θ(z)], is added for conditionals that have a density: the M step
of Dempster, Laird and Rubin. Implicit ones get none.

To the engine's gradient penalty the adversary shows d_z + log p(x | z), the log-ratio of the whole tuple up to
log p(x): its slope in z is 0 at the solution. That of d_z alone is not, and penalising it cost posteriors of a Gaussian
chain 20 % of their variance. Its slope in x is not 0 either, but that of log p(x); so there, too, the context is held.

References:
    Dempster, Laird, Rubin 1977, *Maximum likelihood from incomplete data via the EM algorithm*, JRSS B 39.
    Makhzani et al. 2015, *Adversarial autoencoders*, arXiv:1511.05644.
    Mescheder, Nowozin, Geiger 2017, *Adversarial variational Bayes*, arXiv:1701.04722.
"""

from __future__ import annotations

from dataclasses import replace
from typing import final

from torch import Tensor, nn

from ampbench.interfaces import Tuples
from ampbench.networks import classification_loss
from ampbench_divergences.ratio import RatioDivergence, beside_another_context


class WithLikelihood(nn.Module):
    """``latent`` gives d_z, and the whole gives log p(z) p(x | z) − log q(z | x)."""

    def __init__(self, latent: nn.Module) -> None:
        super().__init__()
        self.latent = latent

    def forward(self, tuples: Tuples) -> Tensor:
        """Return d_z + log p(x | z), shape (*,); raises :class:`UsageError` where the likelihood is unknown."""
        held = replace(tuples, context=tuples.context.detach())
        return self.latent(held) + held.densities.likelihood(held)


@final
class KLLikelihood(RatioDivergence):
    """Reverse Kullback-Leibler divergence where the model's likelihood is known.

    Arguments:
        width: units of each hidden layer of the adversary.
        depth: its number of residual blocks.
    """

    def adversary(self, features: int) -> nn.Module:
        """Build d_z, one logit per tuple, to be shown with the likelihood."""
        return WithLikelihood(super().adversary(features))

    def adversary_loss(self, adversary: nn.Module, p: Tuples, q: Tuples) -> Tensor:
        """Return eq. 7 between p(z) and q(z | x), the context a bystander."""
        (latent,) = adversary.children()
        return classification_loss(latent, beside_another_context(p, q), q)

    def family_loss(self, adversary: nn.Module, p: Tuples, q: Tuples) -> Tensor:
        """Return eq. 10, −E_q[log p(x | z)] − E_q[d_z], with the gradient of a learned p(z).

        Raises:
            UsageError: the likelihood is unknown.
        """
        prior = q.densities.prior(q.detach())
        return -(adversary(q) + prior - prior.detach()).mean()
