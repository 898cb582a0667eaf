r"""Batched training of many small classifiers: a stacked version of scikit-learn's multilayer perceptron.

.. math:: z = W_3^\top h_2 + b_3, \qquad h_2 = \max(0, W_2^\top h_1 + b_2), \qquad h_1 = \max(0, W_1^\top x + b_1)

with H hidden units in each layer. Each member of the stack minimises its own

.. math:: \ell = \operatorname{mean}_B \bigl[\log(1 + e^z) - y z\bigr] + \frac{\alpha}{2B} \sum_i \|W_i\|^2

by Adam over shuffled batches of B = 200, and stops once ℓ, averaged over an epoch, has failed to fall by 1e-4 for more
than 10 epochs in a row. These are the defaults of ``MLPClassifier(hidden_layer_sizes=(H, H), max_iter=10000)``.
Initial weights and shuffles come from scikit-learn's random stream too, so that a member makes the steps that
scikit-learn would make, up to rounding. (One difference: the norms in ℓ are those at the end of the epoch.) If a
problem has rows to watch, its member stops by the accuracy on these rows instead, and the weights of the best epoch are
restored, as with ``early_stopping=True``.

A step of one classifier of this size consists of a dozen matrix products too small to occupy a processor. The members
of a stack share batched products instead; the gradients are written out, without autograd. Members that have stopped
are removed from the stack. On a CPU, problems are partitioned into stacks that fit the cache, and each thread trains
one stack at a time; the partition, and so the results, do not depend on the number of threads.

References:
    Kingma & Ba 2015, *Adam*, arXiv:1412.6980, algorithm 1.
    Glorot & Bengio 2010, *Understanding the difficulty of training deep feedforward neural networks*.
    Pedregosa et al. 2011, *Scikit-learn*, JMLR 12; ``sklearn/neural_network/_multilayer_perceptron.py``.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from itertools import chain

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

BATCH_SIZE = 200
ALPHA = 1e-4
RATE, BETA1, BETA2, EPSILON = 1e-3, 0.9, 0.999, 1e-8
TOLERANCE, PATIENCE = 1e-4, 10

CACHE_BYTES = 2**19
"""Largest size in bytes of one layer's activations in a stack on the CPU; larger stacks were slower per member."""


@dataclass(frozen=True)
class Fit:
    """The outcome of one training: accuracy on the test rows, number of epochs and last training loss."""

    accuracy: float
    epochs: int
    loss: float


@dataclass(frozen=True)
class Split:
    """A classification problem: x, shape (n, D); y, shape (n,), 0 or 1.

    Attributes:
        train, test: indices of the rows for training, and of those for the accuracy.
        watch: indices of the rows for early stopping; None to stop by the training loss.
    """

    x: Tensor
    y: Tensor
    train: Tensor
    test: Tensor
    watch: Tensor | None = None


@dataclass(frozen=True)
class Training:
    """Settings of a training.

    Attributes:
        units: H, the number of units in each hidden layer.
        epochs: the largest number of epochs.
        seed: seed of initial weights and shuffles, common to all members (as for scikit-learn's clones).
        patience: a member stops after more than this number of epochs without improvement.
    """

    units: int
    epochs: int
    seed: int
    patience: int = PATIENCE


def fit_all(problems: Sequence[Split], training: Training) -> list[Fit]:
    """Train one classifier for each problem, and return the outcomes.

    Arguments:
        problems: classification problems with equal D, on one device.
        training: the settings.

    Returns:
        One outcome per problem; the loss is NaN or infinite if the training diverged.
    """
    stacks = _stacks(problems, training.units)
    stopped = threading.Event()

    def fit(stack: list[int]) -> list[Fit]:
        return _fit_stack([problems[i] for i in stack], training, stopped)

    threads = torch.get_num_threads()
    pool = ThreadPoolExecutor(min(threads, len(stacks)), initializer=torch.set_num_threads, initargs=(1,))
    try:  # one thread per stack: torch's own threads would synchronise after every product
        futures = [pool.submit(fit, stack) for stack in stacks]
        while wait(futures, timeout=0.5).not_done:  # the timeout lets Ctrl-C through
            pass
        outcomes = [future.result() for future in futures]
    finally:
        stopped.set()
        pool.shutdown(cancel_futures=True)
        torch.set_num_threads(threads)
    fits = dict(zip(chain.from_iterable(stacks), chain.from_iterable(outcomes), strict=True))
    return [fits[i] for i in range(len(problems))]


