"""``ampbench assess``: your simulator, its prior, and a recommendation."""

from __future__ import annotations

import math
import re
import shlex
from collections.abc import Sequence
from typing import Any

from ampbench import registry
from ampbench.assess.assessment import HeldOut, hold_out, outcomes, prior_outcome, trials
from ampbench.assess.fits import IsolatedWorker
from ampbench.assess.lc2st import outside_range
from ampbench.assess.outcome import Outcome, faults
from ampbench.assess.recommendation import (
    Recommendation,
    mean_score,
    recommend,
    score_difference,
    standard_error,
)
from ampbench.assess.simulations import Prepared, simulate_in_batches, split_stored
from ampbench.assess.subject import read_observation
from ampbench.bars import progress_bar
from ampbench.cli.interruption import exit_status, interruptible
from ampbench.cli.simulations import SIMULATE_AT_ONCE, SimulationOptions, subject_of
from ampbench.cli.terminal import print_folded, print_table
from ampbench.console import complain, document, say, status
from ampbench.counts import read_whole
from ampbench.errors import UsageError
from ampbench.graph import Graph
from ampbench.graph.failures import check_failed
from ampbench.interfaces import Limits, Progress
from ampbench.registry import Registry
from ampbench.reporting.text import duration
from ampbench.running.calls import CallError
from ampbench.running.executors import imports
from ampbench.running.process import start_server
from ampbench.simulations import Batches, Simulations, StoredSimulator, warn_if_other_prior
from ampbench.spec import split
from ampbench.text import plain

BAR_WIDTH = 12
"""Width, in characters, of the bar of the best fit."""

DEFAULT_BUDGETS = [1000, 10_000]
"""Budgets if none are given."""

MAX_OUTPUT_LINES = 8
"""Number of lines shown of the output of a failed fit's process."""


def run_assess(
    subject: str | None,
    prior: str | None,
    methods: Sequence[str],
    budgets: Sequence[str],
    held_out: int,
    seed: int,
    device: str,
    observation: str | None,
    limits: dict[str, Any],
    as_json: bool,
    simulations: SimulationOptions = SIMULATE_AT_ONCE,
) -> int:
    """Assess methods on a simulator, print outcomes and recommendation, and return the exit code.

    The exit code is 1 if a fit failed, 130, 143 or 129 after Ctrl-C, SIGTERM or SIGHUP.

    Arguments:
        subject: ``module:simulator`` if there is a prior, else a task's spec; None for stored simulations.
        prior: ``module:distribution``, or an expression such as ``uniform(0,10)^2``; None to learn that of stored
            simulations.
        methods: comma-separated lists of specs.
        budgets: comma-separated lists of numbers; none for :data:`DEFAULT_BUDGETS`, or for all stored simulations.
        held_out: number of held-out simulations.
        seed: seed of all random numbers.
        device: any torch device.
        observation: the user's own observation, at which fits are tested: comma-separated numbers, or a file.
        limits: limits of the process of each fit: fields of :class:`ampbench.interfaces.Limits`.
        as_json: print one JSON object.
        simulations: where simulations come from.
    """
    process_limits = Limits(**limits, retries=0)
    loaded = registry.load()
    simulations.check_shared()
    stored = simulations.stored()
    read = subject_of(subject, prior, stored, gaps=simulations.gaps)
    graph, observed = read()
    failed = check_failed(simulations.failed)
    if simulations.gaps and observation is not None:
        raise UsageError(
            "the test at an observation (L-C2ST) does not read missing entries; leave out --observation, or --gaps"
        )
    here = None if observation is None else read_observation(observation)
    names = list(dict.fromkeys(_methods(methods)))
    sizes = _budgets(budgets) or ([len(stored) - held_out] if stored else DEFAULT_BUDGETS)
    tested = [] if here is None else ["sbi.diagnostics.lc2st"]
    start_server(["ampbench.assess.assessment", *tested, *imports(names)], process_limits.threads)
    worker = IsolatedWorker(read, process_limits, device)
    try:
        with interruptible(), progress_bar("simulating") as progress:
            how = simulations.batches(graph, seed, process_limits, read, progress)
            prepared = _prepared(graph, observed, stored, how, held_out, max(sizes), seed)
            judges = hold_out(graph, observed, held_out, seed, here, worker.simulate, prepared, failed)
    except CallError as error:
        raise UsageError(
            f"no held-out simulations, and so nothing to judge by: {error}{_output_excerpt(error.output)}"
        ) from error
    except KeyboardInterrupt as error:
        return _stopped(error, "; ".join(["nothing was fitted", *getattr(error, "__notes__", ())]))
    yardstick = prior_outcome(judges)
    found, code = _fits(judges, names, sizes, loaded, worker)
    advice, permutations = recommend(found, yardstick, judges.rule), trials(len(names) * len(sizes))
    if as_json:
        document(_as_json(found, yardstick, advice, judges, permutations))
    else:
        _print(found, yardstick, advice, judges, permutations)
        if advice.outcome:
            say("\nThe posterior of your data, as files:\n")
            say(_next_command(subject, prior, observation, simulations, advice.outcome))
    return code or (0 if found and all(each.ok for each in found) else 1)


