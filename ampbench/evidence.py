r"""Evidence ratios of two models, by Bennett's acceptance ratio along their chains.

Models A and B explain the same observed variables x. Wanted is

.. math:: r(x) = \log \frac{p_A(x)}{p_B(x)}.

**What adversaries know about it.** The adversary of a fit compares p(z, x) with q(z | x) p(x), where the evidence comes
from the model itself: p(x) cancels, and d = log p(z | x) − log q(z | x) at the optimum. However many of them are
summed, they say nothing about r. An adversary must see both models. There are two ways.

**Directly** (:func:`direct_ratio`). A classifier between x ~ p_A and x ~ p_B learns r itself, whatever the latents are.
It is a global adversary of all observed variables, and as hard to train.

**Along the chains** (:func:`bennett_ratio`), where A and B have the same variables. The bottom-up chains give posterior
samples, :math:`z \sim q_A(\cdot \mid x)` and :math:`z \sim q_B(\cdot \mid x)`; the top-down chains give the log-ratio
of the joints, a sum of local terms over X = (z, x):

.. math:: \ell(X) = \log \frac{p_A(X)}{p_B(X)} = \sum_i d_i(X), \qquad
          d_i = \log \frac{p_A(x_i \mid \mathrm{pa}_A(x_i))}{p_B(x_i \mid \mathrm{pa}_B(x_i))}.

A term is 0 for a node that the models share; it is evaluated where both nodes have densities; and elsewhere it is
learned by a classifier between (x_i, c) with x_i drawn by A and with x_i drawn by B, given the *same* parents c, which
come from ancestral samples of A and of B, half and half. So nobody sees the joint, and what the models agree on
costs nothing. Both posteriors are the joints at this x, normalised, and r compares the constants that normalise them.
Bennett's estimate c solves, with n samples from each,

.. math:: \sum_{z \sim A} \sigma(c - \ell(z, x)) = \sum_{z \sim B} \sigma(\ell(z, x) - c),

which has the least variance among all such estimates; for large n it is

.. math:: \operatorname{var} c = \frac1n \left(
          \frac{\operatorname{var}_A \sigma(c - \ell)}{(\mathbb E_A\,\sigma(c - \ell))^2}
          + \frac{\operatorname{var}_B \sigma(\ell - c)}{(\mathbb E_B\,\sigma(\ell - c))^2} \right).

**Where it is biased.** The samples are those of q, so an inexact posterior biases c, and no standard error shows it.
Three things help to notice: the one-sided estimates :math:`-\log \mathbb E_A e^{-\ell}` and
:math:`\log \mathbb E_B e^\ell` agree with c for exact posteriors, and drift apart otherwise; the overlap of the
posteriors, :math:`2\,\mathbb E_A\,\sigma(c - \ell)`, says how much hangs on few samples; and the posteriors can be
diagnosed (:mod:`ampbench.amp.diagnostics`). A learned term, in either way, is not to be trusted where there were few
simulations: at an x, or in a posterior, that neither model's prior reaches.

The learned terms come from several classifiers, on disjoint parts of the simulations. Their mean is used, and their
spread makes the second part of the standard error.

References:
    Bennett 1976, *Efficient estimation of free energy differences from Monte Carlo data*, J. Comput. Phys. 22.
    Meng & Wong 1996, *Simulating ratios of normalizing constants via a simple identity*, Statistica Sinica 6.
    Shirts, Bair, Hooker, Pande 2003, *Equilibrium free energies from nonequilibrium measurements using
    maximum-likelihood methods*, Phys. Rev. Lett. 91.
    Cranmer, Pavez, Louppe 2015, *Approximating likelihood ratios with calibrated discriminative classifiers*,
    arXiv:1506.02169.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ampbench.counts import whole
from ampbench.errors import UsageError
from ampbench.graph import Graph, Node, join
from ampbench.interfaces import Posterior, check_observation
from ampbench.networks import Classifier, train_classifier
from ampbench.seeding import derive, seeded


@dataclass(frozen=True)
class LogRatio:
    """An estimate of log p_A(x) − log p_B(x).

    Attributes:
        value: the estimate, in nats.
        error: its standard error; it knows nothing of biases.
    """

    value: float
    error: float


@dataclass(frozen=True)
class BennettLogRatio(LogRatio):
    """An estimate along the chains.

    Attributes:
        from_a, from_b: the one-sided estimates; both agree with ``value`` if the posteriors are exact.
        overlap: of the posteriors, if they are exact: between 0, where the estimate hangs on few samples, and 1, where
            they are the same.
    """

    from_a: float
    from_b: float
    overlap: float


@dataclass(frozen=True)
class Candidate:
    """A model, and its posterior for the observed variables."""

    graph: Graph
    posterior: Posterior


@dataclass(frozen=True)
class Ensemble:
    """Classifiers between the same two distributions, trained on disjoint parts of the simulations.

    Attributes:
        names: the variables that they see.
        members: they give log-ratios.
    """

    names: tuple[str, ...]
    members: tuple[Classifier, ...]

    @torch.no_grad()
    def __call__(self, values: Mapping[str, Tensor]) -> Tensor:
        """Return the log-ratio of each member, shape (K, n), for values (n, D_i)."""
        return torch.stack([member(join(values, self.names)) for member in self.members])


@dataclass(frozen=True)
class DirectRatio:
    """A log-ratio of the evidence that is learned from observed variables alone."""

    learned: Ensemble
    size: int

    def __call__(self, observation: Tensor) -> LogRatio:
        """Estimate the log-ratio at an observation of shape (L,), its components joined in A's topological order."""
        x = check_observation(observation, self.size).to(torch.get_default_dtype())
        each = torch.stack([member(x[None])[0] for member in self.learned.members])
        return LogRatio(float(each.mean()), _spread(each))


