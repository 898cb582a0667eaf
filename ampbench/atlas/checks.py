r"""The failure atlas: checks that identify in which way posterior samples differ from the posterior.

A score measures how much samples differ from the posterior; the atlas reports how they differ. Each check gives one
value, and is a finding if the value exceeds a threshold with two parts:

- material difference: a total variation of :data:`MATERIAL_VARIATION`, which moves the best classifier's C2ST by half
  of that. For a Gaussian this is a shift by 0.125 standard deviations, or a width that is wrong by a factor of 1.109;
- sampling noise: for each check alone, two sets of reference samples exceed the threshold with probability
  :data:`FALSE_ALARM_RATE`.

The order of the checks matters, because one failure could cause findings of other checks. Modes come first; if some
were dropped, all later checks compare the remaining modes only. Widths, correlations, tails and shapes are compared
within modes: the points of each mode are centred at its mean first, in both sets. Shapes are compared after location,
width and correlation have been matched (or unmatched, if that gives the smaller value), tails after location and width;
so a posterior that is too narrow is not also reported for left-out mass.

Checks do not depend on the order of samples, nor (up to rounding) on the units and the origin of each parameter. Checks
that compare single points use at most :data:`MAX_POINTS` points of each set, selected deterministically.

See :mod:`ampbench.atlas.modes` and :mod:`ampbench.atlas.moments` for the definitions and their references.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import norm, poisson
from torch import Tensor

from ampbench.atlas.modes import NEIGHBOURS, dropped, empty_balls, empty_by_chance, labels, local_scale, nearest_mode
from ampbench.atlas.moments import Moments, by_chance, combination, form, location, moments, shifts, widths
from ampbench.errors import SamplesError
from ampbench.faults import message, named, pass_interruption
from ampbench.graph import component_names
from ampbench.graph.prior import LatentPrior, not_finite
from ampbench.graph.supports import elementwise
from ampbench.interfaces import HasEffectiveShare, Task
from ampbench.results.record import Check

MATERIAL_VARIATION = 0.05
"""The smallest total variation that is reported as a finding."""

MATERIAL_SHIFT = 2 * float(norm.ppf((1 + MATERIAL_VARIATION) / 2))
"""The shift of a Gaussian, in standard deviations, with the total variation :data:`MATERIAL_VARIATION`."""

MATERIAL_LOG_WIDTH = math.log(1.109)
"""The logarithm of the factor on a Gaussian's width with the total variation :data:`MATERIAL_VARIATION`."""

FALSE_ALARM_RATE = 0.001
"""The probability that a check reports a finding for two sets of reference samples."""

MIN_EFFECTIVE_SHARE = 0.1
"""The smallest effective share of resampled draws that is not reported as a finding."""

MAX_POINTS = 2_500
"""The largest number of points of a set in comparisons of single points."""

MIN_SAMPLES = 50
"""The smallest number of samples, in each set, for the checks that need a reference."""

CHECKS: Mapping[str, str] = {
    "outside prior": "share of samples that the prior excludes",
    "repeated samples": "share of samples that equal an earlier one",
    "dropped modes": "share of the reference in modes that get less than half of their share, minus the share they get",
    "shifted": "largest difference of the means of a parameter, in standard deviations of the reference",
    "too wide": "largest ratio of standard deviations of a parameter, samples to reference",
    "too narrow": "largest ratio of standard deviations of a parameter, reference to samples",
    "correlations": "largest ratio of widths, either way, in a combination of parameters, after matching single widths",
    "heavy tails": "share of samples beyond twice the range of the reference, after matching location and width",
    "left-out mass": "share of reference points without a sample near them, after matching location, width and "
    "correlation, in excess of the share by chance",
    "invented mass": "share of samples without a reference point near them, after matching location, width and "
    "correlation, in excess of the share by chance",
    "uneven weights": "share of resampled draws that unequal weights cost: 1 minus their effective share",
    "check failed": "1: a check raised an error or could not be applied",
}
"""The names of the checks, and the definitions of their values."""

Array = NDArray[np.float64]


