"""Several families for a learned factor of the model; the density of held-out simulations chooses one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, final

from ampbench.errors import UsageError
from ampbench.interfaces import Conditional, Default, Family
from ampbench.interfaces.family import HasCandidates


@final
class Several(Family, HasCandidates):
    """Try families one after another.

    Arguments:
        first, second: the families; each must have a density.
    """

    def __init__(
        self,
        first: Annotated[Family, Default("maf")],
        second: Annotated[Family, Default("flow(dropout=0)")],
    ) -> None:
        self._families = {"first": first, "second": second}

    def candidates(self) -> Mapping[str, Family]:
        """Return the families, by the name of the option."""
        return self._families

    def __call__(self, features: int, context: int) -> Conditional:
        """Raise :class:`UsageError`: an inverse factor has one family."""
        raise UsageError(
            "family 'several' chooses among families for learned factors (amp:learn=several); take one family, such as "
            "flow, for inverse factors"
        )