@dataclass(frozen=True)
class BennettRatio:
    """A log-ratio of the evidence by local terms, and samples of both posteriors.

    Attributes:
        a, b: the models.
        observed: names of the observed variables.
        sizes: number of components of each variable.
        evaluated: names of the factors whose densities are known in both models.
        learned: one ensemble for each factor whose density is not.
    """

    a: Candidate
    b: Candidate
    observed: tuple[str, ...]
    sizes: Mapping[str, int]
    evaluated: tuple[str, ...]
    learned: tuple[Ensemble, ...]

    def __call__(self, observation: Tensor, n: int = 2000, seed: int = 0) -> BennettLogRatio:
        """Estimate the log-ratio at an observation.

        Arguments:
            observation: shape (L,): the observed variables, joined in A's topological order; B's must be the same.
            n: how many samples to draw from each posterior.
            seed: of these samples.

        Raises:
            UsageError: the observation has another shape; n is below 2; or the posteriors do not overlap at all.
        """
        x = check_observation(observation, sum(self.sizes[name] for name in self.observed))
        n = whole("n", n)
        if n < 2:
            raise UsageError(f"Bennett's estimate needs at least 2 samples of each posterior, got {n}")
        with seeded(derive(seed, "bennett")):
            of_a = self.log_joint_ratios(self._values(self.a, x, n))
            of_b = self.log_joint_ratios(self._values(self.b, x, n))
        return bennett(of_a, of_b)

    def log_joint_ratios(self, values: Mapping[str, Tensor]) -> Tensor:
        """Return ℓ for values (n, D_i) of all variables, one row per member of the ensembles, shape (K, n)."""
        n = len(next(iter(values.values())))
        total = torch.zeros(1, n)
        for name in self.evaluated:
            total = total + self.a.graph.log_prob(values, [name]) - self.b.graph.log_prob(values, [name])
        for ensemble in self.learned:
            total = total + ensemble(values)
        return total

    def _values(self, candidate: Candidate, x: Tensor, n: int) -> dict[str, Tensor]:
        """Posterior samples (n, D_i) beside the observation."""
        latents = candidate.graph.latents(self.observed)
        parts = candidate.posterior.sample(x, n).split([self.sizes[name] for name in latents], dim=-1)
        given = x.to(parts[0]).split([self.sizes[name] for name in self.observed])
        known = {name: part.expand(n, -1) for name, part in zip(self.observed, given, strict=True)}
        return dict(zip(latents, parts, strict=True)) | known


