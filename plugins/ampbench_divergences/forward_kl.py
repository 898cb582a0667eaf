r"""Forward Kullback-Leibler divergence by the density of the family: neural posterior estimation.

.. math:: \mathbb E_{p(\mathrm{pã})}\,\mathrm{KL}\big(p(x \mid \mathrm{pã}) \,\|\, q(x \mid \mathrm{pã})\big)
          = -\,\mathbb E_p[\log q(x \mid \mathrm{pã})] + \text{const}

The families are fitted by maximum likelihood to simulated tuples. Nothing is adversarial, so nothing can oscillate, but
the family must have a density; ``f-kl`` is the same divergence from samples alone.

They alone descend it: a learned conditional of the model that made the tuples easy to infer would not fit the data
better. As in the sleep phase of wake-sleep, its samples are taken as they are.

References:
    Hinton, Dayan, Frey, Neal 1995, *The wake-sleep algorithm for unsupervised neural networks*, Science 268.
    Papamakarios & Murray 2016, *Fast ε-free inference of simulation models with Bayesian conditional density
    estimation*, arXiv:1605.06376.
    Greenberg, Nonnenmacher, Macke 2019, *Automatic posterior transformation*, arXiv:1905.07488.
"""

from __future__ import annotations

from typing import final

from torch import Tensor, nn

from ampbench.interfaces import Tuples
from ampbench_divergences.without_adversary import WithoutAdversary


@final
class ForwardKL(WithoutAdversary):
    """Forward Kullback-Leibler divergence for families that have a density."""

    likelihood = True

    def family_loss(self, adversary: nn.Module, p: Tuples, q: Tuples) -> Tensor:
        """Return −E_p[log q(variable | context)].

        Raises:
            UsageError: the family has no density.
        """
        return -p.densities.family(p.detach()).mean()
