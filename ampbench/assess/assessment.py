r"""Evaluation of fits on held-out simulations, without a reference posterior.

Every fit is judged on held-out simulations :math:`(\theta^*, x)`, which do not count towards its budget:

- *Score*: the mean of a proper score of :math:`q(\cdot \mid x)` at :math:`\theta^*`
  (:mod:`ampbench.statistics.scoring_rules`); lower is better, and the exact posterior has the lowest expected score.
  The log-distance score falls by ½ log 2 = 0.35 if the posterior is half as wide and still calibrated. For discrete
  variables the energy score is used, since the log-distance of coinciding draws is undefined.
- *Calibration*: rank statistics of the true parameters (:mod:`ampbench.statistics.calibration`). The smallest p-value
  of a fit is Bonferroni-corrected for its number of tests, and the p-values of all fits by Holm's method, so that with
  exact posteriors a fault is reported in at most one assessment of twenty.
- *Calibration at the user's observation*: calibration is an average over the prior; at a given observation it is tested
  by a classifier (:mod:`ampbench.assess.lc2st`), whose p-value enters Holm's method as a second hypothesis of the fit.

Both score and calibration are needed: the prior is calibrated but uninformative, and an overconfident fit may have a
good score. All fits are judged on one set of held-out simulations, so that scores are compared in pairs. The
recommendation is the fit with the smallest budget among those without a detected fault of calibration, on average or at
the observation, whose score is not significantly worse than the best score among them.

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

from ampbench.assess.fits import HELD_OUT_DRAWS, Drawn, EvaluationSet, Fit, Simulated, drawn_from, fit_and_draw
from ampbench.assess.fits import simulate as simulate_in_process
from ampbench.assess.lc2st import check_installed, lc2st
from ampbench.assess.outcome import Outcome
from ampbench.assess.simulations import Prepared
from ampbench.counts import whole
from ampbench.errors import PluginError, UsageError
from ampbench.faults import pass_interruption
from ampbench.graph import Failed, Graph
from ampbench.graph.failures import check_failed
from ampbench.graph.prior import LatentPrior
from ampbench.interfaces import Progress, check_observation, silent
from ampbench.registry import Registry
from ampbench.running.failures import describe_with_line
from ampbench.seeding import derive, seeded
from ampbench.simulations import Simulations, StoredSimulator
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
"""Smallest number of held-out simulations; with fewer, tests of calibration have hardly any power."""

SCORING_CHUNK = 20
"""Number of held-out simulations that are scored at once; limits the memory for pairs of draws."""

TRIALS_PER_FIT = 60
"""Permutations of L-C2ST per fit of the assessment; with these the smallest p-value can remain significant after
Holm's correction."""


