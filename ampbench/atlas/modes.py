r"""Modes of a reference that posterior samples leave out, and shapes that do not match.

**Modes** are clusters of the reference. Space is first measured by how far near neighbours are apart, so that modes far
apart do not make themselves small (Art, Gnanadesikan and Kettenring 1982). HDBSCAN (Campello, Moulavi and Sander 2013)
then finds clusters, and two of them are two modes if on the line between their means the density falls, beyond the
noise of counting, below half of the lower peak. Every sample belongs to the mode of its nearest clustered neighbour,
and a mode with the share :math:`p` of the reference and :math:`s` of the samples is dropped if :math:`s < p / 2`.

**Shapes** are compared by balls, after location, scale and correlation have been matched. The ball of a point ends at
its k-th nearest neighbour in its own set, and is empty if it holds no point of the other set. Two samples, of size m
and n, of one continuous distribution leave a share

.. math:: \varepsilon = \prod_{i=1}^{k} \frac{m - i}{m - i + n}

of the m balls empty, in any number of dimensions and for any distribution: the k nearest of all m − 1 + n points must
come from the own set. The check is the share of balls that are empty beyond this one. Empty balls of the reference are
mass that the samples leave out; empty balls of the samples are mass that they invent.

References:
    Art, Gnanadesikan and Kettenring 1982, *Data-based metrics for cluster analysis*, Utilitas Mathematica 21A.
    Campello, Moulavi and Sander 2013, *Density-based clustering based on hierarchical density estimates*, PAKDD.
    Naeem et al. 2020, *Reliable fidelity and diversity metrics for generative models*, arXiv:2002.09797: the coverage
    is one minus the share of empty balls of the reference.
    Kynkäänniemi et al. 2019, *Improved precision and recall metric for assessing generative models*, arXiv:1904.06991.
"""

from __future__ import annotations

from itertools import combinations

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.cluster import HDBSCAN

SMALLEST = 0.05
"""The smallest share of the reference that can be a mode of its own."""

NEIGHBOURS = 8
"""Points in a ball: empty of the other set once in 256 balls if nothing is wrong, so that few are expected by chance,
and where the other density is a tenth, in every second ball."""

Array = NDArray[np.float64]


def labels(reference: Array) -> NDArray[np.int64]:
    """Return the mode of each reference point (m, D), shape (m,): 0, 1, …, or -1 where it is not clear.

    All are 0 if there is no more than one mode.
    """
    one = np.zeros(len(reference), dtype=np.int64)
    smallest = max(10, round(SMALLEST * len(reference)))
    if len(reference) < 2 * smallest:
        return one
    near = max(5, len(reference) // 100)
    found = HDBSCAN(min_cluster_size=smallest, min_samples=near, copy=True).fit_predict(reference).astype(np.int64)
    return _merged(reference, found) if found.max() > 0 else one


def local_scale(points: Array, k: int = 5, steps: int = 5) -> Array:
    """Return the matrix W (D, D) that makes differences of near neighbours uncorrelated, of equal size: points @ W.T.

    Which neighbours are near depends on W; a few steps from the covariance of all points lead to a fixed point.

    Raises:
        numpy.linalg.LinAlgError: the points (m, D) lie in a subspace.
    """
    whiten = np.linalg.inv(np.linalg.cholesky(np.cov(points.T).reshape(points.shape[1], -1)))
    for _ in range(steps):
        moved = torch.from_numpy(points @ whiten.T)
        near = torch.cdist(moved, moved).topk(min(k, len(points) - 1) + 1, largest=False).indices[:, 1:].numpy()
        differences = (points[near] - points[:, None]).reshape(-1, points.shape[1])
        whiten = np.linalg.inv(np.linalg.cholesky(differences.T @ differences / len(differences)))
    return whiten


def _merged(points: Array, found: NDArray[np.int64]) -> NDArray[np.int64]:
    """Merge clusters that no valley separates, until there are none; a pair apart may later be joined by a third."""
    while True:
        member = nearest_mode(points, points, found)
        pairs = combinations(np.unique(member), 2)
        pair = next((pair for pair in pairs if _unimodal(*(points[member == each] for each in pair))), None)
        if pair is None:
            break
        found = np.where(found == pair[1], pair[0], found)
    numbers = np.unique(found[found >= 0])
    return np.where(found >= 0, np.searchsorted(numbers, found), -1)


def _unimodal(a: Array, b: Array) -> bool:
    """Whether no valley lies between two clusters, on the line between their means."""
    line = b.mean(0) - a.mean(0)
    place = (np.concatenate([a, b]) - a.mean(0)) @ line / (line @ line)  # 0 and 1 at the means
    windows = np.histogram(place, bins=np.arange(-1.0, 2.01, 0.1))[0]
    windows = windows[:-1] + windows[1:]  # they overlap, each as wide as a fifth of the distance
    centre = np.arange(-0.9, 1.91, 0.1)
    left, right = windows[centre < 0.35].max(), windows[centre > 0.65].max()
    valley = windows[(centre > 0.05) & (centre < 0.95)].min()
    lower = min(left, right)
    return bool(lower / 2 - valley < 3 * np.sqrt(lower / 4 + max(valley, 1)))


def nearest_mode(points: Array, reference: Array, modes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the mode of the nearest clustered reference point, for points (n, D)."""
    inside = modes >= 0
    nearest = _distances(points, reference[inside]).argmin(1).numpy()
    return modes[inside][nearest]


def dropped(points: Array, modes: NDArray[np.int64], reference: Array) -> tuple[NDArray[np.bool_], Array, Array]:
    """Compare the weights of modes.

    Arguments:
        points: samples (n, D).
        modes: as :func:`labels` returns them.
        reference: the points (m, D) that they belong to.

    Returns:
        Which modes are dropped, their share of the reference and their share of the samples; one entry per mode.
    """
    count = int(modes.max()) + 1
    theirs = np.bincount(nearest_mode(reference, reference, modes), minlength=count) / len(reference)
    ours = np.bincount(nearest_mode(points, reference, modes), minlength=count) / len(points)
    return ours < theirs / 2, theirs, ours


def empty_balls(own: Array, other: Array, k: int = NEIGHBOURS) -> float:
    """Return the share of balls around own points (m, D) without a point of the other set (n, D)."""
    near = _distances(own, own).kthvalue(k + 1, dim=1).values  # a point is its own nearest neighbour
    return float((_distances(own, other).min(1).values > near).double().mean())


def empty_by_chance(m: int, n: int, k: int = NEIGHBOURS) -> float:
    """Return the share of empty balls to be expected if nothing is wrong.

    Example:
        >>> round(empty_by_chance(1000, 1000), 4)
        0.0038
    """
    i = np.arange(1, k + 1)
    return float(np.prod((m - i) / (m - i + n)))


def _distances(points: Array, others: Array) -> torch.Tensor:
    """Euclidean distances, shape (n, m)."""
    return torch.cdist(torch.from_numpy(np.ascontiguousarray(points)), torch.from_numpy(np.ascontiguousarray(others)))
