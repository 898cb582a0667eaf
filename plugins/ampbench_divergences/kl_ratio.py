r"""Reverse Kullback-Leibler divergence with an intractable likelihood factor: Karaletsos 2016, section 5.4.2, eq. 11.

.. math:: \mathrm{KL}(q(z \mid x) \| p(z \mid x)) = \mathbb E_q[-d_x] + \mathbb E_q[-d_z], \qquad
          d_x = \log \frac{p(x \mid z)}{p(x)}, \qquad d_z = \log \frac{p(z)}{q(z \mid x)}

Two adversaries learn the two ratios by eq. 7: D_x between simulated pairs (z, x) and pairs with the x of another row;
D_z as in eq. 10. The sum d_x + d_z is the log-ratio log p − log q of the whole tuple. The engine's gradient penalty
acts on this sum: it is 0 at the solution, so that its penalty has no bias. A penalty on d_x or on d_z would have one.

The paper's eq. 11 is not exact: it writes only E_q[log(1 − D_x)] on reconstructions, with
1 − D_x = p(x) / (p(x) + p(x | z)). With this labelling the exact term is

.. math:: \mathbb E_q[\log p(x \mid z)] = \mathbb E_q\!\left[\log \frac{D_x}{1 - D_x}\right] + \mathbb E[\log p(x)].

``form=exact`` descends −E_q[d_x]. ``form=paper`` keeps one logarithm, as the paper does: it descends −E_q[log D_x].
(The paper scores a reconstruction that the adversary classifies as data by log(1 − D_x). We do not simulate a
reconstruction; the equivalent for an observed x is a pair (z, x) that the adversary classifies as simulated, scored by
log D_x.) The derivative of log D_x in d_x decreases as the likelihood grows, so that the fixed point is wider than the
posterior.

References:
    Mescheder, Nowozin, Geiger 2017, *Adversarial variational Bayes*, arXiv:1701.04722.
    Hermans, Begy, Louppe 2020, *Likelihood-free MCMC with amortized approximate ratio estimators*, arXiv:1903.04057.
"""

from __future__ import annotations

from typing import Literal, final

from torch import Tensor, nn
from torch.nn.functional import logsigmoid

from ampbench.interfaces import HasLogRatio, Tuples
from ampbench.networks import classification_loss
from ampbench_divergences.ratio import RatioDivergence, with_other_contexts


class Ratios(nn.Module):
    """The log-ratio log p − log q as a sum of d_x, the output of ``evidence``, and d_z, the output of ``latent``."""

    def __init__(self, evidence: nn.Module, latent: nn.Module) -> None:
        super().__init__()
        self.evidence = evidence
        self.latent = latent

    def forward(self, tuples: Tuples) -> Tensor:
        """Return d_x + d_z, shape (*,)."""
        return self.evidence(tuples) + self.latent(tuples)


@final
class KLRatio(RatioDivergence, HasLogRatio):
    """Reverse Kullback-Leibler divergence from two density ratios.

    Arguments:
        form: ``exact``: −E_q[d_x]; ``paper``: −E_q[log D_x].
        width: units of each hidden layer of either adversary.
        depth: number of residual blocks of either adversary.
    """

    def __init__(self, form: Literal["exact", "paper"] = "exact", width: int = 128, depth: int = 3) -> None:
        super().__init__(width, depth)
        self.form = form

    def adversary(self, features: int) -> nn.Module:
        """Build both adversaries, one logit per tuple each."""
        return Ratios(super().adversary(features), super().adversary(features))

    def adversary_loss(self, adversary: nn.Module, p: Tuples, q: Tuples) -> Tensor:
        """Return eq. 7 of both adversaries."""
        evidence, latent = adversary.children()
        loss = classification_loss(evidence, p, with_other_contexts(p, p))
        return loss + classification_loss(latent, with_other_contexts(p, q), q)

    def family_loss(self, adversary: nn.Module, p: Tuples, q: Tuples) -> Tensor:
        """Return eq. 11, the reconstruction term and −E_q[d_z]."""
        evidence, latent = adversary.children()
        logits = evidence(q)
        reconstruction = logits if self.form == "exact" else logsigmoid(logits)
        return -(reconstruction + latent(q)).mean()