@dataclass(frozen=True)
class HeldOut:
    """Held-out simulations, on which fits are judged and no method is trained.

    Attributes:
        graph: the model.
        observed: names of its observed variables.
        theta: true parameters, shape (B, D).
        x: simulated observations, shape (B, L).
        centre: medians of the prior, shape (D,).
        spread: mean absolute deviations from the medians, shape (D,); the unit of length of each component.
        rule: scoring rule by which fits are compared, ``log`` or ``energy``.
        seed: seed of all random numbers of the assessment.
        observation: the user's own observation, shape (L,), or None.
        training: simulations to which methods are fitted, the first ones of them; None to simulate for each budget.
        failed: what becomes of failed simulations, here and in the fits; see :mod:`ampbench.graph.failures`.
        failures: number of held-out simulations that failed; if they are left out, they are not among the B, and true
            parameters have the prior given success.
        codes: codes of failed simulations, here and in the fits, shape (2, L), or None.
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
    training: Simulations | None = None
    failed: Failed = "error"
    failures: int = 0
    codes: np.ndarray | None = None

    @property
    def drawn(self) -> int:
        """The number of held-out simulations that were drawn, failed ones included."""
        return len(self.x) + (self.failures if self.failed == "drop" else 0)

    @property
    def evaluation_set(self) -> EvaluationSet:
        """The observations at which the posterior of every fit is sampled."""
        own = None if self.observation is None else self.observation.numpy()
        training = None if self.training is None else self.training.arrays()
        return EvaluationSet(self.x.numpy(), own, self.seed, training, self.failed, self.codes)


def hold_out(
    graph: Graph,
    observed: Sequence[str],
    n: int,
    seed: int,
    observation: Tensor | None = None,
    simulate: Callable[..., Simulated] | None = None,
    prepared: Prepared | None = None,
    failed: Failed = "error",
    codes: Tensor | None = None,
) -> HeldOut:
    """Draw n held-out simulations.

    Arguments:
        graph: the model.
        observed: names of its observed variables.
        n: number of simulations.
        seed: seed of all random numbers of the assessment.
        observation: the user's own observation, shape (L,), at which fits are tested as well.
        simulate: has the arguments of :func:`ampbench.assess.fits.simulate` from n on; None for that function, in this
            process.
        prepared: held-out and training simulations that were made before, of which all held-out ones are taken.
        failed: what becomes of failed simulations, ``error``, ``drop`` or ``code``, here and in the fits; ``error`` for
            prepared ones.
        codes: of failed simulations in this process, shape (2, L); None to choose them.

    Raises:
        SimulationError: the simulator returned something unusable, or fewer than :data:`MIN_HELD_OUT` simulations did
            not fail.
        UsageError: n is less than :data:`MIN_HELD_OUT`, the observation has a wrong shape, or sbi, which the test at an
            observation needs, is not installed.
    """
    n, seed = whole("the number of held-out simulations", n), whole("seed", seed)
    if n < MIN_HELD_OUT:
        raise UsageError(
            f"{n} held-out simulations are too few to judge a fit; take at least {MIN_HELD_OUT}, better 200 or more"
        )
    if observation is not None:
        check_installed()
    observed = graph.check(observed)
    latents = graph.latents(observed)
    simulate = simulate or partial(simulate_in_process, (graph, observed), codes=codes)
    if prepared is None:
        drawn = simulate(n, derive(seed, "assess", "held out"), check_failed(failed), MIN_HELD_OUT)
    else:
        drawn = drawn_from(StoredSimulator(graph, observed, n, seed, prepared.held_out))
    theta, x = torch.from_numpy(drawn.theta), torch.from_numpy(drawn.x)
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
        None if observation is None else check_observation(observation.to(x, copy=True), x.shape[1]),
        None if prepared is None else prepared.training,
        failed,
        drawn.failures,
        drawn.codes,
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
    """Fit each method with each budget, small budgets first, and judge each fit; an error affects one outcome only.

    Arguments:
        held_out: see :func:`hold_out`.
        methods: specs.
        budgets: numbers of simulations.
        registry: source of the methods.
        fit: fits a method and draws from its posterior; None to do so in this process, on the CPU.
        test: tests a fit at the user's own observation, with the arguments of :func:`ampbench.assess.lc2st.lc2st`.
        started: called before each fit with method and budget; returns the progress callback of the fit.
        threads: CPU threads of fits and tests in this process; see :func:`ampbench.threads.limited_threads`.

    Raises:
        UsageError: a method's spec is invalid, or a budget is not positive or exceeds the simulations that were made
            before; raised before any simulation.
    """
    for text in methods:
        with suppress(PluginError):  # a broken or missing method affects its own outcomes only
            registry.checked("methods", text)
    budgets = [whole("budget", budget) for budget in budgets]
    if bad := [budget for budget in budgets if budget < 1]:
        raise UsageError(f"a budget of {bad[0]} simulations; take at least 1")
    if held_out.training is not None and (bad := [each for each in budgets if each > len(held_out.training)]):
        raise UsageError(
            f"a budget of {bad[0]:,} simulations, but {len(held_out.training):,} are left for training beside "
            f"{len(held_out.x):,} held-out ones; lower the budget, or hold out fewer"
        )
    fit = fit or partial(fit_and_draw, (held_out.graph, held_out.observed), registry, "cpu")
    wanted = [(text, budget) for budget in sorted(set(budgets)) for text in dict.fromkeys(methods)]
    for text, budget in wanted:
        try:
            with limited_threads(threads):
                drawn = fit(held_out.evaluation_set, text, budget, started(text, budget))
                outcome = _judged(held_out, text, budget, drawn, partial(test, trials=trials(len(wanted))))
        except BaseException as error:
            pass_interruption(error)
            outcome = Outcome(text, budget, error=describe_with_line(error), output=getattr(error, "output", ""))
        yield outcome


def trials(fits: int) -> int:
    """Return the number of permutations of L-C2ST for each fit, given the number of fits; at least 99."""
    return max(99, TRIALS_PER_FIT * fits - 1)


def prior_outcome(held_out: HeldOut) -> Outcome:
    """Return the outcome of the prior, the baseline for the scores of all fits.

    If failed simulations are left out, it is the prior given success: draws are other held-out parameters.
    """
    prior = LatentPrior(held_out.graph, held_out.graph.latents(held_out.observed))
    n = len(held_out.x)
    with seeded(derive(held_out.seed, "assess", "prior draws")):
        if held_out.failed == "drop" and held_out.failures:
            draws = held_out.theta[(torch.arange(n) + torch.randint(1, n, (HELD_OUT_DRAWS, n))) % n]
        else:
            draws = prior.sample([HELD_OUT_DRAWS, n])
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
        failures=drawn.failures,
        fit_seconds=drawn.fit_seconds,
        sample_seconds=drawn.sample_seconds,
        p_at_observation=p_at_observation,
    )
    return judge(held_out, draws, known)


def judge(held_out: HeldOut, draws: Tensor, known: Outcome) -> Outcome:
    """Complete an outcome by scores and calibration, given draws (L, B, D) at the held-out observations."""
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
        ranks=components,
    )


RULES: Mapping[str, Callable[[Tensor, Tensor], Tensor]] = {"log": log_score, "energy": energy_score}


def _scores(rule: Callable[[Tensor, Tensor], Tensor], draws: Tensor, truth: Tensor) -> Tensor:
    chunks = zip(draws.split(SCORING_CHUNK, dim=1), truth.split(SCORING_CHUNK), strict=True)
    return torch.cat([rule(samples, true) for samples, true in chunks]).double()
