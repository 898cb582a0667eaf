r"""Stored simulations as the source of simulations of a method: the budget takes the first rows.

A method is trained on draws of :math:`p(\theta)\, p(x \mid \theta)`, where :math:`p(\theta)` is the distribution that
the stored parameters came from. Methods that learn the posterior directly (``amp``, ``npe``, ``rejection-abc``) infer
under that distribution, whatever prior is declared; methods that learn a likelihood or a ratio (``nle``, ``nre``)
multiply it by the density of the declared prior. Both agree if the parameters are draws of the declared prior, which a
test of each component checks. Methods that propose parameters of their own cannot use stored simulations.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping

from torch import Tensor

from ampbench.errors import StoredWarning, UsageError
from ampbench.graph import Graph, Simulator, component_names, join
from ampbench.graph.failures import Report
from ampbench.graph.precision import stored
from ampbench.seeding import derive, seeded
from ampbench.simulations.arrays import Simulations
from ampbench.simulations.identity import roots
from ampbench.simulations.learned_prior import LearnedPrior

PRIOR_DRAWS = 2000
"""Draws of the prior with which the stored parameters are compared."""
LEVEL = 1e-6
"""Probability of a warning if the stored parameters are independent draws of the prior, by Bonferroni's correction."""
NEEDS_SIMULATOR = (
    "it proposes parameters of its own and needs a simulator, but only stored simulations were given; take the "
    "amortised form of the method, such as npe, nle or amp, or give a simulator"
)


class StoredSimulator(Simulator):
    """A simulator that returns stored rows, in their order.

    Arguments:
        graph: the model; its simulators are not called.
        observed: names of the variables that will be observed.
        budget: how many rows may be used, the first ones; None for all.
        seed: determines all other random numbers of a fit.
        simulations: one array for each variable of the graph.

    Raises:
        UsageError: a variable is missing, unknown, of another size or outside its support, the budget exceeds the
            number of rows, or the graph has axes; the message names variable and row.
    """

    def __init__(
        self, graph: Graph, observed: Iterable[str], budget: int | None, seed: int, simulations: Simulations
    ) -> None:
        super().__init__(graph, observed, len(simulations) if budget is None else budget, seed)
        if self.budget > len(simulations):
            raise UsageError(
                f"the budget is {self.budget:,}, but {simulations.origin} hold {len(simulations):,} simulations; "
                "lower the budget, or leave it out to use all"
            )
        _check_variables(graph, simulations)
        self.simulations = simulations

    def renewed(self, seed: int) -> Simulator:
        """Refuse: a second source would return the rows of the first one."""
        raise UsageError(f"the method cannot use stored simulations: {NEEDS_SIMULATOR}")

    def _draw(
        self, n: int, given: Mapping[str, Tensor] | None, sizes: Mapping[str, int], report: Report
    ) -> dict[str, Tensor]:
        """Return the next n rows; raises :class:`UsageError` if values of parameters are given."""
        if given:
            raise UsageError(f"the method cannot use stored simulations: {NEEDS_SIMULATOR}")
        rows = slice(self.spent - n, self.spent)
        values = {name: self.simulations.values[name][rows] for name in self.graph.names}
        with seeded(derive(self.seed, "simulations", self._calls)):  # as in every other simulator
            return self.graph.sample(n, values, double=self._double)


def _check_variables(graph: Graph, simulations: Simulations) -> None:
    if graph.axes:
        raise UsageError(
            f"stored simulations of a graph with axes ({', '.join(axis.name for axis in graph.axes)}) cannot be used; "
            "give the flat graph with one variable for every repeat: graph.ground(sizes)"
        )
    held, wanted = set(simulations.values), set(graph.names)
    if held != wanted:
        parts = [f"{what} {', '.join(sorted(names))}" for what, names in _differences(held, wanted) if names]
        raise UsageError(f"{simulations.origin} {' and '.join(parts)}; give one array for each variable of the graph")
    for name in graph.names:
        _check_support(graph, name, simulations)


def _differences(held: set[str], wanted: set[str]) -> list[tuple[str, set[str]]]:
    return [("lack", wanted - held), ("hold the unknown", held - wanted)]


def _check_support(graph: Graph, name: str, simulations: Simulations) -> None:
    node, values = graph[name], simulations.values[name]
    if node.size is not None and values.shape[1] != node.size:
        raise UsageError(
            f"{simulations.origin}: {name} has {values.shape[1]} components per row, but the "
            f"{'prior' if node.kind == 'density' else node.kind} has {node.size}; give one row per simulation, and the "
            "columns of one variable only"
        )
    inside = node.support.check(stored(values)).reshape(len(values), -1).all(1)
    if rows := (~inside).nonzero().flatten().tolist():
        raise UsageError(
            f"{simulations.origin}: {name} lies outside the support {node.support} of its distribution in "
            f"{len(rows):,} of {len(values):,} rows; the first is row {rows[0]} (counted from 0): "
            f"{values[rows[0]].tolist()}. Declare the prior that the parameters were drawn from, or remove these rows"
        )


def warn_if_other_prior(source: StoredSimulator) -> None:
    """Warn if a component of the rows within the budget does not look like draws of the declared prior.

    Each component of the latents that no simulator precedes is compared with draws of the prior by the
    Kolmogorov-Smirnov test.

    Warns:
        StoredWarning: the message names the component, and its mean and standard deviation in both.
    """
    from scipy.stats import ks_2samp

    declared = [name for name in roots(source.graph) if not isinstance(source.graph[name].conditional, LearnedPrior)]
    names = [name for name in declared if name in source.latents]
    theta = join(source.simulations.values, names)[: source.budget].double()
    if len(theta) < 2 or not names:
        return
    with seeded(derive(source.seed, "stored", "prior")):
        draws = source.graph.ancestral(names).sample(PRIOR_DRAWS)
    drawn = join(draws, names).double()
    p_values = [float(ks_2samp(theta[:, i], drawn[:, i]).pvalue) for i in range(theta.shape[1])]
    worst = min(range(len(p_values)), key=p_values.__getitem__)
    if p_values[worst] * len(p_values) >= LEVEL:
        return
    labels = component_names({name: draws[name].shape[1] for name in names})
    name, seen, wanted = labels[worst], theta[:, worst], drawn[:, worst]
    warnings.warn(
        f"{source.simulations.origin}: {name} does not look like draws of the declared prior: mean {seen.mean():.4g} "
        f"and standard deviation {seen.std():.4g}, but {wanted.mean():.4g} and {wanted.std():.4g} under the prior. "
        "amp, npe and rejection-abc infer under the distribution that the stored parameters came from; declare that "
        "one, or take nle or nre, which use the declared density",
        StoredWarning,
        stacklevel=2,
    )
