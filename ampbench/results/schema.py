"""The columns of every frame that ampbench returns, prints or reads: names, types, descriptions, allowed values.

They are defined in this module only. ``docs/schema.md`` is generated from it; frames are validated against it, and so
are the fields of stored records, which are named like the columns of :data:`RESULTS`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from ampbench.results.columns import Column, Form, Table
from ampbench.results.record import FAILURES, Run


def _is_time(text: str) -> bool:
    try:
        return bool(datetime.fromisoformat(text))
    except ValueError:
        return False


def _holds(text: str, kind: type) -> bool:
    try:
        return isinstance(json.loads(text), kind)
    except (ValueError, RecursionError):
        return False


def _status_contradiction(row: Mapping[str, Any]) -> str:
    """Return how ``status`` contradicts ``error`` and ``kind``: ok with an error, or failed without; "" if not."""
    if row["status"] == "ok":
        return next((f"{name} is {row[name]!r}, but status is 'ok'" for name in ("error", "kind") if row[name]), "")
    return "" if row["error"] else "status is 'failed', but error is empty"


KEY = Form("20 hexadecimal digits", lambda text: bool(re.fullmatch("[0-9a-f]{20}", text)))
TIME = Form("a time as ISO 8601, such as '2026-11-24T12:00:00+00:00'", _is_time)
OBJECT = Form("a JSON object", lambda text: _holds(text, dict))
ARRAY = Form("a JSON array", lambda text: _holds(text, list))

PROVENANCE = "_provenance"
"""Suffix of the column with the provenance of a metric."""

TASK = Column("task", str, "the task's spec, with every option written out")
METHOD = Column("method", str, "the method's spec as requested")
BUDGET = Column("budget", int, "number of simulations allowed", minimum=1)
OBSERVATION = Column("observation", int, "number of the task's observation")
SEED = Column("seed", int, "the seed of simulations, training and posterior sampling", minimum=0)
SAMPLES = Column("samples", int, "number of posterior samples that were compared", minimum=1)
METRIC = Column("metric", str, "the metric's name; lower is better for every metric")
CLASSIFIER = Column("classifier", str, "the classifier of the C2ST")
SAMPLES_PER_SIDE = Column(
    "samples",
    int,
    "number of samples from each distribution; missing where the source does not state it",
    optional=True,
    minimum=1,
)
AVERAGED = Column("n", int, "number of scores that were averaged", optional=True, minimum=1)

RESULTS = Table(
    "results",
    "`ampbench.load(DIR)`, `ampbench results --json` and `--csv`",
    "one run: the posterior of one fit at one observation, and its scores",
    (
        TASK,
        METHOD,
        BUDGET,
        OBSERVATION,
        SEED,
        SAMPLES,
        Column("status", str, "whether the run and all its metrics succeeded", values=("ok", "failed")),
        Column("kind", str, "the kind of failure; empty without a failure", blank=True, values=tuple(FAILURES)),
        Column("error", str, "the error message of a failure", blank=True),
        Column("findings", str, "findings of the failure atlas, or `none`; missing if it was not run", optional=True),
        Column("findings_detail", str, "all checks of the failure atlas", optional=True, form=ARRAY),
        Column("fit_seconds", float, "wall-clock seconds of the fit, which all observations share", minimum=0),
        Column("sample_seconds", float, "wall-clock seconds of drawing the samples", minimum=0),
        Column("metric_seconds", float, "wall-clock seconds of reference samples and metrics", minimum=0),
        Column("simulations", int, "number of simulations used", minimum=0),
        Column("device", str, "device of the fit", blank=True),
        Column("finished", str, "time of completion, in UTC", form=TIME),
        Column(
            "commit",
            str,
            'commit of the source checkout, with "+" for uncommitted changes; empty for a wheel',
            blank=True,
        ),
        Column("task_version", str, "the version of the task's definition"),
        Column("resolved", str, "the method's spec with every option written out"),
        Column("packages", str, "packages that computed task and method and are part of the key", blank=True),
        Column("metric_packages", str, "packages that computed the metrics and are part of the key", blank=True),
        Column("key", str, "hash of all inputs that determine the result", form=KEY),
        Column("origin", str, "`ours`, or the group that published the result; empty is read as `ours`", blank=True),
    ),
    (
        Column("<metric>_provenance", str, "provenance of the metric's value", optional=True, form=OBJECT),
        Column("version_<package>", str, "version of Python, torch, …", optional=True),
        Column(
            "<metric>",
            float,
            "value of the metric; missing where it failed",
            optional=True,
            companion="<metric>_provenance",
        ),
    ),
    _status_contradiction,
    ("status", "kind", "error"),
)


def is_reserved(metric: str) -> bool:
    """Return whether no metric may have a name, since the frame has, or may have, another column of that name.

    Example:
        >>> is_reserved("budget"), is_reserved("version_torch"), is_reserved("c2st")
        (True, True, False)
    """
    return metric in RESULTS.by_name or metric.startswith("version_") or metric.endswith(PROVENANCE)


COMPARISON = Table(
    "comparisons",
    "`ampbench.reporting.compare.summarise(frame).table`, `ampbench compare --csv`, and `table` of "
    "`ampbench compare --json`",
    "a method on a task, judged by one metric; the lowest mean comes first",
    (
        TASK,
        BUDGET,
        SAMPLES,
        METRIC,
        METHOD,
        Column("n", int, "number of scores: seeds × observations", minimum=1),
        Column("seeds", int, "number of fits", minimum=1),
        Column("observations", int, "number of observations of each fit", minimum=1),
        Column("mean", float, "the mean of the scores"),
        Column("se", float, "its standard error; missing where it cannot be estimated", optional=True, minimum=0),
        Column("low", float, "lower end of the 95 % interval of the mean", optional=True),
        Column("high", float, "upper end of the interval", optional=True),
        Column("sd_seed", float, "standard deviation of single scores between fits", optional=True, minimum=0),
        Column("sd_observation", float, "standard deviation between observations", optional=True, minimum=0),
        Column("sd_rest", float, "residual standard deviation, beyond both", optional=True, minimum=0),
        Column("sd_metric", float, "standard error of the metric itself", optional=True, minimum=0),
        Column("diff", float, "paired difference to the lowest mean", optional=True),
        Column("diff_se", float, "its standard error", optional=True, minimum=0),
        Column("diff_low", float, "lower end of its 95 % interval", optional=True),
        Column("diff_high", float, "upper end of the interval", optional=True),
        Column("diff_seeds", int, "number of seeds that both methods have", minimum=0),
        Column(
            "p",
            float,
            "p-value of that difference, by Holm's method over all pairs",
            optional=True,
            minimum=0,
            maximum=1,
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
    "a finding in the samples of a method on a task; with an empty `finding`, a method without findings",
    (
        TASK,
        BUDGET,
        SAMPLES,
        METHOD,
        Column("finding", str, "name of the finding", blank=True),
        Column("count", int, "number of runs with this finding", minimum=0),
        Column("total", int, "number of runs that were checked for it", minimum=1),
        Column("worst", float, "the largest value", optional=True),
        Column("threshold", float, "a larger value is a finding", optional=True),
        Column("observation", int, "observation of the worst case", optional=True),
        Column("seed", int, "seed of the worst case", optional=True, minimum=0),
        Column("text", str, "description of the worst case", optional=True, blank=True),
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
        Column("tasks", int, "number of tasks", minimum=2),
        Column("rank", float, "mean rank, 1 for the lowest scores", minimum=1),
        Column("low", float, "lower end of its 95 % interval", minimum=1),
        Column("high", float, "upper end of the interval", minimum=1),
    ),
)

CHOICES = ("one for all tasks", "best by this score", "not stated")
"""How the configuration of a published method was chosen."""

SEQUENTIAL = Column(
    "sequential", str, "whether the method chooses simulations by the observation", values=("yes", "no")
)
OBSERVATIONS = Column(
    "observations", int, "number of observations among them; missing where it is not stated", optional=True, minimum=1
)
CHOICE = Column(
    "choice",
    str,
    "how the configuration was chosen; `best by this score`: the lowest of several, which is too low a score",
    values=CHOICES,
)


def _of_published(column: Column) -> Column:
    """Return a column that is empty in the rows of our scores."""
    return replace(column, meaning=f"{column.meaning}; empty for ours", blank=True)


LEDGER = Table(
    "published scores",
    "`ampbench.reporting.ledger.ledger()`, `ampbench ledger --json` and `--csv`",
    "one published number",
    (
        Column("task", str, "name of the task in ampbench"),
        Column("method", str, "name of the method in the source"),
        BUDGET,
        SEQUENTIAL,
        CLASSIFIER,
        SAMPLES_PER_SIDE,
        Column("c2st", float, "the mean score", minimum=0, maximum=1),
        Column("sd", float, "standard deviation of the scores that were averaged", optional=True, minimum=0),
        Column("se", float, "standard error of the mean: as published, or else sd / √n", optional=True, minimum=0),
        AVERAGED,
        OBSERVATIONS,
        Column("seeds", int, "number of training seeds among them", optional=True, minimum=1),
        CHOICE,
        Column("source", str, "the publication, or its data: repository, commit and file"),
        Column("note", str, "a remark", blank=True),
    ),
)

PUBLISHED_COMPARISON = Table(
    "published scores beside ours",
    "`ampbench.reporting.ledger.compare_published(frame).table`, and `published` of "
    "`ampbench compare --published --json`",
    "a mean score, ours or a published one",
    (
        TASK,
        BUDGET,
        Column("method", str, "our spec, or the name of the method in the source"),
        Column("origin", str, "`ours`, or the publication"),
        CLASSIFIER,
        SAMPLES_PER_SIDE,
        AVERAGED,
        Column("mean", float, "the mean of the scores", minimum=0),
        Column("se", float, "its standard error, if all scores are independent", optional=True, minimum=0),
        OBSERVATIONS,
        _of_published(SEQUENTIAL),
        _of_published(CHOICE),
    ),
)

STRONGEST = Table(
    "strongest published scores",
    "`ampbench.reporting.strongest.strongest(frame)`, and `strongest` of `ampbench compare --published --json`",
    "the lowest published score of a task, budget, classifier and number of samples; where it is of a sequential "
    "method, the lowest of the others follows",
    (
        TASK,
        BUDGET,
        CLASSIFIER,
        Column("samples", int, "number of samples from each distribution", minimum=1),
        Column("method", str, "name of the method in the source"),
        Column("mean", float, "its mean score", minimum=0, maximum=1),
        Column("se", float, "standard error of the mean", optional=True, minimum=0),
        AVERAGED,
        OBSERVATIONS,
        SEQUENTIAL,
        CHOICE,
        Column("origin", str, "the publication"),
        Column("ours", str, "spec of our method with the lowest mean by the same classifier; empty: none", blank=True),
        Column("ours_mean", float, "its mean score", optional=True, minimum=0, maximum=1),
        Column("ours_n", int, "number of our scores that were averaged", optional=True, minimum=1),
    ),
)

REPRODUCED = Table(
    "reproductions",
    "`ampbench.reporting.ledger.reproduced(frame, study)`",
    "a cell of a published table, and our results for it",
    (
        TASK,
        BUDGET,
        Column("method", str, "name of the method in the source"),
        Column("n", int, "number of our scores that were averaged", minimum=1),
        Column("ours", float, "our mean"),
        Column("se", float, "its standard error", optional=True, minimum=0),
        Column("theirs", float, "the published mean"),
        Column("their_se", float, "its standard error", optional=True, minimum=0),
        Column("diff", float, "ours − theirs"),
        Column("diff_in_se", float, "diff over √(se² + their_se²)", optional=True),
    ),
)

HISTORY = Table(
    "histories",
    "`posterior.history` of adversarial message passing, and of a learned model",
    "an evaluation of the held-out score during training",
    (
        Column("step", int, "number of updates of the adversaries so far", minimum=0),
        Column(
            "held_out_score",
            float,
            "held-out score of the averaged families after this step; lower is better",
            optional=True,
        ),
    ),
    (
        Column(
            "<player> gradient norm",
            float,
            "Euclidean norm of the player's whole gradient, before the update",
            optional=True,
        ),
        Column("<player> learning rate", float, "learning rate of this step", optional=True),
        Column(
            "<player> loss <tuple>",
            float,
            "the player's loss at a tuple, on the minibatch of this step, before the update",
            optional=True,
        ),
        Column(
            "held-out adversary loss",
            float,
            "eq. 7 on held-out simulations, in the last rows, where only the adversary is trained; an uninformative "
            "adversary has log 4 = 1.386",
            optional=True,
            minimum=0,
        ),
    ),
)

DIAGNOSIS = Table(
    "diagnoses",
    "`diagnose()` of a posterior of adversarial message passing or of a learned model, and the files of "
    "`AMPBENCH_DIAGNOSTICS`",
    "a local tuple, at which model and fit are compared on held-out simulations, or model and data on held-out rows",
    (
        Column("tuple", str, "variables and context of the tuple"),
        Column("simulations", int, "number of held-out simulations or rows", minimum=1),
        Column(
            "accuracy", float, "accuracy of newly trained classifiers; 0.5 if nothing differs", minimum=0, maximum=1
        ),
        Column("accuracy_error", float, "its standard error", minimum=0),
        Column(
            "p_value", float, "p-value of the hypothesis that the two distributions are equal", minimum=0, maximum=1
        ),
        Column("jsd", float, "bound on JSD(q‖p), in nats"),
        Column("jsd_error", float, "its standard error", minimum=0),
        Column("kl", float, "bound on KL(q‖p), in nats"),
        Column("kl_error", float, "its standard error", minimum=0),
        Column(
            "adversary_accuracy",
            float,
            "accuracy of the trained adversary; missing where it learns no log-ratio",
            optional=True,
            minimum=0,
            maximum=1,
        ),
        Column("adversary_error", float, "its standard error", optional=True, minimum=0),
        Column(
            "adversary_p_value",
            float,
            "p-value as `p_value`, of the trained adversary",
            optional=True,
            minimum=0,
            maximum=1,
        ),
        Column(
            "verdict",
            str,
            "`small difference`: significant, but no accuracy exceeds 0.55 significantly",
            values=("no difference found", "small difference", "told apart"),
        ),
    ),
)

ASSESSMENT = Table(
    "assessments",
    "`fits` of `ampbench assess --json`; its `prior` is such a row too",
    "a method with a budget on your simulator; a failed fit has an `error`, and no scores",
    (
        METHOD,
        Column("budget", int, "number of simulations allowed; 0 for the prior", minimum=0),
        Column(
            "fault",
            str,
            "fault of calibration; empty for a failed fit, and for the prior",
            blank=True,
            values=("none found", "overconfident", "underconfident", "biased"),
        ),
        Column("error", str, "the error message of a failed fit", blank=True),
        Column("warning", str, "warnings of the fit", blank=True),
        Column("spent", int, "number of simulations used, failed ones included", minimum=0),
        Column("failures", int, "number of these simulations that failed", minimum=0),
        Column("fit_seconds", float, "wall-clock seconds of the fit", optional=True, minimum=0),
        Column(
            "sample_seconds", float, "mean wall-clock seconds of drawing for one observation", optional=True, minimum=0
        ),
        Column(
            "p",
            float,
            "p-value of the hypothesis of calibration, corrected for the tests of the fit",
            optional=True,
            minimum=0,
            maximum=1,
        ),
        Column(
            "p_at_observation",
            float,
            "p-value of the hypothesis that the posterior is exact at the given observation, by L-C2ST",
            optional=True,
            minimum=0,
            maximum=1,
        ),
        Column("output", str, "the end of the output of a fit whose process crashed", blank=True),
    ),
    (
        Column("<rule>_score_se", float, "standard error of the mean score", optional=True, minimum=0),
        Column(
            "<rule>_score", float, "mean held-out score by the rule `log` or `energy`; lower is better", optional=True
        ),
        Column(
            "coverage_<level>",
            float,
            "frequency with which central intervals of this level (in per cent) contain the truth",
            optional=True,
            minimum=0,
            maximum=1,
        ),
    ),
)

RUN_COLUMNS = (Column("key", str, "the run's key", form=KEY), TASK, METHOD, BUDGET, SEED, OBSERVATION)
"""The columns that identify a run."""


def run_cells(run: Run) -> dict[str, object]:
    """Return the cells of :data:`RUN_COLUMNS` for a run."""
    return {column.name: getattr(run, column.name) for column in RUN_COLUMNS}


PLAN = Table(
    "plans",
    "`ampbench plan --json`",
    "a run of a sweep, and its state",
    (
        *RUN_COLUMNS,
        Column("fit", str, "hash of the fit, equal for all runs of one fit"),
        Column(
            "state",
            str,
            "`drawn`: samples are stored, and only metrics are to be computed; `fitted`: the fit is stored",
            values=("done", "failed", "damaged", "drawn", "fitted", "missing"),
        ),
        Column("detail", str, "the error of a failed run, or the fault of a damaged one", blank=True),
    ),
)

FAILED_RUNS = Table(
    "failures",
    "`ampbench failures --json`",
    "a run that failed",
    (
        *RUN_COLUMNS,
        Column("kind", str, "the kind of failure", values=tuple(FAILURES)),
        Column("error", str, "the error message"),
        Column("traceback", str, "the traceback", blank=True),
        Column("finished", str, "time of completion, in UTC", form=TIME),
    ),
)

CERTIFICATION = Table(
    "certifications",
    "`ampbench verify --json`",
    "a check of a task",
    (
        TASK,
        Column("check", str, "name of the check"),
        Column("verdict", str, "result of the check", values=("ok", "failed", "skipped")),
        Column("detail", str, "samples and statistics of the check", blank=True),
        Column("p", float, "p-value of a test", optional=True, minimum=0, maximum=1),
    ),
)

TABLES = (
    RESULTS,
    COMPARISON,
    FINDINGS,
    RANKS,
    LEDGER,
    PUBLISHED_COMPARISON,
    STRONGEST,
    REPRODUCED,
    HISTORY,
    DIAGNOSIS,
    ASSESSMENT,
    PLAN,
    FAILED_RUNS,
    CERTIFICATION,
)
"""All tables, in the order of the documentation."""
