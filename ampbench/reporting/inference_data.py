r"""Export of posterior samples to ArviZ: one group per kind of sample, one variable per variable of the graph.

=================  ====================================================================================================
``posterior``      the samples; each latent has dimensions ``chain`` (one), ``draw`` and, if it has several components,
                   ``<name>_dim_0``
``reference``      as many reference samples, with the same dimensions; absent if the task is forward-only
``observed_data``  the observed variables
attributes         of the root and of ``posterior``: the columns of :data:`ampbench.results.schema.RESULTS`: key, specs,
                   versions, scores, times
=================  ====================================================================================================

Samples are independent draws, not a Markov chain: R-hat is not applicable, and effective sample sizes equal the number
of draws up to noise. ``xarray.open_datatree`` (ArviZ 1.0) and ``arviz.from_netcdf`` (ArviZ 0.2x) read the NetCDF file.

References:
    Kumar, Carroll, Hartikainen, Martin 2019, *ArviZ: a unified library for exploratory analysis of Bayesian models in
    Python*, Journal of Open Source Software 4(33), doi:10.21105/joss.01143.
    InferenceData schema specification, https://python.arviz.org/en/stable/schema/schema.html.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from ampbench import registry
from ampbench.errors import GraphError, ResultsError, UsageError
from ampbench.graph import Graph, split
from ampbench.interfaces import HasReference, Task
from ampbench.metrics.references import reference_samples
from ampbench.results import theirs
from ampbench.results.bundle import open_store
from ampbench.results.frame import row
from ampbench.results.origins import OURS
from ampbench.results.store import Store, Stored
from ampbench.text import plain

if TYPE_CHECKING:
    from xarray import DataTree


def inference_data(results: str | Path, key: str, origin: str = "") -> DataTree:
    """Return the posterior samples of a stored run, with its observation, reference samples and provenance.

    Arguments:
        results: a results directory or a bundle.
        key: key of the run: the column ``key`` of :func:`ampbench.results.load`.
        origin: whose run: the column ``origin``; "" for one's own, or for that of the bundle.

    Returns:
        A tree with the groups ``posterior``, ``observed_data`` and, if the task has one, ``reference``.

    Raises:
        UsageError: ArviZ is not installed.
        ResultsError: there is no such run, it failed, its samples were not kept, or the installed task has another
            version.
    """
    store = _store(Path(results), key, origin)
    found = store.find(key)
    if isinstance(found, Stored) and not found.record.ok and not found.samples:
        raise ResultsError(f"the run {key} failed before there were samples: {found.record.error}")
    samples = store.samples(key)
    assert isinstance(found, Stored)  # otherwise samples() has raised
    run = found.record.run
    task: Task = registry.load().build("tasks", run.task)
    if task.version != run.task_version:
        raise ResultsError(
            f"the run {key} is of version {run.task_version} of task {run.task!r}, and installed is {task.version}: "
            "observation and reference may differ; run it again, or install the ampbench that made it"
        )
    observation = task.numbered(run.observation)
    reference = reference_samples(task, run.observation, run.samples) if isinstance(task, HasReference) else None
    return tree(
        task.graph, task.observed, torch.as_tensor(samples), observation.x, reference, row(found.record, origin or OURS)
    )


def _store(path: Path, key: str, origin: str) -> Store:
    """Return the store that holds a run of an origin."""
    if not origin:
        return open_store(path)
    stores = theirs.stores(path, origin)
    return next((store for store in stores if store.find(key)), stores[0])


def tree(
    graph: Graph,
    observed: Iterable[str],
    samples: Tensor,
    x: Tensor,
    reference: Tensor | None = None,
    attributes: Mapping[str, Any] | None = None,
    *,
    predicted: Tensor | None = None,
    sizes: Mapping[str, int] | None = None,
) -> DataTree:
    """Return the tree of posterior samples of any graph; for a stored run see :func:`inference_data`.

    Arguments:
        graph: the model.
        observed: names of its observed variables.
        samples: posterior samples of all other variables, joined, shape (n, D).
        x: the observation, shape (L,).
        reference: reference samples, shape (m, D), or None.
        attributes: numbers and texts to store as attributes; unprintable characters become escapes.
        predicted: simulations of the posterior predictive, shape (k, L), or None.
        sizes: number of components of each variable; by default those that the graph declares.

    Raises:
        UsageError: ArviZ is not installed.
        GraphError: sizes do not agree with the graph.
    """
    try:
        from arviz_base import from_dict
    except ImportError as error:
        raise UsageError("the export of samples needs ArviZ: pip install 'ampbench[arviz]'") from error
    seen = graph.check(observed)
    latents = tuple(name for name in graph.names if name not in seen)
    known = {node.name: node.size for node in graph.nodes if node.size is not None} | dict(sizes or {})
    groups = {"posterior": _draws(known, samples, latents)}
    if reference is not None:
        groups["reference"] = _draws(known, reference, latents)
    if predicted is not None:
        groups["posterior_predictive"] = _draws(known, predicted, seen)
    groups["observed_data"] = _cut(known, x, seen)
    kept = {
        plain(name): plain(value) if isinstance(value, str) else value
        for name, value in (attributes or {}).items()
        if value is not None
    }
    return from_dict(groups, attrs={"/": kept, "posterior": kept})


def _draws(sizes: Mapping[str, int], joined: Tensor, names: tuple[str, ...]) -> dict[str, np.ndarray]:
    return {name: values[None] for name, values in _cut(sizes, joined, names).items()}  # (chain, draw, …)


def _cut(sizes: Mapping[str, int], joined: Tensor, names: tuple[str, ...]) -> dict[str, np.ndarray]:
    """Split (*, D) into the named variables; a variable with one component gets the shape (*)."""
    parts = {names[0]: joined} if len(names) == 1 else _split(sizes, joined, names)
    arrays = {name: values.detach().cpu().numpy() for name, values in parts.items()}
    return {plain(name): values[..., 0] if values.shape[-1] == 1 else values for name, values in arrays.items()}


def _split(sizes: Mapping[str, int], joined: Tensor, names: tuple[str, ...]) -> dict[str, Tensor]:
    if unknown := [name for name in names if name not in sizes]:
        raise GraphError(f"variable {unknown[0]!r} does not declare its size; give density(…, size=D)")
    if (total := sum(sizes[name] for name in names)) != joined.shape[-1]:
        raise GraphError(f"{joined.shape[-1]} components, but {', '.join(names)} have {total} together")
    return split(joined, {name: sizes[name] for name in names})
