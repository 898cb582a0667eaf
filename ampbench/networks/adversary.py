r"""Adversaries: one scalar logit per tuple.

The adversary of a tuple learns the ratio of the two chains,

.. math:: d(t) = \log p(t) - \log q(t), \qquad D = \sigma(d),

by descending eq. 7 of Karaletsos 2016,

.. math:: L_D = -\mathbb E_p[\log D] - \mathbb E_q[\log(1 - D)],

and stays smooth by a zero-centred gradient penalty on both chains (R1 and R2 of Mescheder et al. 2018):

.. math:: \tfrac{\gamma}{2} \left( \mathbb E_p \|\nabla d\|^2 + \mathbb E_q \|\nabla d\|^2 \right).

The penalty needs second derivatives, and takes more time than the loss. In every k-th step with k times the weight, it
has the same average over steps (Karras et al. 2020, section 3.1).

References:
    Mescheder, Geiger, Nowozin 2018, *Which training methods for GANs do actually converge?*, arXiv:1801.04406.
    Karras et al. 2020, *Analyzing and improving the image quality of StyleGAN*, arXiv:1912.04958.
    Roth et al. 2017, *Stabilizing training of GANs through regularization*, arXiv:1705.09367.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
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


def loss_and_penalty(
    loss: Callable[[nn.Module, Tuples, Tuples], Tensor], adversary: nn.Module, p: Tuples, q: Tuples
) -> tuple[Tensor, Tensor]:
    """Return an adversary's loss and its gradient penalty, from one pass of p and q if the loss makes one.

    The loss makes none if it calls parts of the adversary only. If a network computes the context that the adversary
    reads, p and q pass twice, since the penalty does not train this network.
    """
    if any(side.reading is not None or side.context.requires_grad for side in (p, q)):
        return loss(adversary, p, q), gradient_penalty(adversary, p, q)
    leaves = [_leaves(side) for side in (p, q)]
    with _outputs(adversary) as seen:
        value = loss(adversary, *leaves)
    return value, _penalty(adversary, [(side, seen.get(id(side))) for side in leaves])


def gradient_penalty(adversary: nn.Module, *sides: Tuples) -> Tensor:
    """Return ½ Σ E‖∇d‖² over the chains, differentiable in the adversary's parameters; 0 if it has none.

    The slopes are those in the variable, and in the context as the adversary reads it. An adversary that holds the
    context (detaches it) is penalised for its slopes in the variable alone.

    An adversary with several outputs, (*, H), such as learned features, is penalised for the squared slopes of all.
    """
    return _penalty(adversary, [(_leaves(side), None) for side in sides])


def _penalty(adversary: nn.Module, sides: Sequence[tuple[Tuples, Tensor | None]]) -> Tensor:
    """Return the penalty for leaves and, where they are known already, the adversary's outputs for them."""
    if not list(adversary.parameters()):
        return sides[0][0].variable.new_zeros(())
    return torch.stack([_half_square(adversary(side) if seen is None else seen, side) for side, seen in sides]).sum(0)


def _half_square(outputs: Tensor, leaves: Tuples) -> Tensor:
    """Return ½ E‖∇d‖² in the variable and in the context as it is read."""
    if outputs.ndim == leaves.variable.ndim:  # several per tuple: by random signs, the square is an unbiased sum
        outputs = outputs * torch.randint_like(outputs, 2).mul(2).sub(1)
    inputs = [leaves.variable, leaves.read().context]
    slopes = torch.autograd.grad(outputs.sum(), inputs, create_graph=True, allow_unused=True)
    return torch.cat([slope for slope in slopes if slope is not None], dim=-1).square().sum(-1).mean() / 2


def _leaves(side: Tuples) -> Tuples:
    """Return tuples in whose variable, and in whose context as adversaries read it, slopes can be taken."""
    variable = side.variable.detach().requires_grad_(True)
    context = side.read().context.detach().requires_grad_(True)
    if side.reading is None:
        return replace(side, variable=variable, context=context)
    read = partial(_constant, context)  # known densities take the context itself
    return replace(side, variable=variable, context=side.context.detach(), reading=read)


@contextmanager
def _outputs(adversary: nn.Module) -> Iterator[dict[int, Tensor]]:
    """Keep the outputs of an adversary, by the identity of the tuples that it was called with."""
    seen: dict[int, Tensor] = {}
    handle = adversary.register_forward_hook(lambda _, tuples, output: seen.update({id(tuples[0]): output}))
    try:
        yield seen
    finally:
        handle.remove()


def _constant(value: Tensor, context: Tensor) -> Tensor:
    """Return a value, whatever the context."""
    return value
