r"""Adversaries: one scalar logit per tuple.

The adversary of a tuple learns the ratio of the two chains,

.. math:: d(t) = \log p(t) - \log q(t), \qquad D = \sigma(d),

by descending eq. 7 of Karaletsos 2016,

.. math:: L_D = -\mathbb E_p[\log D] - \mathbb E_q[\log(1 - D)],

and stays smooth by a zero-centred gradient penalty on both chains (R1 and R2 of Mescheder et al. 2018):

.. math:: \tfrac{\gamma}{2} \left( \mathbb E_p \|\nabla d\|^2 + \mathbb E_q \|\nabla d\|^2 \right).

References:
    Mescheder, Geiger, Nowozin 2018, *Which training methods for GANs do actually converge?*, arXiv:1801.04406.
    Roth et al. 2017, *Stabilizing training of GANs through regularization*, arXiv:1705.09367.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from ampbench.interfaces import Tuples
from ampbench.networks.residual import ResidualMLP


class Adversary(nn.Module):
    """A network from tuples to logits d, shape (*,).

    Arguments:
        features: number of components of the tuple, variable and context together.
        width: units of each hidden layer.
        depth: number of residual blocks.
    """

    def __init__(self, features: int, width: int = 128, depth: int = 3) -> None:
        super().__init__()
        self.network = ResidualMLP(features, 1, width, depth)

    def forward(self, tuples: Tuples) -> Tensor:
        """Return one logit per tuple."""
        return self.network(tuples.joint).squeeze(-1)


def classification_loss(adversary: Callable[[Tuples], Tensor], p: Tuples, q: Tuples) -> Tensor:
    """Return eq. 7 of Karaletsos 2016, by logits: −log D = softplus(−d) and −log(1 − D) = softplus(d)."""
    return softplus(-adversary(p)).mean() + softplus(adversary(q)).mean()


def gradient_penalty(adversary: nn.Module, *sides: Tuples) -> Tensor:
    """Return ½ Σ E‖∇d‖² over the chains, differentiable in the adversary's parameters; 0 if it has none.

    The slopes are those in the variable, and in the context as the adversary reads it. An adversary that holds the
    context (detaches it) is penalised for its slopes in the variable alone.

    An adversary with several outputs, (*, H), such as learned features, is penalised for the squared slopes of all.
    """
    total = sides[0].variable.new_zeros(())
    if not list(adversary.parameters()):
        return total
    for side in sides:
        variable = side.variable.detach().requires_grad_(True)
        context = side.read().context.detach().requires_grad_(True)
        if side.reading is None:
            outputs = adversary(replace(side, variable=variable, context=context))
        else:  # known densities take the context itself
            read = partial(_constant, context)
            outputs = adversary(replace(side, variable=variable, context=side.context.detach(), reading=read))
        if outputs.ndim == side.variable.ndim:  # several per tuple: by random signs, the square is an unbiased sum
            outputs = outputs * torch.randint_like(outputs, 2).mul(2).sub(1)
        slopes = torch.autograd.grad(outputs.sum(), [variable, context], create_graph=True, allow_unused=True)
        squared = torch.cat([slope for slope in slopes if slope is not None], dim=-1).square().sum(-1)
        total = total + squared.mean() / 2
    return total


def _constant(value: Tensor, context: Tensor) -> Tensor:
    """Return a value, whatever the context."""
    return value
