"""Calibration of the fit on held-out simulations; the tests are those of :mod:`ampbench.assess.assessment`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import Tensor

from ampbench.assess.assessment import HeldOut, hold_out, judge
from ampbench.assess.fits import draws_at_observations
from ampbench.assess.lc2st import outside_range
from ampbench.assess.outcome import Outcome, faults
from ampbench.assess.simulations import Prepared
from ampbench.graph import Failed, Graph
from ampbench.graph.prior import parameter_names
from ampbench.interfaces import Posterior, Progress
from ampbench.results.columns import Column


@dataclass(frozen=True)
class Calibration:
    """The calibration of a fit, on average over the prior.

    Attributes:
        held_out: number of held-out simulations.
        fault: what the tests found, ``none found`` if nothing; see :data:`ampbench.assess.outcome.Fault`.
        p: p-value of the hypothesis that the fit is calibrated.
        coverage: level in percent → share of central intervals that contain the true parameter.
        outside: where the observation lies outside the range of the held-out simulations; "" if nowhere.
        ranks: by parameter, the normalised ranks of its true values among their draws; empty in older files.
    """

    held_out: int
    fault: str
    p: float
    coverage: Mapping[str, float]
    outside: str
    ranks: Mapping[str, Sequence[float]] = field(default_factory=dict)

    def text(self) -> str:
        """Return the calibration as JSON."""
        return json.dumps(asdict(self), indent=1) + "\n"

    @classmethod
    def read(cls, text: str) -> Calibration:
        """Undo :meth:`text`; raises errors of many types for other texts."""
        values: dict[str, Any] = json.loads(text)
        fraction = Column("", float, "", minimum=0, maximum=1)
        columns = {"held_out": Column("", int, "", minimum=0), "fault": Column("", str, ""), "p": fraction}
        columns |= {"outside": Column("", str, "", blank=True)}
        faults = [column.fault(values[name], name) for name, column in columns.items()]
        faults += [fraction.fault(value, f"coverage.{level}") for level, value in values["coverage"].items()]
        for name, ranks in values.get("ranks", {}).items():
            faults += [fraction.fault(rank, f"ranks.{name}") for rank in ranks]
        if found := "; ".join(filter(None, faults)):
            raise ValueError(found)
        return cls(**values)


def calibration(
    posterior: Posterior,
    graph: Graph,
    observed: tuple[str, ...],
    n: int,
    seed: int,
    x: Tensor,
    progress: Progress,
    prepared: Prepared | None = None,
    failed: Failed = "error",
) -> Calibration:
    """Test a posterior on n held-out simulations.

    Arguments:
        posterior: an amortised one.
        graph: the model.
        observed: names of its observed variables.
        n: number of held-out simulations.
        seed: of all random numbers.
        x: the observation, shape (L,).
        progress: called with (held-out simulations done, n).
        prepared: stored simulations, of which the held-out ones are taken; None to simulate.
        failed: what becomes of failed simulations.

    Raises:
        UsageError: n is too small.
        SimulationError, SamplesError: simulator or posterior returned something unusable.
    """
    held_out: HeldOut = hold_out(
        graph, observed, n, seed, prepared=prepared, failed=failed, codes=posterior.known.codes
    )
    names = parameter_names(graph, graph.latents(observed))
    draws = torch.from_numpy(draws_at_observations(posterior, names, held_out.evaluation_set, progress))
    outcome = judge(held_out, draws, Outcome("", 0))
    return Calibration(
        n,
        faults([outcome])[0],
        outcome.p,
        {f"{100 * level:.0f}": value for level, value in outcome.coverage.items()},
        outside_range(x.to(held_out.x), held_out.x),
        ranks_by_name(names, outcome),
    )


def ranks_by_name(names: Sequence[str], outcome: Outcome) -> dict[str, list[float]]:
    """Return the ranks of an outcome by the names of the components, to six decimals; none if it has no ranks."""
    if outcome.ranks is None:
        return {}
    return {name: ranks.numpy().round(6).tolist() for name, ranks in zip(names, outcome.ranks.T, strict=True)}
