r"""Which method, how many simulations, and is it calibrated? Answered on held-out simulations, without any reference.

Fresh simulations :math:`(\theta^*, x)`, drawn beside the budget, judge every fit. Two questions are asked of each:

- *How much does it say?* The mean of a proper score of :math:`q(\cdot \mid x)` at :math:`\theta^*`
  (:mod:`ampbench.statistics.scoring_rules`); lower is better, and the exact posterior's is lowest. The log-distance
  score falls by ½ log 2 = 0.35 if the posterior is rightly half as wide. Where a variable is discrete, the energy score
  takes its place: draws that coincide have no distance to take the logarithm of.
- *Does it say what is true?* Ranks of the truth (:mod:`ampbench.statistics.calibration`). The smallest of a fit's
  p-values is corrected for their number (Bonferroni), and the fits for theirs (Holm), so that among exact posteriors a
  fault is found in one assessment of twenty.
- *And at your own observation?* That is an average over the prior. Given an observation, a classifier looks for a
  fault there (:mod:`ampbench.lc2st`); its p-value takes part in Holm's correction as a second one of the fit.

Scores and calibration are both needed: the prior is calibrated and says nothing, and an overconfident fit may have a
good score. All fits see the same held-out simulations, so that scores are compared in pairs. The recommendation is the
cheapest fit in which no fault of calibration was found, on average or at the observation, and which is not surely worse
than the best of these.

References:
    Gneiting, Balabdaoui, Raftery 2007, *Probabilistic forecasts, calibration and sharpness*,
    doi:10.1111/j.1467-9868.2007.00587.x.
    Holm 1979, *A simple sequentially rejective multiple test procedure*, https://www.jstor.org/stable/4615733
    Hsu 1981, *Simultaneous confidence intervals for all distances from the "best"*, doi:10.1214/aos/1176345582.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
import torch
from scipy import stats
from torch import Tensor

from ampbench.errors import PluginError, UsageError
from ampbench.fits import DRAWS, Drawn, Fit, Question, describe, fit_here, simulations
from ampbench.graph import Graph
from ampbench.graph.prior import LatentPrior
from ampbench.interfaces import Progress, check_observation, silent
from ampbench.lc2st import check_installed, lc2st
from ampbench.registry import Registry
from ampbench.seeding import derive, seeded
from ampbench.statistics.calibration import coverage, places, quantities, random_points, tarp_places, uniform
from ampbench.statistics.scoring_rules import energy_score, log_score

LEAST = 50
"""Fewer held-out simulations show next to nothing."""
LEVEL = 0.05
"""Probability of a false alarm, over all fits together, and of each comparison of scores."""
CHUNK = 20
"""Held-out simulations scored at a time: the pairs of draws take memory."""
SURE = 3.0
"""Standard errors from which coverage surely leans to one side."""
TRIALS = 60
"""Permutations of L-C2ST for each fit of an assessment, so that its smallest p-value survives the correction."""

Fault = str
"""``none found``, ``overconfident`` (too narrow), ``underconfident`` (too wide), ``biased`` (neither), or
``wrong at x_o``: no fault on average, but one at the user's observation."""


@dataclass(frozen=True)
class HeldOut:
    """Simulations that judge, and no method sees.

    Attributes:
        graph: the model.
        observed: names of its observed variables.
        theta: shape (B, D).
        x: shape (B, L).
        centre: medians of the prior, shape (D,).
        spread: mean deviations from them, shape (D,): the unit of length of each component.
        rule: the score to compare by: ``log`` or ``energy``.
        seed: every number of the assessment follows from it.
        here: the user's own observation, shape (L,), or None.
    """

    graph: Graph
    observed: tuple[str, ...]
    theta: Tensor
    x: Tensor
    centre: Tensor
    spread: Tensor
    rule: str
    seed: int
    here: Tensor | None = None

    @property
    def question(self) -> Question:
        """What every fit is asked."""
        here = None if self.here is None else self.here.numpy()
        return Question(self.x.numpy(), here, self.theta.shape[1], self.seed)


