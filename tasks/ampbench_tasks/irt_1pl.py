r"""Item response theory with one parameter per item: which students answer which questions correctly.

.. math::
    m \sim \mathcal N(0.75, 1), \qquad a_i \sim \mathcal N(0, 1), \qquad b_j \sim \mathcal N(0, 1), \qquad
    y_{ij} \sim \mathrm{Bernoulli}\bigl(\sigma(m + a_i - b_j)\bigr)

:math:`\sigma` is the logistic function, m the mean ability, :math:`a_i` the ability of student i relative to it, and
:math:`b_j` the difficulty of question j. The plates of students and questions cross: every answer has one parent in
each. A variable :math:`y_i` holds all answers of a student, 1 for a correct one. The template repeats the students, and
has a variable for every question.

The likelihood depends on the data by the number of correct answers of each student and of each question only. The
posterior density is log-concave. It is known by stored samples of the numbered observations, which are simulated: 2,000
draws of each, thinned from four chains of the no-U-turn sampler (``tests/tasks/reference_nuts.py``; ``info.json``,
beside the draws, has the versions, the seeds and the convergence diagnostics).

References:
    Rasch 1960, *Probabilistic models for some intelligence and attainment tests* (the model).
    Sountsov, Radul and contributors 2020, *Inference gym*, version 0.0.5, class ``ItemResponseTheory`` (the priors).
    Hoffman, Gelman 2014, *The no-U-turn sampler*, arXiv:1111.4246.
"""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor
from torch.distributions import Distribution, Independent, Normal, constraints
from torch.nn.functional import logsigmoid

from ampbench.graph import Graph, Node, Plate, density, simulator
from ampbench.options import at_least
from ampbench_tasks.structured import Stored

MEAN_ABILITY = 0.75
BITS = constraints.independent(constraints.boolean, 1)


@final
class IRT1PL(Stored):
    """Item response theory, stored samples: latents m, a_1 … a_students, b_1 … b_questions, observed y_1 … y_students.

    Arguments:
        students: number of students.
        questions: number of questions, and of components of each y_i.

    Raises:
        UsageError: students or questions below 1.
    """

    folder = "irt_1pl"
    version = "1"
    source = "Rasch 1960; priors of the inference gym"

    def __init__(self, students: int = 30, questions: int = 10) -> None:
        at_least(self, students=(students, 1), questions=(questions, 1))
        super().__init__(students=students, questions=questions)
        self._students, self._questions = students, questions
        difficulties = _difficulties(questions)
        numbers = range(1, students + 1)
        abilities = [density(f"a_{i}", _gaussian(0.0)) for i in numbers]
        self.observed = tuple(f"y_{i}" for i in numbers)
        parents = [node.name for node in difficulties]
        answers = [simulator(f"y_{i}", answer, ["m", f"a_{i}", *parents], BITS, questions) for i in numbers]
        flat = Graph(_mean(), *abilities, *difficulties, *answers)
        self._graph = flat.repeating(template(students, questions), {"student": students})

    @property
    def graph(self) -> Graph:
        """The graph (m, a_i, b_1, …, b_questions) → y_i."""
        return self._graph

    def log_likelihood(self, theta: Tensor, x: Tensor) -> Tensor:
        """Return log p(x | theta), shape (*,), float64."""
        theta = theta.double()
        m, a, b = theta[..., :1], theta[..., 1 : 1 + self._students], theta[..., 1 + self._students :]
        logits = (m + a)[..., None] - b[..., None, :]
        signs = 2 * x.double().unflatten(-1, (self._students, self._questions)) - 1
        return logsigmoid(signs * logits).sum((-2, -1))


def template(students: int | tuple[int, int], questions: int = 10) -> Graph:
    """Return the graph with the axis ``student`` in place of single students: latents m, b_1, …, a, observed y.

    Axes cannot cross, so that every question keeps a variable of its own.

    Arguments:
        students: the number of students, or the smallest and the largest one.
        questions: number of questions.
    """
    student, difficulties = [Plate("student", students)], _difficulties(questions)
    parents = ["m", "a", *(node.name for node in difficulties)]
    return Graph(
        _mean(),
        *difficulties,
        density("a", _gaussian(0.0), along=student),
        simulator("y", answer, parents, BITS, questions, along=student),
    )


def answer(m: Tensor, a: Tensor, *b: Tensor) -> Tensor:
    """Draw the answers of one student given m, a and all b, (n, 1) each, shape (n, questions)."""
    return torch.bernoulli(torch.sigmoid(m + a - torch.cat(b, dim=1)))


def _mean() -> Node:
    return density("m", _gaussian(MEAN_ABILITY))


def _difficulties(questions: int) -> list[Node]:
    return [density(f"b_{j}", _gaussian(0.0)) for j in range(1, questions + 1)]


def _gaussian(mean: float) -> Distribution:
    return Independent(Normal(torch.full((1,), mean), torch.ones(1)), 1)
