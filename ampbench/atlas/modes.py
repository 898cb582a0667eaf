r"""Modes of the reference that posterior samples lack, and mismatches of shape.

**Modes** are clusters of the reference. The space is first whitened by the covariance of differences between near
neighbours, so that a large distance between modes does not shrink the modes themselves (Art, Gnanadesikan and
Kettenring 1982). HDBSCAN (Campello, Moulavi and Sander 2013) then finds clusters. Two clusters are two modes if, on the
line between their means, the density falls below half of the lower peak, beyond the noise of counts. Every sample
belongs to the mode of its nearest clustered reference point, and a mode with the share :math:`p` of the reference and
:math:`s` of the samples is dropped if :math:`s < p / 2`.

**Shapes** are compared by balls, after location, scale and correlation have been matched. The radius of a point's ball
is the distance to its k-th nearest neighbour in its own set; the ball is empty if it holds no point of the other set.
For two samples, of size m and n, of one continuous distribution, the expected share of the m balls that are empty is

.. math:: \varepsilon = \prod_{i=1}^{k} \frac{m - i}{m - i + n}

in any number of dimensions and for any distribution: the k nearest of all m − 1 + n other points must belong to the
point's own set. The check's value is the share of empty balls in excess of :math:`\varepsilon`. Empty balls around
reference points indicate mass that the samples leave out; empty balls around samples indicate invented mass.

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

MIN_MODE_SHARE = 0.05
"""The smallest share of the reference that can be a mode."""

NEIGHBOURS = 8
"""k, the number of points in a ball. Under equal densities and sizes, one ball in 256 is empty by chance; where the
other density is a tenth, about every second one."""

Array = NDArray[np.float64]


def labels(reference: Array) -> NDArray[np.int64]:
    """Return the mode of each reference point (m, D), shape (m,): 0, 1, …, or -1 for a point outside all clusters.

    All are 0 if there is no more than one mode.
    """
    one = np.zeros(len(reference), dtype=np.int64)
    smallest = max(10, round(MIN_MODE_SHARE * len(reference)))
    if len(reference) < 2 * smallest:
        return one
    near = max(5, len(reference) // 100)
    found = HDBSCAN(min_cluster_size=smallest, min_samples=near, copy=True).fit_predict(reference).astype(np.int64)
    return _merged(reference, found) if found.max() > 0 else one


def local_scale(points: Array, k: int = 5, steps: int = 5) -> Array:
    """Return the matrix W (D, D) that whitens differences of near neighbours: their covariance is 1 in points @ W.T.

    Which neighbours are near depends on W; W is found by fixed-point iteration from the covariance of all points.

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
    """Merge pairs of clusters that no valley separates, until none is left; return modes as :func:`labels` does.

    A merged cluster is compared with all others again, so that a third cluster may join two separate ones.
    """
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
    """Return whether no valley of the density lies between two clusters, on the line between their means."""
    line = b.mean(0) - a.mean(0)
    position = (np.concatenate([a, b]) - a.mean(0)) @ line / (line @ line)  # 0 and 1 at the means
    windows = np.histogram(position, bins=np.arange(-1.0, 2.01, 0.1))[0]
    windows = windows[:-1] + windows[1:]  # they overlap, each as wide as a fifth of the distance
    centre = np.arange(-0.9, 1.91, 0.1)
    left, right = windows[centre < 0.35].max(), windows[centre > 0.65].max()
    valley = windows[(centre > 0.05) & (centre < 0.95)].min()
    lower = min(left, right)
    return bool(lower / 2 - valley < 3 * np.sqrt(lower / 4 + max(valley, 1)))


def nearest_mode(points: Array, reference: Array, modes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return for each of the points (n, D) the mode of its nearest clustered reference point, shape (n,)."""
    inside = modes >= 0
    nearest = _distances(points, reference[inside]).argmin(1).numpy()
    return modes[inside][nearest]


def dropped(points: Array, modes: NDArray[np.int64], reference: Array) -> tuple[NDArray[np.bool_], Array, Array]:
    """Compare the weights of modes.

    Arguments:
        points: samples (n, D).
        modes: the mode of each reference point, shape (m,), as :func:`labels` returns it.
        reference: the reference points (m, D).

    Returns:
        Whether each mode is dropped, its share of the reference and its share of the samples; one entry per mode.
    """
    count = int(modes.max()) + 1
    theirs = np.bincount(nearest_mode(reference, reference, modes), minlength=count) / len(reference)
    ours = np.bincount(nearest_mode(points, reference, modes), minlength=count) / len(points)
    return ours < theirs / 2, theirs, ours


def empty_balls(own: Array, other: Array, k: int = NEIGHBOURS) -> float:
    """Return the share of the balls around own points (m, D) that hold no point of the other set (n, D)."""
    near = _distances(own, own).kthvalue(k + 1, dim=1).values  # a point is its own nearest neighbour
    return float((_distances(own, other).min(1).values > near).double().mean())


def empty_by_chance(m: int, n: int, k: int = NEIGHBOURS) -> float:
    """Return the expected share of empty balls if both sets have one distribution.

    Example:
        >>> round(empty_by_chance(1000, 1000), 4)
        0.0038
    """
    i = np.arange(1, k + 1)
    return float(np.prod((m - i) / (m - i + n)))


def _distances(points: Array, others: Array) -> torch.Tensor:
    """Return Euclidean distances, shape (n, m)."""
    return torch.cdist(torch.from_numpy(np.ascontiguousarray(points)), torch.from_numpy(np.ascontiguousarray(others)))