@dataclass(frozen=True)
class Outcome:
    """What was found out about one fit; of one that failed, the reason alone.

    Attributes:
        method: its spec.
        budget: simulations it was given.
        error: why it failed, or "".
        warning: what it warned of, or "".
        spent: simulations it took.
        fit_seconds: time of the fit.
        sample_seconds: mean time of drawing for one observation.
        scores: by rule, the scores at all held-out simulations, shape (B,) each.
        coverage: by level, how often central intervals hold the truth: the mean over components.
        p: that of the hypothesis that it is calibrated, corrected for the statistics looked at.
        here: the p-value of L-C2ST at the user's own observation; NaN without one.
        output: the end of what the process of a failed fit printed, or where it crashed.
        lean: standard errors by which the truth lies too far out in the posterior; negative: too far in.
    """

    method: str
    budget: int
    error: str = ""
    warning: str = ""
    spent: int = 0
    fit_seconds: float = float("nan")
    sample_seconds: float = float("nan")
    scores: Mapping[str, Tensor] = field(default_factory=dict)
    coverage: Mapping[float, float] = field(default_factory=dict)
    p: float = float("nan")
    lean: float = 0.0
    here: float = float("nan")
    output: str = ""

    @property
    def ok(self) -> bool:
        """Whether it can be judged."""
        return not self.error

    @property
    def label(self) -> str:
        """Method and budget, for sentences."""
        return f"{self.method} with {self.budget:,} simulations"


@dataclass(frozen=True)
class Recommendation:
    """The fit to take, and why; None where none can be recommended."""

    outcome: Outcome | None
    reasons: tuple[str, ...]


def hold_out(
    graph: Graph,
    observed: Sequence[str],
    n: int,
    seed: int,
    here: Tensor | None = None,
    simulate: Callable[[int, int], tuple[np.ndarray, np.ndarray]] | None = None,
) -> HeldOut:
    """Draw n simulations to judge by.

    Arguments:
        graph: the model.
        observed: names of its observed variables.
        n: how many.
        seed: every number follows from it.
        here: the user's own observation, shape (L,), to judge fits at.
        simulate: from n and a seed to theta (n, D) and x (n, L); None to simulate in this process.

    Raises:
        UsageError: fewer than ``LEAST``; or an observation of another shape, or sbi is not installed to judge there.
    """
    if n < LEAST:
        raise UsageError(f"{n} held-out simulations show next to nothing; take at least {LEAST}, better 200 or more")
    if here is not None:
        check_installed()
    observed = graph.check(observed)
    latents = [name for name in graph.names if name not in observed]
    simulate = simulate or partial(simulations, (graph, observed))
    theta, x = map(torch.from_numpy, simulate(n, derive(seed, "assess", "held out")))
    with seeded(derive(seed, "assess", "prior")):
        prior = LatentPrior(graph, latents).sample([2000])
    centre = prior.median(0).values
    return HeldOut(
        graph,
        observed,
        theta,
        x,
        centre,
        (prior - centre).abs().mean(0).clamp(min=1e-12),
        "energy" if any(graph[name].support.is_discrete for name in latents) else "log",
        seed,
        None if here is None else check_observation(here.to(x), x.shape[1]),
    )


def outcomes(
    held_out: HeldOut,
    methods: Sequence[str],
    budgets: Sequence[int],
    registry: Registry,
    fit: Fit | None = None,
    test: Callable[..., float] = lc2st,
    started: Callable[[str, int], Progress] = lambda method, budget: silent,
) -> Iterator[Outcome]:
    """Fit each method with each budget, small ones first, and judge it; what one raises costs its own outcome.

    Arguments:
        held_out: see :func:`hold_out`.
        methods: specs.
        budgets: numbers of simulations.
        registry: where methods come from.
        fit: fits and draws; None to do so in this process, on the CPU.
        test: what tests a fit at the user's own observation, with the arguments of :func:`ampbench.lc2st.lc2st`.
        started: told of each fit; returns what is told of its progress.

    Raises:
        UsageError: a method's spec cannot be understood, or it refuses a value, or a budget is not positive; before
            anything is simulated.
    """
    for text in methods:
        with suppress(PluginError):  # a method that is broken, or not installed, costs its own outcomes only
            registry.checked("methods", text)
    if bad := [budget for budget in budgets if budget < 1]:
        raise UsageError(f"a budget of {bad[0]} simulations; take at least 1")
    fit = fit or partial(fit_here, (held_out.graph, held_out.observed), registry, "cpu")
    wanted = [(text, budget) for budget in sorted(set(budgets)) for text in dict.fromkeys(methods)]
    for text, budget in wanted:
        try:
            drawn = fit(held_out.question, text, budget, started(text, budget))
            outcome = _judged(held_out, text, budget, drawn, partial(test, trials=trials(len(wanted))))
        except (Exception, SystemExit) as error:
            outcome = Outcome(text, budget, error=describe(error), output=getattr(error, "output", ""))
        yield outcome


def trials(fits: int) -> int:
    """How many permutations L-C2ST takes for each of so many fits: at the least 99."""
    return max(99, TRIALS * fits - 1)