@dataclass(frozen=True)
class _Pair:
    """Samples (n, D) and reference (m, D) in one canonical order, and the names of the D parameters."""

    samples: Array
    reference: Array
    names: tuple[str, ...]

    def some(self) -> tuple[Array, Array]:
        """Return the points of both sets for comparisons of single points."""
        return self.samples[:MAX_POINTS], self.reference[:MAX_POINTS]

    @property
    def how(self) -> str:
        """The sizes of both sets, for :attr:`Check.how`."""
        return f"{len(self.samples)} samples, {len(self.reference)} of the reference"

    @property
    def how_some(self) -> str:
        """The numbers of points in comparisons of single points, for :attr:`Check.how`."""
        ours, theirs = self.some()
        return f"{len(ours)} of {len(self.samples)} samples, {len(theirs)} of {len(self.reference)} of the reference"


def check_samples(task: Task, samples: Tensor, reference: Tensor | None) -> tuple[Check, ...]:
    """Check posterior samples.

    Arguments:
        task: the task, whose prior defines the support of the samples and the names of the parameters.
        samples: shape (n, D).
        reference: shape (m, D), or None; then only the checks that need no reference are made.

    Returns:
        All checks that were made, with a finding or without. A check that raises an error becomes ``check failed``.

    Raises:
        SamplesError: samples or reference have a wrong shape, or hold NaN or infinite values; see
            :func:`ampbench.graph.prior.not_finite`.
    """
    prior = LatentPrior(task.graph, task.latents)
    names = component_names(prior.sizes)
    for values in (samples, *([] if reference is None else [reference])):
        if values.ndim != 2 or values.shape[1] != len(names):
            raise SamplesError(f"samples have shape {tuple(values.shape)}, expected (n, {len(names)})")
        if fault := not_finite(values, names):
            raise SamplesError(fault)
    checks: list[Check] = []
    with _guarded("outside prior", checks):
        checks.append(_outside(prior, samples.cpu().float(), names))
    with _guarded("repeated samples", checks):
        checks.append(_repeated(samples, reference))
    if reference is None or min(len(samples), len(reference)) < MIN_SAMPLES:
        return tuple(checks)
    pair = _Pair(_canonical(samples), _canonical(reference), names)
    if constant := [name for name, spread in zip(names, np.ptp(pair.reference, axis=0), strict=True) if spread == 0]:
        return (*checks, failed("comparison", f"{constant[0]} is constant in the reference"))
    within = pair
    with _guarded("dropped modes", checks):
        check, pair, within = _modes(pair)
        checks.append(check)
    with _guarded("shifted", checks):
        checks.append(_compare_location(pair))
    ours, theirs = moments(within.samples), moments(within.reference)
    for name, make in _COMPARISONS.items():
        with _guarded(name, checks):
            checks += make(within, ours, theirs)
    return tuple(checks)


@contextmanager
def _guarded(name: str, checks: list[Check]) -> Iterator[None]:
    """Turn an exception of a check into a finding."""
    try:
        with np.errstate(divide="raise", invalid="raise"):  # a record must not hold NaN
            yield
    except np.linalg.LinAlgError as error:
        checks.append(failed(name, message(error)))
    except BaseException as error:  # a plugin's prior may raise anything
        pass_interruption(error)
        checks.append(failed(name, named(error)))


def failed(name: str, why: str) -> Check:
    """Return the finding that a check could not be made, with the reason."""
    return Check("check failed", 1.0, 0.0, f"{name}: {' '.join(why.split())[:200]}")


def _outside(prior: LatentPrior, samples: Tensor, names: tuple[str, ...]) -> Check:
    """Check for samples outside a support, or where the density is zero; samples on the boundary are inside."""
    outside = torch.zeros(len(samples), dtype=torch.bool)
    worst: dict[str, int] = {}
    for name, values in prior.split(samples).items():
        wrong = ~elementwise(prior.graph[name].support).check(values)
        wrong = wrong if wrong.ndim > 1 else wrong[:, None]  # a simplex has one result for all its components
        own = [each for each in names if each == name or each.startswith(f"{name}[")]
        for i in range(wrong.shape[1]):
            worst[own[i] if wrong.shape[1] == len(own) else name] = int(wrong[:, i].sum())
        outside |= wrong.any(1)
    how = "support of each variable"
    if not prior.fault:
        with torch.random.fork_rng():
            torch.manual_seed(0)
            middle = prior.sample([1000]).median(0).values
        possible = (prior.log_prob(samples) > -math.inf) | (prior.log_prob(samples.nextafter(middle)) > -math.inf)
        outside |= ~possible
        how += ", and density of the prior"
    name = max(worst, key=lambda each: worst[each])
    text = f"most in {name}: {worst[name]} of {len(samples)}" if worst[name] else ""
    return Check("outside prior", float(outside.float().mean()), 0.0, text, how)


