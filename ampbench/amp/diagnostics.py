r"""Diagnosis of a fit: a local two-sample test at every tuple, on held-out simulations.

For each held-out simulation there is a tuple of the model, t ~ p, and a tuple of the bottom-up chain with the same
evidence, s ~ q. If the fit is exact, d = log p − log q is 0, and t and s cannot be distinguished. Any function d
classifies a tuple as one of p where it is positive, and

.. math::
    \text{accuracy} &= \tfrac12 \Pr[d(t) > 0] + \tfrac12 \Pr[d(s) < 0], \\
    \mathrm{JSD}(q \| p) &\ge \log 2
        - \tfrac12 \mathbb E[\log(1 + e^{-d(t)})] - \tfrac12 \mathbb E[\log(1 + e^{d(s)})], \\
    \mathrm{KL}(q \| p) &\ge 1 - \mathbb E[d(s)] - \mathbb E[e^{-d(t)}],

with equality for the true log-ratio; a less accurate or truncated d gives smaller values. On simulations that did not
train d, sample means are unbiased estimates of the right-hand sides. There are two such functions d:

* **the trained adversary**, if its divergence estimates a log-ratio (:class:`~ampbench.interfaces.HasLogRatio`). It was
  trained against the families of the last step, under a gradient penalty, and may not detect the remaining error;
* **a new classifier** for these tuples, with cross-fitting: each fold of the simulations is classified by a network
  that was trained on the other folds.

For a model that was learned from data, t is a sample of the model, and s a held-out row of data with inferred latents:
they have no evidence in common. There d = 0 at every tuple means that both model and inverse are right: the tuples of
the model have the distribution of the tuples of the data.

**The p-value.** If the fit is exact, t and s are exchangeable, whether they share the evidence or are independent. Then
for any d, the event "d(t) > 0 and d(s) < 0" has the probability of the event "d(s) > 0 and d(t) < 0". Pairs with other
signs carry no information. So the number of pairs that d classifies right, among those that it classifies right or
wrong, is binomial with probability ½, exactly, for every n. Counts of different folds are *not* independent, since
their classifiers may fit the same chance difference. The folds' p-values are therefore combined by Bonferroni's rule, K
· min p, which holds under any dependence.

Limits: a weak classifier, or few simulations, may not detect an error, so that "no difference found" does not prove
that the fit is exact. The held-out simulations have chosen the checkpoint; newly drawn simulations have not.

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
from ampbench.counts import whole
from ampbench.errors import FitWarning, UsageError
from ampbench.graph.rows import Rows
from ampbench.interfaces import HasLogRatio
from ampbench.networks import train_classifier

if TYPE_CHECKING:
    from pandas import DataFrame

TOLERATED_ACCURACY = 0.55
"""A fit is reported if an accuracy is above this value by :data:`STANDARD_ERRORS` standard errors."""

STANDARD_ERRORS = 3.0
"""Standard errors between an accuracy and its lower bound."""

ROWS = 5000
"""Number of held-out simulations kept with a posterior, and of rows of each group with a learned model, at most."""


@dataclass(frozen=True)
class ChainPair:
    """The two chains, and the adversaries that compare them.

    Attributes:
        bottom_up: the bottom-up chain: the families, or their draws resampled.
        comparisons: the local comparisons.
        adversaries: one per comparison, at the end of the training.
    """

    bottom_up: Chain
    comparisons: Sequence[LocalComparison]
    adversaries: Sequence[nn.Module]

    @torch.no_grad()
    def on_simulations(self, simulations: Rows, teacher_forcing: bool) -> tuple[TuplesBySite, TuplesBySite]:
        """Return the tuples of p, (n, ·), and of q, (1, n, ·), at every site.

        Arguments:
            simulations: held-out simulations, one tensor (n, D_i) per variable, in network coordinates.
            teacher_forcing: whether the contexts of q are simulated, not inferred: each family is then tested without
                the errors of the preceding inverse factors.
        """
        p = top_down_view(simulations, self.comparisons)
        if teacher_forcing:
            return p, forced_view(self.bottom_up, simulations, self.comparisons, 1)
        starts = dict.fromkeys(comparison.evidence for comparison in self.comparisons)
        evidence = [{name: simulations[name] for name in names} for names in starts]
        return p, bottom_up_view(self.bottom_up, evidence, self.comparisons, 1)

    @torch.no_grad()
    def on_data(self, model: Callable[[int], Rows], data: Iterable[Rows]) -> tuple[TuplesBySite, TuplesBySite]:
        """Return the tuples of samples of a model, and of rows of data with inferred latents, at every site.

        Arguments:
            model: draws a number of samples of every variable, in network coordinates.
            data: held-out rows: for each group, one tensor (n, D_i) per observed variable, in network coordinates.
                Sites of evidence that no group has are left out.
        """
        groups = {frozenset(rows): rows for rows in data}
        comparisons = [comparison for comparison in self.comparisons if comparison.evidence in groups]
        drawn = {held: model(len(next(iter(rows.values())))) for held, rows in groups.items()}
        p = {comparison: view(drawn[comparison.evidence], comparison) for comparison in comparisons}
        return p, bottom_up_view(self.bottom_up, groups.values(), comparisons, 1)

    @torch.no_grad()
    def log_ratios(self, p: TuplesBySite, q: TuplesBySite) -> dict[LocalComparison, tuple[Tensor, Tensor]]:
        """Return the logits (n,) of the trained adversaries for p and q, at sites where they estimate log-ratios."""
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
        """Return the mean of values (n,); the standard error of a single value is infinite."""
        error = float(values.std()) / math.sqrt(len(values)) if len(values) > 1 else math.inf
        return cls(float(values.mean()), error)

    @property
    def lower_bound(self) -> float:
        """The value less :data:`STANDARD_ERRORS` standard errors."""
        return self.value - STANDARD_ERRORS * self.error


def accuracy(d_p: Tensor, d_q: Tensor) -> Estimate:
    """Return the accuracy of logits (n,) of p and q; a logit of 0 counts as right half of the time."""
    return Estimate.of(0.5 + (d_p.sign() - d_q.sign()) / 4)


def p_value(d_p: Tensor, d_q: Tensor) -> float:
    """Return the exact one-sided p-value of logits (n,) of exchangeable pairs; d must not depend on these pairs."""
    from scipy.stats import binomtest

    right, wrong = int((d_p.sign() > d_q.sign()).sum()), int((d_p.sign() < d_q.sign()).sum())
    return float(binomtest(right, right + wrong, alternative="greater").pvalue) if right + wrong else 1.0


def jsd(d_p: Tensor, d_q: Tensor) -> Estimate:
    """Return the lower bound on the Jensen-Shannon divergence, in nats."""
    return Estimate.of(math.log(2) - softplus(-d_p) / 2 - softplus(d_q) / 2)


def kl(d_p: Tensor, d_q: Tensor) -> Estimate:
    """Return the lower bound on KL(q‖p), in nats; ratios are truncated at √n, since larger ones rest on few tuples."""
    limit = math.log(len(d_p)) / 2
    d_p, d_q = d_p.clamp(-limit, limit), d_q.clamp(-limit, limit)
    return Estimate.of(1 - d_q - torch.exp(-d_p))


def diagnose(pair: ChainPair, p: TuplesBySite, q: TuplesBySite, folds: int, level: float) -> DataFrame:
    """Test at every tuple whether the two chains differ.

    Arguments:
        pair: the chains.
        p, q: their tuples, from :meth:`ChainPair.on_simulations` or :meth:`ChainPair.on_data`.
        folds: K, folds of the cross-fitting.
        level: probability that a difference is found anywhere if the fit is exact at every tuple.

    Returns:
        One row per tuple, with the columns of :data:`ampbench.results.schema.DIAGNOSIS`.

        Errors are standard errors over simulations. A difference is found where a p-value, times twice the number of
        tuples, is below the level; it is called small unless the lower bound of an accuracy is above
        :data:`TOLERATED_ACCURACY`.

    Raises:
        UsageError: fewer than 10 simulations per fold, fewer than two folds, folds that are no whole number, or a level
            outside (0, 1).
    """
    import pandas as pd

    folds = whole("folds", folds)
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
        parts = _cross_fit(p[comparison].joint.detach(), q[comparison].joint[0].detach(), folds)
        seen = _of_classifier(parts)
        seen |= _of_adversary(*trained[comparison]) if comparison in trained else dict.fromkeys(ADVERSARY, math.nan)
        verdict = _verdict(seen, level / (2 * len(p)))
        rows.append({"tuple": str(comparison), "simulations": len(p[comparison].joint), **seen, "verdict": verdict})
    return pd.DataFrame(rows)


def warn_if_told_apart(pair: ChainPair, p: TuplesBySite, q: TuplesBySite, advice: str) -> None:
    """Warn with :class:`FitWarning` if an adversary distinguishes the chains after its training.

    Arguments:
        pair: the chains.
        p, q: their tuples; see :func:`diagnose`.
        advice: a remedy, for the message.
    """
    found = {comparison: accuracy(*d) for comparison, d in pair.log_ratios(p, q).items()}
    apart = {comparison: each for comparison, each in found.items() if each.lower_bound > TOLERATED_ACCURACY}
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
    """Return the logits of each fold, by a classifier that was trained on the other folds."""
    fold = torch.arange(len(p), device=p.device) % folds
    judged = []
    for k in range(folds):
        d = train_classifier(p[fold != k], q[fold != k])
        judged.append((d(p[fold == k]), d(q[fold == k])))
    return judged


def _of_classifier(parts: Sequence[Logits]) -> dict[str, float]:
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
    """Return the verdict of both tests; a NaN, of a divergence without log-ratio, counts as no difference."""
    if not (seen["p_value"] < level or seen["adversary_p_value"] < level):
        return "no difference found"
    new = Estimate(seen["accuracy"], seen["accuracy_error"])
    trained = Estimate(seen["adversary_accuracy"], seen["adversary_error"])
    large = new.lower_bound > TOLERATED_ACCURACY or trained.lower_bound > TOLERATED_ACCURACY
    return "told apart" if large else "small difference"