def direct_ratio(
    a: Graph, b: Graph, observed: Sequence[str], simulations: int = 20_000, members: int = 5, seed: int = 0
) -> DirectRatio:
    """Learn the log-ratio of the evidence from simulated observations of both models; their latents may differ.

    Arguments:
        a, b: the models.
        observed: names of the observed variables, which both have.
        simulations: how many to draw from each.
        members: K, how many classifiers share them.
        seed: of simulations and classifiers.

    Raises:
        GraphError: a model lacks an observed variable.
        UsageError: the observed variables differ in size, or there are too few simulations.

    Example:
        >>> from torch.distributions import Independent, Normal
        >>> from ampbench.graph import density, simulator
        >>> def model(mean):
        ...     prior = Independent(Normal(torch.full((1,), mean), torch.ones(1)), 1)
        ...     return Graph(density("z", prior), simulator("x", lambda z: z + torch.randn_like(z), ["z"]))
        >>> ratio = direct_ratio(model(-1.0), model(1.0), ["x"], simulations=4000, members=2)
        >>> ratio(torch.tensor([-2.0])).value > 1 > -1 > ratio(torch.tensor([2.0])).value  # exactly 2 and -2
        True
    """
    names = _observed(a, b, observed)
    simulations, members = _checked_numbers(simulations, members)
    with seeded(derive(seed, "evidence")):
        of_a, of_b = a.sample(simulations), b.sample(simulations)
        sizes = _sizes(names, of_a, of_b)
        return DirectRatio(_learn(names, of_a, of_b, members), sum(sizes.values()))


def bennett_ratio(
    a: Candidate, b: Candidate, observed: Sequence[str], simulations: int = 20_000, members: int = 5, seed: int = 0
) -> BennettRatio:
    """Learn the local terms of the log-ratio of two models that have the same variables.

    Arguments:
        a, b: the models with their posteriors.
        observed: names of the observed variables.
        simulations: how many to draw from each, for the terms that must be learned.
        members: K, how many classifiers share them.
        seed: of simulations and classifiers.

    Raises:
        GraphError: a model lacks an observed variable.
        UsageError: the models do not have the same variables of the same sizes, or there are too few simulations.
    """
    names = _observed(a.graph, b.graph, observed)
    if different := sorted(set(a.graph.names) ^ set(b.graph.names)):
        raise UsageError(
            f"along the chains only models with the same variables can be compared, but {different[0]!r} is in one of "
            "them only; direct_ratio compares any two models with the same observed variables"
        )
    simulations, members = _checked_numbers(simulations, members)
    differing = [name for name in a.graph.names if a.graph[name] != b.graph[name]]
    evaluated = tuple(name for name in differing if a.graph[name].kind == b.graph[name].kind == "density")
    with seeded(derive(seed, "evidence")):
        of_a, of_b = a.graph.sample(simulations), b.graph.sample(simulations)
        sizes = _sizes(a.graph.names, of_a, of_b)
        contexts = {name: _interleave(of_a[name], of_b[name]) for name in a.graph.names}
        learned = [
            _learn_factor(a.graph[name], b.graph[name], contexts, members)
            for name in differing
            if name not in evaluated
        ]
    return BennettRatio(a, b, names, sizes, evaluated, tuple(learned))


def bennett(of_a: Tensor, of_b: Tensor) -> BennettLogRatio:
    """Return Bennett's estimate of log Z_A − log Z_B.

    Arguments:
        of_a: ℓ, the log-ratio of the unnormalised densities A and B, at n samples of A; shape (K, n), one row for each
            of K independent estimates of ℓ.
        of_b: the same at n samples of B.

    Raises:
        UsageError: the samples do not overlap, so that no finite number is an estimate.

    Example:
        A = 6 N(0, 1) and B = 2 N(0, 1) differ by log 3 everywhere.

        >>> ratio = torch.full((1, 100), 3.0).log()
        >>> round(bennett(ratio, ratio).value, 3)
        1.099
    """
    mean_a, mean_b = of_a.double().mean(0), of_b.double().mean(0)
    value = _solve(mean_a, mean_b)
    lost, gained = torch.sigmoid(value - mean_a), torch.sigmoid(mean_b - value)
    n = len(mean_a)
    sampling = (lost.var() / lost.mean() ** 2 + gained.var() / gained.mean() ** 2) / n
    each = torch.tensor([_solve(*rows) for rows in zip(of_a.double(), of_b.double(), strict=True)])
    return BennettLogRatio(
        value=value,
        error=math.hypot(float(sampling) ** 0.5, _spread(each)),
        from_a=math.log(n) - float((-mean_a).logsumexp(0)),
        from_b=float(mean_b.logsumexp(0)) - math.log(n),
        overlap=2 * float(lost.mean()),
    )