def _prepared(
    graph: Graph,
    observed: Sequence[str],
    stored: Simulations | None,
    how: Batches | None,
    held_out: int,
    budget: int,
    seed: int,
) -> Prepared | None:
    """Return the simulations that are there before the fits, stored or simulated in batches; None if there are none."""
    if stored is not None:
        warn_if_other_prior(StoredSimulator(graph, observed, None, seed, stored))
        return split_stored(stored, held_out, seed)
    if how is None:
        return None
    return simulate_in_batches(graph, observed, held_out, budget, seed, how)


def _fits(
    judges: HeldOut, names: Sequence[str], sizes: Sequence[int], loaded: Registry, worker: IsolatedWorker
) -> tuple[list[Outcome], int]:
    """Fit each method with each budget until an interruption; return the outcomes, and its exit code or 0."""
    found: list[Outcome] = []
    try:
        with interruptible(), status() as update:

            def started(method: str, budget: int) -> Progress:
                label = f"{method}, {budget:,} simulations (fit {len(found) + 1} of {len(names) * len(sizes)})"
                update(label)
                return lambda done, total: update(f"{label}: step {done} of {total}")

            for outcome in outcomes(judges, names, sizes, loaded, worker.fit, worker.lc2st, started):
                found.append(outcome)
    except KeyboardInterrupt as error:
        return found, _stopped(error, f"this is of the first {len(found)} fits")
    return found, 0


def _stopped(interruption: KeyboardInterrupt, remark: str) -> int:
    """Print that the command was interrupted, and return its exit code."""
    word, code = exit_status(interruption)
    complain(f"ampbench: {word}; {remark}")
    return code


def _methods(texts: Sequence[str]) -> list[str]:
    """Split comma-separated lists of specs, except at commas between the options of a spec.

    Example:
        >>> _methods(["amp:divergence=jsd,steps=9,npe", "nle"])
        ['amp:divergence=jsd,steps=9', 'npe', 'nle']
    """
    specs: list[str] = []
    for text in texts:
        for i, part in enumerate(split(text, text)):
            if i and re.match(r"\s*[\w.]+\s*=", part):
                specs[-1] += f",{part}"
            else:
                specs.append(part.strip())
    return specs


def _budgets(texts: Sequence[str]) -> list[int]:
    try:
        return sorted({read_whole("budget", part) for text in texts for part in text.split(",")})
    except UsageError as error:
        raise UsageError(f"cannot read the budgets {', '.join(texts)!r}; write numbers such as 1000,10000") from error


def _print(
    found: Sequence[Outcome], prior: Outcome, advice: Recommendation, judges: HeldOut, permutations: int
) -> None:
    rule = judges.rule
    best = min((mean_score(each, rule) for each in found if each.ok), default=math.nan)
    gain = mean_score(prior, rule) - best
    wrong = dict(zip(map(id, found), faults(found), strict=True))
    for method in dict.fromkeys(each.method for each in found):
        print_folded(method)
        curve = [each for each in found if each.method == method]
        columns = ["budget", "score", "se", "50 %", "90 %", "p", "p(x_o)", "fault", "fit", "gain"]
        rows = [dict(zip(columns, _row(each, prior, rule, gain, wrong[id(each)]), strict=True)) for each in curve]
        shown = [
            name for name in columns if name != ("p(x_o)" if judges.observation is None else "se")
        ]  # a line has 80 characters
        print_table(shown, ([row[name] for name in shown] for row in rows))
        for each in curve:
            if remark := each.error or each.warning:
                print_folded(f"  {each.budget:,}: {remark}")
            if each.output:
                say(_output_excerpt(each.output, "    "))
        say()
    print_folded(
        f"score: the held-out {rule} score, lower is better, {mean_score(prior, rule):.3f} for the prior; "
        + (
            "se: its standard error, much larger than that of differences between fits; "
            if judges.observation is None
            else ""
        )
        + "50 %, 90 %: how often central intervals of "
        "these levels contain the truth; p: p-value of calibration, corrected within a fit; fault: at a significance "
        "level of 0.05 over all fits; gain: decrease of the score from that of the prior"
    )
    if judges.observation is not None:
        print_folded(
            f"p(x_o): p-value of L-C2ST at your observation, with {permutations} permutations and a network of one "
            "layer of 16 units; it detects large faults only"
        )
        if outside := outside_range(judges.observation, judges.x):
            print_folded(
                f"Your observation lies outside the range of the held-out simulations: {outside}. "
                "p(x_o) is unreliable there."
            )
    if told := _failures(found, judges):
        print_folded(told)
    spent = sum(each.spent for each in found)
    print_folded(
        f"{judges.drawn:,} held-out simulations were drawn in addition to the budgets; the fits used {spent:,} in total"
        if judges.training is None
        else f"{len(judges.x):,} simulations were held out; the fits shared {len(judges.training):,} others, of which "
        "each used the first ones"
    )
    say()
    print_folded(f"Recommended: {advice.outcome.label if advice.outcome else 'none of these'}.")
    for reason in advice.reasons:
        print_folded(f"- {reason}")


