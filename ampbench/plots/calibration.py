r"""Plots of calibration: ranks of true parameters, and coverage of central intervals, with simultaneous bands.

With u the normalised ranks of a parameter over n held-out simulations (:mod:`ampbench.statistics.calibration`), which
are uniform if the posterior is calibrated, a curve on the left is :math:`F_n(u) - u`, and one on the right the
distribution function of :math:`|2 u - 1|`, which is the coverage of central intervals by their level. Bands are those
of Kolmogorov's test,

.. math:: \sup_u |F_n(u) - u| \le c_n(\alpha), \qquad \alpha = 0.05 / (2 D),

for the 2 D curves of a fit together: if the fit is calibrated, all its curves stay inside at once with a probability of
at least 0.95. A curve above the diagonal on the right is of intervals that are too wide, one below it of intervals that
are too narrow; a curve on the left that rises, and then falls, is of a posterior whose values are too high.

References:
    Kolmogorov 1933, *Sulla determinazione empirica di una legge di distribuzione*.
    Talts, Betancourt, Simpson, Vehtari, Gelman 2018, arXiv:1804.06788.
    Säilynoja, Bürkner, Vehtari 2022, *Graphical test for discrete uniformity and its applications in goodness-of-fit
    evaluation and multiple sample comparison*, doi:10.1007/s11222-022-10090-6.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binom, kstwo

from ampbench.assess.assessment import hold_out, judge
from ampbench.assess.fits import draws_at_observations
from ampbench.assess.outcome import Outcome
from ampbench.errors import UsageError
from ampbench.figures.style import BAND, INK, QUIET, frame, looks, needed, new_figure, shown, styled
from ampbench.interfaces import Posterior, Progress, Sequential, silent

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Array = NDArray[np.float64]
Ranks = Mapping[str, Sequence[float]]
"""By parameter, the normalised ranks of its true values, one for each held-out simulation."""

LEVEL = 0.95
"""Probability with which all curves of a calibrated fit stay inside their bands."""
MAX_FITS = 6
"""Largest number of fits of a figure."""
MAX_COLOURS = 6
"""Largest number of parameters with a colour of their own: of more, those that leave their bands the farthest."""


@dataclass(frozen=True)
class Calibrated:
    """The ranks and the coverage of a fit.

    Attributes:
        held_out: number of held-out simulations.
        ranks: by parameter; empty if only the coverage is known.
        coverage: by the level of central intervals, the share that holds the truth, a mean over parameters.
    """

    held_out: int
    ranks: Ranks = field(default_factory=dict)
    coverage: Mapping[float, float] = field(default_factory=dict)


def posterior_ranks(
    posterior: Posterior, held_out: int = 200, seed: int = 0, progress: Progress = silent
) -> dict[str, list[float]]:
    """Return the ranks of true parameters among posterior draws at held-out simulations.

    Arguments:
        posterior: an amortised one, with a description.
        held_out: number of simulations.
        seed: of simulations and draws.
        progress: called with (simulations done, held_out).

    Raises:
        UsageError: the posterior is fitted to one observation, has no description, or held_out is too small.
        SimulationError, SamplesError: simulator or posterior returned something unusable.
    """
    if isinstance(posterior, Sequential):
        raise UsageError(f"a {type(posterior).__name__} is fitted to one observation, so that it has no calibration")
    known = posterior.known
    failed: Any = "code" if known.codes is not None else "drop" if known.tolerant else "error"
    judges = hold_out(known.graph, known.observed, held_out, seed, failed=failed, codes=known.codes)
    draws = needed("torch").from_numpy(draws_at_observations(posterior, known.names, judges.evaluation_set, progress))
    ranks = judge(judges, draws, Outcome("", 0)).ranks
    assert ranks is not None
    return dict(zip(known.names, ranks.T.tolist(), strict=True))


def calibration_plot(fits: Mapping[str, Ranks]) -> Figure:
    """Return the calibration of fits, a row for each.

    Arguments:
        fits: by label, the ranks of each fit, such as :func:`posterior_ranks` returns them.

    Raises:
        UsageError: matplotlib is not installed, there are no or too many fits, or ranks are none.

    Example:
        >>> figure = calibration_plot({"exact": {"theta": [0.1, 0.6, 0.3, 0.9]}})
        >>> [axis.get_xlabel() for axis in figure.axes]
        ['normalised rank', 'level of central intervals']
    """
    return draw_calibration({label: Calibrated(_number(label, ranks), ranks) for label, ranks in fits.items()})


@styled
def draw_calibration(fits: Mapping[str, Calibrated], remarks: Sequence[str] = ()) -> Figure:
    """Return the calibration of fits of which ranks or coverage are known, a row for each."""
    if not 0 < len(fits) <= MAX_FITS:
        raise UsageError(f"{len(fits)} fits; a figure has 1 to {MAX_FITS}, choose among them")
    figure = new_figure(7.2, 2.6 * len(fits) + 0.3)
    rows = figure.subplots(len(fits), 2, squeeze=False)
    shared = dict.fromkeys(name for fit in fits.values() for name in fit.ranks)
    worst = sorted(shared, key=lambda name: -max(_excess(fit, name) for fit in fits.values()))
    coloured = looks(name for name in shared if name in worst[:MAX_COLOURS])
    for (left, right), (label, fit) in zip(rows, fits.items(), strict=True):
        left.set_title(f"{shown(label, 40)}, n = {fit.held_out:,}", loc="left")
        _axes(left, right)
        if fit.ranks:
            _curves(left, right, fit, {name: look.colour for name, look in coloured.items()})
        else:
            _points(left, right, fit)
    lines = needed("matplotlib.lines")
    handles = [lines.Line2D([], [], color=look.colour) for look in coloured.values()]
    names = [shown(name, 24) for name in coloured]
    if others := len(shared) - len(coloured):
        handles.append(lines.Line2D([], [], color=QUIET, linewidth=0.8))
        names.append(f"{others} others, with smaller deviations")
    handles.append(needed("matplotlib.patches").Patch(color=BAND))
    names.append("simultaneous 95 % band of a fit")
    return frame(figure, "calibration over the prior", handles, names, [shown(text, 200) for text in remarks])


def band(n: int, curves: int) -> float:
    """Return c, the half width of the band of a distribution function of n uniform numbers, one of several curves.

    Example:
        >>> round(band(100, 1), 3)  # 1.358 / √n, with a correction
        0.134
    """
    return float(kstwo.ppf(1 - (1 - LEVEL) / curves, n))


def distribution(values: Sequence[float] | Array) -> tuple[Array, Array]:
    """Return the corners of the empirical distribution function on (0, 1): points and values.

    Example:
        >>> u, f = distribution([0.25])
        >>> u.tolist(), f.tolist()
        ([0.0, 0.25, 0.25, 1.0], [0.0, 0.0, 1.0, 1.0])
    """
    ordered, n = np.sort(np.asarray(values, dtype=float)), len(values)
    below = np.arange(n) / n
    u = np.concatenate([[0.0], np.repeat(ordered, 2), [1.0]])
    return u, np.concatenate([[0.0], np.stack([below, below + 1 / n], axis=1).ravel(), [1.0]])


def _number(label: str, ranks: Ranks) -> int:
    counts = {len(each) for each in ranks.values()}
    values = np.concatenate([np.asarray(each, dtype=float) for each in ranks.values()] or [np.zeros(0)])
    if len(counts) != 1 or 0 in counts or not ((values >= 0) & (values <= 1)).all():
        raise UsageError(
            f"the ranks of {label!r} are no numbers from 0 to 1, as many for each parameter; take those of "
            "posterior_ranks(posterior)"
        )
    return counts.pop()


def _excess(fit: Calibrated, name: str) -> float:
    """Return the largest distance of the curves of a parameter to those of a calibrated fit, in units of the band."""
    if name not in fit.ranks:
        return 0.0
    u = np.asarray(fit.ranks[name], dtype=float)
    far = max(float(np.abs(f - x).max()) for x, f in map(distribution, (u, _folded(u))))
    return far / band(fit.held_out, 2 * len(fit.ranks))


def _folded(ranks: Sequence[float] | Array) -> Array:
    return np.abs(2 * np.asarray(ranks, dtype=float) - 1)


def _axes(left: Axes, right: Axes) -> None:
    left.set(xlabel="normalised rank", ylabel="distribution − uniform", xlim=(0, 1))
    right.set(xlabel="level of central intervals", ylabel="coverage", xlim=(0, 1), ylim=(0, 1))
    left.axhline(0, color=INK, linewidth=0.8)
    right.plot([0, 1], [0, 1], color=INK, linewidth=0.8)


def _curves(left: Axes, right: Axes, fit: Calibrated, colours: Mapping[str, str]) -> None:
    half = band(fit.held_out, 2 * len(fit.ranks))
    level = np.linspace(0, 1, 101)
    left.fill_between(level, np.maximum(-half, -level), np.minimum(half, 1 - level), color=BAND, linewidth=0, zorder=0)
    right.fill_between(level, np.clip(level - half, 0, 1), np.clip(level + half, 0, 1), color=BAND, lw=0, zorder=0)
    for name, ranks in fit.ranks.items():
        look: dict[str, Any] = {"color": colours.get(name, QUIET), "linewidth": 1.4 if name in colours else 0.6}
        order = 3 if name in colours else 2
        u, f = distribution(ranks)
        left.plot(u, f - u, zorder=order, label=shown(name), **look)
        right.plot(*distribution(_folded(ranks)), zorder=order, label=shown(name), **look)
    reach = max(1.3 * half, *(np.abs(line.get_ydata()).max() * 1.1 for line in left.lines[1:]))
    left.set_ylim(-reach, reach)


def _points(left: Axes, right: Axes, fit: Calibrated) -> None:
    """Draw the coverage alone, with intervals of the binomial distribution, which are wide: parameters depend."""
    left.text(0.5, 0.5, "no ranks are stored", transform=left.transAxes, ha="center", color=QUIET)
    left.set_yticks([])
    each = (1 - LEVEL) / max(1, len(fit.coverage))
    for level, share in fit.coverage.items():
        low, high = binom.ppf([each / 2, 1 - each / 2], fit.held_out, level) / fit.held_out
        right.plot([level, level], [low, high], color=BAND, linewidth=8, solid_capstyle="butt", zorder=1)
        right.plot(level, share, "o", color=INK, zorder=3)
