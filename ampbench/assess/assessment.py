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
  fault there (:mod:`ampbench.assess.lc2st`); its p-value takes part in Holm's correction as a second one of the fit.

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

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from torch import Tensor

from ampbench.assess.fits import HELD_OUT_DRAWS, Drawn, EvaluationSet, Fit, fit_and_draw
from ampbench.assess.fits import simulate as simulate_here
from ampbench.assess.lc2st import check_installed, lc2st
from ampbench.assess.outcome import Outcome
from ampbench.errors import PluginError, UsageError
from ampbench.graph import Graph
from ampbench.graph.prior import LatentPrior
from ampbench.interfaces import Progress, check_observation, silent
from ampbench.registry import Registry
from ampbench.running.failures import describe_with_line
from ampbench.seeding import derive, seeded
from ampbench.statistics.calibration import (
    coverage,
    quantities,
    random_points,
    rank_statistics,
    tarp_statistics,
    uniformity_p_values,
)
from ampbench.statistics.scoring_rules import energy_score, log_score
from ampbench.threads import limited_threads

MIN_HELD_OUT = 50
"""Fewer held-out simulations show next to nothing."""
SCORED_AT_ONCE = 20
"""Held-out simulations scored at a time: the pairs of draws take memory."""
TRIALS = 60
"""Permutations of L-C2ST for each fit of an assessment, so that its smallest p-value survives the correction."""


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
        observation: the user's own observation, shape (L,), or None.
    """

    graph: Graph
    observed: tuple[str, ...]
    theta: Tensor
    x: Tensor
    centre: Tensor
    spread: Tensor
    rule: str
    seed: int
    observation: Tensor | None = None

    @property
    def evaluation_set(self) -> EvaluationSet:
        """The observations at which the posterior of every fit is sampled."""
        own = None if self.observation is None else self.observation.numpy()
        return EvaluationSet(self.x.numpy(), own, self.seed)


def hold_out(
    graph: Graph,
    observed: Sequence[str],
    n: int,
    seed: int,
    observation: Tensor | None = None,
    simulate: Callable[[int, int], tuple[np.ndarray, np.ndarray]] | None = None,
) -> HeldOut:
    """Draw n simulations to judge by.

    Arguments:
        graph: the model.
        observed: names of its observed variables.
        n: how many.
        seed: every number follows from it.
        observation: the user's own observation, shape (L,), to judge fits at.
        simulate: from n and a seed to theta (n, D) and x (n, L); None to simulate in this process.

    Raises:
        UsageError: fewer than ``MIN_HELD_OUT``; or an observation of another shape, or sbi is not installed to judge
            there.
    """
    if n < MIN_HELD_OUT:
        raise UsageError(
            f"{n} held-out simulations show next to nothing; take at least {MIN_HELD_OUT}, better 200 or more"
        )
    if observation is not None:
        check_installed()
    observed = graph.check(observed)
    latents = graph.latents(observed)
    simulate = simulate or partial(simulate_here, (graph, observed))
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
        None if observation is None else check_observation(observation.to(x), x.shape[1]),
    )


def outcomes(
    held_out: HeldOut,
    methods: Sequence[str],
    budgets: Sequence[int],
    registry: Registry,
    fit: Fit | None = None,
    test: Callable[..., float] = lc2st,
    started: Callable[[str, int], Progress] = lambda method, budget: silent,
    threads: int = 1,
) -> Iterator[Outcome]:
    """Fit each method with each budget, small ones first, and judge it; what one raises costs its own outcome.

    Arguments:
        held_out: see :func:`hold_out`.
        methods: specs.
        budgets: numbers of simulations.
        registry: where methods come from.
        fit: fits and draws; None to do so in this process, on the CPU.
        test: what tests a fit at the user's own observation, with the arguments of :func:`ampbench.assess.lc2st.lc2st`.
        started: told of each fit; returns what is told of its progress.
        threads: CPU threads of fits and tests in this process; see :func:`ampbench.threads.limited_threads`.

    Raises:
        UsageError: a method's spec cannot be understood, or it refuses a value, or a budget is not positive; before
            anything is simulated.
    """
    for text in methods:
        with suppress(PluginError):  # a method that is broken, or not installed, costs its own outcomes only
            registry.checked("methods", text)
    if bad := [budget for budget in budgets if budget < 1]:
        raise UsageError(f"a budget of {bad[0]} simulations; take at least 1")
    fit = fit or partial(fit_and_draw, (held_out.graph, held_out.observed), registry, "cpu")
    wanted = [(text, budget) for budget in sorted(set(budgets)) for text in dict.fromkeys(methods)]
    for text, budget in wanted:
        try:
            with limited_threads(threads):
                drawn = fit(held_out.evaluation_set, text, budget, started(text, budget))
                outcome = _judged(held_out, text, budget, drawn, partial(test, trials=trials(len(wanted))))
        except (Exception, SystemExit) as error:
            outcome = Outcome(text, budget, error=describe_with_line(error), output=getattr(error, "output", ""))
        yield outcome


def trials(fits: int) -> int:
    """How many permutations L-C2ST takes for each of so many fits: at the least 99."""
    return max(99, TRIALS * fits - 1)


def prior_outcome(held_out: HeldOut) -> Outcome:
    """Judge the prior itself: what a posterior must beat to have learned anything."""
    prior = LatentPrior(held_out.graph, held_out.graph.latents(held_out.observed))
    with seeded(derive(held_out.seed, "assess", "prior draws")):
        draws = prior.sample([HELD_OUT_DRAWS, len(held_out.x)])
    return judge(held_out, draws, Outcome("prior", 0))


def _judged(held_out: HeldOut, text: str, budget: int, drawn: Drawn, test: Callable[..., float]) -> Outcome:
    draws = torch.from_numpy(drawn.draws)
    p_at_observation = float("nan")
    if held_out.observation is not None and drawn.at_observation is not None:
        seed = derive(held_out.seed, "assess", "lc2st")
        own = torch.from_numpy(drawn.at_observation)
        p_at_observation = test(held_out.theta, held_out.x, draws[0], held_out.observation, own, seed=seed)
    known = Outcome(
        text,
        budget,
        warning=drawn.warning,
        spent=drawn.spent,
        fit_seconds=drawn.fit_seconds,
        sample_seconds=drawn.sample_seconds,
        p_at_observation=p_at_observation,
    )
    return judge(held_out, draws, known)


def judge(held_out: HeldOut, draws: Tensor, known: Outcome) -> Outcome:
    """Return the outcome of a fit, given its draws (L, B, D) at the held-out observations, and what is known of it."""
    truth, spread = held_out.theta, held_out.spread
    generator = torch.Generator().manual_seed(derive(held_out.seed, "assess", "ties"))
    u = rank_statistics(
        quantities(truth, held_out.centre, spread), quantities(draws, held_out.centre, spread), generator
    )  # (B, K)
    points = random_points(held_out.x, held_out.centre, spread, generator)
    near = tarp_statistics(truth, draws, points, spread, generator)
    p_values = [p for column in torch.cat([u, near[:, None]], dim=1).T.numpy() for p in uniformity_p_values(column)]
    components = u[:, : truth.shape[1]]
    out = (2 * components - 1).abs().mean(1)  # (B,): 1/2 on average if calibrated, more if too narrow
    return replace(
        known,
        scores={name: _scores(rule, draws / spread, truth / spread) for name, rule in RULES.items()},
        coverage={level: float(coverage(components, level).mean()) for level in (0.5, 0.9)},
        p=min(1.0, min(p_values) * len(p_values)),
        dispersion_z=float((out.mean() - 0.5) / (out.std() / len(out) ** 0.5)),
    )


RULES: Mapping[str, Callable[[Tensor, Tensor], Tensor]] = {"log": log_score, "energy": energy_score}


def _scores(rule: Callable[[Tensor, Tensor], Tensor], draws: Tensor, truth: Tensor) -> Tensor:
    chunks = zip(draws.split(SCORED_AT_ONCE, dim=1), truth.split(SCORED_AT_ONCE), strict=True)
    return torch.cat([rule(samples, true) for samples, true in chunks]).double()
