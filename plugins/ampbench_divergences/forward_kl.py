r"""Forward Kullback-Leibler divergence, computed from the density of the family: neural posterior estimation.

.. math:: \mathbb E_{p(\mathrm{pã})}\,\mathrm{KL}\big(p(x \mid \mathrm{pã}) \,\|\, q(x \mid \mathrm{pã})\big)
          = -\,\mathbb E_p[\log q(x \mid \mathrm{pã})] + \text{const}

The families are fitted by maximum likelihood to simulated tuples. There is no adversary, and so no oscillation, but the
family must have a density; ``f-kl`` estimates the same divergence from samples alone.

The loss has no gradient in the model's learned conditionals: a conditional that makes its latent variables easy to
infer does not fit the data better for it. As in the sleep phase of wake-sleep, samples of the model are constants.

References:
    Hinton, Dayan, Frey, Neal 1995, *The wake-sleep algorithm for unsupervised neural networks*, Science 268.
    Papamakarios & Murray 2016, *Fast ε-free inference of simulation models with Bayesian conditional density
    estimation*, arXiv:1605.06376.
    Greenberg, Nonnenmacher, Macke 2019, *Automatic posterior transformation*, arXiv:1905.07488.
"""

from __future__ import annotations

from typing import final

from ampbench.amp.without_adversary import MaximumLikelihood


@final
class ForwardKL(MaximumLikelihood):
    """Forward Kullback-Leibler divergence for families that have a density."""
