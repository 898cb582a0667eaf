r"""Unconstrained coordinates of all latent variables together, with their Jacobian.

.. math:: \theta = T(u), \qquad \log p(u) = \log p(\theta) + \log |\det T'(u)|

Certification and the kernel Stein discrepancy use these coordinates. Families and adversaries use another bijection,
:class:`ampbench.graph.coordinates.Coordinates`, which standardises and clamps coordinates, and has discrete values.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.distributions import biject_to, constraints

from ampbench.errors import GraphError


class Unconstrained:
    """The bijection between theta (n, D) and unconstrained coordinates u (n, D′).

    Arguments:
        variables: name, support and number of components of every latent variable.

    Raises:
        GraphError: a variable is discrete, or its support has no bijection.

    Example:
        >>> free = Unconstrained([("rate", constraints.positive, 1), ("shift", constraints.real, 1)])
        >>> theta, jacobian = free.decode(torch.tensor([[0.0, 3.0]]))
        >>> theta, jacobian, free.encode(theta)
        (tensor([[1., 3.]]), tensor([0.]), tensor([[0., 3.]]))
    """

    def __init__(self, variables: Sequence[tuple[str, constraints.Constraint, int]]) -> None:
        self._bijections = []
        self._sizes = [size for _, _, size in variables]
        self._free_sizes = []
        for name, support, size in variables:
            if support.is_discrete:
                raise GraphError(f"{name} is discrete")
            try:
                bijection = biject_to(support)
            except NotImplementedError as error:
                raise GraphError(f"the support of {name}, {support}, has no coordinates") from error
            self._bijections.append(bijection)
            self._free_sizes.append(bijection.inverse_shape(torch.Size([size]))[-1])

    def encode(self, theta: Tensor) -> Tensor:
        """Map theta (n, D) to u (n, D′) of the same dtype."""
        parts = theta.split(self._sizes, dim=1)
        return torch.cat([bijection.inv(part) for bijection, part in zip(self._bijections, parts, strict=True)], dim=1)

    def decode(self, u: Tensor) -> tuple[Tensor, Tensor]:
        """Map u (n, D′) to theta (n, D) and the log of the absolute Jacobian determinant, (n,)."""
        theta, total = [], u.new_zeros(len(u))
        for bijection, part in zip(self._bijections, u.split(self._free_sizes, dim=1), strict=True):
            theta.append(bijection(part))
            jacobian = bijection.log_abs_det_jacobian(part, theta[-1])
            total = total + jacobian.reshape(len(u), -1).sum(1)
        return torch.cat(theta, dim=1), total