def _next_command(
    subject: str | None, prior: str | None, observation: str | None, simulations: SimulationOptions, chosen: Outcome
) -> str:
    """Return the command that infers with the recommended method."""
    model = [*([subject] if subject else []), *(["--prior", prior] if prior else []), *simulations.arguments()]
    fit = ["--method", chosen.method, "--budget", str(chosen.budget), "--observation", observation or "data.txt"]
    return f"    ampbench infer {shlex.join(model)} \\\n        {shlex.join(fit)}"


def _failures(found: Sequence[Outcome], judges: HeldOut) -> str:
    """Return how many simulations failed, and what became of them; "" if none did."""
    failures, spent = sum(each.failures for each in found), sum(each.spent for each in found)
    if not failures + judges.failures:
        return ""
    counts = (
        f"{judges.failures:,} of {judges.drawn:,} held-out simulations and {failures:,} of {spent:,} of the fits failed"
    )
    if judges.failed == "drop":
        return f"{counts}; they were left out, so that fits are judged under the prior given success"
    return f"{counts}; their values were replaced by codes, in fits and held-out simulations alike"


def _row(outcome: Outcome, prior: Outcome, rule: str, max_gain: float, fault: str) -> list[object]:
    if not outcome.ok:
        return [f"{outcome.budget:,}", math.nan, math.nan, "-", "-", "-", "-", "failed", "-", ""]
    gap, _ = score_difference(prior, outcome, rule)
    bar = "#" * max(0, round(BAR_WIDTH * gap / max_gain)) if max_gain > 0 else ""
    return [
        f"{outcome.budget:,}",
        mean_score(outcome, rule),
        standard_error(outcome.scores[rule]),
        f"{outcome.coverage[0.5]:.0%}",
        f"{outcome.coverage[0.9]:.0%}",
        f"{outcome.p:.2g}",
        f"{outcome.p_at_observation:.2g}",
        fault,
        duration(outcome.fit_seconds),
        bar,
    ]


def _output_excerpt(output: str, indent: str = "") -> str:
    """Return the last lines of the output of a fit's process, or the first lines about its crash."""
    before, crash, after = output.rstrip().partition("Fatal Python error")
    lines = (crash + after).splitlines()[:MAX_OUTPUT_LINES] if crash else before.splitlines()[-MAX_OUTPUT_LINES:]
    return "\n".join(indent + plain(each) for each in lines)


def _as_json(
    found: Sequence[Outcome], prior: Outcome, advice: Recommendation, judges: HeldOut, permutations: int
) -> dict[str, Any]:
    rows = [_json_row(each, fault) for each, fault in zip(found, faults(found), strict=True)]
    chosen = advice.outcome
    return {
        "rule": judges.rule,
        "failed": judges.failed,
        "held_out": len(judges.x),
        "held_out_failures": judges.failures,
        "observation": None if judges.observation is None else judges.observation.tolist(),
        "permutations": None if judges.observation is None else permutations,
        "prior": _json_row(prior, ""),
        "fits": rows,
        "recommendation": {
            "method": chosen.method if chosen else None,
            "budget": chosen.budget if chosen else None,
            "reasons": list(advice.reasons),
        },
    }


def _json_row(outcome: Outcome, fault: str) -> dict[str, str | int | float | None]:
    """Return a row for JSON: numbers and strings, None for missing values."""
    row: dict[str, Any] = {"method": outcome.method, "budget": outcome.budget, "fault": fault}
    row |= {"error": plain(outcome.error), "warning": plain(outcome.warning), "spent": outcome.spent}
    row |= {"failures": outcome.failures}
    row |= {"fit_seconds": outcome.fit_seconds, "sample_seconds": outcome.sample_seconds, "p": outcome.p}
    row |= {"p_at_observation": outcome.p_at_observation, "output": plain(outcome.output)}
    for name, values in outcome.scores.items():
        row |= {f"{name}_score": float(values.mean()), f"{name}_score_se": standard_error(values)}
    row |= {f"coverage_{round(100 * level)}": value for level, value in outcome.coverage.items()}
    return {key: None if isinstance(value, float) and math.isnan(value) else value for key, value in row.items()}
