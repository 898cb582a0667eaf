r"""Pathwise gradients through samples of a mixture of Gaussians, by implicit reparametrisation.

A component cannot be chosen by a smooth function of noise, so that samples of

.. math:: q(x) = \sum_k w_k \prod_d \mathcal N(x_d; \mu_{kd}, \sigma_{kd}^2)

have no explicit reparametrisation. But each coordinate has a conditional distribution function given those before it,

.. math:: F_d(x_d \mid x_{<d}) = \sum_k r_k\, \Phi\!\left(\frac{x_d - \mu_{kd}}{\sigma_{kd}}\right), \qquad
          r_k \propto w_k \prod_{j<d} \mathcal N(x_j; \mu_{kj}, \sigma_{kj}^2),

and a sample is held at fixed :math:`F_d` while the parameters move, which by implicit differentiation gives

.. math:: \mathrm d x_d = -\frac{\mathrm d F_d}{q(x_d \mid x_{<d})},

where :math:`\mathrm d F_d` includes the dependence on :math:`x_{<d}`. The gradient is unbiased for every parameter,
including the weights. Its variance is large where modes lie many standard deviations apart: between them q is small, so
that the weights get rare and large gradients.

References:
    Figurnov, Mohamed, Mnih 2018, *Implicit reparameterization gradients*, arXiv:1805.08498, section 4.3.
    Jankowiak & Obermeyer 2018, *Pathwise derivatives beyond the reparameterization trick*, arXiv:1806.01851.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.distributions import Normal


def pathwise(value: Tensor, log_weight: Tensor, mean: Tensor, scale: Tensor) -> Tensor:
    """Return samples of a mixture, unchanged in value, with gradients by implicit reparametrisation.

    Arguments:
        value: samples of the mixture, shape (*, D), without gradient.
        log_weight: log weights log w_k, shape (*, K).
        mean: means μ_kd, shape (*, K, D).
        scale: standard deviations σ_kd, shape (*, K, D).
    """
    moving: list[Tensor] = []
    log_joint = log_weight  # log w_k N(x_<d; k), shape (*, K)
    for d, x in enumerate(value.unbind(-1)):
        share = log_joint.softmax(-1)  # r_k
        z = (x[..., None] - mean[..., d]) / scale[..., d]
        # erfc of the nearer tail: in the upper tail Φ rounds to 1, and differences of Φ to 0
        side = torch.where((share * z).sum(-1, keepdim=True) > 0, -1.0, 1.0).detach()
        cdf = (share * side * torch.erfc(-side * z / 2**0.5)).sum(-1) / 2
        density = (share.log() + Normal(mean[..., d], scale[..., d]).log_prob(x[..., None])).logsumexp(-1).exp()
        moving.append(x - (cdf - cdf.detach()) / density.detach())
        log_joint = log_joint + Normal(mean[..., d], scale[..., d]).log_prob(moving[-1][..., None])
    return torch.stack(moving, dim=-1)
