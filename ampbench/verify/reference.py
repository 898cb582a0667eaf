"""Reference draws: shape, dtype, support, independence and detailed balance; stored draws against fresh ones."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from ampbench.errors import UsageError
from ampbench.interfaces import HasLikelihood, HasReference, ShipsReference
from ampbench.verify.balance import balance
from ampbench.verify.finding import Finding, SkipCheck, smallest
from ampbench.verify.statistics import neighbours, two_sample
from ampbench.verify.subject import Subject

FRESH_DRAWS = 2000
"""Number of fresh draws with which stored ones are compared."""


def reference(subject: Subject) -> Iterator[Finding]:
    """Check shape, values, support and independence of reference draws."""
    faults, tested = [], []
    for where, observation in subject.judged():
        draws = subject.draws(where, observation.x)
        fault = _fault(subject, draws, subject.effort.draws)
        if fault:
            faults.append(f"{where}: {fault}")
        else:
            tested += [(f"consecutive draws, {where}", p) for p in neighbours(draws)]
    if faults:
        yield Finding("reference", "; ".join(faults), None, "failed")
    else:
        yield smallest(
            "reference",
            tested,
            f"{subject.effort.draws} draws at each of {len(subject.judged())} observations, in the support",
        )


def reference_balance(subject: Subject) -> Iterator[Finding]:
    """Test detailed balance of reference draws with prior times likelihood."""
    _ = subject.likelihood
    if subject.noisy:
        raise SkipCheck("the likelihood is an estimate; importance sampling judges it")
    for where, observation in subject.judged():
        yield _balance(subject, "balance", where, subject.draws(where, observation.x), observation.x)


def shipped(subject: Subject) -> Iterator[Finding]:
    """Check stored draws of numbered observations: shape, dtype and support, fresh draws, detailed balance."""
    task = subject.task
    if not isinstance(task, ShipsReference):
        raise SkipCheck("the task ships no reference")
    faults, tested = [], []
    numbered = task.observations()
    for number, observation in numbered.items():
        stored = _stored(task, number)
        if fault := _fault(subject, stored, len(stored)):
            faults.append(f"observation {number}: {fault}")
        elif isinstance(task, HasReference):
            fresh = subject.reference(observation.x, FRESH_DRAWS, "shipped", number)
            tested += [(f"{what}, observation {number}", p) for what, p in _against(subject, stored, fresh)]
    if faults:
        yield Finding("shipped", "; ".join(faults), None, "failed")
    elif tested:
        yield smallest("shipped", tested, f"{len(numbered)} sets against {FRESH_DRAWS} fresh draws each")
    else:
        yield Finding("shipped", f"{len(numbered)} sets, in the support; there are no fresh draws to compare with")
    if not faults and isinstance(task, HasLikelihood) and not subject.noisy:
        for number in list(numbered)[: subject.effort.judged]:
            some = _spread(_stored(task, number), subject.effort.draws)
            yield _balance(subject, "shipped balance", f"observation {number}", some, numbered[number].x)


def _stored(task: ShipsReference, number: int) -> Tensor:
    """Return the stored draws of a numbered observation; raise :class:`SkipCheck` if there are none for the options."""
    try:
        return task.shipped_reference(number)
    except UsageError as error:  # they may exist for the default options only
        raise SkipCheck(str(error)) from error


def _fault(subject: Subject, draws: Tensor, n: int) -> str:
    """Return a description of the fault of draws; empty if they have none."""
    if draws.shape != (n, len(subject.names)):
        return f"shape {tuple(draws.shape)}, expected ({n}, {len(subject.names)})"
    if draws.dtype != torch.float32:
        return f"dtype {draws.dtype}, expected float32"
    if bad := int((~torch.isfinite(draws)).any(1).sum()):
        return f"NaN or infinite values in {bad} of {n} draws"
    parts = draws.split([subject.sizes[name] for name in subject.task.latents], dim=1)
    for name, part in zip(subject.task.latents, parts, strict=True):
        inside = subject.task.graph[name].support.check(part).reshape(n, -1).all(1)
        if outside := int((~inside).sum()):
            return f"{name} is outside its support in {outside} of {n} draws"
    return ""


def _against(subject: Subject, stored: Tensor, fresh: Tensor) -> list[tuple[str, float]]:
    """Compare stored draws (n, D) with fresh ones (m, D); return the name and the p-value of each statistic."""
    tested = list(zip(subject.names, two_sample(stored, fresh), strict=True))
    if stored.shape[1] > 1:
        centre, spread = fresh.mean(0), fresh.std(0).clamp(min=1e-12)
        sums = [each + each.roll(-1, 1) for each in ((stored - centre) / spread, (fresh - centre) / spread)]
        tested += [
            (f"{name} + the next", p) for name, p in zip(subject.names, two_sample(sums[0], sums[1]), strict=True)
        ]
    return tested


def _balance(subject: Subject, check: str, where: str, draws: Tensor, x: Tensor) -> Finding:
    """Test detailed balance of draws (n, D) given an observation x (L,)."""
    u = subject.unconstrained.encode(draws.double())
    finding = balance(check, lambda v: subject.log_posterior(v, x), u, subject.derive(check, where))
    return Finding(check, f"{where}: {finding.detail}", finding.p, finding.verdict)


def _spread(draws: Tensor, n: int) -> Tensor:
    """Return at most n of the draws, evenly spaced in their order."""
    return draws[torch.linspace(0, len(draws) - 1, min(n, len(draws))).round().long()]
