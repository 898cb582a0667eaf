"""Posteriors of repeated variables, for evidence of any size."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from ampbench.amp.engine import Trained
from ampbench.amp.templates.batches import encode
from ampbench.amp.templates.chain import TemplateBottomUp
from ampbench.errors import UsageError
from ampbench.graph import Graph
from ampbench.graph.coordinates import Coordinates


class TemplatePosterior:
    """A trained bottom-up chain of a template.

    Attributes:
        graph: the model.
        observed: names of the observed variables.
        trained: families, adversaries, and the training history.
    """

    def __init__(
        self,
        graph: Graph,
        observed: tuple[str, ...],
        trained: Trained[TemplateBottomUp],
        coordinates: Mapping[str, Coordinates],
    ) -> None:
        self.graph = graph
        self.observed = observed
        self.trained = trained
        self.coordinates = coordinates

    @torch.no_grad()
    def sample_variables(self, evidence: Mapping[str, Tensor], n: int) -> dict[str, Tensor]:
        """Draw all latents from the posterior.

        Arguments:
            evidence: by observed variable, values (R_1, …, D), NaN where a repeat is missing. The sizes of the axes are
                those of the evidence.
            n: number of draws.

        Returns:
            By latent, (n, R_1, …, D), on the CPU.

        Raises:
            UsageError: an observed variable is missing, or the shapes do not fit.
        """
        sizes = self._sizes(evidence)
        families = self.trained.learned.bottom_up
        given = {name: evidence[name][None].to(torch.get_default_dtype()) for name in self.observed}
        batch = encode(self.graph, self.coordinates, given, sizes, families.device)
        drawn = families(batch, n)
        values = {name: self.coordinates[name].decode(value[:, 0].cpu()) for name, value in drawn.items()}
        latents = self.graph.latents(self.observed)
        if values.keys() < set(latents):
            known = values | {name: value.expand(n, *value.shape[1:]) for name, value in given.items()}
            values = self.graph.sample(n, known, sizes)
        return {name: values[name] for name in latents}

    def _sizes(self, evidence: Mapping[str, Tensor]) -> dict[str, int]:
        """Return the sizes of the axes that evidence has."""
        if missing := [name for name in self.observed if name not in evidence]:
            raise UsageError(f"the evidence has no {missing[0]!r}; give {', '.join(self.observed)}")
        sizes: dict[str, int] = {}
        for name in self.observed:
            axes, shape = self.graph[name].along, tuple(evidence[name].shape)
            if len(shape) != len(axes) + 1:
                along = ", ".join(axis.name for axis in axes)
                raise UsageError(f"evidence {name!r} has shape {shape}, expected ({along}{', ' * bool(axes)}D)")
            for axis, count in zip(axes, shape, strict=False):
                size = next((each for each in range(1, count + 1) if axis.repeats(each) >= count), count)
                if axis.repeats(size) != count or sizes.setdefault(axis.name, size) != size:
                    raise UsageError(
                        f"evidence {name!r} has {count} repeats along {axis.name!r}, which fit no size of the axis, or "
                        f"another one than that of the other variables, {sizes.get(axis.name)}"
                    )
        return sizes
