"""``ampbench assess``: your simulator, its prior, and a recommendation."""

from __future__ import annotations

import json
import math
import re
import sys
from collections.abc import Sequence
from functools import partial
from typing import Any

from rich.console import Console
from rich.markup import escape

from ampbench import registry
from ampbench.assess.assessment import HeldOut, hold_out, outcomes, prior_outcome, trials
from ampbench.assess.fits import Isolated
from ampbench.assess.lc2st import beyond
from ampbench.assess.outcome import Outcome, faults
from ampbench.assess.recommendation import Recommendation, difference, mean_score, recommend
from ampbench.assess.subject import read_model, read_observation
from ampbench.cli.interruption import how, interruptible
from ampbench.cli.terminal import print_folded, print_table
from ampbench.errors import UsageError
from ampbench.interfaces import Limits, Progress
from ampbench.registry import Registry
from ampbench.reporting.text import duration, plain
from ampbench.running.calls import CallError
from ampbench.running.executors import imports
from ampbench.running.process import start_server
from ampbench.spec import split

BAR = 12
"""Characters of the bar of the best fit."""
LINES = 8
"""Lines that are shown of what the process of a failed fit printed."""


def run_assess(
    subject: str,
    prior: str | None,
    methods: Sequence[str],
    budgets: Sequence[str],
    held_out: int,
    seed: int,
    device: str,
    observation: str | None,
    limits: dict[str, Any],
    as_json: bool,
) -> int:
    """Assess methods on a simulator, print what was found, and return the exit code.

    It is 1 if a fit failed, 130 after Ctrl-C, 143 after SIGTERM.

    Arguments:
        subject: ``module:simulator`` if there is a prior, else a task's spec.
        prior: ``module:distribution``, or such as ``uniform(0,10)^2``.
        methods: specs, several of them in one text if commas are between them.
        budgets: numbers, likewise.
        held_out: simulations to judge by.
        seed: everything follows from it.
        device: any torch device.
        observation: the user's own, to judge fits at: numbers with commas between them, or a file of them.
        limits: what the process of each fit may use: fields of :class:`ampbench.interfaces.Limits`.
        as_json: print one JSON object.
    """
    confines = Limits(**limits, retries=0)
    loaded = registry.load()
    graph, observed = read_model(subject, prior)
    here = None if observation is None else read_observation(observation)
    names, sizes = list(dict.fromkeys(_methods(methods))), _budgets(budgets)
    tested = [] if here is None else ["sbi.diagnostics.lc2st"]
    start_server(["ampbench.assess.assessment", *tested, *imports(names)], confines.threads)
    worker = Isolated(partial(read_model, subject, prior), confines, device)
    try:
        with interruptible():
            judges = hold_out(graph, observed, held_out, seed, here, worker.simulate)
    except CallError as error:
        raise UsageError(
            f"no held-out simulations, and so nothing to judge by: {error}{_printed(error.output)}"
        ) from error
    except KeyboardInterrupt as error:
        return _stopped(error, "nothing was fitted")
    yardstick = prior_outcome(judges)
    found, code = _fits(judges, names, sizes, loaded, worker)
    advice, permutations = recommend(found, yardstick, judges.rule), trials(len(names) * len(sizes))
    if as_json:
        print(json.dumps(_as_json(found, yardstick, advice, judges, permutations), indent=1))
    else:
        _print(found, yardstick, advice, judges, permutations)
    return code or (0 if found and all(each.ok for each in found) else 1)


def _fits(
    judges: HeldOut, names: Sequence[str], sizes: Sequence[int], loaded: Registry, worker: Isolated
) -> tuple[list[Outcome], int]:
    """Fit each method with each budget, until the end or an interruption; the number is its exit code, or 0."""
    found: list[Outcome] = []
    try:
        with interruptible(), Console(stderr=True).status("") as status:

            def started(method: str, budget: int) -> Progress:
                label = f"{method}, {budget:,} simulations (fit {len(found) + 1} of {len(names) * len(sizes)})"
                status.update(escape(label))
                return lambda done, total: status.update(escape(f"{label}: step {done} of {total}"))

            for outcome in outcomes(judges, names, sizes, loaded, worker.fit, worker.lc2st, started):
                found.append(outcome)
    except KeyboardInterrupt as error:
        return found, _stopped(error, f"this is of the first {len(found)} fits")
    return found, 0


