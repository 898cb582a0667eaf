r"""A binary classifier of two samples, which estimates their log density ratio.

It descends eq. 7 of Karaletsos 2016 on fixed samples of p and q, so that its logit converges to

.. math:: d(t) = \log p(t) - \log q(t).

The adversary of a fit was trained against changing samples, under a gradient penalty, and may not detect all
differences. A fifth of the rows is held out, and the weights with the lowest loss on them are returned. The training
starts at d = 0, so that the logits are 0 if the samples cannot be distinguished on the held-out rows.

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

VALIDATION_FRACTION = 0.2
"""Fraction of the rows that are held out of the training and choose the weights."""

BATCH = 256
CHECK_INTERVAL = 25
"""Steps between two computations of the validation loss."""

PATIENCE = 6
"""Computations of the validation loss without a lower value after which the training ends."""


class Classifier(nn.Module):
    """A network from tuples to logits, which standardises its input.

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
    """Train a classifier of two samples.

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
    kept = max(1, round(VALIDATION_FRACTION * len(p)))
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
            if step % CHECK_INTERVAL:
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
    """Return the classification loss, eq. 7 of Karaletsos 2016."""
    return softplus(-classifier(p)).mean() + softplus(classifier(q)).mean()
