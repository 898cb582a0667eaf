from __future__ import annotations

import io
import sys

import numpy as np
import pytest
import torch

pytest.importorskip("matplotlib", reason="the plots need matplotlib and corner: pip install 'ampbench[plots]'")
pytest.importorskip("corner", reason="the plots need matplotlib and corner: pip install 'ampbench[plots]'")

from matplotlib.figure import Figure

from ampbench.errors import UsageError
from ampbench.plots.pairs import MAX_COMPONENTS, pair_plot
from ampbench.plots.predictive import MAX_HISTOGRAMS, predictive_plot


def is_drawn(figure: Figure) -> bool:
    """Whether a figure has other pixels than white ones."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="rgba", dpi=40)
    pixels = np.frombuffer(buffer.getvalue(), np.uint8)
    return len(np.unique(pixels)) > 10


@pytest.mark.parametrize("size", [1, 2, 5, MAX_COMPONENTS + 2])
def test_a_pair_plot_has_a_panel_for_each_pair(size: int) -> None:
    names = [f"p_{i}$" for i in range(size)]
    figure = pair_plot(torch.randn(300, size), names)
    shown = min(size, MAX_COMPONENTS)
    visible = [axis for axis in figure.axes if axis.get_frame_on()]
    assert len(visible) == shown * (shown + 1) // 2
    assert figure.axes[shown * (shown - 1)].get_xlabel() == r"p_0\$"
    assert is_drawn(figure)


def test_a_pair_plot_of_few_draws_constants_and_counts() -> None:
    draws = torch.stack([torch.full((30,), 1e9), torch.arange(30) % 2, torch.zeros(30)], 1)
    assert is_drawn(pair_plot(draws, ["a", "b", "c"]))


def test_histograms_hold_the_observation() -> None:
    figure = predictive_plot(torch.randn(50, 4), torch.tensor([0.0, 1.0, 2.0, 9.0]), ["a", "b", "c", "d"])
    assert [axis.get_xlabel() for axis in figure.axes] == ["a", "b", "c", "d"]
    assert [axis.lines[0].get_xdata()[0] for axis in figure.axes] == [0, 1, 2, 9]
    assert is_drawn(figure)


def test_a_curve_has_bands_and_the_observation() -> None:
    n = MAX_HISTOGRAMS + 1
    predicted = torch.linspace(0, 1, 101)[:, None].expand(101, n)
    axis = predictive_plot(predicted, torch.arange(float(n))).axes[0]
    median, data = axis.lines
    assert median.get_ydata() == pytest.approx(np.full(n, 0.5))
    assert data.get_ydata() == pytest.approx(np.arange(n))
    widest = axis.collections[0].get_paths()[0].vertices[:, 1]
    assert (widest.min(), widest.max()) == pytest.approx((0.025, 0.975))


@pytest.mark.parametrize(("shape", "panels"), [((20, 2), 2), ((3, 20), 3), ((12, 12), 3 + 3), ((2, 3, 4), 1)])
def test_tables_are_curves_and_images_are_images(shape: tuple[int, ...], panels: int) -> None:
    data = torch.rand(shape)
    data.view(-1)[0] = torch.nan
    figure = predictive_plot(torch.rand(30, *shape), data)
    assert len(figure.axes) == panels  # an image has a colour bar
    assert is_drawn(figure)


def test_without_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "corner", None)
    with pytest.raises(UsageError, match=r"corner, which is not installed: pip install 'ampbench\[plots\]'"):
        pair_plot(torch.randn(10, 2), ["a", "b"])
