r"""A fresh classifier between two samples: an adversary that has nothing else to do.

It descends eq. 7 of Karaletsos 2016 on samples that stay as they are, so that its logit tends to

.. math:: d(t) = \log p(t) - \log q(t).

An adversary of training has chased a moving target, and its gradient penalty may have blinded it; this one has not. A
fifth of the rows is kept aside, and the weights with the smallest loss there are returned. It starts at d = 0, so that
where nothing can be learned from these rows it says that the sides are alike.

References:
    Gutmann & Hyvärinen 2012, *Noise-contrastive estimation of unnormalized statistical models*, JMLR 13.
    Sugiyama, Suzuki, Kanamori 2012, *Density ratio estimation in machine learning*.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from ampbench.networks.residual import ResidualMLP

VALIDATION = 0.2
"""Fraction of the rows that choose the weights and move none."""

BATCH = 256
EVERY = 25
"""Steps between two looks at the validation loss."""

PATIENCE = 6
"""Looks without a smaller loss after which training ends."""


class Classifier(nn.Module):
    """A network from tuples to logits, on coordinates that it standardises itself.

    Arguments:
        rows: shape (n, D): they fix location and scale.
        width: units of each hidden layer.
        depth: number of residual blocks.
    """

    location: Tensor
    scale: Tensor

    def __init__(self, rows: Tensor, width: int, depth: int) -> None:
        super().__init__()
        spread = rows.std(0)
        self.register_buffer("location", rows.mean(0))
        self.register_buffer("scale", torch.where(spread > 0, spread, torch.ones_like(spread)))
        self.network = ResidualMLP(rows.shape[1], 1, width, depth)
        nn.init.zeros_(self.network.last.weight)
        nn.init.zeros_(self.network.last.bias)

    def forward(self, rows: Tensor) -> Tensor:
        """Return one logit per row: (*, D) to (*,)."""
        return self.network((rows - self.location) / self.scale).squeeze(-1)


def train_classifier(p: Tensor, q: Tensor, steps: int = 600, width: int = 64, depth: int = 1) -> Classifier:
    """Learn to tell two samples apart.

    Arguments:
        p, q: shape (n, D) each, at least 4 rows. Row i of one may depend on row i of the other: both are used for
            training, or both for validation.
        steps: at most so many updates.
        width: units of each hidden layer.
        depth: number of residual blocks.

    Returns:
        The network with the smallest validation loss, without gradients.

    Example:
        >>> _ = torch.manual_seed(0)
        >>> d = train_classifier(torch.randn(2000, 1), torch.randn(2000, 1) + 1)
        >>> bool(d(torch.tensor([[-1.0]])) > 1), bool(d(torch.tensor([[2.0]])) < -1)
        (True, True)
    """
    kept = max(1, round(VALIDATION * len(p)))
    learning = p[kept:], q[kept:]
    with p.device:
        classifier = Classifier(torch.cat([p, q]), width, depth)
    best, least, since = copy.deepcopy(classifier), _loss(classifier, p[:kept], q[:kept]).item(), 0
    adam = torch.optim.AdamW(classifier.parameters(), lr=2e-3, weight_decay=1e-2, fused=True)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(adam, steps, eta_min=1e-4)
    with torch.enable_grad():
        for step in range(1, steps + 1):
            rows = torch.randint(len(learning[0]), (min(BATCH, len(learning[0])),), device=p.device)
            adam.zero_grad()
            _loss(classifier, learning[0][rows], learning[1][rows]).backward()
            adam.step()
            schedule.step()
            if step % EVERY:
                continue
            with torch.no_grad():
                loss = _loss(classifier, p[:kept], q[:kept]).item()
            since += 1
            if loss < least:
                best, least, since = copy.deepcopy(classifier), loss, 0
            if since >= PATIENCE:
                break
    return best.requires_grad_(False)


def _loss(classifier: Classifier, p: Tensor, q: Tensor) -> Tensor:
    """Eq. 7."""
    return softplus(-classifier(p)).mean() + softplus(classifier(q)).mean()
