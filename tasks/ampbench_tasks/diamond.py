r"""Diamond: one cause, two paths, one effect; the smallest graph that is not a tree.

.. math::
    a &\sim \mathcal N(0, 1), \qquad b \sim \mathcal N(a, 0.5^2), \qquad c \sim \mathcal N(-0.5 a, 0.5^2) \\
    d &\sim \mathcal N(b + c, 0.3^2), \qquad x \sim \mathcal N(d, 0.2^2)

Given x, b and c explain each other away: they are negatively correlated even given a. An inverse factorization
without the arc between them cannot represent the posterior.

References:
    Pearl 1988, *Probabilistic Reasoning in Intelligent Systems*, section 4.4 (multiply connected networks).
"""

from __future__ import annotations

from typing import final

from ampbench_tasks.linear_gaussian import LinearGaussian, LinearGaussianTask, scalar


@final
class Diamond(LinearGaussianTask):
    """Diamond a → (b, c) → d → x, linear-Gaussian, exact: latents a, b, c, d of one component each."""

    folder = "diamond"
    version = "1"
    source = "Pearl 1988, section 4.4"

    def __init__(self) -> None:
        variables = [
            scalar("a", 1.0),
            scalar("b", 0.5, a=1.0),
            scalar("c", 0.5, a=-0.5),
            scalar("d", 0.3, b=1.0, c=1.0),
            scalar("x", 0.2, d=1.0),
        ]
        super().__init__(LinearGaussian(variables, ["x"]))
