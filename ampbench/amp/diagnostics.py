r"""What adversaries say about a fit: a local two-sample test at every tuple, on simulations that trained nothing.

For each held-out simulation the model shows a tuple, t ~ p, and the bottom-up chain that starts from the same evidence
shows another, s ~ q. Where the fit is exact, d = log p − log q is 0, and nobody can tell which one is which. Any
function d says "p" where it is positive, and

.. math::
    \text{accuracy} &= \tfrac12 \Pr[d(t) > 0] + \tfrac12 \Pr[d(s) < 0], \\
    \mathrm{JSD}(q \| p) &\ge \log 2
        - \tfrac12 \mathbb E[\log(1 + e^{-d(t)})] - \tfrac12 \mathbb E[\log(1 + e^{d(s)})], \\
    \mathrm{KL}(q \| p) &\ge 1 - \mathbb E[d(s)] - \mathbb E[e^{-d(t)}],

with equality for the true log-ratio; any other d, weaker or cut off, gives less. On simulations that d was not made
from, the sample means are unbiased estimates of the right-hand sides. There are two such d:

* **the trained adversary**, if its divergence declares that it learns a log-ratio
  (:class:`~ampbench.interfaces.HasLogRatio`). It was trained against the families of the last step, under a gradient
  penalty, and may be blind to what is left;
* **a fresh classifier**, which looks at nothing but these tuples, with cross-fitting: each fold of the simulations is
  judged by a classifier that was trained on the others.

A model that was learned from data has simulations of its own, but no evidence beside them. There t is a sample of the
model, s a held-out row with inferred latents, and d = 0 everywhere says that model and inverse are both right: that the
model's tuples are those of the data.

**The p-value.** If the chain is exact, t and s are exchangeable, whether they share the evidence or are independent:
then "d takes t for p and s for q" is as likely as "s for p and t for q", whatever d is. Pairs of which d thinks the
same say nothing. So the number of pairs that d gets right, among those that it gets right or wrong, is binomial with
probability ½, exactly, for every n.
Counts of different folds are *not* independent: classifiers that chase the same chance difference agree. So the folds'
p-values are joined by Bonferroni's rule, K · min p, which holds under any dependence.

What it cannot say: that a fit is good where the classifier is weak or simulations are few. That no difference was found
is no proof of none. The held-out simulations have chosen the checkpoint; simulations made afresh have not.

References:
    Lopez-Paz & Oquab 2017, *Revisiting classifier two-sample tests*, arXiv:1610.06545.
    Linhart, Gramfort, Rodrigues 2023, *L-C2ST: local diagnostics for posterior approximations in simulation-based
    inference*, arXiv:2306.03580.
    Nguyen, Wainwright, Jordan 2010, *Estimating divergence functionals and the likelihood ratio by convex risk
    minimization*, arXiv:0809.0853 (the bound on KL).
    McNemar 1947, *Note on the sampling error of the difference between correlated proportions or percentages*.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from ampbench.amp.chains import Chain
from ampbench.amp.comparisons import LocalComparison, TuplesBySite, bottom_up_view, forced_view, top_down_view, view
from ampbench.errors import FitWarning, UsageError
from ampbench.graph.rows import Rows
from ampbench.interfaces import HasLogRatio
from ampbench.networks import train_classifier

if TYPE_CHECKING:
    from pandas import DataFrame

TOLERATED = 0.55
"""An accuracy that is surely above this is worth a warning: the sides are told apart at every ninth tuple or more."""

SURELY = 3.0
"""Standard errors between an accuracy and what it is surely above."""

ROWS = 5000
"""At most so many held-out simulations are kept beside a posterior, and rows of each group beside a learned model."""


@dataclass(frozen=True)
class ChainPair:
    """Two chains and what has learned to tell them apart.

    Attributes:
        bottom_up: what infers: the families, or a part of their draws.
        comparisons: where they meet the model.
        adversaries: one per comparison, at the end of training.
    """

    bottom_up: Chain
    comparisons: Sequence[LocalComparison]
    adversaries: Sequence[nn.Module]

    @torch.no_grad()
    def on_simulations(self, simulations: Rows, teacher_forcing: bool) -> tuple[TuplesBySite, TuplesBySite]:
        """Return what p and q show at every comparison, one tuple of q, (1, n, ·), for each of p, (n, ·).

        Arguments:
            simulations: one tensor (n, D_i) per variable, in network coordinates, that trained nothing.
            teacher_forcing: whether q starts from the simulated context, rather than from the evidence: each family is
                tested on its own, without what the factors before it got wrong.
        """
        p = top_down_view(simulations, self.comparisons)
        if teacher_forcing:
            return p, forced_view(self.bottom_up, simulations, self.comparisons, 1)
        starts = dict.fromkeys(comparison.evidence for comparison in self.comparisons)
        evidence = [{name: simulations[name] for name in names} for names in starts]
        return p, bottom_up_view(self.bottom_up, evidence, self.comparisons, 1)

    @torch.no_grad()
    def on_data(self, model: Callable[[int], Rows], data: Iterable[Rows]) -> tuple[TuplesBySite, TuplesBySite]:
        """Return the same for samples of a model, and rows of data with inferred latents.

        Arguments:
            model: draws so many samples of every variable, in network coordinates.
            data: for each group, one tensor (n, D_i) per variable that it holds, in network coordinates, that trained
                nothing. Meetings whose evidence no group holds are left out.
        """
        groups = {frozenset(rows): rows for rows in data}
        comparisons = [comparison for comparison in self.comparisons if comparison.evidence in groups]
        drawn = {held: model(len(next(iter(rows.values())))) for held, rows in groups.items()}
        p = {
            comparison: view(drawn[comparison.evidence], comparison.site, comparison.densities)
            for comparison in comparisons
        }
        return p, bottom_up_view(self.bottom_up, groups.values(), comparisons, 1)

    @torch.no_grad()
    def log_ratios(self, p: TuplesBySite, q: TuplesBySite) -> dict[LocalComparison, tuple[Tensor, Tensor]]:
        """Return the logits (n,) of p and of q that the trained adversaries give, where they are log-ratios."""
        found = {}
        for comparison, adversary in zip(self.comparisons, self.adversaries, strict=True):
            divergence = comparison.divergence
            if comparison in p and isinstance(divergence, HasLogRatio):
                found[comparison] = (
                    divergence.log_ratio(adversary, p[comparison]),
                    divergence.log_ratio(adversary, q[comparison])[0],
                )
        return found


@dataclass(frozen=True)
class Estimate:
    """A mean over independent simulations, and its standard error."""

    value: float
    error: float

    @classmethod
    def of(cls, values: Tensor) -> Estimate:
        """Return the mean of values (n,); a single one may be anywhere."""
        error = float(values.std()) / math.sqrt(len(values)) if len(values) > 1 else math.inf
        return cls(float(values.mean()), error)

    @property
    def surely_above(self) -> float:
        """A bound from below."""
        return self.value - SURELY * self.error


def accuracy(d_p: Tensor, d_q: Tensor) -> Estimate:
    """Return how often logits (n,) of both sides have the right sign; a logit of 0 is right half of the time."""
    return Estimate.of(0.5 + (d_p.sign() - d_q.sign()) / 4)


def p_value(d_p: Tensor, d_q: Tensor) -> float:
    """Return the exact one-sided p-value of logits (n,) of exchangeable pairs; d must not depend on these pairs."""
    from scipy.stats import binomtest

    right, wrong = int((d_p.sign() > d_q.sign()).sum()), int((d_p.sign() < d_q.sign()).sum())
    return float(binomtest(right, right + wrong, alternative="greater").pvalue) if right + wrong else 1.0


def jsd(d_p: Tensor, d_q: Tensor) -> Estimate:
    """Return the bound on the Jensen-Shannon divergence, in nats."""
    return Estimate.of(math.log(2) - softplus(-d_p) / 2 - softplus(d_q) / 2)


def kl(d_p: Tensor, d_q: Tensor) -> Estimate:
    """Return the bound on KL(q‖p), in nats, with ratios cut off at √n: larger ones hang on a handful of tuples."""
    limit = math.log(len(d_p)) / 2
    d_p, d_q = d_p.clamp(-limit, limit), d_q.clamp(-limit, limit)
    return Estimate.of(1 - d_q - torch.exp(-d_p))


def diagnose(pair: ChainPair, p: TuplesBySite, q: TuplesBySite, folds: int, level: float) -> DataFrame:
    """Test at every tuple whether the chains can be told apart.

    Arguments:
        pair: the chains.
        p, q: what they show, as :meth:`ChainPair.on_simulations` or :meth:`ChainPair.on_data` returns it.
        folds: K of the cross-fitting.
        level: how often a fit that is exact at every tuple may be called different at any.

    Returns:
        One row per tuple, with the columns of :data:`ampbench.results.schema.DIAGNOSIS`.

        Errors are standard errors over simulations. A difference is found where a p-value, times twice the number of
        tuples, is below the level; it is small unless an accuracy is surely above :data:`TOLERATED`.

    Raises:
        UsageError: fewer than 10 simulations per fold, fewer than two folds, or a level outside (0, 1).
    """
    import pandas as pd

    for comparison, tuples in p.items():
        if folds < 2 or len(tuples.joint) < 10 * folds:
            raise UsageError(
                f"a diagnosis needs at least 2 folds of 10 simulations or rows, got {len(tuples.joint)} and {folds} "
                f"folds at {comparison}; hold out a larger fraction, or give fresh ones to diagnose()"
            )
    if not 0 < level < 1:
        raise UsageError(f"the level of a test lies between 0 and 1, got {level}")
    trained = pair.log_ratios(p, q)
    rows = []
    for comparison in p:
        parts = _cross_fit(p[comparison].joint, q[comparison].joint[0], folds)
        seen = _fresh(parts)
        seen |= _of_adversary(*trained[comparison]) if comparison in trained else dict.fromkeys(ADVERSARY, math.nan)
        verdict = _verdict(seen, level / (2 * len(p)))
        rows.append({"tuple": str(comparison), "simulations": len(p[comparison].joint), **seen, "verdict": verdict})
    return pd.DataFrame(rows)


def warn_if_told_apart(pair: ChainPair, p: TuplesBySite, q: TuplesBySite, advice: str) -> None:
    """Warn with :class:`FitWarning` if an adversary surely tells the chains apart after its training.

    Arguments:
        pair: the chains.
        p, q: what they show; see :func:`diagnose`.
        advice: what to do about it.
    """
    found = {comparison: accuracy(*d) for comparison, d in pair.log_ratios(p, q).items()}
    apart = {comparison: each for comparison, each in found.items() if each.surely_above > TOLERATED}
    if apart:
        places = ", ".join(
            f"{where} with accuracy {each.value:.2f} ± {each.error:.2f} on {len(p[where].joint)} held-out tuples"
            for where, each in apart.items()
        )
        warnings.warn(
            f"adversaries still tell the chains apart at the end of training: at {places} (0.5 is perfect); {advice}",
            FitWarning,
            stacklevel=3,
        )


ADVERSARY = ("adversary_accuracy", "adversary_error", "adversary_p_value")

Logits = tuple[Tensor, Tensor]


def _cross_fit(p: Tensor, q: Tensor, folds: int) -> list[Logits]:
    """The logits of each fold, by a classifier that was trained on the others."""
    fold = torch.arange(len(p), device=p.device) % folds
    judged = []
    for k in range(folds):
        d = train_classifier(p[fold != k], q[fold != k])
        judged.append((d(p[fold == k]), d(q[fold == k])))
    return judged


def _fresh(parts: Sequence[Logits]) -> dict[str, float]:
    d_p, d_q = (torch.cat(side) for side in zip(*parts, strict=True))
    right, of_jsd, of_kl = accuracy(d_p, d_q), jsd(d_p, d_q), kl(d_p, d_q)
    return {
        "accuracy": right.value,
        "accuracy_error": right.error,
        "p_value": min(1.0, len(parts) * min(p_value(*part) for part in parts)),
        "jsd": of_jsd.value,
        "jsd_error": of_jsd.error,
        "kl": of_kl.value,
        "kl_error": of_kl.error,
    }


def _of_adversary(d_p: Tensor, d_q: Tensor) -> dict[str, float]:
    right = accuracy(d_p, d_q)
    return dict(zip(ADVERSARY, (right.value, right.error, p_value(d_p, d_q)), strict=True))


def _verdict(seen: Mapping[str, float], level: float) -> str:
    """Say what two tests found; NaN compares as nothing found."""
    if not (seen["p_value"] < level or seen["adversary_p_value"] < level):
        return "no difference found"
    fresh = Estimate(seen["accuracy"], seen["accuracy_error"])
    trained = Estimate(seen["adversary_accuracy"], seen["adversary_error"])
    large = fresh.surely_above > TOLERATED or trained.surely_above > TOLERATED
    return "told apart" if large else "small difference"
