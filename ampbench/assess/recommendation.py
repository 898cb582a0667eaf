"""Recommendation of a fit, with reasons."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from scipy import stats
from torch import Tensor

from ampbench.assess.outcome import SIGNIFICANCE_LEVEL, Fault, Outcome, faults


@dataclass(frozen=True)
class Recommendation:
    """The recommended fit and the reasons; the outcome is None if no fit can be recommended."""

    outcome: Outcome | None
    reasons: tuple[str, ...]


def significantly_worse(one: Outcome, other: Outcome, rule: str, comparisons: int = 1) -> bool:
    """Whether one fit scores worse than the other in a paired test over the held-out simulations.

    Arguments:
        one, other: the outcomes.
        rule: the scoring rule.
        comparisons: number of comparisons, for Bonferroni's correction.
    """
    gap, error = score_difference(one, other, rule)
    return gap > float(stats.norm.isf(SIGNIFICANCE_LEVEL / max(1, comparisons))) * error


def score_difference(one: Outcome, other: Outcome, rule: str) -> tuple[float, float]:
    """Return the mean paired difference of two fits' scores, and its standard error."""
    differences = one.scores[rule] - other.scores[rule]
    return float(differences.mean()), standard_error(differences)


def mean_score(outcome: Outcome, rule: str) -> float:
    """Return the mean score of a fit; lower is better."""
    return float(outcome.scores[rule].mean())


def standard_error(scores: Tensor) -> float:
    """Return the standard error of the mean of independent scores, shape (B,)."""
    return float(scores.std()) / len(scores) ** 0.5


def recommend(found: Sequence[Outcome], prior: Outcome, rule: str) -> Recommendation:
    """Recommend the fit with the smallest budget among those without a fault whose score is not significantly worse.

    Arguments:
        found: the outcomes of all fits.
        prior: the outcome of the prior, see :func:`prior_outcome`.
        rule: the scoring rule by which fits are compared.
    """
    judged = [(each, fault) for each, fault in zip(found, faults(found), strict=True) if each.ok]
    if not judged:
        return Recommendation(None, ("Every fit failed; see the error of each.",))
    learned = [(each, fault) for each, fault in judged if significantly_worse(prior, each, rule, len(judged))]
    if not learned:
        return Recommendation(
            None,
            (
                "No fit scores significantly better than the prior: either the observations contain hardly any "
                "information about the parameters, or more simulations are needed.",
            ),
        )
    sound = [each for each, fault in learned if fault == "none found"]
    sharpest = min((each for each, _ in learned), key=lambda each: mean_score(each, rule))
    if not sound:
        fault = next(fault for each, fault in learned if each is sharpest)
        return Recommendation(None, (_unsound(sharpest, fault), *_trend(found, sharpest, rule)))
    best = min(sound, key=lambda each: mean_score(each, rule))
    equals = [each for each in sound if not significantly_worse(each, best, rule, len(sound) - 1)]
    chosen = min(equals, key=lambda each: (each.budget, mean_score(each, rule)))
    return Recommendation(chosen, tuple(_reasons(found, chosen, best, sharpest, rule)))


def _unsound(sharpest: Outcome, fault: Fault) -> str:
    if fault == "wrong at x_o":
        return (
            "Every fit that scores better than the prior is miscalibrated. The best score is that of "
            f"{sharpest.label}, which is wrong at your observation (L-C2ST, "
            f"p = {sharpest.p_at_observation:.2g}), though not on average."
        )
    return (
        f"Every fit that scores better than the prior is miscalibrated. The best score is that of {sharpest.label}, "
        f"which is {fault}: its 90 % intervals contain the truth in {sharpest.coverage[0.9]:.0%} of cases. Do not rely "
        "on its widths."
    )


def _reasons(found: Sequence[Outcome], chosen: Outcome, best: Outcome, sharpest: Outcome, rule: str) -> Iterator[str]:
    n = len(chosen.scores[rule])
    yield (
        f"No fault of calibration was found at {n} held-out simulations (p = {chosen.p:.2g}); its 90 % intervals "
        f"contain the truth in {chosen.coverage[0.9]:.0%} of cases."
    )
    if not math.isnan(chosen.p_at_observation):
        yield f"Nor was one found at your observation (L-C2ST, p = {chosen.p_at_observation:.2g})."
    if chosen is best:
        yield "It has the best score of all fits without a fault."
    else:
        gap, error = score_difference(chosen, best, rule)
        yield (
            f"It has the smallest budget of all fits whose score is not significantly worse than the best, that of "
            f"{best.label}: higher by {gap:.3f} ± {error:.3f}. More held-out simulations would resolve smaller "
            "differences."
        )
    if significantly_worse(chosen, sharpest, rule, len(found) - 1):
        yield f"{sharpest.label} scores better, but is miscalibrated."
    yield from _trend(found, chosen, rule)


def _trend(found: Sequence[Outcome], chosen: Outcome, rule: str) -> Iterator[str]:
    """Yield a sentence on whether the chosen method still improves with its budget."""
    curve = sorted((each for each in found if each.ok and each.method == chosen.method), key=lambda each: each.budget)
    if len(curve) < 2:
        yield "One budget shows no trend: give several budgets to see whether more simulations would help."
        return
    before, last = curve[-2:]
    if significantly_worse(before, last, rule, len(found) - 1):
        yield (
            f"{last.method} still improved from {before.budget:,} to {last.budget:,} simulations: a larger budget may "
            "improve it further."
        )
    else:
        yield f"{last.method} did not improve significantly from {before.budget:,} to {last.budget:,} simulations."