def _solve(of_a: Tensor, of_b: Tensor) -> float:
    """The root c of Bennett's equation, whose left-hand side minus its right-hand side rises with c."""
    from scipy.optimize import brentq

    finite = torch.cat([of_a, of_b])
    if bool(finite.isnan().any()):
        raise UsageError("a posterior has samples that both models rule out: its family ignores the support")
    finite = finite[finite.isfinite()]
    if not len(finite) or bool((of_a == torch.inf).all() | (of_b == -torch.inf).all()):
        raise UsageError(
            "the two posteriors have no samples in common support, so that their evidence cannot be compared along the "
            "chains; direct_ratio can"
        )

    def excess(c: float) -> float:
        return float(torch.sigmoid(c - of_a).sum() - torch.sigmoid(of_b - c).sum())

    far = 40.0 + math.log(len(of_a))
    return float(brentq(excess, float(finite.min()) - far, float(finite.max()) + far, xtol=1e-9))


def _spread(each: Tensor) -> float:
    """The standard error of the mean of K independent estimates; 0 where nothing was learned (K = 1)."""
    return float(each.std() / math.sqrt(len(each))) if len(each) > 1 else 0.0


def _learn_factor(a: Node, b: Node, contexts: Mapping[str, Tensor], members: int) -> Ensemble:
    """Learn d_i from draws of both nodes given the same parents."""
    parents = tuple(dict.fromkeys((*a.parents, *b.parents)))
    n = len(contexts[a.name])
    given = {name: contexts[name] for name in parents}
    of_a, of_b = ({**given, node.name: _draw(node, contexts, n)} for node in (a, b))
    return _learn((a.name, *parents), of_a, of_b, members)


@torch.no_grad()
def _draw(node: Node, contexts: Mapping[str, Tensor], n: int) -> Tensor:
    return node.sample(n, tuple(contexts[parent] for parent in node.parents))


def _learn(names: Sequence[str], of_a: Mapping[str, Tensor], of_b: Mapping[str, Tensor], members: int) -> Ensemble:
    parts = zip(join(of_a, names).detach().chunk(members), join(of_b, names).detach().chunk(members), strict=True)
    return Ensemble(tuple(names), tuple(train_classifier(*part) for part in parts))


def _interleave(of_a: Tensor, of_b: Tensor) -> Tensor:
    """Half of the rows from each, in turn: every part of them has as many of both."""
    half = (len(of_a) + 1) // 2
    return torch.stack([of_a[:half], of_b[:half]], dim=1).flatten(0, 1)[: len(of_a)]


def _observed(a: Graph, b: Graph, observed: Sequence[str]) -> tuple[str, ...]:
    """The observed variables in topological order; both models must agree on it, because observations are joined."""
    in_a, in_b = a.check(observed), b.check(observed)
    if in_a != in_b:
        raise UsageError(
            f"the observed variables are joined as {', '.join(in_a)} by one model, as {', '.join(in_b)} by the other; "
            "list their nodes in one order"
        )
    return in_a


def _sizes(names: Sequence[str], of_a: Mapping[str, Tensor], of_b: Mapping[str, Tensor]) -> dict[str, int]:
    for name in names:
        if of_a[name].shape[1] != of_b[name].shape[1]:
            sizes = f"{of_a[name].shape[1]} and {of_b[name].shape[1]}"
            raise UsageError(f"variable {name!r} has {sizes} components in the two models; it must be the same in both")
    return {name: of_a[name].shape[1] for name in names}


def _checked_numbers(simulations: int, members: int) -> tuple[int, int]:
    simulations, members = whole("simulations", simulations), whole("members", members)
    if members < 2 or simulations < 10 * members:
        raise UsageError(
            f"an evidence ratio needs at least 2 classifiers of 10 simulations each, got members={members} and "
            f"simulations={simulations}"
        )
    return simulations, members
