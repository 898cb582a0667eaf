r"""A probe of simulators: a few calls, before the budget is spent, that find faults of what a batch means.

Row i of the output must be a draw of :math:`p(x \mid \theta_i)`: it depends on no other row, and all its random numbers
follow from the seed. In a batch of the probe, half of the rows, the kept ones, have one theta; the others have all
another theta, a or b. Let :math:`y(a, s)` be the kept rows of the output for the others at a and the seed s.

- :math:`y(a, s) = y(b, s)`: the kept rows do not depend on the others.
- They differ, and the output does not depend on the seed: a row depends on other rows.
- They differ by one constant for all rows and for another seed: a row depends on other rows.
- They differ otherwise: rows depend on each other, or the *number* of random numbers depends on theta, as in a
  rejection loop, which is no fault. Larger batches decide by tests that hold in the latter case: y(a, s) and y(b, s′)
  have one distribution (Kolmogorov-Smirnov), and y(b, s) − y(a, s) is as often positive as negative (sign test), as is
  the difference of their distances to the median.
- :math:`y(a, s) \ne y(a, s)`: there is a random generator that the seed does not determine.

Differences below :data:`TOLERANCE` are no fault: the step size of a solver may depend on the batch. The probe has
random streams of its own, and its simulations do not count towards the budget.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from ampbench.errors import SimulationError, SimulationWarning
from ampbench.faults import named, pass_interruption
from ampbench.graph.copies import copied
from ampbench.graph.failures import Report
from ampbench.graph.model import Graph
from ampbench.graph.node import Design, Node
from ampbench.graph.outputs import read_output, row_count
from ampbench.graph.repeats import WithConstants
from ampbench.seeding import derive, seeded

CANDIDATES = 16
"""Draws of the parents, among which the thetas of the probe are chosen."""
ROWS = 16
"""Rows of a batch; there are three batches, and one or two more if rows differ."""
MANY_ROWS = (48, 128)
"""Fewest and most rows of each of the three batches of the tests."""
BUDGET_PER_ROW = 12
"""Budget for each row of a batch of the tests, between these limits."""
MIN_BUDGET = 100
"""Budget below which there are no tests, which would cost as much as the run."""
TOLERANCE = 0.01
"""Smallest difference that is a fault, relative to the range of a component."""
ROUNDING = 1e-5
"""Smallest difference that is no rounding error, relative to the range of a component."""
LEVEL = 1e-8
"""Probability that the tests refuse a faultless simulator."""
MAX_COMPONENTS = 30
"""Largest number of components that the tests look at."""


def probe_simulators(graph: Graph, seed: int, budget: int, tolerant: bool = False) -> None:
    """Call every simulator of a graph a few times, before a run.

    Arguments:
        graph: the model.
        seed: of the run; the random streams of the probe are others than those of the run.
        budget: of the run.
        tolerant: whether simulators may fail; the probe takes NaN and infinite values for 0.

    Raises:
        SimulationError: rows of a batch depend on each other, or a simulator is written for a single theta.

    Warns:
        SimulationWarning: the seed does not determine the output, or random numbers do not depend on the seed.
    """
    values: dict[str, Tensor] = {}
    flat = graph.ground(_sizes(graph)) if graph.axes else graph
    left = {_function(node) for node in flat.nodes if _is_probed(node)}
    if not left:
        return
    for node in flat.nodes:
        parents = tuple(values[name] for name in node.parents)
        batches = _Batches(node, parents, derive(seed, "probe", node.name), tolerant)
        try:
            if _is_probed(node) and _function(node) in left:
                left.remove(_function(node))
                _check(batches, budget)
                if not left:
                    return
            values[node.name] = batches.candidates()
        except _Failed:  # the run reports errors
            return


def _is_probed(node: Node) -> bool:
    return node.kind == "simulator" and not isinstance(node.conditional, Design)


def _function(node: Node) -> int:
    """Return what identifies the function of a node: repeats of one variable have one, with constants or without."""
    return id(node.conditional.conditional if isinstance(node.conditional, WithConstants) else node.conditional)


def _sizes(graph: Graph) -> dict[str, int]:
    """Return the smallest sizes of the axes, or the numbers of rows of the covariates along them."""
    rows = {
        axis.name: count
        for node in graph.nodes
        if isinstance(node.conditional, Design)
        for axis, count in zip(node.along, node.conditional.rows.shape, strict=False)
    }
    return {axis.name: rows.get(axis.name, axis.bounds[0]) for axis in graph.axes}


class _Failed(Exception):  # noqa: N818 — it never leaves this module
    """A simulator raised an error."""


@dataclass(frozen=True)
class _Batches:
    """Batches of a simulator, of which some rows have one theta, and the others all another one.

    Attributes:
        node: the simulator.
        parents: draws of its parents, (CANDIDATES, D_j) each.
        seed: of all random numbers.
        tolerant: whether the simulator may fail.
    """

    node: Node
    parents: tuple[Tensor, ...]
    seed: int
    tolerant: bool

    def candidates(self) -> Tensor:
        """Return the output (CANDIDATES, L) for the draws of the parents; raises :class:`_Failed` as :meth:`draw`."""
        try:
            with seeded(derive(self.seed, "values")):
                return self._sampled(CANDIDATES, self.parents)
        except BaseException as error:
            pass_interruption(error)
            raise _Failed from error

    def draw(self, others: str, stream: int, rows: int = ROWS) -> Tensor:
        """Return the output (rows, L) for a batch; of a node with gaps (rows, 2L), with 0 at gaps, and the gaps.

        Arguments:
            others: the theta of the other rows, ``a`` or ``b``.
            stream: number of the stream of random numbers.
            rows: size of the batch; about half of them are kept.

        Raises:
            _Failed: the simulator raised an error.
        """
        batch = self._batch(others, kept(rows))
        try:
            with seeded(derive(self.seed, stream)):
                drawn = self._sampled(rows, batch).double()
        except BaseException as error:
            pass_interruption(error)
            self._refuse_single(batch, rows, error)
            raise _Failed from error
        return torch.cat([drawn.nan_to_num(0.0, 0.0, 0.0), drawn.isnan()], dim=1) if self.node.gaps else drawn

    def _sampled(self, n: int, parents: tuple[Tensor, ...]) -> Tensor:
        drawn = self.node.sample(n, parents, report=Report(self.tolerant)).detach().cpu()
        return drawn if self.node.gaps else torch.where(torch.isfinite(drawn), drawn, 0.0)

    def _batch(self, others: str, mask: Tensor) -> tuple[Tensor, ...]:
        if not self.parents:
            return ()
        here, there = self._chosen["kept"], self._chosen[others]
        return tuple(torch.where(mask[:, None], each[here], each[there]) for each in self.parents)

    @cached_property
    def _chosen(self) -> dict[str, int]:
        """The most distant pair of the candidates, a and b, and the one that is nearest to both."""
        z = torch.cat(self.parents, dim=1).double()
        z = (z - z.mean(0)) / z.std(0).clamp(min=torch.finfo(z.dtype).tiny)
        distances = torch.cdist(z, z)
        a, b = divmod(int(distances.argmax()), len(z))
        return {"a": a, "b": b, "kept": int((distances[a] ** 2 + distances[b] ** 2).argmin())}

    def _refuse_single(self, batch: tuple[Tensor, ...], rows: int, error: BaseException) -> None:
        """Raise :class:`SimulationError` if the simulator fails for a batch, and works for a single theta."""
        function = self.node.conditional
        if not batch or not callable(function):
            return
        try:
            with seeded(self.seed):
                _, one = read_output("", [function(*(copied(each[0]) for each in batch))], 1)
        except BaseException as second:
            pass_interruption(second)
            return
        try:
            with seeded(self.seed):
                output = function(*map(copied, batch))
                if row_count(output) == rows or row_count(output[0]) == rows:
                    return  # a row, or a column, for each theta: the fault is another one
        except BaseException as second:
            pass_interruption(second)
        shapes = ", ".join(str(tuple(each.shape[1:])) for each in batch)
        raise SimulationError(
            f"node {self.node.name!r} works for a single theta of shape {shapes}, which gives {one.shape}, but "
            f"not for a batch of {rows} ({named(error)}); wrap it: "
            "ampbench.one_at_a_time(simulate), or let it take (n, D) and return (n, L)"
        ) from error


def kept(rows: int) -> Tensor:
    """Return which rows of a batch are kept, booleans (rows,): half of them, without order, and not first or last."""
    order = torch.randperm(rows - 2, generator=torch.Generator().manual_seed(2))  # no symmetry
    return torch.zeros(rows, dtype=torch.bool).index_fill(0, 1 + order[: rows // 2], True)


def _check(batches: _Batches, budget: int) -> None:
    """Probe one simulator."""
    node, mask = batches.node, kept(ROWS)
    drawn = batches.draw("a", 1), batches.draw("b", 1), batches.draw("b", 2)
    extent = torch.cat(drawn).max(0).values - torch.cat(drawn).min(0).values
    a, b, other_b = (each[mask] for each in drawn)
    random = _differ(b, other_b, ROUNDING * extent)
    if not random and _differ(a, b, TOLERANCE * extent):
        raise _dependent(node, "a row changes when other rows of theta change")
    if not random:
        if batches.parents and _differ(b, b[:1], TOLERANCE * extent):
            _warn(node, "draws the same random numbers in every call, whatever the seed")
        return
    determined = True
    if _differ(a, b, ROUNDING * extent):
        again_a = batches.draw("a", 1)[mask]
        if determined := not _differ(a, again_a, ROUNDING * extent):
            shift = other_b - batches.draw("a", 2)[mask]
            if _is_constant(torch.cat([b - a, shift]), TOLERANCE * extent):
                raise _dependent(node, "all rows of one theta change by one number when other rows of theta change")
        else:
            _warn(node, "returns other random numbers when it is called again with the same seed")
    if _differ(a, b, TOLERANCE * extent) or _are_separate(b, other_b):
        _test(batches, budget, determined)


def _differ(u: Tensor, v: Tensor, tolerance: Tensor) -> bool:
    return bool(((u - v).abs() > tolerance).any())


def _is_constant(differences: Tensor, tolerance: Tensor) -> bool:
    """Return whether all differences (K, L) of a component are one number, which is not small."""
    mean = differences.mean(0)
    return bool(((differences - mean).abs() <= TOLERANCE * mean.abs()).all(0)[mean.abs() > tolerance].any())


def _are_separate(u: Tensor, v: Tensor) -> bool:
    """Return whether a component is larger in all rows of one batch than in all rows of the other."""
    return bool(((u.min(0).values > v.max(0).values) | (v.min(0).values > u.max(0).values)).any())


def _test(batches: _Batches, budget: int, determined: bool) -> None:
    """Refuse a simulator if tests find that the kept rows depend on the others, or on each other.

    Arguments:
        batches: of the simulator.
        budget: of the run; there are no tests if it is small.
        determined: whether the seed determines the output.
    """
    if budget < MIN_BUDGET:
        return
    from scipy.stats import binomtest, ks_2samp

    rows = min(max(budget // BUDGET_PER_ROW, MANY_ROWS[0]), MANY_ROWS[1])
    a, b, other_b = (batches.draw(*which, rows)[kept(rows)] for which in (("a", 3), ("b", 3), ("b", 4)))
    columns = torch.linspace(0, a.shape[1] - 1, min(a.shape[1], MAX_COMPONENTS)).round().long()
    p_values = [float(ks_2samp(a[:, j], other_b[:, j]).pvalue) for j in columns.tolist()]
    if determined:
        middle = torch.cat([a, b]).median(0).values
        for change in (b - a, (b - middle).abs() - (a - middle).abs()):
            for j in columns.tolist():
                up, down = int((change[:, j] > 0).sum()), int((change[:, j] < 0).sum())
                p_values += [float(binomtest(up, up + down).pvalue)] if up + down else []
    if min(p_values) * len(p_values) < LEVEL:
        raise _dependent(batches.node, f"rows of one theta differ between batches (p-value {min(p_values):.1g})")


def _dependent(node: Node, fault: str) -> SimulationError:
    return SimulationError(
        f"the rows of node {node.name!r} depend on each other: {fault}; row i of the output must depend on row i of "
        "theta alone. Wrap a simulator that is written for a single theta, of shape (D,): "
        "ampbench.one_at_a_time(simulate); replace statistics of the batch, such as mean(0), by constants; draw random "
        "numbers for each row, and let the simulator seed no generator"
    )


def _warn(node: Node, fault: str) -> None:
    warnings.warn(
        f"node {node.name!r} {fault}: the seed does not determine its random numbers. Let it draw from the global "
        "generators of torch, numpy or random, which are seeded, or seed a generator of its own by them in every call: "
        "np.random.default_rng(np.random.randint(2**31))",
        SimulationWarning,
        stacklevel=2,
    )