def _repeated(samples: Tensor, reference: Tensor | None) -> Check:
    """Check for repeated samples, as of resampled particles or a Markov chain, beyond those of the reference."""
    share = _repeats(samples)
    usual = 0.0 if reference is None else _repeats(reference)
    text = f"{len(samples) - round(share * len(samples))} of {len(samples)} are distinct"
    return Check(
        "repeated samples", share, usual + MATERIAL_VARIATION, text, "reference too" if reference is not None else ""
    )


def check_weights(posterior: HasEffectiveShare, x: Tensor) -> Check:
    """Check the weights by which draws of a posterior are resampled at an observation (L,)."""
    share = posterior.effective_share(x)
    text = f"effective share {share:.2f}: more draws, or a better proposal, may be needed"
    return Check("uneven weights", 1 - share, 1 - MIN_EFFECTIVE_SHARE, text if share < MIN_EFFECTIVE_SHARE else "")


def _repeats(values: Tensor) -> float:
    """Return the share of rows that equal an earlier row."""
    rows = np.ascontiguousarray(values.cpu().numpy())
    return 1 - len(np.unique(rows.view([("", rows.dtype)] * rows.shape[1]))) / len(rows)


def _canonical(values: Tensor) -> Array:
    """Return samples (n, D) in a pseudo-random order that depends on the set of samples only."""
    points = values.cpu().double().numpy()
    ordered = points[np.lexsort(points.T[::-1])]
    return ordered[np.random.default_rng(0).permutation(len(ordered))]


def _modes(pair: _Pair) -> tuple[Check, _Pair, _Pair]:
    """Check for dropped modes.

    Returns:
        The check, the pair without dropped modes, and this pair with the points of each mode centred at its mean.
    """
    ours, theirs = pair.some()
    whiten = local_scale(theirs).T
    found = labels(theirs @ whiten)
    count = int(found.max()) + 1
    missing, share, got = dropped(ours @ whiten, found, theirs @ whiten)
    weight = float(share[missing].sum())
    value = float((share - got)[missing].sum())
    chance = _normal() * math.sqrt(weight * (1 - weight) * (1 / len(ours) + 1 / len(theirs)))
    how = f"{count} mode{'s' if count > 1 else ''} by HDBSCAN; {pair.how_some}"
    check = Check("dropped modes", value, chance, _missing(pair, found, missing, share, got), how)
    if count == 1:
        return check, pair, pair
    member = [nearest_mode(part @ whiten, theirs @ whiten, found) for part in (pair.samples, pair.reference)]
    if check.found and min(np.sum(~missing[each]) for each in member) >= MIN_SAMPLES:
        pair = _Pair(pair.samples[~missing[member[0]]], pair.reference[~missing[member[1]]], pair.names)
        member = [each[~missing[each]] for each in member]
    return check, pair, _Pair(_residuals(pair.samples, member[0]), _residuals(pair.reference, member[1]), pair.names)


def _residuals(points: Array, member: NDArray[np.int64]) -> Array:
    """Return points (n, D) minus the mean of their mode, which removes the differences between modes."""
    moved = points.copy()
    for mode in np.unique(member):
        moved[member == mode] -= points[member == mode].mean(0)
    return moved


def _missing(pair: _Pair, found: NDArray[np.int64], missing: NDArray[np.bool_], share: Array, got: Array) -> str:
    """Return the number of dropped modes, and shares and centre of the largest one, as text; empty if there is none."""
    if not missing.any():
        return ""
    worst = int(np.where(missing, share - got, -1).argmax())
    centre = pair.some()[1][found == worst].mean(0)
    where = ", ".join(f"{name} {value:.3g}" for name, value in zip(pair.names[:4], centre[:4], strict=True))
    more = ", …" if len(pair.names) > 4 else ""
    return f"{int(missing.sum())} of {len(missing)}; {got[worst]:.3f} instead of {share[worst]:.3f} at {where}{more}"


