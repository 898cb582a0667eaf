"""The order of the inverse of a tree before decision 24: children are sampled before their parents."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ampbench.graph import Factor, Graph


class ChildrenFirst(Graph):
    """The flat graph of a tree whose latents are sampled in the reverse of a depth-first search.

    The name of a variable of ``gaussian_tree`` extends that of its parent, so that the names in alphabetical order are
    a depth-first search from the root.
    """

    def inverse(self, observed: Iterable[str], order: Sequence[str] | None = None) -> tuple[Factor, ...]:
        """Return the inverse in this order, whatever order is asked for by default."""
        return super().inverse(observed, order or sorted(self.latents(observed), reverse=True))
