r"""Reverse Kullback-Leibler divergence with an intractable likelihood factor: Karaletsos 2016, section 5.4.2, eq. 11.

.. math:: \mathrm{KL}(q(z \mid x) \| p(z \mid x)) = \mathbb E_q[-d_x] + \mathbb E_q[-d_z], \qquad
          d_x = \log \frac{p(x \mid z)}{p(x)}, \qquad d_z = \log \frac{p(z)}{q(z \mid x)}

Two adversaries learn the two ratios by eq. 7: D_x between simulated pairs (z, x) and pairs with the x of another row;
D_z as in eq. 10. Their sum is log p − log q of the whole tuple. It is what the pair shows to the engine's gradient
penalty: the sum is 0 at the solution, so that penalising it biases nothing, which penalising d_x or d_z would.

Where the paper is loose: eq. 11 writes only E_q[log(1 − D_x)] on reconstructions, with
1 − D_x = p(x) / (p(x) + p(x | z)). With this labelling the exact term is

.. math:: \mathbb E_q[\log p(x \mid z)] = \mathbb E_q\!\left[\log \frac{D_x}{1 - D_x}\right] + \mathbb E[\log p(x)].

``form=exact`` descends it. ``form=paper`` keeps one logarithm, as the paper does: it descends −E_q[log D_x]. (A
reconstruction that passes for data is scored log(1 − D_x) by the paper; the same pair seen from the data, and
without simulating anew, is one that passes for the model's, log D_x.) It counts a likelihood the less the larger it is
already, so its fixed point is wider than the posterior.

References:
    Mescheder, Nowozin, Geiger 2017, *Adversarial variational Bayes*, arXiv:1701.04722.
    Hermans, Begy, Louppe 2020, *Likelihood-free MCMC with amortized approximate ratio estimators*, arXiv:1903.04057.
"""

from __future__ import annotations

from typing import Literal, final

from torch import Tensor, nn
from torch.nn.functional import logsigmoid

from ampbench.interfaces import Divergence, HasLogRatio, Tuples
from ampbench.networks import Adversary, classification_loss
from ampbench.options import at_least
from ampbench_divergences.ratio import beside_another_context


class Ratios(nn.Module):
    """Two adversaries: ``evidence`` gives d_x, ``latent`` gives d_z, and the whole gives their sum, log p − log q."""

    def __init__(self, evidence: nn.Module, latent: nn.Module) -> None:
        super().__init__()
        self.evidence = evidence
        self.latent = latent

    def forward(self, tuples: Tuples) -> Tensor:
        """Return d_x + d_z, shape (*,)."""
        return self.evidence(tuples) + self.latent(tuples)


@final
class KLRatio(Divergence, HasLogRatio):
    """Reverse Kullback-Leibler divergence from two density ratios.

    Arguments:
        form: ``exact``: −E_q[d_x]; ``paper``: −E_q[log D_x].
        width: units of each hidden layer of either adversary.
        depth: their number of residual blocks.
    """

    def __init__(self, form: Literal["exact", "paper"] = "exact", width: int = 128, depth: int = 3) -> None:
        at_least(self, width=(width, 1), depth=(depth, 0))
        self.form = form
        self.width = width
        self.depth = depth

    def adversary(self, features: int) -> nn.Module:
        """Build both adversaries, one logit per tuple each."""
        return Ratios(*(Adversary(features, self.width, self.depth) for _ in range(2)))

    def adversary_loss(self, adversary: nn.Module, p: Tuples, q: Tuples) -> Tensor:
        """Return eq. 7 of both adversaries."""
        evidence, latent = adversary.children()
        loss = classification_loss(evidence, p, beside_another_context(p, p))
        return loss + classification_loss(latent, beside_another_context(p, q), q)

    def family_loss(self, adversary: nn.Module, p: Tuples, q: Tuples) -> Tensor:
        """Return eq. 11, the reconstruction term and −E_q[d_z]."""
        evidence, latent = adversary.children()
        logits = evidence(q)
        reconstruction = logits if self.form == "exact" else logsigmoid(logits)
        return -(reconstruction + latent(q)).mean()
