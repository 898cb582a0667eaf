"""Which fit to take, and why."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from scipy import stats

from ampbench.assess.outcome import LEVEL, Fault, Outcome, faults


@dataclass(frozen=True)
class Recommendation:
    """The fit to take, and why; None where none can be recommended."""

    outcome: Outcome | None
    reasons: tuple[str, ...]


def surely_worse(one: Outcome, other: Outcome, rule: str, comparisons: int = 1) -> bool:
    """Whether one scores worse than the other beyond the noise of the held-out simulations, paired."""
    gap, error = difference(one, other, rule)
    return gap > float(stats.norm.isf(LEVEL / max(1, comparisons))) * error


def difference(one: Outcome, other: Outcome, rule: str) -> tuple[float, float]:
    """The mean paired difference of two fits' scores, and its standard error."""
    differences = one.scores[rule] - other.scores[rule]
    return float(differences.mean()), float(differences.std()) / len(differences) ** 0.5


def mean_score(outcome: Outcome, rule: str) -> float:
    """The mean score; lower is better."""
    return float(outcome.scores[rule].mean())


def recommend(found: Sequence[Outcome], prior: Outcome, rule: str) -> Recommendation:
    """Choose a fit: calibrated, not surely worse than the best that is, and the cheapest of those.

    Arguments:
        found: the outcomes.
        prior: that of :func:`prior_outcome`.
        rule: the score to compare by.
    """
    judged = [(each, fault) for each, fault in zip(found, faults(found), strict=True) if each.ok]
    if not judged:
        return Recommendation(None, ("Every fit failed; the reasons stand beside them.",))
    learned = [(each, fault) for each, fault in judged if surely_worse(prior, each, rule, len(judged))]
    if not learned:
        return Recommendation(
            None,
            (
                "No fit surely scores better than the prior: either the observations say next to nothing about the "
                "parameters, or it takes more simulations.",
            ),
        )
    sound = [each for each, fault in learned if fault == "none found"]
    sharpest = min((each for each, _ in learned), key=lambda each: mean_score(each, rule))
    if not sound:
        fault = next(fault for each, fault in learned if each is sharpest)
        return Recommendation(None, (_unsound(sharpest, fault), *_trend(found, sharpest, rule)))
    best = min(sound, key=lambda each: mean_score(each, rule))
    equals = [each for each in sound if not surely_worse(each, best, rule, len(sound) - 1)]
    chosen = min(equals, key=lambda each: (each.budget, mean_score(each, rule)))
    return Recommendation(chosen, tuple(_reasons(found, chosen, best, sharpest, rule)))


def _unsound(sharpest: Outcome, fault: Fault) -> str:
    if fault == "wrong at x_o":
        return (
            f"Every fit that learned anything is miscalibrated. The best score is that of {sharpest.label}, which is "
            f"wrong at your observation (L-C2ST, p = {sharpest.p_at_observation:.2g}), though not on average."
        )
    return (
        f"Every fit that learned anything is miscalibrated. The best score is that of {sharpest.label}, which is "
        f"{fault}: its 90 % intervals hold the truth in {sharpest.coverage[0.9]:.0%} of cases. Do not trust its widths."
    )


def _reasons(found: Sequence[Outcome], chosen: Outcome, best: Outcome, sharpest: Outcome, rule: str) -> Iterator[str]:
    n = len(chosen.scores[rule])
    yield (
        f"No fault of calibration was found at {n} held-out simulations (p = {chosen.p:.2g}); its 90 % intervals hold "
        f"the truth in {chosen.coverage[0.9]:.0%} of cases."
    )
    if not math.isnan(chosen.p_at_observation):
        yield f"Nor was one found at your observation (L-C2ST, p = {chosen.p_at_observation:.2g})."
    if chosen is best:
        yield "It has the best score of all fits without such a fault."
    else:
        gap, error = difference(chosen, best, rule)
        yield (
            f"It is the cheapest whose score is not surely worse than the best of these, that of {best.label}: "
            f"higher by {gap:.3f} ± {error:.3f}. More held-out simulations would tell smaller differences."
        )
    if surely_worse(chosen, sharpest, rule, len(found) - 1):
        yield f"{sharpest.label} scores better, but is miscalibrated."
    yield from _trend(found, chosen, rule)


def _trend(found: Sequence[Outcome], chosen: Outcome, rule: str) -> Iterator[str]:
    """Say whether the chosen method still improves with its budget."""
    curve = sorted((each for each in found if each.ok and each.method == chosen.method), key=lambda each: each.budget)
    if len(curve) < 2:
        yield "One budget shows no trend: give several to see whether more simulations would help."
        return
    before, last = curve[-2:]
    if surely_worse(before, last, rule, len(found) - 1):
        yield (
            f"{last.method} still improved from {before.budget:,} to {last.budget:,} simulations: a larger budget may "
            "be better still."
        )
    else:
        yield f"{last.method} did not surely improve from {before.budget:,} to {last.budget:,} simulations."