def _stacks(problems: Sequence[Split], units: int) -> list[list[int]]:
    """Return the problems' indices in few stacks of near equal size that fit the cache, by number of training rows."""
    fitting = max(1, CACHE_BYTES // (4 * BATCH_SIZE * units)) if problems[0].x.device.type == "cpu" else len(problems)
    stacks = []
    for rows in dict.fromkeys(len(problem.train) for problem in problems):
        numbers = [i for i, problem in enumerate(problems) if len(problem.train) == rows]
        stacks += [part.tolist() for part in np.array_split(numbers, math.ceil(len(numbers) / fitting))]
    return stacks


class _Layers:
    """W₁, b₁, W₂, b₂, W₃, b₃ of M members, each contiguous, in one flat buffer, on which Adam operates."""

    def __init__(self, members: int, features: int, units: int, device: torch.device) -> None:
        self.features, self.units = features, units
        shapes = [(features, units), (1, units), (units, units), (1, units), (units, 1), (1, 1)]
        sizes = [members * math.prod(shape) for shape in shapes]
        self.flat = torch.zeros(sum(sizes), device=device)
        self.parts = [part.view(members, *shape) for part, shape in zip(self.flat.split(sizes), shapes, strict=True)]

    @property
    def weights(self) -> list[Tensor]:
        """W₁, W₂, W₃, to which the penalty applies."""
        return self.parts[::2]

    def member(self, i: int) -> list[Tensor]:
        """Return a copy of one member's W₁, b₁, W₂, b₂, W₃, b₃."""
        return [part[i].clone() for part in self.parts]

    def keep(self, which: Tensor) -> _Layers:
        """Return a copy of the members selected by a mask (M,)."""
        kept = _Layers(int(which.sum()), self.features, self.units, self.flat.device)
        for new, old in zip(kept.parts, self.parts, strict=True):
            new.copy_(old[which])
        return kept


def _initialise(layers: _Layers, stream: np.random.RandomState) -> None:
    """Fill the layers with Glorot-uniform weights and biases, equal for all members."""
    for weight, bias in zip(layers.parts[::2], layers.parts[1::2], strict=True):
        inputs, outputs = weight.shape[1:]
        bound = math.sqrt(6 / (inputs + outputs))
        weight.copy_(torch.from_numpy(stream.uniform(-bound, bound, (inputs, outputs))))
        bias.copy_(torch.from_numpy(stream.uniform(-bound, bound, (1, outputs))))


class _Backpropagation:
    """Logits and gradients of a stack for batches of one size, computed in reused buffers."""

    def __init__(self, layers: _Layers, gradients: _Layers, size: int) -> None:
        members, _, units = layers.parts[0].shape
        self.layers, self.gradients, self.size = layers, gradients, size
        self.h1, self.h2, self.d1, self.d2 = layers.flat.new_empty(4, members, size, units)

    def __call__(self, x: Tensor, y: Tensor) -> Tensor:
        """Write the gradients of ℓ at a batch, x (M, B, D) and y (M, 1, B), and return the logits, (M, 1, B)."""
        w1, b1, w2, b2, w3, b3 = self.layers.parts
        g1, c1, g2, c2, g3, c3 = self.gradients.parts
        torch.baddbmm(b1, x, w1, out=self.h1).relu_()
        torch.baddbmm(b2, self.h1, w2, out=self.h2).relu_()
        z = torch.baddbmm(b3, w3.mT, self.h2.mT)  # (M, 1, B): twice as fast as (M, B, 1)
        e = z.sigmoid().sub_(y).div_(self.size)  # ∂ℓ/∂z
        torch.bmm(e, self.h2, out=g3.mT)
        torch.sum(e, 2, keepdim=True, out=c3)
        torch.mul(e.mT, w3.mT, out=self.d2)
        _through_relu(self.d2, self.h2)  # ∂ℓ/∂(W₂ᵀ h₁ + b₂)
        torch.bmm(self.h1.mT, self.d2, out=g2)
        torch.sum(self.d2, 1, keepdim=True, out=c2)
        torch.bmm(self.d2, w2.mT, out=self.d1)
        _through_relu(self.d1, self.h1)
        torch.bmm(x.mT, self.d1, out=g1)
        torch.sum(self.d1, 1, keepdim=True, out=c1)
        for gradient, weight in zip(self.gradients.weights, self.layers.weights, strict=True):
            gradient.add_(weight, alpha=ALPHA / self.size)
        return z


def _through_relu(gradient: Tensor, activation: Tensor) -> None:
    """Set the gradient to zero where the unit's activation is zero."""
    torch.ops.aten.threshold_backward.grad_input(gradient, activation, 0, grad_input=gradient)


@torch.inference_mode()
def _fit_stack(problems: Sequence[Split], training: Training, stopped: threading.Event) -> list[Fit]:
    """Train a stack of members with n training rows each.

    Symbols: theta holds all weights; m and v the moments of their gradients; t counts steps; ``best`` is the lowest
    loss of a member (or its lowest error on watched rows); ``stale`` the number of epochs in which it has not fallen;
    ``kept`` the weights at the lowest error on watched rows; ``active`` the problems that are still in the stack.
    """
    x = torch.stack([problem.x[problem.train] for problem in problems])  # (M, n, D)
    y = torch.stack([problem.y[problem.train] for problem in problems])  # (M, n)
    (members, n, features), device = x.shape, x.device
    stream = np.random.RandomState(training.seed)
    theta, m, v, gradients = (_Layers(members, features, training.units, device) for _ in range(4))
    _initialise(theta, stream)
    best, stale = torch.full((members,), math.inf, device=device), torch.zeros(members, device=device)
    active, order, t = list(range(members)), np.arange(n), 0
    fits: dict[int, Fit] = {}
    kept: dict[int, list[Tensor]] = {}
    steps: dict[int, _Backpropagation] = {}
    for epoch in range(1, training.epochs + 1):
        if stopped.is_set():
            break
        stream.shuffle(shuffled := np.arange(n))
        order = order[shuffled]
        rows = torch.from_numpy(order).to(device)
        x_epoch, y_epoch = x.index_select(1, rows), y.index_select(1, rows).unsqueeze(1)
        logits = torch.empty_like(y_epoch)
        for start in range(0, n, BATCH_SIZE):
            x_batch, y_batch = x_epoch[:, start : start + BATCH_SIZE], y_epoch[..., start : start + BATCH_SIZE]
            size = x_batch.shape[1]
            if size not in steps:
                steps[size] = _Backpropagation(theta, gradients, size)
            logits[..., start : start + BATCH_SIZE] = steps[size](x_batch, y_batch)
            t += 1
            _adam(theta.flat, gradients.flat, m.flat, v.flat, t)
        loss = _loss(logits, y_epoch, theta)
        signal = _errors(theta, [problems[number] for number in active], loss)
        for i in (signal < best).nonzero().flatten().tolist():
            if problems[active[i]].watch is not None:
                kept[active[i]] = theta.member(i)
        stale = torch.where(signal > best - TOLERANCE, stale + 1, 0)
        best = torch.minimum(best, signal)
        going = (stale <= training.patience) & loss.isfinite() & (epoch < training.epochs)
        if going.all():
            continue
        for i, gone in enumerate((~going).tolist()):
            if gone:
                problem, weights = problems[active[i]], kept.get(active[i], theta.member(i))
                fits[active[i]] = Fit(_accuracy(weights, problem, problem.test), epoch, float(loss[i]))
        active = [number for number, stays in zip(active, going.tolist(), strict=True) if stays]
        if not active:
            break
        x, y, best, stale = x[going], y[going], best[going], stale[going]
        theta, m, v, gradients = (layers.keep(going) for layers in (theta, m, v, gradients))
        steps = {}
    return [fits[i] for i in range(members)] if not stopped.is_set() else []


def _adam(theta: Tensor, gradient: Tensor, m: Tensor, v: Tensor, t: int) -> None:
    """Make one step of Adam in place."""
    m.lerp_(gradient, 1 - BETA1)
    v.mul_(BETA2).addcmul_(gradient, gradient, value=1 - BETA2)
    rate = RATE * math.sqrt(1 - BETA2**t) / (1 - BETA1**t)
    theta.addcdiv_(m, v.sqrt().add_(EPSILON), value=-rate)


def _loss(logits: Tensor, y: Tensor, theta: _Layers) -> Tensor:
    """Return the epoch's ℓ of each member, shape (M,)."""
    fit = functional.binary_cross_entropy_with_logits(logits, y, reduction="none").mean((1, 2))
    norms = torch.stack([weight.square().sum((1, 2)) for weight in theta.weights]).sum(0)
    return fit + ALPHA / (2 * min(BATCH_SIZE, y.shape[2])) * norms


def _errors(theta: _Layers, problems: Sequence[Split], loss: Tensor) -> Tensor:
    """Return each member's stopping criterion, shape (M,): its loss, or its error on its watched rows."""
    errors = [
        loss[i] if problem.watch is None else loss.new_tensor(1 - _accuracy(theta.member(i), problem, problem.watch))
        for i, problem in enumerate(problems)
    ]
    return torch.stack(errors)


def _accuracy(weights: Sequence[Tensor], problem: Split, rows: Tensor) -> float:
    """Return the accuracy of one member on some rows of a problem."""
    w1, b1, w2, b2, w3, b3 = weights
    h1 = torch.addmm(b1, problem.x[rows], w1).relu_()
    z = torch.addmm(b3, torch.addmm(b2, h1, w2).relu_(), w3)[:, 0]
    return float(((z > 0) == (problem.y[rows] > 0.5)).double().mean())
