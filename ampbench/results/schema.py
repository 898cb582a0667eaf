"""The columns of every frame that ampbench returns, prints or reads: names, types, meaning, and what is allowed.

This is the one place where they are defined. ``docs/schema.md`` is written from it, frames are checked against it, and
so are the fields of stored records, which have the names of the columns of :data:`RESULTS`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from ampbench.results.columns import Column, Form, Table
from ampbench.results.record import FAILURES


def _is_time(text: str) -> bool:
    try:
        return bool(datetime.fromisoformat(text))
    except ValueError:
        return False


def _holds(text: str, kind: type) -> bool:
    try:
        return isinstance(json.loads(text), kind)
    except ValueError:
        return False


def _same_story(row: Mapping[str, Any]) -> str:
    """A run that went well has no error, and one that failed says why."""
    if row["status"] == "ok":
        return next((f"{name} is {row[name]!r}, but status is 'ok'" for name in ("error", "kind") if row[name]), "")
    return "" if row["error"] else "status is 'failed', but error is empty"


KEY = Form("20 hexadecimal digits", lambda text: bool(re.fullmatch("[0-9a-f]{20}", text)))
TIME = Form("a time as ISO 8601, such as '2026-11-24T12:00:00+00:00'", _is_time)
OBJECT = Form("a JSON object", lambda text: _holds(text, dict))
ARRAY = Form("a JSON array", lambda text: _holds(text, list))

TASK = Column("task", str, "the task's spec, with every option written out")
METHOD = Column("method", str, "the method's spec as it was asked for")
BUDGET = Column("budget", int, "simulations allowed", least=1)
OBSERVATION = Column("observation", int, "number of the task's observation")
SEED = Column("seed", int, "the seed of simulations, training and posterior sampling", least=0)
SAMPLES = Column("samples", int, "posterior samples that were compared", least=1)
METRIC = Column("metric", str, "the metric's name; of every metric, lower is better")

RESULTS = Table(
    "results",
    "`ampbench.load(DIR)`, `ampbench results --json` and `--csv`",
    "one run: a posterior of one fit, for one observation, and its scores",
    (
        TASK,
        METHOD,
        BUDGET,
        OBSERVATION,
        SEED,
        SAMPLES,
        Column("status", str, "whether the run and all its metrics went well", values=("ok", "failed")),
        Column("kind", str, "the kind of failure", blank=True, values=tuple(FAILURES)),
        Column("error", str, "why it failed", blank=True),
        Column("findings", str, "what the failure atlas found, or `none`; missing if nobody looked", optional=True),
        Column("findings_detail", str, "all its checks", optional=True, form=ARRAY),
        Column("fit_seconds", float, "wall-clock seconds of the fit, which all observations share", least=0),
        Column("sample_seconds", float, "wall-clock seconds of drawing the samples", least=0),
        Column("metric_seconds", float, "wall-clock seconds of reference samples and metrics", least=0),
        Column("simulations", int, "simulations used", least=0),
        Column("device", str, "where it ran", blank=True),
        Column("finished", str, "when, in UTC", form=TIME),
        Column("commit", str, 'the commit of a source checkout; "+": with changes; empty for a wheel', blank=True),
        Column("task_version", str, "the version of the task's definition"),
        Column("resolved", str, "the method's spec with every option written out"),
        Column("packages", str, "what task and method were computed with, as far as it is part of the key", blank=True),
        Column("metric_packages", str, "the same of the metrics", blank=True),
        Column("key", str, "the hash of all that determines the result", form=KEY),
    ),
    (
        Column("<metric>_provenance", str, "how the value came about", optional=True, form=OBJECT),
        Column("version_<package>", str, "of Python, torch, …", optional=True),
        Column("<metric>", float, "the value; missing where it failed", optional=True, beside="<metric>_provenance"),
    ),
    _same_story,
)

COMPARISON = Table(
    "comparisons",
    "`ampbench.reporting.compare.summarise(frame).table`, `ampbench compare --csv`, and `table` of "
    "`ampbench compare --json`",
    "a method on a task, by one metric; the lowest mean comes first",
    (
        TASK,
        BUDGET,
        SAMPLES,
        METRIC,
        METHOD,
        Column("n", int, "scores: seeds × observations", least=1),
        Column("seeds", int, "fits", least=1),
        Column("observations", int, "observations of each fit", least=1),
        Column("mean", float, "the mean of the scores"),
        Column("se", float, "its standard error; missing where the scores cannot tell", optional=True, least=0),
        Column("low", float, "lower end of the 95 % interval of the mean", optional=True),
        Column("high", float, "upper end", optional=True),
        Column("sd_seed", float, "standard deviation of single scores between fits", optional=True, least=0),
        Column("sd_observation", float, "between observations", optional=True, least=0),
        Column("sd_rest", float, "of one fit on one observation, beyond both", optional=True, least=0),
        Column("sd_metric", float, "the metric's own noise", optional=True, least=0),
        Column("diff", float, "paired difference to the lowest mean", optional=True),
        Column("diff_se", float, "its standard error", optional=True, least=0),
        Column("diff_low", float, "lower end of its 95 % interval", optional=True),
        Column("diff_high", float, "upper end", optional=True),
        Column("diff_seeds", int, "seeds that both have", least=0),
        Column(
            "p", float, "p-value of that difference, by Holm's method over all pairs", optional=True, least=0, most=1
        ),
        Column(
            "verdict",
            str,
            "`best`: all others are worse; `worse`: p < .05 over three seeds, `worse fit`: over fewer; `unknown`: too "
            "few common scores",
            values=("best", "lowest", "worse", "worse fit", "tied", "unknown"),
        ),
    ),
)

FINDINGS = Table(
    "findings",
    "`ampbench.reporting.compare.summarise(frame).findings`, `findings` of `ampbench compare --json`, "
    "`ampbench atlas --json`",
    "a failure that was found in samples of a method on a task; with an empty finding: that nothing was found",
    (
        TASK,
        BUDGET,
        SAMPLES,
        METHOD,
        Column("finding", str, "its name", blank=True),
        Column("count", int, "in how many runs", least=0),
        Column("of", int, "of how many that were checked for it", least=1),
        Column("worst", float, "the largest value", optional=True),
        Column("threshold", float, "what that has to exceed", optional=True),
        Column("observation", int, "of the worst case", optional=True),
        Column("seed", int, "of the worst case", optional=True, least=0),
        Column("text", str, "what else is known of the worst case", optional=True, blank=True),
    ),
)

RANKS = Table(
    "ranks",
    "`ampbench.reporting.compare.summarise(frame).ranks`, and `ranks` of `ampbench compare --json`",
    "a method's mean rank over the tasks on which all methods have scores",
    (
        BUDGET,
        SAMPLES,
        METRIC,
        METHOD,
        Column("tasks", int, "tasks ranked", least=2),
        Column("rank", float, "mean rank, 1 for the lowest scores", least=1),
        Column("low", float, "lower end of its 95 % interval", least=1),
        Column("high", float, "upper end", least=1),
    ),
)

LEDGER = Table(
    "published scores",
    "`ampbench.reporting.ledger.ledger()`, `ampbench ledger --json` and `--csv`",
    "one published number",
    (
        Column("task", str, "name of the task, as ours"),
        Column("method", str, "its name in the source"),
        BUDGET,
        Column("classifier", str, "of the C2ST"),
        Column("samples", int, "on each side; missing where the source does not say", optional=True, least=1),
        Column("c2st", float, "the mean score", least=0, most=1),
        Column("sd", float, "standard deviation of the scores that were averaged", optional=True, least=0),
        Column("se", float, "of the mean: the published one, or else sd / √n", optional=True, least=0),
        Column("n", int, "scores that were averaged", optional=True, least=1),
        Column("seeds", int, "training seeds among them", optional=True, least=1),
        Column("source", str, "where it was published"),
        Column("note", str, "what to know about it", blank=True),
    ),
)

BESIDE = Table(
    "published scores beside ours",
    "`ampbench.reporting.ledger.beside(frame).table`, and `published` of `ampbench compare --published --json`",
    "a mean score, of ours or of the literature",
    (
        TASK,
        BUDGET,
        Column("method", str, "our spec, or the name in the source"),
        Column("origin", str, "`ours`, or where it was published"),
        Column("classifier", str, "of the C2ST"),
        Column("samples", int, "on each side; missing where the source does not say", optional=True, least=1),
        Column("n", int, "scores that were averaged", optional=True, least=1),
        Column("mean", float, "the mean of the scores", least=0),
        Column("se", float, "its standard error, as if all scores were of independent fits", optional=True, least=0),
    ),
)

REPRODUCED = Table(
    "reproductions",
    "`ampbench.reporting.ledger.reproduced(frame, study)`",
    "a cell of a published table, run again",
    (
        TASK,
        BUDGET,
        Column("method", str, "its name in the source"),
        Column("n", int, "our scores that were averaged", least=1),
        Column("ours", float, "our mean"),
        Column("se", float, "its standard error", optional=True, least=0),
        Column("theirs", float, "the published mean"),
        Column("their_se", float, "its standard error", optional=True, least=0),
        Column("diff", float, "ours − theirs"),
        Column("diff_in_se", float, "diff over √(se² + their_se²)", optional=True),
    ),
)

HISTORY = Table(
    "histories",
    "`posterior.history` of adversarial message passing, and of a model that was learned",
    "a check of the held-out score in training",
    (
        Column("step", int, "how many updates the adversaries have had", least=0),
        Column("held_out_score", float, "of the averaged families after this step; lower is better", optional=True),
    ),
    (
        Column(
            "<player> gradient norm",
            float,
            "Euclidean norm of the player's whole gradient, before it moved",
            optional=True,
        ),
        Column("<player> learning rate", float, "of this step", optional=True),
        Column(
            "<player> loss <tuple>",
            float,
            "the player's loss at a tuple, on the minibatch of this step, before the player moved",
            optional=True,
        ),
        Column(
            "held-out adversary loss",
            float,
            "eq. 7 on held-out simulations, in the rows at the end, where the adversary is alone; 1.386 says nothing",
            optional=True,
            least=0,
        ),
    ),
)

DIAGNOSIS = Table(
    "diagnoses",
    "`diagnose()` of a posterior of adversarial message passing or of a learned model, and the files of "
    "`AMPBENCH_DIAGNOSTICS`",
    "a local tuple, at which model and fit are compared on held-out simulations, or model and data on held-out rows",
    (
        Column("tuple", str, "its variables and context"),
        Column("simulations", int, "or rows that were held out", least=1),
        Column("accuracy", float, "of fresh classifiers; 0.5 is perfect", least=0, most=1),
        Column("accuracy_error", float, "its standard error", least=0),
        Column("p_value", float, "of the hypothesis that there is nothing to tell apart", least=0, most=1),
        Column("jsd", float, "bound on JSD(q‖p), in nats"),
        Column("jsd_error", float, "its standard error", least=0),
        Column("kl", float, "bound on KL(q‖p), in nats"),
        Column("kl_error", float, "its standard error", least=0),
        Column(
            "adversary_accuracy",
            float,
            "of the trained adversary; missing where it learns no log-ratio",
            optional=True,
            least=0,
            most=1,
        ),
        Column("adversary_error", float, "its standard error", optional=True, least=0),
        Column("adversary_p_value", float, "as `p_value`", optional=True, least=0, most=1),
        Column(
            "verdict",
            str,
            "`small difference`: found, but no accuracy is surely above 0.55",
            values=("no difference found", "small difference", "told apart"),
        ),
    ),
)

ASSESSMENT = Table(
    "assessments",
    "`fits` of `ampbench assess --json`; its `prior` is such a row too",
    "a method with a budget on your simulator; a fit that failed has `error`, and no numbers",
    (
        METHOD,
        Column("budget", int, "simulations allowed; 0 of the prior", least=0),
        Column(
            "fault",
            str,
            "of calibration; empty for a fit that failed, and for the prior",
            blank=True,
            values=("none found", "overconfident", "underconfident", "biased"),
        ),
        Column("error", str, "why it failed", blank=True),
        Column("warning", str, "what the fit warned of", blank=True),
        Column("spent", int, "simulations used", least=0),
        Column("fit_seconds", float, "wall-clock seconds of the fit", optional=True, least=0),
        Column(
            "sample_seconds", float, "mean wall-clock seconds of drawing for one observation", optional=True, least=0
        ),
        Column("p", float, "p-value of being calibrated, corrected within the fit", optional=True, least=0, most=1),
        Column(
            "p_at_observation",
            float,
            "p-value of being right at the observation that was given, by L-C2ST",
            optional=True,
            least=0,
            most=1,
        ),
        Column("output", str, "the last that a fit said which ended its process", blank=True),
    ),
    (
        Column("<rule>_score_se", float, "its standard error", optional=True, least=0),
        Column(
            "<rule>_score", float, "mean held-out score by a rule, `log` or `energy`; lower is better", optional=True
        ),
        Column(
            "coverage_<level>",
            float,
            "how often intervals of so many per cent hold the truth",
            optional=True,
            least=0,
            most=1,
        ),
    ),
)

RUN = (Column("key", str, "the run's key", form=KEY), TASK, METHOD, BUDGET, SEED, OBSERVATION)
"""What says which run a row is about."""

PLAN = Table(
    "plans",
    "`ampbench plan --json`",
    "a run of a sweep, and how it stands",
    (
        *RUN,
        Column("fit", str, "runs that share a fit share this"),
        Column(
            "state",
            str,
            "`drawn`: only metrics are to be computed",
            values=("done", "failed", "damaged", "drawn", "fitted", "missing"),
        ),
        Column("detail", str, "the error of a failed run; what is wrong with a damaged one", blank=True),
    ),
)

FAILED = Table(
    "failures",
    "`ampbench failures --json`",
    "a run that failed",
    (
        *RUN,
        Column("kind", str, "the kind of failure", values=tuple(FAILURES)),
        Column("error", str, "what was said"),
        Column("traceback", str, "where it happened", blank=True),
        Column("finished", str, "when, in UTC", form=TIME),
    ),
)

CERTIFICATION = Table(
    "certifications",
    "`ampbench verify --json`",
    "a check of a task",
    (
        TASK,
        Column("check", str, "its name"),
        Column("verdict", str, "what came of it", values=("ok", "failed", "skipped")),
        Column("detail", str, "what was looked at, and seen", blank=True),
        Column("p", float, "p-value of a test", optional=True, least=0, most=1),
    ),
)

TABLES = (
    RESULTS,
    COMPARISON,
    FINDINGS,
    RANKS,
    LEDGER,
    BESIDE,
    REPRODUCED,
    HISTORY,
    DIAGNOSIS,
    ASSESSMENT,
    PLAN,
    FAILED,
    CERTIFICATION,
)
"""All of them."""
