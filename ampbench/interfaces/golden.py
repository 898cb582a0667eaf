r"""Golden statistics: summaries of an independent implementation of a task, to compare the task with.

A distribution is summarised by probabilities, which exist for every distribution, however heavy its tails: for each
component :math:`x_i` the probability of lying at or below each of a few cut points :math:`c_{ki}`, and for each pair of
neighbouring components (the last with the first) the probability that both lie at or below their middle cut point:

.. math:: \Pr(x_i \le c_{ki}), \qquad \Pr(x_i \le c_{mi},\; x_{i+1} \le c_{m,i+1})

A wrong scale changes the first, a swapped column or a lost correlation the second.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

LEVELS = (0.1, 0.5, 0.9)
"""Levels of the quantiles of the golden samples that serve as cut points."""


@dataclass(frozen=True)
class Summary:
    """Summary of a distribution over vectors of L components, estimated from n samples.

    Attributes:
        n: number of samples.
        cuts: cut points, shape (3, L).
        below: shares of samples at or below the cut points, shape (3, L).
        pairs: shares with two neighbouring components at or below their middle cut points, shape (L,).
    """

    n: int
    cuts: Tensor
    below: Tensor
    pairs: Tensor

    @staticmethod
    def of(samples: Tensor, cuts: Tensor | None = None) -> Summary:
        """Summarise samples (n, L); the cut points, shape (3, L), are their own quantiles unless given."""
        samples = samples.double()
        if cuts is None:
            levels = [max(0, math.ceil(level * len(samples)) - 1) for level in LEVELS]
            cuts = samples.sort(0).values[levels]
        inside = samples[:, None] <= cuts  # (n, 3, L)
        middle = inside[:, 1]
        pairs = middle & middle.roll(-1, 1)
        return Summary(len(samples), cuts, inside.double().mean(0), pairs.double().mean(0))

    def z_scores(self, samples: Tensor) -> Tensor:
        """Compare with samples (n, L): a standard normal score per statistic, (3, L) and (1, L) stacked to (4, L)."""
        other = Summary.of(samples, self.cuts)
        mine = torch.cat([self.below, self.pairs[None]])
        theirs = torch.cat([other.below, other.pairs[None]])
        pooled = (self.n * mine + other.n * theirs) / (self.n + other.n)
        variance = pooled * (1 - pooled) * (1 / self.n + 1 / other.n)
        return torch.where(variance > 0, (theirs - mine) / variance.clamp(min=1e-30).sqrt(), 0.0)


@dataclass(frozen=True)
class Golden:
    """Golden statistics of a task.

    Attributes:
        source: the independent implementation that was summarised.
        prior: summary of the prior of theta.
        given: pairs of a theta, shape (D,), and the summary of x given this theta.
    """

    source: str
    prior: Summary
    given: tuple[tuple[Tensor, Summary], ...]

    @staticmethod
    def record(source: str, prior: Tensor, thetas: Tensor, simulate: Callable[[Tensor, int], Tensor], n: int) -> Golden:
        """Return the golden statistics of an implementation.

        Arguments:
            source: name of the implementation.
            prior: draws of theta, shape (m, D).
            thetas: parameters to simulate with, shape (k, D).
            simulate: maps one theta (D,) and a number n to observations (n, L).
            n: number of simulations with each theta.
        """
        return Golden(source, Summary.of(prior), tuple((theta, Summary.of(simulate(theta, n))) for theta in thetas))

    def dumps(self) -> str:
        """Return the statistics as JSON."""
        given = [{"theta": theta.tolist(), **_written(summary)} for theta, summary in self.given]
        return json.dumps({"source": self.source, "prior": _written(self.prior), "given": given}) + "\n"

    @staticmethod
    def loads(text: str) -> Golden:
        """Return the statistics from the JSON of :meth:`dumps`."""
        data = json.loads(text)
        given = tuple((torch.tensor(each["theta"]), _read(each)) for each in data["given"])
        return Golden(data["source"], _read(data["prior"]), given)


def _written(summary: Summary) -> dict[str, object]:
    def short(values: Tensor) -> list[object]:
        return json.loads(json.dumps(values.tolist()), parse_float=lambda text: float(f"{float(text):.7g}"))

    return {"n": summary.n, "cuts": short(summary.cuts), "below": short(summary.below), "pairs": short(summary.pairs)}


def _read(data: dict[str, object]) -> Summary:
    def table(name: str) -> Tensor:
        return torch.tensor(data[name], dtype=torch.float64)

    return Summary(int(str(data["n"])), table("cuts"), table("below"), table("pairs"))