def _stopped(interruption: KeyboardInterrupt, remark: str) -> int:
    """Say that the command was interrupted, and return its exit code."""
    word, code = how(interruption)
    print(f"ampbench: {word}; {remark}", file=sys.stderr)
    return code


def _methods(texts: Sequence[str]) -> list[str]:
    """Cut lists of specs at commas, save those that only lead to another option.

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
        return sorted({int(part) for text in texts for part in text.split(",")})
    except ValueError as error:
        raise UsageError(f"cannot read the budgets {', '.join(texts)!r}; write such as 1000,10000") from error


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
        ]  # of 80 characters
        print_table(shown, ([row[name] for name in shown] for row in rows))
        for each in curve:
            if remark := each.error or each.warning:
                print_folded(f"  {each.budget:,}: {remark}")
            if each.output:
                print(_printed(each.output, "    "))
        print()
    print_folded(
        f"score: the held-out {rule} score, lower is better, {mean_score(prior, rule):.3f} for the prior; "
        + (
            "se: its standard error, much larger than that of differences between fits; "
            if judges.observation is None
            else ""
        )
        + "50 %, 90 %: how often such intervals hold "
        "the truth; p: of calibration, corrected within a fit; fault: at a level of 0.05 over all fits; gain: over the "
        "prior's score"
    )
    if judges.observation is not None:
        print_folded(
            f"p(x_o): of L-C2ST at your observation, by {permutations} permutations and a network with one layer "
            "of 16 units; it finds coarse faults there only"
        )
        if outside := beyond(judges.observation, judges.x):
            print_folded(
                f"Your observation lies outside what the simulator gives: {outside}. What p(x_o) says is worth little."
            )
    spent = sum(each.spent for each in found)
    print_folded(
        f"{len(judges.x):,} held-out simulations were drawn beside the budgets; the fits took {spent:,} together"
    )
    print()
    print_folded(f"Recommended: {advice.outcome.label if advice.outcome else 'none of these'}.")
    for reason in advice.reasons:
        print_folded(f"- {reason}")


def _row(outcome: Outcome, prior: Outcome, rule: str, most: float, fault: str) -> list[object]:
    if not outcome.ok:
        return [f"{outcome.budget:,}", math.nan, math.nan, "-", "-", "-", "-", "failed", "-", ""]
    gap, _ = difference(prior, outcome, rule)
    bar = "#" * max(0, round(BAR * gap / most)) if most > 0 else ""
    scores = outcome.scores[rule]
    return [
        f"{outcome.budget:,}",
        mean_score(outcome, rule),
        float(scores.std()) / len(scores) ** 0.5,
        f"{outcome.coverage[0.5]:.0%}",
        f"{outcome.coverage[0.9]:.0%}",
        f"{outcome.p:.2g}",
        f"{outcome.p_at_observation:.2g}",
        fault,
        duration(outcome.fit_seconds),
        bar,
    ]


def _printed(output: str, indent: str = "") -> str:
    """A few lines of what the process of a fit printed: the last, or those about a crash."""
    before, crash, after = output.rstrip().partition("Fatal Python error")
    lines = (crash + after).splitlines()[:LINES] if crash else before.splitlines()[-LINES:]
    return "\n".join(indent + plain(each) for each in lines)


def _as_json(
    found: Sequence[Outcome], prior: Outcome, advice: Recommendation, judges: HeldOut, permutations: int
) -> dict[str, Any]:
    rows = [_json_row(each, fault) for each, fault in zip(found, faults(found), strict=True)]
    chosen = advice.outcome
    return {
        "rule": judges.rule,
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
    """Numbers and strings; null where there is none."""
    row: dict[str, Any] = {"method": outcome.method, "budget": outcome.budget, "fault": fault}
    row |= {"error": plain(outcome.error), "warning": plain(outcome.warning), "spent": outcome.spent}
    row |= {"fit_seconds": outcome.fit_seconds, "sample_seconds": outcome.sample_seconds, "p": outcome.p}
    row |= {"p_at_observation": outcome.p_at_observation, "output": plain(outcome.output)}
    for name, values in outcome.scores.items():
        row |= {f"{name}_score": float(values.mean()), f"{name}_score_se": float(values.std()) / len(values) ** 0.5}
    row |= {f"coverage_{round(100 * level)}": value for level, value in outcome.coverage.items()}
    return {key: None if isinstance(value, float) and math.isnan(value) else value for key, value in row.items()}