def prior_outcome(held_out: HeldOut) -> Outcome:
    """Judge the prior itself: what a posterior must beat to have learned anything."""
    prior = LatentPrior(held_out.graph, [n for n in held_out.graph.names if n not in held_out.observed])
    with seeded(derive(held_out.seed, "assess", "prior draws")):
        draws = prior.sample([DRAWS, len(held_out.x)])
    return judge(held_out, draws, Outcome("prior", 0))


def _judged(held_out: HeldOut, text: str, budget: int, drawn: Drawn, test: Callable[..., float]) -> Outcome:
    draws = torch.from_numpy(drawn.draws)
    here = float("nan")
    if held_out.here is not None and drawn.here is not None:
        seed = derive(held_out.seed, "assess", "lc2st")
        at = torch.from_numpy(drawn.here)
        here = test(held_out.theta, held_out.x, draws[0], held_out.here, at, seed=seed)
    known = Outcome(
        text,
        budget,
        warning=drawn.warning,
        spent=drawn.spent,
        fit_seconds=drawn.fit_seconds,
        sample_seconds=drawn.sample_seconds,
        here=here,
    )
    return judge(held_out, draws, known)


def judge(held_out: HeldOut, draws: Tensor, known: Outcome) -> Outcome:
    """Return the outcome of a fit, given its draws (L, B, D) at the held-out observations, and what is known of it."""
    truth, spread = held_out.theta, held_out.spread
    generator = torch.Generator().manual_seed(derive(held_out.seed, "assess", "ties"))
    u = places(
        quantities(truth, held_out.centre, spread), quantities(draws, held_out.centre, spread), generator
    )  # (B, K)
    points = random_points(held_out.x, held_out.centre, spread, generator)
    near = tarp_places(truth, draws, points, spread, generator)
    p_values = [p for column in torch.cat([u, near[:, None]], dim=1).T.numpy() for p in uniform(column)]
    components = u[:, : truth.shape[1]]
    out = (2 * components - 1).abs().mean(1)  # (B,): 1/2 on average if calibrated, more if too narrow
    return replace(
        known,
        scores={name: _scores(rule, draws / spread, truth / spread) for name, rule in RULES.items()},
        coverage={level: float(coverage(components, level).mean()) for level in (0.5, 0.9)},
        p=min(1.0, min(p_values) * len(p_values)),
        lean=float((out.mean() - 0.5) / (out.std() / len(out) ** 0.5)),
    )


RULES: Mapping[str, Callable[[Tensor, Tensor], Tensor]] = {"log": log_score, "energy": energy_score}


def _scores(rule: Callable[[Tensor, Tensor], Tensor], draws: Tensor, truth: Tensor) -> Tensor:
    chunks = zip(draws.split(CHUNK, dim=1), truth.split(CHUNK), strict=True)
    return torch.cat([rule(samples, true) for samples, true in chunks]).double()


def faults(found: Sequence[Outcome]) -> list[Fault]:
    """Say what is wrong with the calibration of each outcome that is ok; "" of one that is not."""
    everywhere = [each.p if each.ok else 1.0 for each in found]
    here = [1.0 if math.isnan(each.here) else each.here for each in found]
    number = sum(each.ok + (not math.isnan(each.here)) for each in found)
    rejected = holm([*everywhere, *here], number)
    pairs = zip(found, rejected[: len(found)], rejected[len(found) :], strict=True)
    return [_fault(each, on_average, locally) if each.ok else "" for each, on_average, locally in pairs]


def _fault(outcome: Outcome, on_average: bool, locally: bool) -> Fault:
    if not on_average:
        return "wrong at x_o" if locally else "none found"
    if abs(outcome.lean) < SURE:
        return "biased"
    return "overconfident" if outcome.lean > 0 else "underconfident"


def holm(p_values: Sequence[float], number: int, level: float = LEVEL) -> list[bool]:
    """Say which of ``number`` hypotheses are rejected, at a family-wise level.

    Example:
        >>> holm([0.04, 0.001, 0.02], 3)
        [True, True, True]
        >>> holm([0.04, 0.001, 0.03], 3)
        [False, True, False]
    """
    rejected = [False] * len(p_values)
    for k, i in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        if p_values[i] > level / max(1, number - k):
            break
        rejected[i] = True
    return rejected


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
            f"wrong at your observation (L-C2ST, p = {sharpest.here:.2g}), though not on average."
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
    if not math.isnan(chosen.here):
        yield f"Nor was one found at your observation (L-C2ST, p = {chosen.here:.2g})."
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
