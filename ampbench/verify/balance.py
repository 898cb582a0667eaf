r"""Detailed balance: draws against a density that is known up to a constant.

If :math:`u \sim \pi` and :math:`v` is proposed symmetrically and accepted with probability
:math:`a = \min(1, \pi(v) / \pi(u))`, then the flow from u to v equals the flow from v to u, so that for every function

.. math:: \mathbb E \bigl[ a(u, v) \, (h(v) - h(u)) \bigr] = 0

One evaluation of the density at each draw tests this, without burn-in and without a fitted proposal, in any number of
dimensions, and every term is bounded. It sees whether draws have the density's shape wherever they are; it does not
see a mode that is missing altogether, which importance sampling and calibration do.

Steps are differences of draws from the other half, scaled, with all coordinates or some of them changed.

References:
    Hastings 1970, *Monte Carlo sampling methods using Markov chains and their applications*,
    doi:10.1093/biomet/57.1.97.
    ter Braak 2006, *A Markov Chain Monte Carlo version of the genetic algorithm Differential Evolution*,
    doi:10.1007/s11222-006-8769-1 (difference steps).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Generator, Tensor

from ampbench.verify.finding import Finding, SkipCheck, smallest
from ampbench.verify.statistics import zero_mean

LogDensity = Callable[[Tensor], Tensor]

ACCEPTANCE = 0.4
SCALES = (1.0, 0.5, 0.25, 0.12, 0.06, 0.03, 0.015, 0.007, 0.003)
"""Candidates for the step's length, as a share of a difference of two draws."""
LEAST = 0.02
"""Below this acceptance the few accepted steps say nothing."""


def balance(check: str, log_density: LogDensity, u: Tensor, seed: int) -> Finding:
    """Test detailed balance of draws (n, D) in unconstrained coordinates.

    Arguments:
        check: the check's name.
        log_density: from (m, D) to (m,), up to a constant.
        u: the draws; the first half is tested, the second gives the steps.
        seed: of the steps.
    """
    half = len(u) // 2
    here, others = u[:half], u[half : 2 * half]
    at_here = log_density(here)
    if impossible := int(torch.isinf(at_here).sum()):
        return Finding(check, f"{impossible} of {half} draws lie where the density is zero", None, "failed")
    generator = Generator().manual_seed(seed)
    tested, accepted = [], []
    for name, share in (("all coordinates", 1.0), ("some coordinates", min(1.0, 2 / u.shape[1]))):
        steps = _steps(others, share, generator)
        length = _length(log_density, others, steps)
        there = here + length * steps
        accept = (log_density(there) - at_here).exp().clamp(max=1.0)
        accepted.append(float(accept.mean()))
        if accepted[-1] > LEAST:
            flows = _flows(here, there, at_here, log_density(there))
            tested += [(f"{what}, {name}", zero_mean((accept * flow).numpy())) for what, flow in flows]
    remark = f"{half} draws, accepted {' and '.join(f'{each:.0%}' for each in accepted)}"
    if not tested:
        raise SkipCheck(f"hardly any step from the draws is accepted ({remark})")
    return smallest(check, tested, remark)


def _steps(others: Tensor, share: float, generator: Generator) -> Tensor:
    """Differences of the other draws, with every coordinate kept with the given probability, shape (n, D)."""
    order = torch.randperm(len(others), generator=generator)
    steps = others[order] - others[order.roll(1)]
    if share == 1.0:
        return steps
    kept = torch.rand(steps.shape, generator=generator) < share
    kept[torch.arange(len(kept)), torch.randint(steps.shape[1], (len(kept),), generator=generator)] = True
    return steps * kept


def _length(log_density: LogDensity, others: Tensor, steps: Tensor) -> float:
    """The longest candidate with enough acceptance, judged at the other draws so that the test stays exact."""
    some = others[: len(others) // 4]
    at_some = log_density(some)
    for length in SCALES:
        change = log_density(some + length * steps.roll(7, 0)[: len(some)]) - at_some
        if float(change.nan_to_num(nan=-torch.inf).exp().clamp(max=1.0).mean()) > ACCEPTANCE:
            return length
    return SCALES[-1]


def _flows(here: Tensor, there: Tensor, at_here: Tensor, at_there: Tensor) -> list[tuple[str, Tensor]]:
    """h(v) - h(u) for bounded h: each coordinate, its square, products of neighbours, and the log density."""
    centre, spread = here.median(0).values, here.std(0).clamp(min=1e-12)
    middle, width = at_here.median(), at_here.std().clamp(min=1e-12)

    def bounded(u: Tensor, log_density: Tensor) -> list[Tensor]:
        z = (u - centre) / spread
        height = torch.tanh((log_density - middle) / width)  # minus infinity becomes -1
        return [torch.tanh(z), z.square() / (1 + z.square()), torch.tanh(z * z.roll(-1, 1)), height[:, None]]

    labels = [f"{what}({i})" for what in ("u", "u²", "u u′") for i in range(here.shape[1])] + ["log density"]
    change = torch.cat(bounded(there, at_there), 1) - torch.cat(bounded(here, at_here), 1)
    return list(zip(labels, change.T, strict=True))