def _compare_location(pair: _Pair) -> Check:
    """Check the means of the parameters."""
    chance = by_chance(pair.reference, len(pair.samples), FALSE_ALARM_RATE, np.random.default_rng(0), location)
    moved = shifts(moments(pair.samples), moments(pair.reference))
    worst = int(np.abs(moved).argmax())
    text = f"{pair.names[worst]} by {moved[worst]:+.3f}"
    return Check("shifted", float(abs(moved[worst])), MATERIAL_SHIFT + chance[0], text, f"winsorised; {pair.how}")


def _compare_moments(pair: _Pair, ours: Moments, theirs: Moments) -> Iterator[Check]:
    """Check widths and correlations, within modes."""
    width, joint = by_chance(pair.reference, len(pair.samples), FALSE_ALARM_RATE, np.random.default_rng(0), form)
    wide, how = widths(ours, theirs), f"winsorised, within modes; {pair.how}"
    least = math.exp(MATERIAL_LOG_WIDTH + width)
    for name, logs in (("too wide", wide), ("too narrow", -wide)):
        worst = int(logs.argmax())
        yield Check(name, math.exp(max(0.0, logs[worst])), least, pair.names[worst] if logs[worst] > 0 else "", how)
    if len(pair.names) > 1:
        log, direction = combination(ours, theirs)
        main = np.argsort(-np.abs(direction))[:2]
        text = f"{'wide' if log > 0 else 'narrow'} mostly in {' and '.join(pair.names[i] for i in sorted(main))}"
        yield Check("correlations", math.exp(abs(log)), math.exp(MATERIAL_LOG_WIDTH + joint), text, how)


def _compare_tails(pair: _Pair, ours: Moments, theirs: Moments) -> Iterator[Check]:
    """Check for samples far outside the range of the reference.

    The largest of m values lies near the quantile with upper tail probability 1 / m. For a Cauchy distribution, the
    heaviest tail to be expected of a posterior, the probability beyond twice that value is half of it. So of n samples,
    n / m are expected beyond twice the range, for each parameter and both sides together.
    """
    z, reference = (pair.samples - ours.mean) / ours.sd, (pair.reference - theirs.mean) / theirs.sd
    low, high = reference.min(0), reference.max(0)
    margin = (high - low) / 2
    far = (z < low - margin) | (z > high + margin)
    n, m = len(z), len(reference)
    most = float(poisson.isf(FALSE_ALARM_RATE, len(pair.names) * n / m)) / n
    worst = int(far.sum(0).argmax())
    text = f"most in {pair.names[worst]}: {int(far[:, worst].sum())} of {n}" if far.any() else ""
    yield Check("heavy tails", float(far.any(1).mean()), most, text, f"winsorised, within modes; {pair.how}")


def _compare_shapes(pair: _Pair, ours: Moments, theirs: Moments) -> Iterator[Check]:
    """Check for points without a near point of the other set, with matched moments or without, whichever finds less.

    A difference that matching the moments removes is no wrong shape. But matching has noise, which may be as large as a
    structure that is thin compared with the whole; without matching, the share by chance is known exactly.
    """
    samples, reference = pair.some()
    whitened = (reference - theirs.mean) @ theirs.whiten.T
    matched, plain = (samples - ours.mean) @ ours.whiten.T, (samples - theirs.mean) @ theirs.whiten.T
    for name, turned in (("left-out mass", False), ("invented mass", True)):
        m, n = (len(samples), len(reference)) if turned else (len(reference), len(samples))
        usual = empty_by_chance(m, n)
        # balls of neighbours share points: the effective number of balls is 2 k times smaller
        limit = MATERIAL_VARIATION + _normal() * math.sqrt(2 * NEIGHBOURS * usual * (1 - usual) / m)
        value = math.inf
        for moved in (matched, plain):
            if value > limit:  # otherwise the check has passed already
                own, other = (moved, whitened) if turned else (whitened, moved)
                value = min(value, max(0.0, empty_balls(own, other) - usual))
        yield Check(name, value, limit, "", f"{NEIGHBOURS} neighbours, within modes; {pair.how_some}")


_COMPARISONS: Mapping[str, Callable[[_Pair, Moments, Moments], Iterator[Check]]] = {
    "moments": _compare_moments,
    "heavy tails": _compare_tails,
    "shapes": _compare_shapes,
}


def _normal() -> float:
    """Return the standard normal quantile of the false alarm rate."""
    return float(norm.isf(FALSE_ALARM_RATE))
